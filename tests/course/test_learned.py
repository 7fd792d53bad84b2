"""The network of the page ``learned``: its exact K, and that it is what the command trains."""

import jax
import numpy as np
import pytest

from dpm_jax.course.chapters import learned
from dpm_jax.evaluation.likelihood import estimate, evaluate
from dpm_jax.experiments import one_number
from dpm_jax.laboratory import chain, gaussian, markov
from dpm_jax.laboratory.account import account
from dpm_jax.laboratory.transform import likelihood

SPACE, Q = learned.data()
BEST = account(SPACE, Q, learned.RATES)


@pytest.fixture(scope="module")
def stored():
    return learned.trained()


def exact_K(found):
    return BEST.K_exact - found.steps.sum(1)


def test_K_of_the_stored_normals_is_the_mean_log_weight_of_all_paths(stored):
    stage, laws = 1, chain.forward(SPACE, Q, learned.RATES)
    total = laws[-1] @ np.log(SPACE.prior)
    for t, alpha in enumerate(learned.RATES, 1):
        ahead = likelihood(SPACE, float(alpha))  # x_t in rows
        back = gaussian.log_normal(
            SPACE.states, stored.mean[stage, t - 1], stored.std[stage, t - 1] ** 2
        )
        log_ahead = np.log(np.where(ahead > 0, ahead, 1))
        total += ((ahead * laws[t - 1]) * (back.T - log_ahead)).sum()
    K = total / np.log(2) - np.log2(SPACE.cell)
    assert exact_K(stored)[stage] == pytest.approx(K, abs=1e-9)


def test_training_nears_the_best_normals_and_does_not_pass_them(stored):
    K = exact_K(stored)
    assert (np.diff(K) > 0).all()
    assert BEST.K - 0.03 < K[-1] < BEST.K < BEST.K_exact
    assert (stored.steps > BEST.steps).all()


def test_the_command_wants_one_file(capsys, tmp_path):
    for words in ([], ["a.txt"], [str(tmp_path / "no" / "a.npz")]):
        with pytest.raises(SystemExit) as ended:
            one_number.main(words)
        assert ended.value.code == 2
        assert capsys.readouterr().err.startswith("error: name one .npz file")


@pytest.mark.slow
def test_the_command_trains_what_is_stored_and_the_library_measures_its_K(
    stored, tmp_path, monkeypatch
):
    process, *readings = one_number.trained()
    monkeypatch.setattr(one_number, "trained", lambda: (process, *readings))
    one_number.main([str(tmp_path / "learned.npz")])
    monkeypatch.setattr(learned, "files", lambda name: tmp_path)
    again = learned.trained()
    # To what other machines' rounding makes of 3,000 steps.
    np.testing.assert_allclose(exact_K(again), exact_K(stored), atol=3e-3)
    drawn = markov.draw(Q, 20_000, np.random.default_rng(9))
    x = SPACE.states[drawn].astype(np.float32)[:, None]
    K = evaluate(process, x, jax.random.key(0), chunk=4_000, progress=False).K
    # Without each example's own log q, whose mean is known, the sampling error is smaller.
    found = estimate(K - np.log2(Q[drawn] / SPACE.cell))
    assert abs(found.mean - exact_K(again)[-1] - BEST.data) < 5 * found.se
