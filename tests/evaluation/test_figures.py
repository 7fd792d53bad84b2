import subprocess
import sys

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image, ImageSequence

from dpm_jax.evaluation import figures
from dpm_jax.scaling import Unit


def rates():
    return figures.schedules({"fixed": 1 / np.arange(40, 0, -1), "flat": np.full(10, 0.3)})


def bits(steps=40, continuous=True):
    lower = np.linspace(0.01, 3, steps - 1) - 4 * continuous
    return figures.where_the_bits_go(
        np.geomspace(1, 0.01, steps - 1), lower, lower + 0.3, lower + 0.1, continuous=continuous
    )


def records(K):
    return [{"step": i, "K_bits": k, "gradient_norm": 1 / (i + 1)} for i, k in enumerate(K)]


def progress():
    return figures.training(records([-28_000.0, *np.linspace(-9, -1, 29)]), limit=-0.9)


ALL = [rates, bits, progress]


def test_schedules_drop_the_infinite_log_snr_only():
    beta = 1 / np.arange(40, 0, -1)
    figure = figures.schedules({"fixed": beta, "flat": np.full(10, 0.5)}, {"fixed": "ends at 1"})
    rates, ratios = figure.axes
    np.testing.assert_array_equal(rates.lines[0].get_ydata(), beta)
    alpha_bar = 1 - np.arange(1, 40) / 40
    expected = np.log(alpha_bar / (1 - alpha_bar))
    np.testing.assert_allclose(ratios.lines[0].get_ydata(), expected, atol=1e-12)
    assert len(ratios.lines[1].get_ydata()) == 10
    assert rates.get_yscale() == "log"
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["fixed: ends at 1", "flat"]


def test_bits_say_their_sum_and_show_the_band():
    step_kl, lower = np.arange(1.0, 40), np.linspace(-12, 3, 39)
    figure = figures.where_the_bits_go(step_kl, lower, lower + 1, lower + 0.25, continuous=True)
    costs, entropies, zoom, running = figure.axes
    assert costs.get_title() == "steps t = 2..40 cost 780.000 bits per example"
    np.testing.assert_array_equal(costs.patches[0].get_data().values, step_kl)
    assert running.lines[0].get_xydata()[-1].tolist() == [40, 780]
    np.testing.assert_array_equal(entropies.lines[0].get_ydata(), lower + 0.25)
    np.testing.assert_allclose(zoom.lines[0].get_ydata(), -0.75)
    band = entropies.collections[0].get_paths()[0].get_extents()
    assert (band.y0, band.y1) == (-12, 4)


@pytest.mark.parametrize(
    ("continuous", "label", "scale"),
    [(True, "differential entropy", "linear"), (False, "entropy", "log")],
)
def test_bits_name_the_kind_of_entropy(continuous, label, scale):
    entropies = bits(continuous=continuous).axes[1]
    assert entropies.get_ylabel() == f"{label}\n(bits per example)"
    assert entropies.get_yscale() == scale


def test_training_keeps_its_wild_start_off_the_axis():
    bounds, norms = progress().axes
    assert bounds.lines[0].get_ydata()[0] == -28_000
    low, high = bounds.get_ylim()
    assert -10 < low < -8
    assert -0.9 < high < 0
    assert bounds.lines[1].get_ydata()[0] == -0.9
    assert [t.get_text() for t in bounds.get_legend().get_texts()] == [
        "K of the batch",
        "true limit",
    ]
    np.testing.assert_array_equal(norms.lines[0].get_ydata(), 1 / np.arange(1, 31))


def test_training_shows_held_out_examples_in_the_unit_asked_for():
    K = 784 * np.linspace(0.5, 1.5, 30)
    measured = records(K)
    for i, heldout in ((9, 0.7), (19, 1.1), (29, 1.9)):
        measured[i]["heldout_K_bits"] = 784 * heldout
    figure = figures.training(measured, limit=784 * 2.5, unit=Unit("bits per pixel", 784))
    bounds = figure.axes[0]
    batch, heldout, limit = bounds.lines
    assert bounds.get_ylabel() == "K (bits per pixel)"
    np.testing.assert_allclose(batch.get_ydata(), K / 784)
    np.testing.assert_allclose(heldout.get_xydata(), [(9, 0.7), (19, 1.1), (29, 1.9)])
    assert heldout.get_linestyle() == "None"
    assert limit.get_ydata()[0] == pytest.approx(2.5)
    low, high = bounds.get_ylim()
    assert 0.3 < low < 0.6
    assert 2.5 < high < 2.8
    texts = [text.get_text() for text in bounds.get_legend().get_texts()]
    assert texts == ["K of the batch", "K of held-out examples", "true limit"]


def test_training_makes_room_for_held_out_examples_beyond_the_batches():
    last = records([1.0, 2.0, 3.0])
    last[-1]["heldout_K_bits"] = -5.0
    low, high = figures.training(last).axes[0].get_ylim()
    assert low < -5
    assert high > 3


@pytest.mark.parametrize("K", [[-1.0], [-2.0, -2.0]])
def test_training_draws_short_and_constant_runs(K):
    figure = figures.training(records(K))
    assert len(figure.axes[0].lines) == 1
    assert figure._repr_png_()


