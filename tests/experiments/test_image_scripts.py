"""The image scripts: whole small runs, evaluation again, and bad input in one line."""

import importlib.util
import json
import math
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image
from real_data import PREPARED, needs_mnist
from scripts import Script

from dpm_jax import mixture, process, schedule
from dpm_jax.data import patches
from dpm_jax.data.dataset import Images
from dpm_jax.experiments import registry
from dpm_jax.training import metrics, times
from dpm_jax.training.objective import loss

NAMES = ["mnist", "cifar10", "dead_leaves", "bark", "images"]
OWED = """experiment train_examples heldout_examples K_bits K_bits_se K_bits_per_pixel
K_bits_per_pixel_se K_eq14_bits_per_pixel L_null_bits_per_pixel K_minus_L_null_bits_per_pixel
K_minus_L_null_bits_per_pixel_se bits_per_dimension bits_per_dimension_se gaussian_bits_per_pixel
gaussian_bits_per_pixel_se K_minus_gaussian_bits_per_pixel_se scale beta_1 terms_bits_per_pixel
ddpm_terms_bits_per_dimension rate_distortion codecs denoising inpainting log_snr estimator_sd
samples steps train_seconds seed preset parameters device versions"""


def picture(path: Path, height: int, width: int, channels: int = 1, seed: int = 0) -> None:
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    Image.fromarray(levels.squeeze()).save(path)


def result_of(run: Path) -> dict:
    result = json.loads((run / "result.json").read_text())
    owed = set(OWED.split())
    if "density_bits_per_dimension" in result:
        owed -= {"bits_per_dimension", "bits_per_dimension_se", "ddpm_terms_bits_per_dimension"}
        owed -= {"codecs"}
    assert result.keys() >= owed
    assert all(math.isfinite(v) for v in result.values() if isinstance(v, float))
    assert result["inpainting"]["known_pixels_identical"]
    assert result["inpainting"]["unknown_pixels_std"] > 0
    return result


@pytest.mark.slow
def test_dead_leaves_from_generation_to_evaluation_again(dead_leaves, tmp_path):
    run, cache = tmp_path / "run", tmp_path / "cache"
    code, out, err = dead_leaves(run, data_dir=cache)
    assert (code, err) == (0, "")
    assert "dead leaves, 8×8, radii 2 to 6" in out
    assert "3.536" in out
    result = result_of(run)
    assert {p.name for p in (run / "figures").iterdir()} == {
        *("samples.png", "states.png", "schedules.png", "denoising.png", "inpainting.png"),
        *(
            "training.png",
            "inpainting_ways.png",
            "interpolation.png",
            "log_snr.png",
            "rate_distortion.png",
        ),
    }
    assert len(list(cache.iterdir())) == 2
    assert (result["codecs"]["images"], result["mcgsm_steps"]) == (20, 4)
    K, gain = result["K_bits_per_pixel"], result["K_minus_mcgsm_bits_per_pixel"]
    assert K - gain == pytest.approx(result["mcgsm_bits_per_pixel"], abs=1e-6)
    code = math.log2(result["scale"]) - result["mcgsm_bits_per_pixel"]
    assert result["mcgsm_bits_per_dimension"] == pytest.approx(code, abs=1e-6)
    # The same numbers again from the model file, into a folder of its own.
    before = (run / "result.json").read_bytes()
    command = [sys.executable, dead_leaves.command(run)[1], "--evaluate", str(run)]
    again = [*command, "--data-dir", str(cache)]
    code, out, err = dead_leaves.finish(dead_leaves.start(again))
    assert (code, err) == (0, "")
    assert result_of(run / "evaluation" / "1") == result
    assert (run / "result.json").read_bytes() == before
    # Anything that is not evaluation is refused.
    code, out, err = dead_leaves.finish(dead_leaves.start([*again, "--scales", "3"]))
    assert (code, out) == (2, "")
    assert "scales is 3, but the run in" in err
    # More of it can be measured than before, and beside it.
    more = [*again, "--times-per-example", "2", "--parzen-samples", "30", "--mcgsm-steps", "0"]
    more += ["--fewer-steps", "4", "2"]
    code, _, err = dead_leaves.finish(dead_leaves.start(more))
    assert (code, err) == (0, "")
    assert result_of(run / "evaluation" / "2")["parzen"]["samples"] == 30
    assert result_of(run / "evaluation" / "2")["fewer_steps"]["steps"] == [2, 4, 6]
    assert (run / "evaluation" / "2" / "figures" / "steps.png").exists()
    assert not {"parzen", "fewer_steps", "grade"} & result_of(run / "evaluation" / "1").keys()
    assert "mcgsm_bits_per_pixel" not in result_of(run / "evaluation" / "2")


