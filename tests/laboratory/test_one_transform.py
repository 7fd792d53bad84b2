"""One transform and its posterior: against normals in closed form, and by the grid's own order."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from dpm_jax.laboratory import law
from dpm_jax.laboratory.space import bits, line
from dpm_jax.laboratory.transform import (
    blurred,
    likelihood,
    posterior,
    posterior_at,
    scaled,
    transform,
)

LINE = line(513)
MEANS, STDS, WEIGHTS = np.array([-1.0, 0.3, 1.2]), np.array([0.15, 0.4, 0.2]), np.array([2, 5, 3.0])


def density_of(x, means, variances, weights):
    each = np.exp(-((x[..., None] - means) ** 2) / (2 * variances)) / np.sqrt(2 * np.pi * variances)
    return each @ (weights / weights.sum())


@pytest.mark.parametrize("alpha", [0.01, 0.5, 0.9, 0.99])
def test_a_mixture_stays_a_mixture(alpha):
    found = transform(LINE, law.mixture(LINE, MEANS, STDS, WEIGHTS), alpha)
    variances = alpha * STDS**2 + 1 - alpha
    expected = density_of(LINE.states, math.sqrt(alpha) * MEANS, variances, WEIGHTS)
    middle = np.abs(LINE.states) < 5
    assert_allclose(law.density(LINE, found)[middle], expected[middle], rtol=1e-6)
    assert_allclose(law.density(LINE, found), expected, atol=1e-12)


@pytest.mark.parametrize("alpha", [0.05, 0.6, 0.98])
def test_the_posterior_of_a_normal_is_regression(alpha):
    mean, std = 0.4, 0.6
    p, x = posterior(LINE, law.normal(LINE, mean, std), alpha), LINE.states
    variance = 1 / (1 / std**2 + alpha / (1 - alpha))
    centre = variance * (mean / std**2 + math.sqrt(alpha) * x / (1 - alpha))
    seen = np.abs(x) < 4  # beyond, columns of the likelihood are cut by the grid's ends
    expected = np.exp(-((x[:, None] - centre) ** 2) / (2 * variance))
    expected *= LINE.cell / math.sqrt(2 * math.pi * variance)
    large = expected > 1e-12
    assert_allclose(p[:, seen][large[:, seen]], expected[:, seen][large[:, seen]], rtol=1e-6)


@pytest.mark.parametrize("space", [line(257), bits(1, 0.3), bits(4, 0.7)], ids=["line", "1", "4"])
@pytest.mark.parametrize("alpha", [1e-6, 0.3, 0.98])
def test_mass_is_kept(space, alpha):
    q = law.random(space, 2, 0.2, 2) if space.cell < 1 else law.heartbeat(space, 1)
    for matrix in (likelihood(space, alpha), posterior(space, q, alpha)):
        assert_allclose(matrix.sum(0), 1, rtol=0, atol=1e-12)
    assert abs(transform(space, q, alpha).sum() - 1) < 1e-12


@pytest.mark.parametrize("alpha", [1e-6, 0.3, 0.98])
def test_both_halves_of_the_transform_keep_mass(alpha):
    q = law.normal(LINE, 0.9, 0.3)  # noise carries some of it off the grid
    for half in (scaled, blurred):
        assert abs(half(LINE, q, alpha).sum() - 1) < 1e-12


def test_posteriors_are_laws_where_q_of_z_underflows():
    q = law.random(LINE, 0, 0.1, 1)
    z = transform(LINE, q, 0.998)
    assert z[0] == 0  # e^-10,000
    p = posterior(LINE, q, 0.998)
    assert_allclose(p.sum(0), 1, rtol=0, atol=1e-12)
    assert LINE.states[p[:, 0].argmax()] == LINE.states[np.flatnonzero(q)[0]]
    at, _ = posterior_at(LINE, q, 0.998, -1000.0)
    assert_allclose(at.sum() * LINE.cell, 1, rtol=1e-12)


def test_a_fixed_z_is_a_column():
    q = law.random(LINE, 1, 0.15)
    p = posterior(LINE, q, 0.7)
    for place in (100, 256, 300):
        z = float(LINE.states[place])
        found, gauss = posterior_at(LINE, q, 0.7, z)
        assert_allclose(found * LINE.cell, p[:, place], rtol=1e-9, atol=1e-300)
        product = q * gauss
        assert_allclose(found * LINE.cell, product / product.sum(), rtol=1e-9, atol=1e-300)
    _, gauss = posterior_at(LINE, q, 0.7, 0.5)
    assert_allclose(LINE.states @ gauss * LINE.cell, 0.5 / math.sqrt(0.7), rtol=1e-9)
    assert_allclose(gauss.sum() * LINE.cell, 1, rtol=1e-9)


@given(st.integers(0, 1000), st.floats(0.02, 0.97), st.integers(0, 3), st.floats(0.05, 0.5))
def test_bayes_turns_the_transform_back(seed, alpha, gaps, smoothness):
    grid = line(257)
    q = law.random(grid, seed, smoothness, gaps)
    z = transform(grid, q, alpha)
    joint = likelihood(grid, alpha) * q
    assert_allclose(posterior(grid, q, alpha) * z, joint.T, rtol=1e-9, atol=1e-16)
    assert_allclose(posterior(grid, q, alpha) @ z, q, rtol=0, atol=1e-13)


def test_a_bit_in_four_numbers():
    one, alpha, p0 = 0.7, 0.6, 0.2
    space = bits(1, p0)
    # P(z = 1 | x) = α x + (1-α) p₀
    after_zero, after_one = 0.4 * 0.2, 0.6 + 0.4 * 0.2
    z1 = 0.3 * after_zero + 0.7 * after_one
    q = np.array([1 - one, one])
    assert_allclose(transform(space, q, alpha), [1 - z1, z1], rtol=1e-14)
    expected = [0.7 * (1 - after_one) / (1 - z1), 0.7 * after_one / z1]
    assert_allclose(posterior(space, q, alpha)[1], expected, rtol=1e-14)


def test_two_bits_are_transformed_each_by_itself():
    space, single = bits(2, 0.2), likelihood(bits(1, 0.2), 0.6)
    assert_allclose(likelihood(space, 0.6), np.kron(single, single), rtol=1e-13)


@pytest.mark.parametrize("ratio", [0.45, 0.55, 0.65])
def test_the_error_of_a_smooth_law_falls_as_the_exponential_of_the_spacing_squared(ratio):
    # x given z is a normal of variance v; a sum over a grid of spacing h is off by 2 e^(-2π² v/h²).
    std, alpha = 0.1, 0.5
    v = std**2 * (1 - alpha) / (alpha * std**2 + 1 - alpha)
    h = math.sqrt(v) / ratio
    grid = line(2 * round(6 / h) + 1, h * round(6 / h))
    q = np.exp(-(grid.states**2) / (2 * std**2)) * grid.cell / math.sqrt(2 * math.pi * std**2)
    found = likelihood(grid, alpha) @ q
    centre = len(q) // 2
    expected = grid.cell / math.sqrt(2 * math.pi * (alpha * std**2 + 1 - alpha))
    assert_allclose(
        found[centre] / expected - 1, 2 * math.exp(-2 * (math.pi * ratio) ** 2), rtol=0.1
    )


def test_the_error_of_a_law_with_edges_is_of_second_order():
    alpha, errors = 0.6, []
    for half in (64, 128, 256):
        grid = line(16 * half + 1)
        edge = 1.0 + grid.cell / 2  # between two points, so that no point's mass is cut
        found = transform(grid, law.law(grid, (np.abs(grid.states) < edge) * 1.0), alpha)
        at = len(found) // 2 + half  # z = 1
        scale = math.sqrt(2 * (1 - alpha))
        exact = math.erf((1 + math.sqrt(alpha) * edge) / scale) - math.erf(
            (1 - math.sqrt(alpha) * edge) / scale
        )
        errors.append(abs(found[at] / grid.cell / (exact / (4 * math.sqrt(alpha) * edge)) - 1))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert_allclose(orders, 2, atol=0.05)
    assert errors[-1] < 1e-6


def test_the_transform_is_a_linear_map_and_a_convolution():
    alpha, errors = 0.8, []
    for count in (257, 513, 1025):
        grid = line(count)
        q = law.mixture(grid, np.array([-0.7, 0.5]), np.array([0.3, 0.2]), np.ones(2))
        narrow = scaled(grid, q, alpha)
        assert abs(narrow.sum() - 1) < 1e-12
        assert_allclose(grid.states @ narrow, math.sqrt(alpha) * (grid.states @ q), rtol=1e-12)
        both = blurred(grid, narrow, alpha)
        assert abs(both.sum() - 1) < 1e-12
        errors.append(np.abs(both - transform(grid, q, alpha)).sum())
    assert_allclose(np.log2(np.array(errors[:-1]) / errors[1:]), 2, atol=0.1)
    assert errors[-1] < 1e-3


def test_blurring_adds_variances():
    found = blurred(LINE, law.normal(LINE, 0.5, 0.7), 0.9)
    expected = law.normal(LINE, 0.5, math.sqrt(0.49 + 0.1))
    assert_allclose(found, expected, rtol=1e-6, atol=1e-14)


def test_a_z_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match=r"^z must be finite, got inf$"):
        posterior_at(LINE, LINE.prior, 0.5, math.inf)
