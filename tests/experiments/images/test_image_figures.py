"""Figures of images: every pixel in its place and colour, every label there and whole."""

import math
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.text import Text

from dpm_jax.evaluation.figures import pixels, save
from dpm_jax.experiments.images import figures

RNG = np.random.default_rng(0)
ROWS = ("clean", "noisy", "Wiener filter", "posterior mean", "one sample")
NOTES = {"noisy": "MSE 1.019", "Wiener filter": "MSE 0.140", "posterior mean": "MSE 0.084"}


def images(count, height=28, width=28, channels=1):
    return RNG.random((count, height, width, channels)).astype(np.float32)


def box(figure, axes):
    """Left, top, right and bottom pixel of an image."""
    width, height = (int(size) for size in figure.bbox.size)
    place = axes.get_position()
    edges = (place.x0 * width, (1 - place.y1) * height, place.x1 * width, (1 - place.y0) * height)
    np.testing.assert_allclose(edges, np.rint(edges), atol=1e-6)
    return [round(edge) for edge in edges]


def assert_shown(figure, axes, image):
    """The part of the drawn figure is the image, enlarged by a whole number, to the bit."""
    left, top, right, bottom = box(figure, axes)
    scale = (bottom - top) // image.shape[0]
    levels = np.rint(255 * image).astype(np.uint8)
    large = np.kron(levels, np.ones((scale, scale, 1), np.uint8))
    drawn = pixels(figure)[top:bottom, left:right]
    np.testing.assert_array_equal(drawn, np.broadcast_to(large, drawn.shape))


def assert_readable(figure):
    """No text leaves the figure, meets another, or lies on an image."""
    figure.draw_without_rendering()
    across, down = figure.bbox.size
    texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    boxes = [text.get_window_extent() for text in texts]
    for i, one in enumerate(boxes):
        assert min(one.x0, one.y0) >= 0, texts[i]
        assert one.x1 <= across, texts[i]
        assert one.y1 <= down, texts[i]
        others = [*boxes[:i], *(axes.get_window_extent() for axes in figure.axes)]
        assert not any(one.overlaps(other) for other in others), texts[i]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("count", "across"), [(6, 3), (5, 3), (1, 1), (4, 4)])