@pytest.mark.slow
def test_cut_and_resumed_it_is_the_unbroken_run(dead_leaves, tmp_path):
    cache = tmp_path / "cache"
    for name in ("straight", "cut"):
        assert dead_leaves(tmp_path / name, data_dir=cache)[0] == 0
    cut = tmp_path / "cut"
    for step in (40, 30):
        subprocess.run(["rm", "-r", str(cut / "checkpoints" / str(step))], check=True)
    (cut / "result.json").unlink()
    code, _, err = dead_leaves(cut, "--resume", data_dir=cache)
    assert (code, err) == (0, f"{cut}: going on from step 20, to step 40")
    straight = tmp_path / "straight"
    assert metrics.read(cut / "metrics.jsonl") == metrics.read(straight / "metrics.jsonl")
    assert result_of(cut)["K_bits"] == result_of(straight)["K_bits"]


@pytest.mark.slow
def test_a_folder_of_bark_of_two_sizes_and_a_hole_in_a_large_scene(compiled, tmp_path):
    folder = tmp_path / "bark"
    folder.mkdir()
    picture(folder / "a.png", 500, 130)
    picture(folder / "b.png", 40, 30, seed=1)
    code, out, err = Script("bark", compiled)(tmp_path / "run", data_dir=folder)
    assert (code, err) == (0, "")
    assert "-0.55" in out
    result = result_of(tmp_path / "run")
    assert result["hole"]["known_pixels_identical"]
    assert result["hole"]["std_in_the_hole"] > 0
    assert (tmp_path / "run/figures/hole.png").exists()


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_an_array_of_ones_own_in_colour(compiled, tmp_path, dtype):
    array = np.random.default_rng(0).integers(0, 256, (40, 7, 9, 3)).astype(dtype)
    np.save(tmp_path / "mine.npy", array)
    script = Script("images", compiled)
    flags = {"heldout-examples": 0, "data": tmp_path / "mine.npy"}
    code, out, err = script(tmp_path / "run", **flags)
    assert (code, err) == (0, "")
    assert "own images, mine.npy" in out
    result = result_of(tmp_path / "run")
    assert (result["train_examples"], result["heldout_examples"]) == (36, 4)
    if dtype == np.float32:
        code, _, err = script(tmp_path / "levels", "--last-step binned", **flags)
        assert (code, (tmp_path / "levels").exists()) == (2, False)
        assert "last_step must be fixed for images of real numbers, got binned" in err
    assert result["image_shape"] == [7, 9, 3]
    # Only grey levels have a code; of real numbers there is a density.
    assert ("bits_per_dimension" in result) == (dtype == np.uint8)
    assert ("density_bits_per_dimension" in result) == (dtype == np.float32)
    assert ("codecs" in result) == ("PNG" in out) == (dtype == np.uint8)
    assert "mcgsm_bits_per_pixel" not in result


@needs_mnist
@pytest.mark.slow
def test_real_numbers_that_never_vary_somewhere_are_said_before_training(compiled, tmp_path):
    """Digits as floats: their border is constant, so there is no Gaussian; all else is there."""
    digits = np.zeros((40, 8, 8), np.float32)
    digits[:, 1:-1, 1:-1] = np.random.default_rng(0).integers(0, 17, (40, 6, 6)) / 16
    np.save(tmp_path / "digits.npy", digits)
    script = Script("images", compiled)
    flags = {"heldout-examples": 0, "data": tmp_path / "digits.npy"}
    code, out, err = script(tmp_path / "run", **flags)
    assert (code, err.count("\n")) == (0, 0)
    assert err.startswith("28 of the images' components never vary")
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert "covariance is singular" in result["gaussian_missing"]
    assert not any(name.startswith("gaussian_minus") for name in result)
    assert {"K_bits_per_pixel", "density_bits_per_dimension", "denoising"} <= result.keys()
    assert "no Gaussian: the covariance is singular" in out


@needs_mnist
@pytest.mark.slow
def test_real_mnist(mnist, tmp_path):
    code, out, err = mnist(tmp_path / "run", data_dir=PREPARED)
    assert (code, err) == (0, "")
    assert "MNIST" in out
    result = result_of(tmp_path / "run")
    assert result["train_examples"] == 60_000
    assert result["scale"] == pytest.approx(78.568, abs=1e-3)
    assert result["grade"]["test_images"] == 10_000
    assert result["grade"]["test_accuracy"] > 0.1
    assert result["grade"]["of_samples"]["images"] == 5
    # The full-covariance Gaussian of all training images: -2.06 + 3.07 bits per pixel.
    se = result["gaussian_minus_L_null_bits_per_pixel_se"]
    assert abs(result["gaussian_minus_L_null_bits_per_pixel"] - 3.070) < 5 * se


