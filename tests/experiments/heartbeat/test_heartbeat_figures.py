"""Figures of the heartbeat: every bit in its bin, every question with its answer."""

import numpy as np
import pytest

from dpm_jax.evaluation.figures import save
from dpm_jax.experiments.heartbeat import figures


def rasters():
    return np.random.default_rng(0).integers(2, size=(3, 60, 20)).astype(float)


def beat():
    return figures.heartbeat(*rasters())


def answers():
    exact, estimate = np.array([0.7, 0.3, 0, 0, 0]), np.array([0.6, 0.35, 0.05, 0, 0])
    one = {"exact": exact, "estimate": estimate, "estimate_se": 0.1 * estimate}
    one |= {"unweighted": np.full(5, 0.2), "trajectories": 10_000, "effective": 1234.5}
    return {"five zeros": one, "one period": one}


def phases():
    smc = {name: said | {"estimate": said["exact"]} for name, said in answers().items()}
    return figures.phase_posteriors(answers(), smc)


def test_phase_posteriors_draw_every_question():
    axes = phases().axes
    assert [a.get_title().split("\n")[0] for a in axes] == ["five zeros", "one period"]
    worth = ["10,000 weighted worth 1,234", "10,000 of smc worth 1,234"]
    assert axes[0].get_title().split("\n")[1:] == worth
    said = answers()["five zeros"]
    np.testing.assert_array_equal([bar.get_height() for bar in axes[0].patches], said["exact"])
    drawn = [line.get_ydata() for line in axes[0].lines if len(line.get_ydata()) == 5]
    np.testing.assert_array_equal(drawn[0], said["unweighted"])
    np.testing.assert_array_equal(drawn[1], said["estimate"])
    (particles,) = (line.get_ydata() for line in axes[0].lines if line.get_marker() == "s")
    np.testing.assert_array_equal(particles, said["exact"])


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


@pytest.mark.parametrize("draw", [beat, phases])
def test_saved_bytes_of_the_heartbeat_repeat_and_are_few(draw, tmp_path):
    save(draw(), tmp_path / "figure.png")
    saved = (tmp_path / "figure.png").read_bytes()
    assert len(saved) < 200_000
    assert saved == draw()._repr_png_()


def test_frames_of_the_heartbeat_run_from_noise_to_data():
    share = {0: 0.0, 2000: 1.0, 50: 0.5}
    states = {t: np.ones((40, 20)) * (np.arange(20) < 20 * s) for t, s in share.items()}
    frames = figures.frames(states)
    assert {(frame.shape, frame.dtype) for frame in frames} == {((528, 480, 3), np.dtype("uint8"))}
    black = [(frame.max(-1) < 128).sum() for frame in frames]
    assert black[0] > 1.5 * black[1] > 3 * black[2]
