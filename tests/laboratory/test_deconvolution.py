"""Deconvolution: it works on exact laws, multiplies errors as said, and knows nothing of q."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from dpm_jax.laboratory import law
from dpm_jax.laboratory.deconvolution import (
    amplification,
    deconvolved,
    frequencies,
    stretched,
    undone,
)
from dpm_jax.laboratory.space import bits, line
from dpm_jax.laboratory.transform import transform

LINE = line(513)


@pytest.mark.parametrize("alpha", [0.9, 0.99])
def test_a_mixture_comes_back_from_its_exact_transform(alpha):
    q = law.mixture(LINE, np.array([-0.8, 0.6]), np.array([0.3, 0.4]), np.ones(2))
    found = deconvolved(LINE, transform(LINE, q, alpha), alpha, 16.0)
    root = math.sqrt(alpha)
    narrow = law.mixture(
        LINE, root * np.array([-0.8, 0.6]), root * np.array([0.3, 0.4]), np.ones(2)
    )
    assert_allclose(found, narrow, rtol=0, atol=3e-6)
    assert abs(found.sum() - 1) < 1e-12
    back = stretched(LINE, found, alpha)
    assert_allclose(back, q, rtol=0, atol=2e-3 * q.max())


@pytest.mark.parametrize("alpha", [0.5, 0.9])
def test_an_error_grows_as_the_amplification_says(alpha):
    q_z = transform(LINE, law.normal(LINE, 0.0, 0.5), alpha)
    at = 40  # a frequency of the grid
    omega = frequencies(LINE)[at]
    ripple = 1e-9 * np.cos(2 * np.pi * at * np.arange(513) / 513)
    plain = deconvolved(LINE, q_z, alpha, omega + 0.1)
    off = deconvolved(LINE, q_z + ripple, alpha, omega + 0.1) - plain
    grown = math.exp((1 - alpha) * omega**2 / 2)
    assert_allclose(np.abs(off).max(), 1e-9 * grown, rtol=1e-3)
    assert_allclose(amplification(np.array([omega]), alpha), [grown], rtol=1e-12)


def test_from_the_prior_it_gives_the_prior_whatever_was_transformed():
    # N(0, 1) is √α N(0, 1) + √(1-α) ε: no data are in it.
    alpha = 0.7
    found = deconvolved(LINE, LINE.prior, alpha, 8.0)
    assert_allclose(found, law.normal(LINE, 0.0, math.sqrt(alpha)), rtol=0, atol=1e-12)


def test_frequencies_end_at_one_sign_change_a_point():
    omega = frequencies(LINE)
    assert omega[0] == 0
    assert_allclose(omega[-1], np.pi / LINE.cell * 512 / 513, rtol=1e-12)


@pytest.mark.parametrize("cutoff", [0.0, -1.0, 1e4, np.nan])
def test_a_cutoff_beyond_float64_is_refused(cutoff):
    with pytest.raises(ValueError, match=r"^cutoff must lie in \(0, 118\.3\] for alpha 0\.9, got"):
        deconvolved(LINE, LINE.prior, 0.9, cutoff)


def test_bits_are_divided_one_by_one():
    space, alpha = bits(3, 0.3), 0.4
    q_z = transform(space, law.heartbeat(space, 3), alpha)
    one = np.linalg.inv([[alpha + 0.6 * 0.7, 0.6 * 0.7], [0.6 * 0.3, alpha + 0.6 * 0.3]])
    by_bit = np.einsum("ai,bj,ck,ijk->abc", one, one, one, q_z.reshape(2, 2, 2)).ravel()
    assert_allclose(undone(space, q_z, alpha), by_bit, atol=1e-12)
    assert_allclose(by_bit, law.heartbeat(space, 3), atol=1e-12)
    error = np.prod(2 * space.states - 1, 1) * 1e-3  # of what three bits say together
    off = undone(space, q_z + error, alpha) - by_bit
    assert_allclose(np.abs(off).max(), 1e-3 / alpha**3, rtol=1e-9)