@pytest.mark.slow
def test_a_bound_on_levels_is_quoted_as_the_density_that_it_is(dead_leaves, tmp_path):
    """K of the scaled data = log₂ P + D log₂ scale, and its terms add up to it."""
    assert dead_leaves(tmp_path / "run", data_dir=tmp_path / "cache", **{"mcgsm-steps": 0})[0] == 0
    result = result_of(tmp_path / "run")
    bits = math.log2(result["scale"]) - result["K_bits_per_pixel"]
    assert result["bits_per_dimension"] == pytest.approx(bits, abs=1e-6)
    terms = result["terms_bits_per_pixel"]
    K = terms["last_step"] - terms["prior_kl"] - terms["step_kl"]
    assert result["K_bits_per_pixel"] == pytest.approx(K, abs=1e-4)
    ddpm = result["ddpm_terms_bits_per_dimension"]
    assert sum(ddpm.values()) == pytest.approx(result["bits_per_dimension"], abs=1e-4)
    curve = result["rate_distortion"]
    assert curve["rmse_unit"] == "grey levels"
    assert np.all(np.diff(curve["rate_bits_per_dimension"]) < 0)
    # Nearly all of it is known at t = 1, and next to nothing at t = T.
    spent = ddpm["L_T"] + ddpm["L_t_minus_1"]
    error = 5 * curve["rate_bits_per_dimension_se"][0] + 5 * result["bits_per_dimension_se"]
    assert curve["rate_bits_per_dimension"][0] == pytest.approx(spent, abs=error)
    assert curve["rmse"][0] < 1 < 0.5 * result["scale"] < curve["rmse"][-1]
    # x_1 has noise of 0.15 levels, so what the last step leaves open is next to nothing.
    assert terms["last_step"] == pytest.approx(math.log2(result["scale"]), abs=0.02)
    samples = np.load(tmp_path / "run" / "samples.npz")["samples"]
    assert samples.dtype == np.uint8


EVERY_PRESET = [(name, preset) for name in NAMES for preset in registry.problem(name).presets]


@pytest.mark.parametrize(("name", "preset"), EVERY_PRESET)
def test_every_preset_is_a_model_whose_loss_can_be_formed(name, preset):
    """By shapes alone: nothing is compiled or computed."""
    problem = registry.problem(name)
    config = problem.presets[preset]
    images = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)
    data = patches.prepare(Images(images, images), None, seed=0)
    parts = mixture.components(np.bincount(images.ravel(), minlength=256), config.components, 5)
    facts = {
        "event_shape": [16, 16, 3],
        "finest": data.finest,
        "range": data.range,
        "last_step": "levels",
        "lowest": [-1.7, -1.6, -1.5],
        "components": parts._asdict(),
        "autocovariance": np.eye(3)[None, None] * np.ones((3, 3, 1, 1)),
    }
    family = schedule.learned(config.timesteps, 1e-6, knots=16)
    model = problem.model(config, facts, family)
    key = jax.random.key(0)
    params = jax.eval_shape(lambda key: process.init(model, key), key)
    x0 = jax.ShapeDtypeStruct((config.batch_size, *images.shape[1:]), np.float32)
    known = jax.eval_shape(lambda: times.start(config.timesteps))
    value, _ = jax.eval_shape(
        lambda p, x, known: loss(model, p, x, key, config, known), params, x0, known
    )
    assert (value.shape, value.dtype) == ((), np.float32)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--timesteps 1 --times-per-example 0", "timesteps must be at least 2, got 1"),
        ("--scales 0", "scales must be at least 1, got 0"),
        ("--convolutions 8 0", "convolutions must be at least 1, got 0"),
        ("--heldout-examples 1", "heldout_examples must be at least 2"),
        (
            "--denoising entered --reverse paper",
            "denoising cannot be entered where reverse is paper",
        ),
        ("--times-per-example 1000 --timesteps 1000", "times_per_example must be less than timest"),
        ("--sample-steps 1001", "sample_steps must be 0 for all, or lie in 2 to timesteps, "),
        ("--sample-steps 5 --reverse paper", "sample_steps must be 0 where reverse is paper"),
        ("--fewer-steps 5 1001", "fewer_steps must be at most "),
        ("--fewer-steps 5 1", "fewer_steps must be at least 2, got 1"),
        ("--fewer-steps 5 --reverse paper", "fewer_steps must be left out where reverse is paper"),
        ("--first-noises 0.1 0", "first_noises must be at least 0.01, got 0"),
        ("--first-noises 1 --reverse direct", "first_noises must be left out where reverse is dir"),
        ("--side 4", "side must be odd, got 4"),
        ("--components 1", "components must be at least 2, got 1"),
        (
            "--network neighbourhood --reverse paper",
            "reverse must be bridge where network is neighbourhood, got paper",
        ),
        (
            "--network neighbourhood --last-step fixed --dense 8",
            "last_step must be levels or binned where network is neighbourhood, got fixed",
        ),
        (
            "--network neighbourhood --precision bfloat16",
            "precision must be float32 where network is neighbourhood, got bfloat16",
        ),
        ("--parzen-samples -1", "parzen_samples must be at least 0, got -1"),
        ("--mcgsm-steps -1", "mcgsm_steps must be at least 0, got -1"),
        ("--reverse sideways", "see --help"),
        ("--preset default", "paper, got default"),
        ("--belief mixture --reverse paper", "reverse must be bridge where belief is mixture"),
        (
            "--belief mixture --last-step fixed",
            "last_step must be levels or binned where belief is mixture, got fixed",
        ),
        (
            "--network neighbourhood --belief normal",
            "belief must be mixture where network is neighbourhood, got normal",
        ),
        ("--network transformer", "see --help"),
        (
            "--belief wiener --network multiscale",
            "network must be residual or unet where belief is wiener, got multiscale",
        ),
        (
            "--network unet --belief wiener --reverse paper",
            "reverse must be bridge where belief is wiener, got paper",
        ),
        ("--evaluate nowhere", "nowhere does not exist: has its training ended?"),
    ],
)
def test_a_bad_value_is_one_line_and_no_folder_is_made(refuse, tmp_path, name, flags, said):
    assert said in refuse(flags, name)
    assert not (tmp_path / "run").exists()


