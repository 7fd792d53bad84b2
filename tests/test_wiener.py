"""Beliefs from second moments, against Gaussian conditioning with whole matrices in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dpm_jax import wiener

SIDE, CHANNELS = 5, 2
MIX = np.array([[1.0, 0.0], [0.6, 0.5]])
"""Two colours that go together, of two fields that do not."""


def autocovariance_of(down, right):
    """Of a field whose two parts fade with distance at two rates: not the same in both axes."""
    parts = 0.9 ** np.abs(down) * 0.8 ** np.abs(right), 0.5 ** np.abs(down) * 0.7 ** np.abs(right)
    return sum(part[..., None, None] * np.outer(m, m) for part, m in zip(parts, MIX.T, strict=True))


@pytest.fixture(scope="module")
def around():
    shift = np.arange(1 - SIDE, SIDE)
    return wiener.surroundings(autocovariance_of(shift[:, None], shift[None]))


def conditioned(rows, columns, alpha_bar, target):
    """Weights and covariance of x_0 at ``target`` given x_t at pixels: [2, n · 2] and [2, 2]."""
    pixels = [(i, j) for i in range(rows) for j in range(columns)]
    size = CHANNELS * len(pixels)
    covariance = np.zeros((size, size))
    for a, (i, j) in enumerate(pixels):
        for b, (k, m) in enumerate(pixels):
            block = autocovariance_of(np.array(k - i), np.array(m - j))
            covariance[2 * a : 2 * a + 2, 2 * b : 2 * b + 2] = block
    own = covariance[2 * pixels.index(target) :][:2]
    of_xt = alpha_bar * covariance + (1 - alpha_bar) * np.eye(size)
    weights = np.linalg.solve(of_xt, np.sqrt(alpha_bar) * own.T).T
    middle = own[:, 2 * pixels.index(target) :][:, :2]
    return weights, middle - np.sqrt(alpha_bar) * weights @ own.T


@pytest.mark.parametrize("alpha_bar", [1 - 1e-5, 0.7, 0.01])
def test_a_pixel_given_its_square_is_the_gaussian_posterior(around, alpha_bar, float64):
    xt = np.random.default_rng(0).normal(size=(9, 8, CHANNELS))
    found = wiener.belief(around, jnp.asarray(xt), jnp.log(alpha_bar))
    weights, covariance = conditioned(SIDE, SIDE, alpha_bar, (SIDE // 2, SIDE // 2))
    for row, column in [(2, 2), (4, 5), (6, 3)]:
        square = xt[row - 2 : row + 3, column - 2 : column + 3].ravel()
        np.testing.assert_allclose(found.mean[row, column], weights @ square, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(found.variance[row, column], np.diag(covariance), rtol=1e-6)


def test_in_float32_the_least_noise_is_kept(around):
    xt = np.random.default_rng(0).normal(size=(9, 8, CHANNELS)).astype(np.float32)
    log_alpha_bar = np.log1p(-5e-6)
    found = wiener.belief(around, jnp.asarray(xt), jnp.float32(log_alpha_bar))
    with jax.enable_x64(True):
        exact = wiener.belief(around, jnp.asarray(xt, jnp.float64), jnp.float64(log_alpha_bar))
    np.testing.assert_allclose(found.variance, exact.variance, rtol=1e-4)
    # A thousandth of the noise's standard deviation.
    np.testing.assert_allclose(found.mean, exact.mean, atol=1e-3 * np.sqrt(5e-6))


def test_beyond_the_border_lies_a_mirror(around):
    xt = np.random.default_rng(1).normal(size=(9, 8, CHANNELS)).astype(np.float32)
    whole = np.pad(xt, ((2, 2), (2, 2), (0, 0)), mode="reflect")
    inside = wiener.belief(around, jnp.asarray(whole), jnp.float32(-0.5)).mean[2:-2, 2:-2]
    found = wiener.belief(around, jnp.asarray(xt), jnp.float32(-0.5)).mean
    np.testing.assert_allclose(found, inside, atol=1e-6)


def test_autocovariance_is_the_mean_over_all_pairs_of_pixels():
    images = np.random.default_rng(2).normal(size=(3, 6, 5, CHANNELS))
    found = wiener.autocovariance(images, 4)
    assert found.shape == (7, 7, CHANNELS, CHANNELS)
    for down, right in [(0, 0), (1, 2), (-3, 1), (2, -3), (0, -1)]:
        pairs = [
            np.outer(image[i, j], image[i + down, j + right])
            for image in images
            for i in range(6)
            for j in range(5)
            if 0 <= i + down < 6 and 0 <= j + right < 5
        ]
        np.testing.assert_allclose(found[3 + down, 3 + right], np.mean(pairs, 0), rtol=1e-12)


def test_an_indefinite_estimate_has_no_negative_component():
    estimate = np.full((5, 5, 1, 1), -0.9)
    estimate[2, 2] = 1.0
    found = wiener.surroundings(estimate)
    assert found.eigenvalues.min() == wiener.LEAST_EIGENVALUE
    belief = wiener.belief(found, jnp.ones((6, 6, 1)), jnp.float32(-0.1))
    assert np.isfinite(belief.mean).all()
    assert (belief.variance > 0).all()
