"""The binomial kernel, bound and draws of the library, against the sums over all values of bits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reverses
from numpy.testing import assert_allclose

from dpm_jax.entropy import entropy_bounds
from dpm_jax.evaluation.likelihood import estimate, evaluate, importance_weighted
from dpm_jax.kernels import binomial
from dpm_jax.kernels.binomial import Bernoulli
from dpm_jax.laboratory import chain, law, markov
from dpm_jax.laboratory.account import account
from dpm_jax.laboratory.space import bits
from dpm_jax.laboratory.transform import likelihood, posterior
from dpm_jax.process import LAST_STEPS, Process
from dpm_jax.sampling.draw import draw

SPACE, KERNEL = bits(3, 0.3), binomial.kernel(0.3)
RATES = chain.rates(0.95, 0.4, 5)
Q = law.law(SPACE, np.array([4.0, 1, 0.5, 2, 1, 3, 2, 6]))
STATES = jnp.asarray(SPACE.states, jnp.float32)
VALUE = jnp.asarray([4, 2, 1])


@pytest.mark.parametrize("alpha", [0.05, 0.6, 0.99])
def test_the_forward_kernel_is_the_librarys(alpha):
    with jax.enable_x64(True):
        x = jnp.asarray(SPACE.states)
        steps = jax.vmap(lambda x: KERNEL.step(x, jnp.asarray(1 - alpha)))(x)
        each = jax.vmap(lambda d: jax.vmap(lambda z: KERNEL.log_prob(d, z))(x))(steps)
    assert_allclose(likelihood(SPACE, alpha), np.exp(each).T, rtol=1e-12)
    ones = SPACE.states.sum(1)
    assert_allclose(SPACE.prior, 0.3**ones * 0.7 ** (3 - ones), rtol=1e-12)


def table():
    """Logits of the best p(x_{t-1} | x_t) by t, state and bit, from the grid's posteriors."""
    laws, rows = chain.forward(SPACE, Q, RATES), []
    for before, alpha in zip(laws[:-1], RATES, strict=True):
        p = posterior(SPACE, before, float(alpha))
        one, zero = SPACE.states.T @ p, (1 - SPACE.states).T @ p
        rows.append((np.log(one) - np.log(zero)).T)
    return jnp.asarray(np.stack(rows), jnp.float32)


def looked_up(logits, xt, t, c):
    return Bernoulli(logits[t - 1, (xt.astype(int) * VALUE).sum()])


@pytest.mark.slow
@pytest.mark.parametrize("last_step", LAST_STEPS)
def test_the_best_bits_are_the_sums(last_step):
    made, _ = reverses.rates_of(RATES)
    process = Process(KERNEL, made, looked_up, (3,), table(), LAST_STEPS[last_step])
    x = markov.draw(Q, 4_000, np.random.default_rng(0))
    terms = account(SPACE, Q, RATES, last_step)
    restored = chain.restored_by_best(SPACE, Q, RATES, SPACE.prior, last_step)[0]
    key, data = jax.random.key(1), SPACE.states[x].astype(np.float32)
    K = estimate(evaluate(process, data, key, progress=False).K - np.log2(Q[x]))
    assert abs(K.mean - terms.K - terms.data) < 5 * K.se
    weighted = importance_weighted(process, data, key, paths=8, progress=False)
    for state in range(8):
        weight = estimate(np.exp2(weighted[x == state]))  # without bias, p of the model
        assert abs(weight.mean - restored[state]) < 5 * weight.se + 1e-6
    drawn = draw(process, 20_000, key).astype(int) @ np.array([4, 2, 1])
    share = np.bincount(drawn, minlength=8) / 20_000
    assert (np.abs(share - restored) < 5 * np.sqrt(restored * (1 - restored) / 20_000)).all()


def test_bounds_on_entropies_are_the_librarys():
    made, _ = reverses.rates_of(RATES)
    terms = account(SPACE, Q, RATES)
    of_all = jax.vmap(lambda x0, t: entropy_bounds(KERNEL, made, x0, t), in_axes=(0, None))
    each = jax.vmap(of_all, in_axes=(None, 0))(STATES, jnp.arange(2, 6))
    assert_allclose(np.asarray(each.lower) @ Q / np.log(2), terms.lower, rtol=1e-4)
    assert_allclose(np.asarray(each.upper) @ Q / np.log(2), terms.upper, rtol=1e-4)
