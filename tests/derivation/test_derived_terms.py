"""DDPM's terms: L_T, L_{t-1} and L_0 are K once more."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import GRID, SCALED
from chains import BETA, along, averaged, chained, close, column, table
from reference import process_of, schedule64
from scipy import stats

from dpm_jax import bound, reverse
from dpm_jax.evaluation.likelihood import estimate, evaluate
from dpm_jax.evaluation.rate_distortion import rate_distortion, squared_error
from dpm_jax.kernels import gaussian
from dpm_jax.scaling import NATS_PER_BIT
from dpm_jax.schedule import at

pytestmark = pytest.mark.usefixtures("float64")


def L_T(chain):
    law = chain.law(0, chain.T)
    return chain.integral(law * (np.log(law) - chain.data[:, None] - chain.prior))


def L_t_minus_1(chain, t):
    posterior = np.log(chain.law(0, t - 1, t)) - np.log(chain.law(0, t))[:, None]
    return chain.integral(chain.law(0, t - 1, t) * (posterior - chain.reverse[t - 1]))


def L_0(chain):
    return -chain.integral(chain.law(0, 1) * chain.reverse[0])


def test_L_T(chain):
    kernel, a = chain.kernel, chain.at(chain.T).log_alpha_bar
    kl = column(chain, lambda x0: kernel.kl(kernel.marginal(x0, a), kernel.prior(x0.shape)))
    close(chain.mean(kl), L_T(chain))
    close(chain.mean(averaged(chain, bound.all_steps).prior_kl), L_T(chain))


def test_L_t_minus_1(chain):
    kernel = chain.kernel
    for t in chain.steps:
        c = chain.at(t)

        def kl(x0, xt, c=c, t=t):
            q = kernel.posterior(x0, xt, c.beta, c.log_alpha_bar_prev)
            return kernel.kl(q, chain.process.reverse(xt, jnp.asarray(t), c))

        close(chain.integral(chain.law(0, t) * table(chain, kl)), L_t_minus_1(chain, t))


def test_L_0(chain):
    process, family = chain.process, chain.process.last_step.family(chain.process)

    def log_p(x0, x1):
        return family.log_prob(process.last_step.distribution(process, x1), x0)

    close(-chain.integral(chain.law(0, 1) * table(chain, log_p)), L_0(chain))
    close(-chain.mean(averaged(chain, bound.all_steps).last_step), L_0(chain))


def test_ddpm_bound(chain):
    total = L_T(chain) + sum(L_t_minus_1(chain, t) for t in chain.steps) + L_0(chain)
    close(total, -chain.K)
    found = evaluate(chain.process, examples_of(chain, 4_000), jax.random.key(0), progress=False)
    K = estimate(found.K * NATS_PER_BIT)
    assert abs(K.mean + total) < 5 * K.se


def noise_process(variance):
    """T = 3, whose steps follow from a prediction of ε that is wrong."""
    form = reverse.ddpm(reverse.epsilon, variance)

    def step(xt, t, c):
        readout = jnp.stack([jnp.sin(xt), jnp.zeros_like(xt)], -1)
        return form(gaussian.KERNEL, readout, xt, c)

    return process_of(gaussian.KERNEL, schedule64(BETA[:3]), step, (1,))


@pytest.mark.parametrize("variance", [reverse.beta, reverse.beta_tilde])
@pytest.mark.parametrize("t", [2, 3])
def test_predicted_noise(variance, t):
    chain, process = SCALED["a real number"], noise_process(variance)
    alpha_bar = np.cumprod(1 - np.array(BETA))
    before, here, beta = alpha_bar[t - 2], alpha_bar[t - 1], BETA[t - 1]
    tilde = beta * (1 - before) / (1 - here)
    sigma2 = beta if variance is reverse.beta else tilde
    # The KL itself, by quadrature over x_{t-1}; the mean of p is DDPM's (eq. 11 there).
    mean = (GRID - beta / np.sqrt(1 - here) * np.sin(GRID)) / np.sqrt(1 - beta)
    log_p = stats.norm.logpdf(GRID[:, None], mean, np.sqrt(sigma2))  # [x_{t-1}, x_t]
    posterior = np.log(chain.law(0, t - 1, t)) - np.log(chain.law(0, t))[:, None]
    left = chain.integral(chain.law(0, t - 1, t) * (posterior - log_p))

    def error(x0, xt):
        c = at(process.schedule, jnp.asarray(t))
        noise = (xt - jnp.exp(0.5 * c.log_alpha_bar) * x0) / jnp.sqrt(1 - here)
        return bound.noise_error(process, x0, jnp.asarray(t), noise)

    squared = chain.integral(chain.law(0, t) * table(chain, error))
    constant = 0.5 * (tilde / sigma2 - 1 - np.log(tilde / sigma2))
    scale = beta**2 / (2 * sigma2 * (1 - beta) * (1 - here))
    close(scale * squared + constant, left)
    assert squared > 0.1
    x0, noise = jnp.array([0.4]), jnp.array([-0.7])
    pair = [f(process, x0, jnp.asarray(t), noise) for f in (bound.step_kl, bound.noise_error)]
    close(pair[0], scale * pair[1] + constant)


def examples_of(chain, count):
    """x_0 drawn from the data's law."""
    p = np.exp(chain.data) * chain.weight
    return chain.points[np.random.default_rng(0).choice(len(p), count, p=p / p.sum())]


