import subprocess
import sys

import numpy as np
import pytest

from dpm_jax.evaluation import figures

GRID = np.stack(np.meshgrid(*[np.linspace(-2.5, 2.5, 9)] * 2), axis=-1)


def clouds(count=50, seed=0):
    return dict(
        zip((0, 20, 40), np.random.default_rng(seed).normal(size=(3, count, 2)), strict=True)
    )


def rasters():
    return np.random.default_rng(0).integers(2, size=(3, 60, 20)).astype(float)


def inward():
    return {t: (GRID, -scale * GRID) for t, scale in ((2, 1e-4), (20, 1e-2), (40, 0.4))}


def roll():
    return figures.swiss_roll(clouds(2000), clouds(2000, seed=1), inward())


def beat():
    return figures.heartbeat(*rasters())


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


def answers():
    exact, estimate = np.array([0.7, 0.3, 0, 0, 0]), np.array([0.6, 0.35, 0.05, 0, 0])
    one = {"exact": exact, "estimate": estimate, "estimate_se": 0.1 * estimate}
    one |= {"unweighted": np.full(5, 0.2), "trajectories": 10_000, "effective": 1234.5}
    return {"five zeros": one, "one period": one}


def phases():
    return figures.phase_posteriors(answers())


def given_one():
    rng, grid = np.random.default_rng(0), np.linspace(-2, 2, 401)
    weight = rng.uniform(size=500)
    density = np.exp(-0.5 * (grid / 0.3) ** 2) / 0.3 / np.sqrt(2 * np.pi)
    return figures.conditional(
        0.3 * rng.normal(size=500), weight / weight.sum(), grid, density, known=0.3
    )


ALL = [roll, beat, rates, bits, progress, phases, given_one]


def test_phase_posteriors_draw_every_question():
    axes = phases().axes
    assert [a.get_title().split("\n")[0] for a in axes] == ["five zeros", "one period"]
    assert axes[0].get_title().endswith("10,000 samples worth 1,234")
    said = answers()["five zeros"]
    np.testing.assert_array_equal([bar.get_height() for bar in axes[0].patches], said["exact"])
    drawn = [line.get_ydata() for line in axes[0].lines if len(line.get_ydata()) == 5]
    np.testing.assert_array_equal(drawn[0], said["unweighted"])
    np.testing.assert_array_equal(drawn[1], said["estimate"])


def test_conditional_draws_densities():
    (axes,) = given_one().axes
    for steps in axes.patches:
        heights, edges, _ = steps.get_data()
        assert heights @ np.diff(edges) == pytest.approx(1)
    weighted, plain = (steps.get_data().values for steps in axes.patches)
    assert not np.array_equal(weighted, plain)
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


def test_heartbeat_shows_the_first_sequences():
    panels = rasters()
    axes = figures.heartbeat(*panels).axes
    assert len(axes) == 3
    assert (axes[0].get_ylabel(), axes[0].get_xlabel()) == ("sequence", "bin")
    for drawn, x in zip(axes, panels, strict=True):
        np.testing.assert_array_equal(drawn.images[0].get_array(), x[: figures.SEQUENCES])


def test_heartbeat_draws_fewer_sequences_than_it_has_room_for():
    axes = figures.heartbeat(*[np.eye(5, 20)] * 3).axes
    assert axes[0].images[0].get_array().shape == (5, 20)


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


def test_log_snr_of_tiny_rates_is_exact():
    # 1 - ᾱ_1 = β_1, which 1 - exp(log ᾱ) would round to zero
    assert figures._log_snr(np.array([1e-17]))[0] == pytest.approx(17 * np.log(10))


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


def test_a_figure_drawn_twice_is_the_same():
    figure = progress()
    assert figure._repr_png_() == figure._repr_png_()


def test_save_writes_png_only(tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.png"):
        figures.save(rates(), tmp_path / "figure.pdf")


def test_pyplot_stays_out():
    code = "import sys, dpm_jax.evaluation.figures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