def small_folder(path: Path, count: int = 12, height: int = 8, width: int = 8) -> Path:
    path.mkdir()
    for i in range(count):
        picture(path / f"{i:02}.png", height, width, seed=i)
    return path


def broken(path: Path) -> Path:
    file = small_folder(path) / "03.png"
    file.write_bytes(file.read_bytes()[:40])
    return path


def mixed(path: Path) -> Path:
    picture(small_folder(path) / "03.png", 9, 8)
    return path


def kinds(path: Path) -> Path:
    picture(small_folder(path) / "03.png", 8, 8, 3)
    return path


def constant(path: Path) -> Path:
    path.mkdir()
    for i in range(12):
        Image.fromarray(np.full((8, 8), 9, np.uint8)).save(path / f"{i}.png")
    return path


def absurd(path: Path) -> Path:
    Image.new("L", (9000, 9000)).save(small_folder(path) / "03.png")
    return path


def empty(path: Path) -> Path:
    path.mkdir()
    return path


def array(values: np.ndarray):
    def save(path: Path) -> Path:
        np.save(path.with_suffix(".npy"), values)
        return path.with_suffix(".npy")

    return save


NOT_A_NUMBER = np.full((12, 4, 4), np.nan, np.float32)
PICKLED = np.array([{"a": 1}] * 12, object)


@pytest.mark.parametrize(
    ("make", "flags", "said"),
    [
        (lambda path: path, "", "does not exist; give a folder of images or a .npy array"),
        (empty, "", "holds no images"),
        (broken, "", "03.png cannot be read as a PNG, JPEG or WebP image"),
        (mixed, "", "images must have one size and one kind"),
        (kinds, "--patch 4", "images must have one kind"),
        (small_folder, "--patch 9", "patch is 9, but an image is only 8x8"),
        (constant, "", "is constant: every pixel is 9, so the variance is 0"),
        (absurd, "", "03.png has 9000x9000 pixels, more than 67108864 in all"),
        (array(NOT_A_NUMBER), "", "has NaN or infinity"),
        (array(PICKLED), "", "cannot be read as an array"),
        (array(np.zeros((12, 4, 4), np.int64)), "", "has type int64"),
        (array(np.arange(12 * 16.0).reshape(12, 4, 4)), "--heldout-examples 3", "at most the 2 "),
    ],
)
def test_bad_images_are_one_line_and_nothing_is_overwritten(refuse, tmp_path, make, flags, said):
    path = make(tmp_path / "data")
    assert said in refuse(f"--data {path} {flags}", "images")
    assert not (tmp_path / "run").exists()


def test_what_must_be_given_is_asked_for(refuse):
    assert "data must be given: a folder of PNG, JPEG or WebP" in refuse("", "images")
    assert "data_dir must be given: a folder of images of bark" in refuse("", "bark")


def test_a_dataset_that_is_not_prepared_says_what_to_do(refuse, tmp_path):
    if importlib.util.find_spec("tensorflow"):
        pytest.skip("tensorflow is installed, so the dataset would be prepared")
    for name in ("mnist", "cifar10"):
        said = refuse(f"--data-dir {tmp_path}", name)
        assert f"{name} is not prepared in {tmp_path}" in said
        assert "pip install 'dpm_jax[prepare]'" in said
