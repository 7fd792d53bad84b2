"""Eq. 10-14 with App. B: from L to K, and K term by term."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from chains import along, averaged, close, table, turned_around, with_data
from reference import draws_of, standard_errors

from dpm_jax import bound
from dpm_jax.process import FIXED

pytestmark = pytest.mark.usefixtures("float64")


def cross_entropy(chain, t):
    """-∫ q(x_t) log π(x_t)."""
    return -chain.integral(chain.law(t) * chain.prior)


def step_ratios(chain):
    """E_q log p(x_{t-1} | x_t)/q(x_t | x_{t-1}), t = 1..T."""
    pairs = zip(chain.reverse, chain.forward, strict=True)
    return [
        chain.integral(chain.law(t - 1, t) * (reverse - forward))
        for t, (reverse, forward) in enumerate(pairs, start=1)
    ]


def by_paths(chain, t):
    """log q(x_{t-1} | x_t, x_0) of the path's law, [x_0, x_{t-1}, x_t]."""
    return np.log(chain.law(0, t - 1, t)) - np.log(chain.law(0, t))[:, None]


# The likelihood and its bound


def test_likelihood(chain):
    conditional = chain.q / np.exp(along(chain.data, 0, chain.T))
    inside = chain.integral(conditional * np.exp(chain.log_weight), (0,))
    close(chain.mean(np.log(inside)), chain.mean(chain.log_probability))
    # A mean of weights is right inside the logarithm, and below in the mean of logarithms.
    likeliest = np.argmax(chain.data)
    x0 = jnp.asarray(chain.points[likeliest])
    of_four = partial(bound.importance_weighted, chain.process, x0, paths=4)
    log_p = np.asarray(draws_of(lambda key: of_four(key=key), 2, 4_000))
    assert standard_errors(np.exp(log_p), np.exp(chain.log_probability[likeliest])) < 5
    assert standard_errors(log_p, chain.log_probability[likeliest]) > 5
    assert log_p.mean() < chain.log_probability[likeliest]


def test_K(chain):
    terms = averaged(chain, bound.all_steps)
    close(chain.mean(terms.K), chain.K)


def test_jensen(chain):
    L, K = chain.mean(chain.log_probability), chain.mean(averaged(chain, bound.all_steps).K)
    assert L - K > 0.01
    # Where every path has the same weight there is nothing to lose.
    alike = turned_around(chain)
    K = averaged(alike, bound.all_steps).K
    close(alike.mean(K), alike.mean(alike.log_probability))


def test_gap(chain):
    L, K = chain.mean(chain.log_probability), chain.mean(averaged(chain, bound.all_steps).K)
    q = chain.log_q - along(chain.data, 0, chain.T)
    p = chain.log_p - along(chain.log_probability, 0, chain.T)
    close(L - K, chain.integral(chain.q * (q - p)))


# The end of the path


def test_split(chain):
    K = chain.mean(averaged(chain, bound.all_steps).K)
    close(sum(step_ratios(chain)) - cross_entropy(chain, chain.T), K)


def test_end_of_an_example(chain):
    terms = averaged(chain, bound.all_steps)
    end = chain.integral(chain.law(0, chain.T) * chain.prior, (0,)) / np.exp(chain.data)
    weight = np.exp(chain.data)
    close(weight * end, weight * -(terms.prior_kl + terms.entropy_last))


def test_cross_entropy(scaled, unscaled):
    kernel = scaled.kernel
    H = float(kernel.entropy(kernel.prior(scaled.process.event_shape)))
    close([cross_entropy(scaled, t) for t in range(scaled.T + 1)], H)
    # Of other data it is another number at every t, and the difference falls as x_0 is forgotten.
    off = np.abs([cross_entropy(unscaled, t) - H for t in range(unscaled.T + 1)])
    assert (off > 1e-3).all()
    assert (np.diff(off) < 0).all()


# The start of the path


def test_last_step(fixed):
    kernel, process = fixed.kernel, fixed.process

    def turned(x0, x1):
        return kernel.log_prob(FIXED.distribution(process, x1), x0)

    flow = fixed.forward[0] + fixed.prior[:, None] - fixed.prior
    close(table(fixed, turned), flow)


def test_edge(scaled, unscaled):
    for chain in (scaled, unscaled):
        terms = averaged(chain, bound.all_steps)
        ratio = chain.mean(terms.last_step + terms.entropy_first)
        close(ratio, step_ratios(chain)[0])
        close(ratio, cross_entropy(chain, 1) - cross_entropy(chain, 0))
        assert (abs(ratio) < 1e-9) == (chain is scaled)


