"""Normals restricted to grey levels, against sums over all of them in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import schedule64

from dpm_jax import lattice, levels
from dpm_jax.bound import all_steps
from dpm_jax.kernels import gaussian
from dpm_jax.kernels.gaussian import Normal
from dpm_jax.levels import Grid
from dpm_jax.process import Process
from dpm_jax.reverse import bridge

GRID = Grid(np.array([-1.0]), 0.5, 12)
AT = GRID.lowest + GRID.width * np.arange(12)
restrict = jax.jit(lambda mean, variance: lattice.restrict(GRID, Normal(mean, variance)))


def summed(mean, variance):
    """Mass relative to the density's, mean and variance, of every normal on all levels."""
    log_p = -((AT - mean[:, None]) ** 2) / (2 * variance[:, None])
    highest = log_p.max(1)
    p = np.exp(log_p - highest[:, None])
    log_mass = np.log(p.sum(1)) + highest - 0.5 * np.log(2 * np.pi * variance / GRID.width**2)
    p /= p.sum(1)[:, None]
    middle = p @ AT
    return log_mass, middle, (p * (AT - middle[:, None]) ** 2).sum(1)


@given(st.integers(0, 2**32 - 1))
def test_narrow_normals_are_sums_over_the_levels(seed):
    rng = np.random.default_rng(seed)
    # Three levels on either side are 99.96% of the widest of them; the ends are near, and passed.
    mean = rng.uniform(AT[0] - 0.7, AT[-1] + 0.7, 50)
    variance = GRID.width**2 * 10 ** rng.uniform(-3, np.log10(lattice.WIDE), 50)
    with jax.enable_x64(True):
        found = restrict(jnp.asarray(mean), jnp.asarray(variance))
    log_mass, middle, spread = summed(mean, variance)
    np.testing.assert_allclose(found.log_mass, log_mass, atol=2e-3)
    np.testing.assert_allclose(found.mean, middle, atol=2e-3 * GRID.width)
    np.testing.assert_allclose(found.variance, spread, rtol=2e-2, atol=1e-12)


def test_wide_normals_away_from_the_ends_are_left_alone(float64):
    mean, variance = np.linspace(1.2, 2.2, 9), np.full(9, 1.001 * lattice.WIDE * GRID.width**2)
    log_mass, middle, spread = summed(mean, variance)
    # On the levels they are the same to a thousandth: that is why they are left alone.
    np.testing.assert_allclose(log_mass, 0, atol=1e-3)
    np.testing.assert_allclose(middle, mean, atol=1e-3)
    np.testing.assert_allclose(spread, variance, rtol=2e-3)
    found = restrict(jnp.asarray(mean), jnp.asarray(variance))
    np.testing.assert_array_equal(found.log_mass, 0.0)
    np.testing.assert_array_equal(found.mean, mean)
    np.testing.assert_array_equal(found.variance, variance)


@pytest.mark.parametrize("variance", [1e-14, 1e-6, 1e-3, 0.1, 10.0])
def test_values_and_gradients_are_finite_in_float32_however_far_the_mean(variance):
    grid = Grid(np.array([-0.42], np.float32), 0.0127, 256)

    def moments(mean, log_variance):
        return jnp.stack(lattice.restrict(grid, Normal(mean, jnp.exp(log_variance))))

    means = jnp.array([-1e4, -9.0, -0.43, -0.42, 0.0, 0.0063, 2.8185, 2.9, 40.0, 1e4])
    log_variance = jnp.full(means.shape, np.log(variance), jnp.float32)
    found = moments(means, log_variance)
    slopes = jax.jacobian(moments, (0, 1))(means, log_variance)
    for numbers in (found, *slopes):
        assert np.isfinite(numbers).all()
    assert (np.asarray(found[2]) >= 0).all()


def test_the_bridge_that_knows_the_grid_gains_the_bits_within_a_level(float64):
    """One pixel, any of 12 levels alike: K of a belief that follows from x_t/√ᾱ_t alone."""
    schedule = schedule64([5e-4, *[4e-2] * 20, *[0.3] * 10])

    def bound(form):
        def step(params, xt, t, c):
            return form(gaussian.KERNEL, jnp.zeros((*xt.shape, 2)), xt, c)

        ending = levels.LAST_STEPS["levels"](GRID)
        process = Process(gaussian.KERNEL, schedule, step, (1,), (), ending)

        def of_one(x, key):
            noise = jax.random.normal(key, (schedule.steps, 1))
            return all_steps(process, x, noise).K

        x = jnp.tile(jnp.asarray(AT), 200)[:, None]
        return np.asarray(jax.vmap(of_one)(x, jax.random.split(jax.random.key(0), len(x))))

    gain = bound(lattice.Bridge(GRID)) - bound(bridge)
    assert gain.mean() > 5 * gain.std() / len(gain) ** 0.5
