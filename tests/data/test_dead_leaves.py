"""Dead leaves: the law, against its integral and against a painter; and the cache on disk."""

import errno
import os
from functools import cache

import numpy as np
import pytest
from reference import standard_errors

from dpm_jax.data import dead_leaves


@cache
def draw(size, low, high, count, seed=0) -> np.ndarray:
    law = dead_leaves.law(size, low, high)
    return dead_leaves.sample(law, count, np.random.default_rng(seed))[..., 0]


def same_leaf(distance: float, low: float, high: float) -> float:
    """P(two points show one leaf): the first leaf that covers either covers both."""
    nodes, weights = np.polynomial.legendre.leggauss(2000)
    r = low + (high - low) * (nodes + 1) / 2
    density = weights * r**-3
    half = np.minimum(distance / (2 * r), 1)
    both = 2 * r**2 * (np.arccos(half) - half * np.sqrt(1 - half**2))
    return float(density @ both / (density @ (2 * np.pi * r**2 - both)))


@pytest.mark.parametrize(("low", "high"), [(1.0, 3.0), (2.0, 8.0), (2.0, 64.0)])
@pytest.mark.parametrize(("down", "right"), [(0, 1), (1, 0), (2, 2), (0, 5), (7, 3)])
def test_two_pixels_share_a_leaf_as_the_integral_says(low, high, down, right):
    # At every place in the image, so also at the edges and in the corners.
    size = 12
    images = draw(size, low, high, 4000)
    same = images[:, : size - down, : size - right] == images[:, down:, right:]
    shared = same_leaf(np.hypot(down, right), low, high)
    expected = shared + (1 - shared) / 256  # two leaves may have one grey level
    assert standard_errors(same.mean((1, 2)), expected) < 4.5
    with np.errstate(divide="ignore", invalid="ignore"):
        everywhere = standard_errors(same, expected)
    if expected > 0.02:  # else no place has enough to be normal
        assert everywhere.max() < 5


