"""Parzen windows against sums in float64, closed forms, and the paper's row on real images."""

import re
import subprocess
import sys

import numpy as np
import pytest
from real_data import PREPARED, needs_mnist
from scipy import special, stats

from dpm_jax.data import prepared
from dpm_jax.data.dataset import Images
from dpm_jax.evaluation import parzen


def by_hand(samples, points, width):
    """The mean of the densities, all differences taken one by one, float64."""
    samples = samples.reshape(len(samples), -1).astype(np.float64)
    points = points.reshape(len(points), -1).astype(np.float64)
    squares = np.square(points[:, None] - samples).sum(-1)
    logs = special.logsumexp(-squares / (2 * width**2), axis=1, b=1 / len(samples))
    return logs - samples.shape[1] * np.log(width * np.sqrt(2 * np.pi))


def uniform(seed, *shape):
    return np.random.default_rng(seed).random(shape, np.float32)


@pytest.mark.parametrize("chunk", [1, 7, 16, 1000])
def test_the_density_is_the_mean_of_all_windows_whatever_the_chunk(chunk):
    samples, points = uniform(0, 40, 5), uniform(1, 23, 5)
    widths = (0.03, 0.2, 2.0)
    found = parzen.log_density(samples, points, widths=widths, chunk=chunk)
    expected = [by_hand(samples, points, width) for width in widths]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-3)


def test_one_sample_is_one_normal():
    samples, points = uniform(0, 1, 3), uniform(1, 6, 3)
    expected = stats.multivariate_normal(samples[0], 0.3**2 * np.eye(3)).logpdf(points)
    found = parzen.log_density(samples, points, widths=(0.3,))[0]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_it_is_the_kernel_estimate_of_scipy():
    samples, points = uniform(0, 30, 1), uniform(1, 9, 1)
    kernel = stats.gaussian_kde(samples[:, 0], bw_method=0.2 / samples[:, 0].std(ddof=1))
    found = parzen.log_density(samples, points, widths=(0.2,))[0]
    np.testing.assert_allclose(found, kernel.logpdf(points[:, 0]), rtol=1e-4, atol=1e-5)


def test_a_point_far_from_all_samples_has_a_finite_density():
    # exp(-‖y - x‖²/2σ²) is 0 in any float here; only the largest term counts.
    samples, points = uniform(0, 10, 2), np.full((1, 2), 100, np.float32)
    found = parzen.log_density(samples, points, widths=(0.01,))
    np.testing.assert_allclose(found[0], by_hand(samples, points, 0.01), rtol=1e-5)


@pytest.mark.parametrize("width", [0.01, 0.05, 0.2])
def test_rounding_at_the_size_of_mnist_is_far_below_a_standard_error(width):
    # Few grey pixels, many equal to 0 or 1, and near neighbours: distances cancel most.
    base = np.clip(3 * uniform(0, 100, 784) - 1.5, 0, 1)
    points = np.clip(base[:20] + 0.02 * uniform(1, 20, 784), 0, 1)
    found = parzen.log_density(base, points, widths=(width,))[0]
    error = np.abs(found - by_hand(base, points, width)).max()
    assert error < 4e-5 / width**2


def test_bits_nats_and_errors_are_those_of_the_examples():
    samples, validation, test = (
        uniform(0, 50, 4, 2, 1),
        uniform(1, 10, 4, 2, 1),
        uniform(2, 9, 4, 2, 1),
    )
    found = parzen.parzen(samples, validation, test)
    expected = by_hand(samples, test, found.width)
    np.testing.assert_allclose(found.per_example * np.log(2), expected, rtol=1e-4, atol=1e-4)
    assert found.nats.mean == pytest.approx(expected.mean(), rel=1e-4)
    assert found.nats.se == pytest.approx(expected.std(ddof=1) / 3, rel=1e-4)
    assert found.bits.mean == pytest.approx(found.nats.mean / np.log(2))
    assert found.bits.se == pytest.approx(found.nats.se / np.log(2))


def test_the_width_is_the_best_on_validation_not_on_test():
    samples = uniform(0, 200, 2)
    near, far = samples[:50] + np.float32(0.01), 3 * uniform(1, 50, 2)
    widths = (0.01, 0.1, 1.0)
    close, wide = (parzen.parzen(samples, v, far, widths=widths) for v in (near, far))
    assert (close.width, wide.width) == (0.01, 1.0)
    assert close.bits.mean < wide.bits.mean
    for found, validation in ((close, near), (wide, far)):
        scores = [by_hand(samples, validation, width).mean() / np.log(2) for width in widths]
        np.testing.assert_allclose(found.validation, scores, rtol=1e-3)


def test_many_samples_of_a_normal_approach_the_windowed_truth():
    # Windows on draws of N(0, s²) estimate N(0, s² + σ²): no bias for one window's density.
    random, scale, width = np.random.default_rng(0), 0.3, 0.2
    samples = (scale * random.standard_normal((20_000, 1))).astype(np.float32)
    points = np.linspace(-0.5, 0.5, 5, dtype=np.float32)[:, None]
    found = np.exp(parzen.log_density(samples, points, widths=(width,))[0])
    windows = stats.norm(points.T, width).pdf(samples)
    error = windows.std(0, ddof=1) / np.sqrt(len(samples))
    truth = stats.norm(0, np.hypot(scale, width)).pdf(points[:, 0])
    assert np.abs(found - truth).max() < (5 * error).min()