def test_rate(chain):
    terms = averaged(chain, bound.all_steps)
    kls = [chain.mean(kl) for kl in terms.step_kl.T]
    rates = [chain.mean(terms.prior_kl) + sum(kls[t - 1 :]) for t in range(1, chain.T + 1)]
    for t, rate in enumerate(rates, start=1):
        # Both laws of the path from x_t on, and no other variables.
        q = chained(chain.forward[t:]) if t < chain.T else 0.0
        p = (chained(chain.reverse[t:]) if t < chain.T else 0.0) + along(
            chain.prior, chain.T - t, chain.T - t
        )
        law = chain.law(0, *range(t, chain.T + 1))
        first = np.log(chain.given_data(t)).reshape(*[len(chain.points)] * 2, *[1] * (chain.T - t))
        close(chain.integral(law * (first + q - p)), rate)
        information = chain.entropy(0) + chain.entropy(t) - chain.entropy(0, t)
        assert rate > information + 1e-3
    if chain.kernel is gaussian.KERNEL:
        x0 = examples_of(chain, 4_000)
        found = rate_distortion(chain.process, x0, jax.random.key(0), progress=False)
        assert (np.abs(found.rate * NATS_PER_BIT - rates) < 5 * found.rate_se * NATS_PER_BIT).all()


def test_distortion():
    chain, process = SCALED["a real number"], noise_process(reverse.beta_tilde)
    found = rate_distortion(process, examples_of(chain, 4_000), jax.random.key(0), progress=False)
    for t in range(1, chain.T + 1):
        a, law = np.prod(1 - np.array(BETA[:t])), chain.law(0, t)
        guess = (GRID - np.sqrt(1 - a) * np.sin(GRID)) / np.sqrt(a)
        squared = chain.integral(law * (GRID[:, None] - guess) ** 2)
        mean = chain.integral(law * GRID[:, None], (1,)) / chain.law(t)
        least = chain.integral(law * (GRID[:, None] - mean) ** 2)
        assert squared > least + 0.01
        assert abs(found.rmse[t - 1] - np.sqrt(squared)) < 5 * found.rmse_se[t - 1]

        def error(x0, xt, t=t, a=a):
            noise = (xt - np.sqrt(a) * x0) / np.sqrt(1 - a)
            return squared_error(process, x0, jnp.asarray(t), noise)

        close(chain.integral(law * table(chain, error)), squared)
