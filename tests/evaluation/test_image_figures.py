"""Figures of images: every pixel in its place, every label there."""

import numpy as np
import pytest

from dpm_jax.evaluation import figures, image_figures

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("count", "across"), [(6, 3), (5, 3), (1, 1), (4, 4)])
def test_a_grid_is_images_row_by_row_with_white_between(channels, count, across):
    images = RNG.random((count, 5, 4, channels)).astype(np.float32)
    grid = image_figures.grid(images, across)
    step = (5 + image_figures.GAP, 4 + image_figures.GAP)
    seen = np.zeros(grid.shape[:2], bool)
    for i, image in enumerate(images):
        top, left = (i // across) * step[0], (i % across) * step[1]
        np.testing.assert_array_equal(grid[top : top + 5, left : left + 4], image)
        seen[top : top + 5, left : left + 4] = True
    assert (grid[~seen] == 1).all()
    assert grid.shape == (-(-count // across) * step[0] - 2, across * step[1] - 2, channels)


def test_figures_are_drawn_and_labelled(tmp_path):
    images = RNG.random((8, 6, 6, 1)).astype(np.float32)
    drawn = {
        "samples": image_figures.samples(images[:5], images),
        "states": image_figures.states({4: images, 2: images, 0: images}),
        "rows": image_figures.rows({"noisy": images, "a b": images}, {"noisy": "MSE 1.0"}),
        "panels": image_figures.panels({"scene": images[0], "hole": images[1]}),
    }
    labels = [axes.get_ylabel() for axes in drawn["rows"].axes]
    assert labels == ["noisy\nMSE 1.0", "a b"]
    assert [a.get_ylabel() for a in drawn["states"].axes] == ["t = 4", "t = 2", "t = 0"]
    assert [a.get_title() for a in drawn["panels"].axes] == ["scene", "hole"]
    for name, figure in drawn.items():
        figures.save(figure, tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 500
