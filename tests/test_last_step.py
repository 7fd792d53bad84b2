"""p(x_0 | x_1): the paper's, the process's own, and one that nobody has heard of."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys
from reference import draws_of, jit, process_of, schedule64, standard_errors
from scipy import stats

from dpm_jax import bound
from dpm_jax.kernels import gaussian
from dpm_jax.kernels.gaussian import LOG_2PI, Normal
from dpm_jax.process import FIXED, LEARNED, LastStep
from dpm_jax.sampling import trajectory
from dpm_jax.schedule import at

pytestmark = pytest.mark.usefixtures("float64")

PROCESSES = {
    "gaussian": (toys.random_process(toys.reals()), np.array([0.8, -1.1])),
    "binomial": (toys.random_process(toys.bits()), np.array([1.0, 0.0, 1.0])),
}


def of(name):
    """The process in float64, and an example."""
    process, x0 = PROCESSES[name]
    return jax.tree.map(lambda a: jnp.asarray(a, float), process), jnp.asarray(x0)


def first_state(process, x0, noise):
    kernel = process.kernel
    return kernel.transport(kernel.marginal(x0, process.schedule.log_alpha_bar[0]), noise)


@pytest.mark.parametrize("name", PROCESSES)
def test_fixed_is_the_forward_kernel_and_its_expectation_is_exact(name):
    process, x0 = of(name)
    kernel = process.kernel

    def draw(key):
        noise = kernel.noise(key, x0.shape)
        p = FIXED.distribution(process, first_state(process, x0, noise))
        return kernel.log_prob(p, x0), FIXED.expected_log_prob(process, x0, noise)

    sampled, exact = draws_of(draw, 0, 20_000)
    np.testing.assert_allclose(exact, exact[0], rtol=1e-12)
    assert standard_errors(sampled, exact[0]) < 5
    assert np.std(sampled) > 0.01
    forward = kernel.step(x0, process.schedule.beta[0])
    for a, b in zip(FIXED.distribution(process, x0), forward, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", PROCESSES)
def test_learned_is_the_process_own_step(name):
    process, x0 = of(name)
    kernel, noise = process.kernel, process.kernel.noise(jax.random.key(1), x0.shape)
    x1 = first_state(process, x0, noise)
    own = process.reverse(x1, jnp.asarray(1), at(process.schedule, jnp.asarray(1)))
    for a, b in zip(LEARNED.distribution(process, x1), own, strict=True):
        np.testing.assert_array_equal(a, b)
    found = LEARNED.expected_log_prob(process, x0, noise)
    np.testing.assert_allclose(found, kernel.log_prob(own, x0), rtol=1e-12)
    assert abs(found - FIXED.expected_log_prob(process, x0, noise)) > 0.01


# A last step of one's own: a normal of fixed variance around x_1

SPREAD = 0.6  # variance


def around(process, x1):
    return Normal(x1, jnp.full_like(x1, SPREAD))


def around_in_the_mean(process, x0, noise):
    # E (x_0 - x_1)² over x_1 ~ N(√(1-β_1) x_0, β_1)
    beta = process.schedule.beta[0]
    squared = (1 - jnp.sqrt(1 - beta)) ** 2 * x0**2 + beta
    return -0.5 * jnp.sum(LOG_2PI + jnp.log(SPREAD) + squared / SPREAD)


AROUND = LastStep(around, around_in_the_mean)


def sideways(xt, t, c):
    """An arbitrary step, mean and variance both off."""
    forward = gaussian.step(xt, c.beta)
    readout = jnp.stack([0.5 * jnp.sin(2 * xt + t), 0.5 * jnp.cos(3 * xt - t)], -1)
    return gaussian.shift(forward, readout)


GRID = np.linspace(-9, 9, 1801)


def density_of(process):
    """p(x_0) on the grid, by quadrature over x_T..x_1."""
    measure = GRID[1] - GRID[0]
    points = jnp.asarray(GRID[:, None])

    def matrix(step):
        dists = jax.vmap(step)(points)
        return stats.norm.pdf(GRID, np.asarray(dists.mean), np.sqrt(np.asarray(dists.variance)))

    law = stats.norm.pdf(GRID)
    for t in range(process.schedule.steps, 1, -1):
        c = at(process.schedule, jnp.asarray(t))
        law = measure * law @ matrix(lambda x, t=t, c=c: process.reverse(x, jnp.asarray(t), c))
    return measure * law @ matrix(lambda x: process.last_step.distribution(process, x))


def distribution_function(density):
    spacing = GRID[1] - GRID[0]
    return lambda x: np.interp(x, GRID + spacing / 2, spacing * np.cumsum(density))


def test_a_last_step_of_ones_own_goes_through_bounds_paths_and_samples():
    base = process_of(gaussian.KERNEL, schedule64([0.1, 0.3, 0.4, 0.6]), sideways, (1,))
    process, x0 = replace(base, last_step=AROUND), jnp.array([0.7])
    density = density_of(process)
    np.testing.assert_allclose(density.sum() * (GRID[1] - GRID[0]), 1, rtol=1e-9)
    log_p = np.log(np.interp(0.7, GRID, density))

    def draw(key):
        noise_key, path_key, sample_key = jax.random.split(key, 3)
        K = bound.all_steps(process, x0, jax.random.normal(noise_key, (4, 1))).K
        path = bound.path_log_weight(process, x0, path_key)
        return K, path, trajectory.sample(process, sample_key).end

    K, path, samples = (np.asarray(a) for a in draws_of(draw, 2, 20_000))
    assert standard_errors(K - path, 0) < 5
    assert standard_errors(np.exp(path), np.exp(log_p)) < 5  # the mean weight is p(x_0)
    assert K.mean() + 5 * K.std() / np.sqrt(len(K)) < log_p
    assert stats.kstest(samples[:, 0], distribution_function(density)).pvalue > 1e-3
    # The paper's last step would have been seen.
    assert stats.kstest(samples[:, 0], distribution_function(density_of(base))).pvalue < 1e-9
    many = jit(lambda key: bound.importance_weighted(process, x0, key, 4_000))
    np.testing.assert_allclose(many(jax.random.key(3)), log_p, atol=0.05)
