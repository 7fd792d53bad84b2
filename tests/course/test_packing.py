"""Arrays come back from a page as they went in."""

import io
from base64 import b64decode

import numpy as np
import pytest
from PIL import Image

from dpm_jax.course import drawing, packing
from dpm_jax.course.parts import Control, Curve, Demo, Plot, Reading, check

RNG = np.random.default_rng(0)


def test_curves_come_back_to_half_a_step():
    y = RNG.normal(size=(3, 4, 7))
    packed = packing.curves(y)
    half = 0.5 * (y.max() - y.min()) / packing.LEVELS
    found = packing.unpacked(packed).reshape(y.shape)
    assert np.abs(found - y).max() <= half * (1 + 1e-9)


def test_equal_frames_are_kept_once():
    y = np.stack([np.zeros(5), np.ones(5), np.zeros(5)])
    packed = packing.curves(y)
    assert len(b64decode(packed["data"])) == 2 * 5 * 2
    np.testing.assert_array_equal(packing.unpacked(packed), y)
    with pytest.raises(ValueError, match="y must be finite, got inf"):
        packing.curves(np.array([np.inf, 0.0]))


def test_a_constant_curve_comes_back():
    np.testing.assert_array_equal(packing.unpacked(packing.curves(np.full((2, 3), 4.0))), 4.0)


def test_pictures_are_png_files_with_rows_upwards():
    values = RNG.uniform(size=(2, 3, 4))
    packed = packing.pictures(np.concatenate([values, values]))
    assert packed["index"] == [0, 1, 0, 1]
    for file, frame in zip(packed["files"], values, strict=True):
        with Image.open(io.BytesIO(b64decode(file))) as image:
            grey = np.asarray(image)
        np.testing.assert_allclose(1 - grey[::-1] / 255, frame / frame.max(), atol=0.5 / 255)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.123456, "0.1235"), (1e-17, "0"), (4.66e-5, "4.66·10⁻⁵"), (3e20, "3·10²⁰"), (-2.0, "-2")],
)
def test_numbers_as_people_write_them(value, text):
    assert packing.number(value) == text


def test_ticks_are_round_and_within():
    assert drawing.ticks(-3.0, 3.0) == [-3, -2, -1, 0, 1, 2, 3]
    np.testing.assert_allclose(drawing.ticks(0.0, 1.0), np.arange(6) / 5)
    for lo, hi in RNG.normal(scale=10, size=(50, 2)):
        found = drawing.ticks(float(min(lo, hi)), float(max(lo, hi)))
        assert 4 <= len(found) <= 12
        assert min(lo, hi) - 1e-9 <= min(found) <= max(found) <= max(lo, hi) + 1e-9


def test_a_line_goes_from_corner_to_corner():
    x = np.array([0.0, 1.0])
    curve = Curve("data", "q", (), x, np.array([0.0, 2.0]))
    plot = Plot("data", ("x", 0.0, 1.0), ("", 0.0, 2.0), (curve,))
    assert drawing.path(plot, curve, curve.y) == "M42.00 180.00L310.00 8.00"
    bars = curve._replace(kind="bars")
    assert drawing.path(plot, bars, bars.y) == "M42.00 180.00V180.00M310.00 180.00V8.00"


def test_a_demonstration_has_a_frame_for_each_setting():
    reading = Reading("K", ("seed",), np.zeros(3))
    with pytest.raises(ValueError, match=r"one: K must have \(2,\) frames, got \(3,\)"):
        check(Demo("one", (Control("seed", ("0", "1")),), (), (reading,)))