def test_a_grid_is_images_row_by_row_with_white_between(channels, count, across):
    shown = images(count, 5, 4, channels)
    grid = figures.grid(shown, across)
    step = (5 + figures.GAP, 4 + figures.GAP)
    seen = np.zeros(grid.shape[:2], bool)
    for i, image in enumerate(shown):
        top, left = (i // across) * step[0], (i % across) * step[1]
        np.testing.assert_array_equal(grid[top : top + 5, left : left + 4], image)
        seen[top : top + 5, left : left + 4] = True
    assert (grid[~seen] == 1).all()
    down = -(-count // across)
    shape = (down * step[0] - figures.GAP, across * step[1] - figures.GAP, channels)
    assert grid.shape == shape


@pytest.mark.parametrize(("count", "across", "down"), [(50, 10, 5), (64, 8, 8), (13, 5, 3)])
@pytest.mark.parametrize("channels", [1, 3])
def test_samples_are_two_grids_of_one_size_with_air_between(count, across, down, channels):
    data, drawn = images(count, channels=channels), images(count, channels=channels)
    figure = figures.samples(data, drawn)
    left, right = figure.axes
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [f"held-out data ({count})", f"samples of the model ({count})"]
    one, two = box(figure, left), box(figure, right)
    scale = (one[2] - one[0] - figures.GAP * (across - 1)) // (across * 28)
    assert one[2] - one[0] == two[2] - two[0] == across * (28 * scale + figures.GAP) - figures.GAP
    assert one[3] - one[1] == two[3] - two[1] == down * (28 * scale + figures.GAP) - figures.GAP
    assert two[0] - one[2] >= figures.AIR > 2 * figures.MARGIN
    white = (pixels(figure) == 255).all((0, -1))
    assert white[: one[0]].all()
    assert int(figure.bbox.width) - two[2] == one[0] == figures.MARGIN  # no empty margin
    whole = np.repeat(np.repeat(data, scale, 1), scale, 2)
    assert_shown(figure, left, figures.grid(whole, across))
    assert_readable(figure)


def test_one_sample_is_narrower_than_its_title():
    figure = figures.samples(images(1), images(1))
    assert box(figure, figure.axes[0])[3] < 200
    assert_readable(figure)


@pytest.mark.parametrize("count", range(1, 101))
def test_a_grid_is_nearly_full_and_never_a_strip(count):
    across = figures._across(count)
    down = math.ceil(count / across)
    assert across * down - count <= across / 2
    assert down <= across <= 3 * down


@pytest.mark.parametrize("height", [12, 28, 32])
@pytest.mark.parametrize("count", [1, 3, 4, 8, 16, 32])
def test_rows_have_room_for_their_labels_however_many_images(count, height):
    named = {name: images(count, height, height, 3) for name in ROWS}
    figure = figures.rows(named, NOTES)
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert labels[:3] == ["clean", "noisy\nMSE 1.019", "Wiener filter\nMSE 0.140"]
    assert labels[3:] == ["posterior mean\nMSE 0.084", "one sample"]
    assert_readable(figure)
    boxes = [box(figure, axes) for axes in figure.axes]
    assert all(below[1] >= above[3] + figures.MARGIN for above, below in pairwise(boxes))
    each = (boxes[0][2] - boxes[0][0]) / count
    assert each <= 1.2 * figures.CELL  # a few images are not gigantic
    assert figure.bbox.width <= math.sqrt(2) * figures.ACROSS
    large = np.kron(named["noisy"], np.ones((1, round(each) // height, round(each) // height, 1)))
    assert_shown(figure, figure.axes[1], figures.grid(large, count))


def test_states_are_rows_by_time():
    figure = figures.states({4: images(3), 2: images(3), 0: images(3)})
    assert [axes.get_ylabel() for axes in figure.axes] == ["t = 4", "t = 2", "t = 0"]


def test_four_panels_are_a_square_of_enlarged_images():
    named = {name: images(1, 159, 256)[0] for name in ("held-out scene", "given", "one", "two")}
    figure = figures.panels(named)
    first, second, third, fourth = (box(figure, axes) for axes in figure.axes)
    assert first[2] - first[0] == 512
    assert (first[1], first[0]) == (second[1], third[0])
    assert (fourth[1], fourth[0]) == (third[1], second[0])
    assert [axes.get_title() for axes in figure.axes] == list(named)
    for axes, image in zip(figure.axes, named.values(), strict=True):
        assert_shown(figure, axes, image)
    assert_readable(figure)


@pytest.mark.parametrize("width", [6, 100, 300, 1500])
def test_panels_have_room_for_their_titles(width):
    titles = ("held-out scene", "the mean of six samples")
    named = {title: images(1, 40, width)[0] for title in titles}
    figure = figures.panels(named)
    assert_shown(figure, figure.axes[0], named["held-out scene"])
    assert_readable(figure)


def test_colours_are_rounded_to_the_nearest_level():
    levels = np.arange(256, dtype=np.float32).reshape(16, 16, 1) / 255
    for shown in (levels, levels - 0.4 / 255, levels + 0.4 / 255):
        figure = figures.panels({"every level of grey there is": shown})
        assert_shown(figure, figure.axes[0], levels)


def test_what_is_beyond_black_and_white_is_black_and_white():
    figure = figures.panels({"from -1 to 2": np.linspace(-1, 2, 100).reshape(10, 10, 1)})
    assert_shown(figure, figure.axes[0], np.linspace(-1, 2, 100).reshape(10, 10, 1).clip(0, 1))


@pytest.mark.parametrize("side", [123, 245, 973, 1000])
def test_a_canvas_has_the_pixels_asked_for(side):
    canvas = figures._canvas(side, side)
    assert [int(size) for size in canvas.bbox.size] == [side, side]
    assert pixels(canvas).shape == (side, side, 3)


@pytest.mark.parametrize("channels", [1, 3])
def test_saved_bytes_of_images_repeat(channels, tmp_path):
    shown = images(6, channels=channels)
    save(figures.samples(shown, shown), tmp_path / "figure.png")
    saved = (tmp_path / "figure.png").read_bytes()
    assert saved == figures.samples(shown, shown)._repr_png_()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("count", "size", "scale"), [(10, 28, 3), (1, 6, 80), (100, 28, 2)])
def test_frames_run_from_noise_to_data_and_say_their_t(count, size, scale, channels):
    states = {t: images(count, size, size, channels) for t in (0, 1000, 20)}
    frames = figures.frames(states)  # about half a figure wide, whatever there is to show
    assert len({frame.shape for frame in frames}) == 1
    assert frames[0].dtype == np.uint8
    across = figures._across(count)
    for frame, t in zip(frames, (1000, 20, 0), strict=True):
        large = states[t].repeat(scale, 1).repeat(scale, 2)
        grid = np.rint(255 * figures.grid(large, across)).astype(np.uint8)
        height, width = grid.shape[:2]
        top, left = len(frame) - height - figures.MARGIN, (frame.shape[1] - width) // 2
        part = frame[top : top + height, left : left + width]
        np.testing.assert_array_equal(part, np.broadcast_to(grid, part.shape))
        assert (frame[:top] < 128).any()  # the title
    assert not np.array_equal(frames[0][:top], frames[1][:top])