def painter(size, low, high, count, leaves, seed) -> np.ndarray:
    """Back to front, on a plane wide enough: each leaf hides what lies below it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    images = np.full((count, size, size), -1)
    for _ in range(leaves):
        u, grey = rng.uniform(size=count), rng.integers(256, size=count)
        r = 1 / np.sqrt(low**-2 * (1 - u) + high**-2 * u)
        cy, cx = rng.uniform(-high - 1, size + high, size=(2, count, 1, 1))
        hides = (y - cy) ** 2 + (x - cx) ** 2 < r[:, None, None] ** 2
        images = np.where(hides, grey[:, None, None], images)
    assert images.min() >= 0
    return images


def facts(images) -> np.ndarray:
    """[n, facts] of each image: how its leaves lie, beyond pairs."""
    a = images.astype(int)
    inner = a[:, 2:6, 2:6]
    corners = a[:, [0, 0, 7, 7], [0, 7, 0, 7]]
    greys = np.sort(a.reshape(len(a), -1), axis=1)
    return np.stack(
        [
            (np.diff(greys) > 0).sum(1),  # leaves seen
            np.ptp(inner, axis=(1, 2)) == 0,
            np.ptp(a[:, 0], axis=1) == 0,  # a whole edge is one leaf
            np.ptp(a[:, :, -1], axis=1) == 0,
            np.ptp(corners, axis=1) == 0,
            (a[:, 0, 0] == a[:, 3, 0]) & (a[:, 0, 0] == a[:, 0, 3]),
            (a[:, 4, 2] == a[:, 4, 6]) & (a[:, 4, 2] != a[:, 4, 4]),  # one leaf behind another
            a.mean((1, 2)),
            a.var((1, 2)),
        ],
        axis=1,
    )


def test_images_are_those_of_a_painter():
    # 700 leaves on 22 x 22 pixels cover each pixel about 30 times.
    ours = facts(draw(8, 1.5, 7.0, 6000))
    painted = facts(painter(8, 1.5, 7.0, 2500, 700, seed=1))
    error = np.sqrt(ours.var(0) / len(ours) + painted.var(0) / len(painted))
    assert (painted.std(0) > 0).all()
    assert (np.abs(ours.mean(0) - painted.mean(0)) < 4.5 * error).all()


def test_grey_levels_are_uniform_in_every_pixel():
    images = draw(6, 1.0, 8.0, 20_000)
    expected = len(images) / 256
    for row, column in [(0, 0), (0, 5), (5, 0), (5, 5), (2, 3), (0, 2)]:
        counts = np.bincount(images[:, row, column], minlength=256)
        chi_square = ((counts - expected) ** 2 / expected).sum()
        assert abs(chi_square - 255) < 4.5 * np.sqrt(2 * 255)
    assert (standard_errors(images.reshape(len(images), -1), 127.5) < 5).all()


@pytest.mark.parametrize(("low", "high"), [(0.5, 0.6), (0.5, 1000.0), (100.0, 101.0)])
def test_extreme_radii_end(low, high):
    images = draw(7, low, high, 300)
    assert images.shape == (300, 7, 7)
    assert len(np.unique(images)) > 150
    # One visible leaf is hardly wider than its diameter.
    if high < 1:
        assert (images[:, :, 2:] == images[:, :, :-2]).mean() < 0.01


def test_one_seed_one_set_of_images_whatever_the_count():
    few, many = draw(5, 1.0, 4.0, 3, seed=7), draw(5, 1.0, 4.0, 2 * dead_leaves.CHUNK + 1, seed=7)
    assert many.dtype == np.uint8
    np.testing.assert_array_equal(few, many[:3])
    np.testing.assert_array_equal(many[:300], draw(5, 1.0, 4.0, 300, seed=7))
    assert len(np.unique(many.reshape(len(many), -1), axis=0)) > 0.99 * len(many)
    assert (draw(5, 1.0, 4.0, 3, seed=8) != few).any()
    assert draw(5, 1.0, 4.0, 0).shape == (0, 5, 5)


LAW = dead_leaves.law(6, 1.5, 6.0)


def load(cache, law=LAW, train=300, heldout=50, seed=3):
    return dead_leaves.load(law, train=train, heldout=heldout, seed=seed, cache=cache)


def forbid_drawing(monkeypatch):
    monkeypatch.setattr(dead_leaves, "sample", lambda *_: pytest.fail("drawn again"))


def test_parts_are_independent_and_lengthen_without_change(tmp_path):
    data = load(tmp_path)
    assert data.train.shape == (300, 6, 6, 1)
    assert data.heldout.shape == (50, 6, 6, 1)
    assert data.train.dtype == data.heldout.dtype == np.uint8
    longer = load(tmp_path, train=400, heldout=60)
    np.testing.assert_array_equal(longer.train[:300], data.train)
    np.testing.assert_array_equal(longer.heldout[:50], data.heldout)
    equal = (data.train[:, None] == data.heldout).mean((2, 3, 4))
    assert equal.max() < 1
    assert equal.mean() < 0.01


def test_a_pipe_in_the_cache_is_not_opened(tmp_path):
    first = load(tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
        os.mkfifo(path)
    np.testing.assert_array_equal(load(tmp_path).train, first.train)
    assert all(path.is_file() for path in tmp_path.iterdir())


def test_cached_images_are_not_drawn_again(tmp_path, monkeypatch):
    first = load(tmp_path / "a" / "cache")
    forbid_drawing(monkeypatch)
    again = load(tmp_path / "a" / "cache")
    np.testing.assert_array_equal(again.train, first.train)
    np.testing.assert_array_equal(again.heldout, first.heldout)


@pytest.mark.parametrize(
    "change",
    [
        {"law": dead_leaves.law(7, 1.5, 6.0)},
        {"law": dead_leaves.law(6, 1.5000001, 6.0)},
        {"law": dead_leaves.law(6, 1.5, 6.0000001)},
        {"train": 299, "heldout": 49},
        {"seed": 4},
    ],
)
def test_every_parameter_is_in_the_name(tmp_path, change):
    load(tmp_path)
    before = set(tmp_path.iterdir())
    assert len(before) == 2
    load(tmp_path, **change)
    assert len(set(tmp_path.iterdir()) - before) == 2
    for path in before:
        assert "size6-radius1.5to6.0-seed3-" in path.name


@pytest.mark.parametrize(
    "content", [b"", b"\x93NUMPY", b"no array", np.uint8([[1]]), np.zeros((300, 6, 6, 1))]
)
def test_a_damaged_file_is_drawn_anew(tmp_path, content):
    first = load(tmp_path)
    (path,) = tmp_path.glob("*train300.npy")
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    np.testing.assert_array_equal(load(tmp_path).train, first.train)
    np.testing.assert_array_equal(np.load(path), first.train)


def test_a_truncated_file_is_drawn_anew(tmp_path):
    first = load(tmp_path)
    (path,) = tmp_path.glob("*train300.npy")
    path.write_bytes(path.read_bytes()[:-1])
    np.testing.assert_array_equal(load(tmp_path).train, first.train)


def test_pickles_are_not_loaded(tmp_path):
    first = load(tmp_path)
    (path,) = tmp_path.glob("*train300.npy")
    np.save(path, np.array([print], object), allow_pickle=True)
    np.testing.assert_array_equal(load(tmp_path).train, first.train)


def half_then(error):
    def save(file, images, **_):
        file.write(images.tobytes()[:100])
        raise error

    return save


def test_a_crash_while_writing_leaves_no_half_file(tmp_path, monkeypatch):
    with monkeypatch.context() as crash:
        crash.setattr(np, "save", half_then(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            load(tmp_path)
    assert not list(tmp_path.iterdir())
    assert len(load(tmp_path).train) == 300
    assert len(list(tmp_path.iterdir())) == 2


def test_a_killed_run_leaves_nothing_under_the_final_name(tmp_path, monkeypatch):
    # Nothing is cleaned up after a kill: what lies there must not be taken for images.
    monkeypatch.setattr(np, "save", half_then(KeyboardInterrupt()))
    monkeypatch.setattr("pathlib.Path.unlink", lambda *_, **__: None)
    with pytest.raises(KeyboardInterrupt):
        load(tmp_path)
    (left,) = tmp_path.iterdir()
    assert left.suffix == ".tmp"


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match=r"cache .*file cannot be written: .*; give another"):
        load(tmp_path / "file")
    monkeypatch.setattr(np, "save", half_then(OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(ValueError, match="cannot be written: no space left on the disk"):
        load(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, "size must be 1 to 256 pixels, got 0"),
        ({"size": 257}, "size must be 1 to 256 pixels, got 257"),
        ({"radius_min": 0.4}, r"radius_min must be at least 0.5, got 0.4"),
        ({"radius_min": float("nan")}, "radius_min must be at least 0.5, got nan"),
        ({"radius_max": 2.0}, "radius_max must be finite and above radius_min = 2.0, got 2.0"),
        ({"radius_max": float("inf")}, "radius_max must be finite .* got inf"),
        ({"radius_max": float("nan")}, "radius_max must be finite .* got nan"),
    ],
)
def test_the_law_checks_itself(arguments, message):
    with pytest.raises(ValueError, match=message):
        dead_leaves.law(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train": 0}, "train must be at least 1, got 0"),
        ({"heldout": -1}, "heldout must be at least 1, got -1"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
    ],
)
def test_load_checks_its_numbers(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        load(tmp_path, **arguments)
    assert not list(tmp_path.iterdir())
