"""Second moments against scipy, Gaussians whose answers are known, and quantised data."""

import numpy as np
import pytest
from scipy import stats

from dpm_jax import scaling
from dpm_jax.evaluation import baselines
from dpm_jax.evaluation.baselines import Moments
from dpm_jax.scaling import Scaling

EVENT = (2, 2, 1)


def gaussian(seed=0, dimensions=4):
    """Moments of correlated components, [2, 2, 1] where there are 4."""
    random = np.random.default_rng(seed)
    root = random.standard_normal((dimensions, dimensions))
    covariance = root @ root.T / dimensions + 0.1 * np.eye(dimensions)
    mean = random.standard_normal(dimensions)
    return Moments(mean.reshape(EVENT) if dimensions == 4 else mean, covariance)


def drawn(law, count, seed=1):
    random = np.random.default_rng(seed)
    flat = random.multivariate_normal(law.mean.ravel(), law.covariance, count)
    return flat.reshape(count, *law.mean.shape)


def off_diagonal(matrix):
    return matrix[~np.eye(len(matrix), dtype=bool)]


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_moments_do_not_depend_on_the_batches(batch):
    x = drawn(gaussian(), 50).astype(np.float32)
    found = baselines.moments(x[i : i + batch] for i in range(0, 50, batch))
    flat = x.reshape(50, -1).astype(np.float64)
    np.testing.assert_allclose(found.mean, x.mean(0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(flat.T, ddof=0), rtol=1e-10, atol=1e-12)


def test_the_density_is_scipys():
    law = gaussian()
    x = drawn(law, 20)
    truth = stats.multivariate_normal(law.mean.ravel(), law.covariance)
    expected = truth.logpdf(x.reshape(20, -1)) / np.log(2)
    np.testing.assert_allclose(baselines.gaussian_bits(law, x), expected, rtol=1e-10)


def test_chunks_of_examples_change_nothing(monkeypatch):
    law = gaussian()
    x = drawn(law, 20)
    whole = baselines.gaussian_bits(law, x), baselines.wiener(law, x, 0.5)
    monkeypatch.setattr(baselines, "CHUNK", 7)
    parts = baselines.gaussian_bits(law, x), baselines.wiener(law, x, 0.5)
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_the_true_gaussian_attains_less_its_entropy():
    law = gaussian()
    bits = baselines.gaussian_bits(law, drawn(law, 20_000))
    entropy = stats.multivariate_normal(law.mean.ravel(), law.covariance).entropy() / np.log(2)
    assert abs(bits.mean() + entropy) < 5 * bits.std(ddof=1) / np.sqrt(len(bits))


def test_many_dimensions_of_small_variance_do_not_overflow():
    # The determinant is 1e-4000, and 0 in any float.
    law = Moments(np.zeros(800), 1e-5 * np.eye(800))
    expected = -0.5 * 800 * np.log2(2 * np.pi * 1e-5)
    np.testing.assert_allclose(baselines.gaussian_bits(law, np.zeros((1, 800))), expected)


def test_pixels_have_exactly_the_moments_of_all_their_dequantised_values():
    # Both levels and noise enumerated: u at the middles of 1000 parts of a grey level.
    levels = np.array([[0, 255], [3, 250], [3, 255], [9, 255]], np.uint8)
    units = Scaling(np.array([4.0, 250.0]), 80.0)
    found = baselines.moments_of_pixels(levels, units, grain=1.0)
    u = (np.arange(1000) + 0.5) / 1000
    pairs = np.stack(np.broadcast_arrays(u[:, None], u[None]), -1).reshape(-1, 1, 2)
    x = ((levels + pairs - units.mean) / units.scale).reshape(-1, 2)
    np.testing.assert_allclose(found.mean, x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found.covariance, np.cov(x.T, ddof=0), rtol=1e-5, atol=1e-10)


def test_constant_pixels_have_the_variance_of_their_noise_at_any_shrinkage():
    random = np.random.default_rng(0)
    levels = random.integers(0, 256, (300, 3, 3, 1), np.uint8)
    levels[:, 0] = 0
    units = Scaling(np.array([[[128.0]]]), 64.0)
    found = baselines.fit(levels, units, grain=1.0)
    variances = np.diag(found.covariance)[:3]
    np.testing.assert_allclose(variances, 1 / 64**2 / 12, rtol=1e-6)
    assert np.isfinite(baselines.gaussian_bits(found, np.zeros((2, 3, 3, 1)))).all()


def test_a_gaussian_of_dequantised_pixels_codes_no_better_than_they_allow():
    # Independent uniform levels need 8 bits each, and the best Gaussian a little more:
    # its density at scale s costs ½ log₂(2πe·256²/12).
    levels = np.random.default_rng(0).integers(0, 256, (4000, 3), np.uint8)
    units = Scaling(np.array(128.0), 74.0)
    u = np.random.default_rng(1).random(levels.shape, np.float32)
    x = scaling.standardise(units, scaling.dequantise(levels, u))
    bits = baselines.gaussian_bits(baselines.fit(levels, units, grain=1.0), x)
    code = scaling.bits_per_dimension(units, bits, 3)
    expected = 0.5 * np.log2(2 * np.pi * np.e * 256**2 / 12)
    # The variance of n uniform values has the relative variance (9/5 - 1)/n.
    error = 0.5 / np.log(2) * np.sqrt(0.8 / levels.size)
    assert abs(code.mean() - expected) < 5 * error


def test_shrinking_keeps_the_variances_and_scales_the_covariances():
    law = gaussian()
    half = baselines.shrunk(law, 0.5)
    np.testing.assert_allclose(np.diag(half.covariance), np.diag(law.covariance))
    expected = 0.5 * off_diagonal(law.covariance)
    np.testing.assert_allclose(off_diagonal(half.covariance), expected)
    np.testing.assert_array_equal(baselines.shrunk(law, 0.0).covariance, law.covariance)


def test_few_images_are_shrunk_and_many_are_not():
    law = gaussian(dimensions=40)
    levels = (100 + 20 * drawn(law, 20_000)).round()
    units = scaling.fit(levels)
    fresh = scaling.standardise(units, 100 + 20 * drawn(law, 2000, seed=2))
    truth = Moments(
        ((100 + 20 * law.mean) - units.mean) / units.scale, law.covariance * (20 / units.scale) ** 2
    )
    best = baselines.gaussian_bits(truth, fresh).mean()
    lost = {}
    for count in (60, 20_000):
        plain = baselines.moments_of_pixels(levels[:count], units, grain=0.0)
        fitted = baselines.fit(levels[:count], units, grain=0.0)
        lost[count] = best - baselines.gaussian_bits(fitted, fresh).mean()
        assert lost[count] <= best - baselines.gaussian_bits(plain, fresh).mean() + 0.01
        kept = off_diagonal(fitted.covariance).sum() / off_diagonal(plain.covariance).sum()
        assert (kept < 0.98) == (count == 60)
    assert 0 < lost[20_000] < 0.3 < lost[60]


@pytest.mark.parametrize("grain", [0.0, 1.0])
def test_the_shrinkage_is_chosen_on_images_spread_as_the_held_out_ones_are(monkeypatch, grain):
    levels = np.random.default_rng(0).integers(0, 256, (300, 5, 5, 1), np.uint8)
    chosen_on = []

    def first(fitted, validation, progress):
        chosen_on.append(validation)
        return 0.0

    monkeypatch.setattr(baselines, "best_shrinkage", first)
    units = Scaling(np.array([[[128.0]]]), 64.0)
    baselines.fit(levels, units, grain=grain)
    u = np.modf(scaling.invert(units, chosen_on[0]).astype(np.float64) + 1e-4)[0]
    assert len(u) == 30
    if grain:
        assert abs(u.mean() - 0.5) < 5 / np.sqrt(12 * u.size)
        assert abs(u.var() - 1 / 12) < 0.02
    else:
        assert u.max() < 1e-3


@pytest.mark.parametrize("count", [2, 9])
def test_two_images_are_enough(count):
    levels = np.random.default_rng(0).integers(0, 256, (count, 2, 2, 1), np.uint8)
    units = Scaling(np.array([[[128.0]]]), 64.0)
    found = baselines.fit(levels, units, grain=1.0)
    spread = levels.reshape(count, 4) + 0.5
    np.testing.assert_allclose(found.mean.ravel(), (spread.mean(0) - 128) / 64, rtol=1e-6)
    variances = (spread.var(0) + 1 / 12) / 64**2
    np.testing.assert_allclose(np.diag(found.covariance), variances, rtol=1e-4)


def test_fewer_images_than_dimensions_are_still_a_density():
    levels = np.random.default_rng(0).integers(0, 256, (20, 6, 6, 1), np.uint8)
    units = Scaling(np.array([[[128.0]]]), 74.0)
    plain = baselines.moments([scaling.standardise(units, levels.astype(np.float32))])
    x = np.zeros((2, 6, 6, 1))
    with pytest.raises(ValueError, match="covariance is singular; add the variance"):
        baselines.gaussian_bits(plain, x)
    assert np.isfinite(baselines.gaussian_bits(baselines.fit(levels, units, grain=1.0), x)).all()


def test_best_shrinkage_passes_over_singular_weights_and_says_when_all_are():
    levels = np.random.default_rng(0).standard_normal((6, 10))
    fitted = baselines.moments([levels])
    fresh = np.random.default_rng(1).standard_normal((50, 10))
    assert baselines.best_shrinkage(fitted, fresh) > 0
    constant = Moments(np.zeros(2), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="covariance is singular"):
        baselines.best_shrinkage(constant, np.zeros((3, 2)))


def test_wiener_is_the_posterior_mean_of_a_gaussian():
    law, variance = gaussian(), 0.7
    y = drawn(law, 5, seed=3)
    # Bayes' rule in precisions: (C⁻¹ + I/s²)⁻¹ (C⁻¹ μ + y/s²).
    precision = np.linalg.inv(law.covariance)
    posterior = np.linalg.inv(precision + np.eye(4) / variance)
    expected = (precision @ law.mean.ravel() + y.reshape(5, 4) / variance) @ posterior
    np.testing.assert_allclose(
        baselines.wiener(law, y, variance), expected.reshape(y.shape), rtol=1e-9
    )


def test_wieners_error_is_the_trace_of_the_posterior_covariance():
    law, s = gaussian(), 0.8
    x = drawn(law, 20_000)
    noise = np.random.default_rng(4).standard_normal(x.shape)
    errors = np.square(baselines.wiener(law, x + s * noise, s**2) - x).mean((1, 2, 3))
    posterior = np.linalg.inv(np.linalg.inv(law.covariance) + np.eye(4) / s**2)
    expected = np.trace(posterior) / 4
    assert abs(errors.mean() - expected) < 5 * errors.std(ddof=1) / np.sqrt(len(errors))


def test_no_other_linear_denoiser_does_better():
    law, s = gaussian(), 0.8
    x = drawn(law, 5000)
    noisy = x + s * np.random.default_rng(4).standard_normal(x.shape)
    fitted = baselines.moments([x])
    error = np.square(baselines.wiener(law, noisy, s**2) - x).mean()
    for other in (
        noisy,
        fitted.mean + 0.5 * (noisy - fitted.mean),
        np.broadcast_to(law.mean, x.shape),
    ):
        assert error < np.square(other - x).mean()


@pytest.mark.parametrize("variance", [1e-9, 1e9])
def test_wiener_trusts_the_image_or_the_mean(variance):
    law = gaussian()
    y = drawn(law, 3)
    expected = y if variance < 1 else np.broadcast_to(law.mean, y.shape)
    np.testing.assert_allclose(baselines.wiener(law, y, variance), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: baselines.moments([]), "batches must hold at least one example"),
        (lambda: baselines.moments([np.array([[np.nan, 1.0]])]), "examples must be finite"),
        (lambda: baselines.moments([np.ones((2, 2))], noise_variance=-1.0), "noise_variance"),
        (lambda: baselines.shrunk(gaussian(), 1.5), r"weight must lie in \[0, 1\], got 1.5"),
        (lambda: baselines.gaussian_bits(gaussian(), np.ones((3, 4))), "examples must be"),
        (lambda: baselines.gaussian_bits(gaussian(), np.ones((0, *EVENT))), "one or more"),
        (lambda: baselines.wiener(gaussian(), np.ones((3, *EVENT)), 0.0), "noise_variance must"),
        (lambda: baselines.wiener(gaussian(), np.ones((3, 4)), 1.0), "examples must be"),
        (
            lambda: baselines.fit(np.ones((1, 2)), Scaling(np.zeros(2), 1.0), grain=1.0),
            "at least 2 images, got 1",
        ),
    ],
)
def test_bad_input_is_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()