def test_edge_of_an_example(fixed):
    terms, weight = averaged(fixed, bound.all_steps), np.exp(fixed.data)
    ratio = fixed.integral(fixed.law(0, 1) * (fixed.forward[0] - fixed.prior), (0,))
    close(weight * terms.last_step, weight * fixed.prior + ratio)


# Conditioned on the data


def test_markov(chain):
    kernel = chain.kernel
    for t in chain.steps:
        beta = chain.at(t).beta
        step = table(chain, lambda y, x, b=beta: kernel.log_prob(kernel.step(y, b), x))
        close(chain.law(0, t - 1, t), chain.law(0, t - 1)[..., None] * np.exp(step))


def log_posterior(chain, t, posterior):
    """log q(x_{t-1} | x_t, x_0) of the library, [x_0, x_{t-1}, x_t]."""
    kernel, c = chain.kernel, chain.at(t)

    def of_pair(x0, xt):
        q = posterior(x0, xt, c.beta, c.log_alpha_bar_prev)
        return jax.vmap(lambda x: kernel.log_prob(q, x))(jnp.asarray(chain.points))

    return table(chain, of_pair).swapaxes(1, 2)


def test_posterior(chain):
    for t in chain.steps:
        joint = np.exp(log_posterior(chain, t, chain.kernel.posterior)) * chain.law(0, t)[:, None]
        close(joint, chain.law(0, t - 1, t))


def test_bayes(chain):
    kernel, K = chain.kernel, step_ratios(chain)[0] - cross_entropy(chain, chain.T)
    for t in chain.steps:
        before, after = (
            table(chain, lambda x0, x, a=a: kernel.log_prob(kernel.marginal(x0, a), x))
            for a in (chain.at(t).log_alpha_bar_prev, chain.at(t).log_alpha_bar)
        )
        ratio = chain.reverse[t - 1] - log_posterior(chain, t, kernel.posterior)
        ratio = ratio + before[..., None] - after[:, None]
        K = K + chain.integral(chain.law(0, t - 1, t) * ratio)
    close(K, chain.K)


# Entropies and divergences


def test_telescope(chain):
    terms = averaged(chain, bound.all_steps)
    total = 0.0
    for t in chain.steps:
        law = chain.law(0, t - 1, t)
        before, after = np.log(chain.law(0, t - 1)), np.log(chain.law(0, t))
        total += chain.integral(law * (before[..., None] - after[:, None]))
    close(total, chain.mean(terms.entropy_last - terms.entropy_first))


def test_step_kl(chain):
    def kls(process, x0, noise):
        terms = bound.all_steps(process, x0, noise)
        at_t = jax.vmap(lambda t, eps: bound.step_kl(process, x0, t, eps))
        return terms._replace(step_kl=at_t(jnp.arange(2, chain.T + 1), noise[1:]))

    found = averaged(chain, kls).step_kl
    for t in chain.steps:
        ratio = by_paths(chain, t) - chain.reverse[t - 1]
        expected = chain.integral(chain.law(0, t - 1, t) * ratio)
        close(chain.mean(found[:, t - 2]), expected)
        assert expected > 0.01
        # The pair's own law is meant, not the product of the two.
        of_pair = np.exp(log_posterior(chain, t, chain.kernel.posterior)) * ratio
        apart = chain.law(0)[:, None, None] * chain.law(t) * of_pair
        assert abs(chain.integral(apart) - expected) > 1e-3


def test_eq_14(scaled, unscaled):
    close(scaled.mean(averaged(scaled, bound.all_steps).K_eq14), scaled.K)
    # Of other data it is off by what their cross-entropies are.
    found = unscaled.mean(averaged(unscaled, bound.all_steps).K_eq14)
    H = float(unscaled.kernel.entropy(unscaled.kernel.prior(unscaled.process.event_shape)))
    first, one, last = (cross_entropy(unscaled, t) for t in (0, 1, unscaled.T))
    close(found - unscaled.K, last - H + first - one)
    assert abs(found - unscaled.K) > 1e-3


def test_true_bound(chain):
    K, weight = averaged(chain, bound.all_steps).K, np.exp(chain.data)
    close(weight * K, chain.integral(chain.q * chain.log_weight, (0,)))
    held = weight > 1e-6
    assert (chain.log_probability[held] > K[held]).all()
    # Whatever the data are: it is a bound of each example.
    other = with_data(chain, np.roll(chain.data, 1))
    close(averaged(other, bound.all_steps).K[held], K[held])
