"""Restored images: what is known stays, and a Gaussian's posterior is the one of the textbook."""

from functools import partial

import jax
import numpy as np
import pytest
import toys

from dpm_jax import reverse, schedule
from dpm_jax.evaluation import restoration
from dpm_jax.kernels import gaussian
from dpm_jax.process import Model, Process, bind, init

SHAPE = (4, 3, 1)
FORM = reverse.PERTURBED_NORMAL
MODEL = Model(
    gaussian.KERNEL,
    schedule.learned(toys.STEPS, 0.01),
    toys.linear(FORM.channels, SHAPE),
    FORM,
    SHAPE,
)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(size=(3, *SHAPE)).astype(np.float32)


def test_known_pixels_are_bit_identical_and_unknown_ones_vary(images):
    mask = np.zeros(SHAPE, bool)
    mask[:, :1] = True
    params, process = init(MODEL, jax.random.key(0)), partial(bind, MODEL)
    draws = restoration.inpaint(process, params, images, mask, jax.random.key(1), draws=5)
    assert draws.shape == (3, 5, *SHAPE)
    for draw in np.moveaxis(draws, 1, 0):
        np.testing.assert_array_equal(draw[:, mask], images[:, mask])
    assert (draws.std(1)[:, ~mask] > 0.1).all()
    # What lies under the hole is never looked at.
    hidden = np.where(mask, images, np.float32(np.nan))
    again = restoration.inpaint(process, params, hidden, mask, jax.random.key(1), draws=5)
    np.testing.assert_array_equal(again, draws)


@pytest.mark.parametrize(("form", "counts"), [("observed", 1), ("constant", 2)])
def test_denoising_of_the_prior_is_known(images, form, counts):
    """Of x_0 ~ N(0, I), y = x_0 + s ε leaves N(y/(1+s²), s²/(1+s²)).

    A constant r counts twice near equilibrium, as if s² were half of what it is.
    """
    family = schedule.given(np.full(400, 0.01))

    def process(params):
        def forward_kernel(xt, t, c):
            return gaussian.step(xt, c.beta)

        return Process(gaussian.KERNEL, family.apply({}), forward_kernel)

    std = 2.0
    variance = std**2 / counts
    draws = restoration.denoise(process, {}, images, std, jax.random.key(2), draws=4000, form=form)
    expected = images / (1 + variance)
    # Monte Carlo's standard error is 0.9/√4000; steps of 0.01 add as much.
    np.testing.assert_allclose(draws.mean(1), expected, atol=5 * 0.9 / 4000**0.5)
    np.testing.assert_allclose(draws.var(1), variance / (1 + variance), rtol=0.15)