def test_training_refuses_no_records():
    with pytest.raises(ValueError, match="must not be empty"):
        figures.training([])


@pytest.mark.parametrize("draw", ALL)
def test_saved_bytes_repeat_and_are_few(draw, tmp_path):
    figures.save(draw(), tmp_path / "figure.png")
    saved = (tmp_path / "figure.png").read_bytes()
    assert saved.startswith(b"\x89PNG")
    assert len(saved) < 200_000
    assert not any(chunk in saved for chunk in (b"tEXt", b"iTXt", b"tIME"))
    assert saved == draw()._repr_png_()


@pytest.mark.parametrize(("colours", "mode"), [(255, "P"), (256, "RGB"), (9000, "RGB")])
def test_a_saved_figure_has_its_exact_colours(colours, mode, tmp_path):
    rng = np.random.default_rng(0)
    every = rng.permutation(np.indices((64, 64, 64)).reshape(3, -1).T * 4)[:colours]  # not white
    shown = every[np.arange(100 * 110).reshape(100, 110) % colours].astype(np.uint8)
    figure = figures.Drawing(figsize=(1, 1), dpi=figures.DPI)
    figure.figimage(shown, 5, 10)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    buffer = np.asarray(canvas.buffer_rgba())[..., :3]
    np.testing.assert_array_equal(buffer[10:110, 5:115], shown)
    figures.save(figure, tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as saved:
        assert saved.mode == mode
        np.testing.assert_array_equal(saved.convert("RGB"), buffer)
    np.testing.assert_array_equal(figures.pixels(figure), buffer)


@pytest.mark.parametrize("draw", ALL)
def test_a_figure_of_lines_is_saved_as_it_is_drawn(draw, tmp_path):
    figure = draw()
    figures.save(figure, tmp_path / "figure.png")
    figure.set_dpi(figures.DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    with Image.open(tmp_path / "figure.png") as saved:
        exact = np.asarray(canvas.buffer_rgba())[..., :3]
        np.testing.assert_array_equal(saved.convert("RGB"), exact)


def film(count=5, colours=200):
    """Frames of so many colours each, no two alike."""
    rng = np.random.default_rng(0)
    palettes = rng.integers(256, size=(count, colours, 3), dtype=np.uint8)
    return [palette[rng.integers(colours, size=(30, 40))] for palette in palettes]


def read(path):
    with Image.open(path) as saved:
        assert saved.info["loop"] == 0  # for ever
        stills = [(f.convert("RGB"), f.info["duration"]) for f in ImageSequence.Iterator(saved)]
    return [np.asarray(still) for still, _ in stills], [duration for _, duration in stills]


def test_an_animation_holds_every_frame_and_its_last_one_longer(tmp_path):
    frames = film()
    figures.save_gif(frames, tmp_path / "film.gif", seconds=0.5)
    saved, milliseconds = read(tmp_path / "film.gif")
    np.testing.assert_array_equal(saved, frames)
    assert milliseconds == [100] * 4 + [2100]
    once = (tmp_path / "film.gif").read_bytes()
    figures.save_gif(frames, tmp_path / "film.gif", seconds=0.5)
    assert (tmp_path / "film.gif").read_bytes() == once


def test_an_animation_of_many_colours_is_near(tmp_path):
    ramp = np.indices((30, 40)).sum(0)
    frames = [np.stack([3 * ramp, 255 - 3 * ramp, 5 * i + ramp], -1) for i in range(3)]
    frames = [(f + np.random.default_rng(0).integers(3, size=f.shape)) % 256 for f in frames]
    figures.save_gif([f.astype(np.uint8) for f in frames], tmp_path / "film.gif", seconds=1.0)
    saved, _ = read(tmp_path / "film.gif")
    assert max(np.sqrt(((a - b) ** 2.0).mean()) for a, b in zip(saved, frames, strict=True)) < 4


def test_an_animation_that_stands_still_lasts_as_long(tmp_path):
    frames = film(2)
    figures.save_gif([frames[0], frames[0], frames[1]], tmp_path / "film.gif", seconds=0.3)
    assert sum(read(tmp_path / "film.gif")[1]) == 2300


@pytest.mark.parametrize(
    ("frames", "name", "seconds", "message"),
    [
        (film(), "film.png", 1.0, r"path must end in \.gif, got .*film\.png"),
        (film(1), "film.gif", 1.0, "frames must be at least 2, got 1"),
        ([*film(2), film(1)[0][1:]], "film.gif", 1.0, r"frames must have one shape, got \[\(29"),
        (film(), "film.gif", 0.09, "seconds must be at least 0.1 for 5 frames, got 0.09"),
    ],
)
def test_what_is_no_animation_is_refused(frames, name, seconds, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        figures.save_gif(frames, tmp_path / name, seconds=seconds)
    assert not (tmp_path / name).exists()


def test_a_figure_drawn_twice_is_the_same():
    figure = progress()
    assert figure._repr_png_() == figure._repr_png_()


def test_save_writes_png_only(tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.png"):
        figures.save(rates(), tmp_path / "figure.pdf")


def test_pyplot_stays_out():
    code = "import sys, dpm_jax.evaluation.figures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
