"""Figures of the roll: every point in its panel, every arrow with its scale."""

import numpy as np
import pytest

from dpm_jax.evaluation.figures import save
from dpm_jax.experiments.swiss_roll import figures

GRID = np.stack(np.meshgrid(*[np.linspace(-2.5, 2.5, 9)] * 2), axis=-1)


def clouds(count=50, seed=0):
    return dict(
        zip((0, 20, 40), np.random.default_rng(seed).normal(size=(3, count, 2)), strict=True)
    )


def inward():
    return {t: (GRID, -scale * GRID) for t, scale in ((2, 1e-4), (20, 1e-2), (40, 0.4))}


def roll():
    return figures.swiss_roll(clouds(2000), clouds(2000, seed=1), inward())


def given_one():
    rng, grid = np.random.default_rng(0), np.linspace(-2, 2, 401)
    weight = rng.uniform(size=500)
    density = np.exp(-0.5 * (grid / 0.3) ** 2) / 0.3 / np.sqrt(2 * np.pi)
    smc = 0.3 * rng.normal(size=80), np.full(80, 1 / 80)
    return figures.conditional(
        0.3 * rng.normal(size=500), weight / weight.sum(), grid, density, known=0.3, smc=smc
    )


def at_many_T():
    gap, se = np.array([1.5, 0.2, 0.04]), np.array([0.1, 0.02, 0.01])
    ceiling = np.array([-2.0, -1.1, -0.97])
    return figures.timesteps((5, 40, 400), gap, se, ceiling, limit=-0.95, trained=40)


def test_K_at_many_T_is_drawn_below_its_ceiling_and_the_limit():
    bounds, gaps = at_many_T().axes
    limit, best, model = (line.get_ydata() for line in bounds.lines[:3])
    np.testing.assert_allclose(limit, -0.95)
    np.testing.assert_allclose(best, [-2.0, -1.1, -0.97])
    np.testing.assert_allclose(model, [-2.45, -1.15, -0.99])
    best, model = (line.get_ydata() for line in gaps.lines[:2])
    np.testing.assert_allclose(best, [1.05, 0.15, 0.02])
    np.testing.assert_allclose(model, [1.5, 0.2, 0.04])
    assert [label.get_text() for label in gaps.get_xticklabels()] == ["5", "40", "400"]
    assert gaps.collections[0].get_segments()[0][:, 1] == pytest.approx([1.3, 1.7])


def test_conditional_draws_densities():
    (axes,) = given_one().axes
    for steps in axes.patches:
        heights, edges, _ = steps.get_data()
        assert heights @ np.diff(edges) == pytest.approx(1)
    weighted, plain, smc = (steps.get_data().values for steps in axes.patches)
    assert not np.array_equal(weighted, plain)
    assert not np.array_equal(weighted, smc)
    assert axes.get_title().endswith(", 80 of smc worth 80")
    assert axes.lines[0].get_ydata().max() == pytest.approx(1 / 0.3 / np.sqrt(2 * np.pi))


def test_roll_draws_the_states_by_t():
    forward, reverse = clouds(), clouds(seed=1)
    axes = figures.swiss_roll(forward, reverse, inward()).axes
    assert len(axes) == 9
    assert [a.get_title() for a in axes[:6]] == ["t = 0", "t = 20", "t = 40"] * 2
    for drawn, x in zip(axes, [*forward.values(), *reverse.values()], strict=False):
        np.testing.assert_array_equal(drawn.lines[0].get_xydata(), x)
    assert {(*a.get_xlim(), *a.get_ylim(), a.get_aspect()) for a in axes} == {(-3, 3, -3, 3, 1.0)}


def test_roll_prints_the_scale_of_the_arrows_it_stretches():
    axes = figures.swiss_roll(clouds(), clouds(), inward()).axes[6:]
    corner = np.hypot(2.5, 2.5)
    for drawn, (t, length) in zip(axes, [(2, 1e-4), (20, 1e-2), (40, 0.4)], strict=True):
        assert drawn.get_title() == f"t = {t}, longest arrow {length * corner:.2g}"
        arrows = drawn.collections[0]
        assert length * corner / arrows.scale == pytest.approx(figures.ARROW * 5 / 8)
        np.testing.assert_allclose(arrows.U, -length * GRID[..., 0].ravel())


def test_roll_without_drift_is_drawn():
    still = {t: (GRID, np.zeros_like(GRID)) for t in (2, 20, 40)}
    figure = figures.swiss_roll(clouds(), clouds(), still)
    assert figure.axes[-1].get_title() == "t = 40, longest arrow 0"
    assert figure._repr_png_()


def test_roll_refuses_panels_that_do_not_match():
    reverse = {t + 1: x for t, x in clouds().items()}
    with pytest.raises(ValueError, match="must have the same t"):
        figures.swiss_roll(clouds(), reverse, inward())


def test_roll_of_a_short_diffusion_has_fewer_drift_panels():
    fields = dict(list(inward().items())[:1])
    drawn = figures.swiss_roll(clouds(), clouds(), fields)
    assert [axes.get_visible() for axes in drawn.axes] == [True] * 7 + [False] * 2


@pytest.mark.parametrize("draw", [roll, given_one, at_many_T])
def test_saved_bytes_of_the_roll_repeat_and_are_few(draw, tmp_path):
    save(draw(), tmp_path / "figure.png")
    saved = (tmp_path / "figure.png").read_bytes()
    assert len(saved) < 400_000
    assert saved == draw()._repr_png_()


def test_frames_of_the_roll_run_from_noise_to_data():
    states = {t: np.full((1, 2), at) for t, at in ((0, -2.0), (40, 2.0), (20, 0.0))}
    frames = figures.frames(states)
    assert {(frame.shape, frame.dtype) for frame in frames} == {((516, 480, 3), np.dtype("uint8"))}
    # the dot is the only thing of colour
    places = [np.argwhere(np.ptp(frame.astype(int), axis=-1) > 60).mean(0) for frame in frames]
    down, right = np.diff(places, axis=0).T
    assert (down > 100).all()
    assert (right < -100).all()
