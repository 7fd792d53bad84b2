"""Restored images: what is known stays, and a Gaussian's posterior is the one of the textbook."""

import jax
import numpy as np
import pytest
import toys

from dpm_jax import schedule
from dpm_jax.experiments.images import restored
from dpm_jax.kernels import gaussian
from dpm_jax.process import Model, Process, bind, init
from dpm_jax.reverse import bridge

SHAPE = (4, 3, 1)
MODEL = Model(
    gaussian.KERNEL,
    schedule.learned(toys.STEPS, 0.01),
    toys.linear(gaussian.KERNEL.channels, SHAPE),
    bridge,
    SHAPE,
)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(size=(3, *SHAPE)).astype(np.float32)


def test_known_pixels_are_bit_identical_and_unknown_ones_vary(images):
    mask = np.zeros(SHAPE, bool)
    mask[:, :1] = True
    process = bind(MODEL, init(MODEL, jax.random.key(0)))
    draws = restored.inpainted(process, images, mask, jax.random.key(1), draws=5)
    assert draws.shape == (3, 5, *SHAPE)
    for draw in np.moveaxis(draws, 1, 0):
        np.testing.assert_array_equal(draw[:, mask], images[:, mask])
    assert (draws.std(1)[:, ~mask] > 0.1).all()
    # What lies under the hole is never looked at.
    hidden = np.where(mask, images, np.float32(np.nan))
    again = restored.inpainted(process, hidden, mask, jax.random.key(1), draws=5)
    np.testing.assert_array_equal(again, draws)


@pytest.mark.parametrize(
    ("form", "counts"), [pytest.param("observed", 1, marks=pytest.mark.slow), ("constant", 2)]
)
def test_denoising_of_the_prior_is_known(images, form, counts):
    """Of x_0 ~ N(0, I), y = x_0 + s ε leaves N(y/(1+s²), s²/(1+s²)).

    A constant r counts twice near equilibrium, as if s² were half of what it is.
    """
    rates = schedule.given(np.full(400, 0.01)).apply({})

    def forward_kernel(params, xt, t, c):
        return gaussian.step(xt, c.beta)

    process = Process(gaussian.KERNEL, rates, forward_kernel, SHAPE)
    std = 2.0
    variance = std**2 / counts
    draws = restored.denoised(process, images, std, jax.random.key(2), draws=4000, form=form)
    expected = images / (1 + variance)
    # Monte Carlo's standard error is 0.9/√4000; steps of 0.01 add as much.
    np.testing.assert_allclose(draws.mean(1), expected, atol=5 * 0.9 / 4000**0.5)
    np.testing.assert_allclose(draws.var(1), variance / (1 + variance), rtol=0.15)