def test_far_from_zero_float32_still_tells_neighbours_apart():
    samples, points = uniform(0, 20, 3) + 1000, uniform(1, 5, 3) + 1000
    found = parzen.log_density(samples, points, widths=(0.1,))[0]
    np.testing.assert_allclose(found, by_hand(samples, points, 0.1), atol=1e-5)


def test_the_widths_are_goodfellows_ten_and_their_geometric_means():
    ten = 10 ** np.linspace(-1, 0, 10)
    np.testing.assert_allclose(parzen.WIDTHS[::2], ten)
    np.testing.assert_allclose(parzen.WIDTHS[1::2], np.sqrt(ten[1:] * ten[:-1]))


def test_many_dimensions_lose_no_digits():
    point, width = uniform(0, 1, 2000), 0.0001
    (found,) = parzen.log_density(point, point, widths=(width,))[0]
    assert found == pytest.approx(-2000 * np.log(width * np.sqrt(2 * np.pi)), abs=1e-6)


def test_the_chunk_does_not_change_an_estimate():
    arrays = uniform(0, 6, 3), uniform(1, 4, 3), uniform(2, 4, 3)
    whole, apart = (parzen.parzen(*arrays, widths=[0.2], chunk=c) for c in (1000, 1))
    np.testing.assert_allclose(whole.per_example, apart.per_example, rtol=1e-4)


def test_values_outside_the_unit_range_are_no_error():
    found = parzen.parzen(4 * uniform(0, 10, 2) - 2, uniform(1, 5, 2), uniform(2, 5, 2))
    assert np.isfinite(found.per_example).all()


GOOD = {"samples": uniform(0, 6, 3), "validation": uniform(1, 4, 3), "test": uniform(2, 4, 3)}
WITH_NAN = np.array([[0.1, np.nan, 0.2]] * 2, np.float32)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"samples": WITH_NAN}, "samples must be finite"),
        ({"test": np.float32("inf") * np.ones((2, 3), np.float32)}, "test must be finite"),
        ({"test": uniform(0, 4, 2)}, r"test must have the samples' shape \(3,\), got \(2,\)"),
        ({"validation": uniform(0, 4, 3, 1)}, "validation must have the samples' shape"),
        ({"test": uniform(0, 1, 3)}, "test must hold at least 2 examples, got 1"),
        ({"samples": uniform(0, 0, 3)}, "samples must hold at least 1 examples, got 0"),
        ({"validation": uniform(0, 0, 3)}, "validation must hold at least 1"),
        ({"samples": np.ones((4, 3), np.uint8)}, r"floats, pixels in \[0, 1\], got uint8"),
        ({"samples": np.float32(1) * np.ones(3, np.float32)}, "samples must"),
        ({"widths": ()}, "widths must be positive"),
        ({"widths": (0.1, 0.0)}, "widths must be positive"),
        ({"widths": (float("nan"),)}, "widths must be positive"),
        ({"chunk": 0}, "chunk must be at least 1, got 0"),
    ],
)
def test_bad_input_is_refused_by_name(wrong, says):
    with pytest.raises(ValueError, match=says):
        parzen.parzen(**GOOD | wrong)


def digits(count):
    return np.random.default_rng(count).integers(0, 256, (count, 4, 4, 1), np.uint8)


def test_the_perfect_model_validates_on_images_that_are_not_its_samples(monkeypatch):
    monkeypatch.setattr(parzen, "VALIDATION", 30)
    train, heldout = digits(130), digits(40)
    found = parzen.perfect_model(train, heldout, samples=100)
    order = np.random.default_rng(0).permutation(130)
    samples, validation = train[order[:100]] / 255, train[order[100:]] / 255
    scores = [by_hand(samples, validation, width).mean() for width in parzen.WIDTHS]
    assert found.width == parzen.WIDTHS[np.argmax(scores)]
    np.testing.assert_allclose(
        found.per_example * np.log(2), by_hand(samples, heldout / 255, found.width), rtol=1e-4
    )
    with pytest.raises(ValueError, match="need as many training images, got 130"):
        parzen.perfect_model(train, heldout, samples=101)


def test_the_command_prints_the_row_beside_the_papers(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(parzen, "SAMPLES", 100)
    monkeypatch.setattr(parzen, "VALIDATION", 30)
    monkeypatch.setattr(prepared, "load", lambda name, folder: Images(digits(130), digits(40)))
    assert parzen.main(["--data-dir", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("perfect model, 100 training images, width ")
    assert out.endswith("nats); paper 349 ± 3.3 bits\n")
    assert all("Parzen windows" in line or not line.strip() for line in re.split("[\r\n]", err))


def test_a_dataset_that_cannot_be_read_is_one_line(monkeypatch, capsys, tmp_path):
    def load(name, folder):
        raise ValueError(f"{folder} is not prepared")

    monkeypatch.setattr(prepared, "load", load)
    assert parzen.main(["--data-dir", str(tmp_path)]) == 2
    assert capsys.readouterr() == ("", f"error: {tmp_path} is not prepared\n")


@pytest.mark.parametrize("arguments", [[], ["--data-dir"], ["--folder", "x"], ["x"]])
def test_other_arguments_get_the_usage(arguments, capsys):
    assert parzen.main(arguments) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", "usage: dpm parzen --data-dir DIR\n")


@needs_mnist
@pytest.mark.slow
def test_mnist_training_images_attain_the_papers_349_bits():
    command = [sys.executable, "-m", "dpm_jax.evaluation.parzen", "--data-dir", str(PREPARED)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    bits, se = (float(x) for x in done.stdout.split(": ")[1].split(" bits")[0].split(" ± "))
    assert abs(bits - parzen.PAPER.mean) < 2 * np.hypot(se, parzen.PAPER.se)
