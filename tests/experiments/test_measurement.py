"""A part that fails leaves its reason, and all other parts."""

import json
import signal
import sys

import jax
import numpy as np
import pytest
from untrained import untrained

from dpm_jax.evaluation import figures, table
from dpm_jax.experiments import commands
from dpm_jax.experiments.measurement import Measurement


def failing(error):
    def fail(*args, **options):
        raise error

    return fail


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 5 TiB"),
        jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory\nand more"),
        FloatingPointError("overflow"),
        ValueError("no trajectory reached a positive weight"),
        np.linalg.LinAlgError("singular"),
    ],
)
def test_a_part_that_fails_is_told_in_one_line_and_the_others_are_there(error):
    found = Measurement({"seed": 1})
    assert found.value("first", failing(error)) is None
    assert found.add("second", lambda: {"K": 2.0})
    found.extend("third", failing(error))
    found.draw("fourth", failing(error))
    assert found.numbers == {"seed": 1, "K": 2.0}
    assert found.figures == {}
    said = str(error).splitlines()[0]
    assert found.failed == dict.fromkeys(("first", "third", "figure fourth"), said)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, TypeError])
def test_an_interrupt_or_a_mistake_of_ours_is_no_failed_part(stop):
    with pytest.raises(stop):
        Measurement().value("part", failing(stop))


def test_what_needs_a_part_that_failed_is_left_out_without_a_word():
    found = Measurement()
    found.draw("bits", failing(AssertionError), None, np.ones(3))
    assert not found.add("K", failing(AssertionError), np.ones(3), None)
    assert found.failed == {}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_none(bad):
    found = Measurement()
    assert not found.add("K", lambda: {"K": 1.0, "terms": {"kl": [0.0, float(bad)]}})
    assert found.numbers == {}
    assert found.failed == {"K": "not all of its numbers are finite"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    array = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
    np.save(folder / "mine.npy", array)
    return {
        "swiss_roll": untrained(folder / "roll", "swiss_roll"),
        "images": untrained(folder / "images", "images", f"--data {folder / 'mine.npy'}"),
    }


@pytest.fixture
def evaluated(runs, monkeypatch, capsys, tmp_path):
    """Measures a run again in this process; returns exit code, output, last line and result."""
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    sigterm = signal.getsignal(signal.SIGTERM)

    def run(name):
        words = ["dpm", "evaluate", str(runs[name]), "--workdir", str(tmp_path / "run")]
        monkeypatch.setattr(sys, "argv", words)
        code = 0
        try:
            commands.main()
        except SystemExit as stop:
            code = stop.code
        out, err = capsys.readouterr()
        result = json.loads((tmp_path / "run/result.json").read_text())
        return code, out, (err.splitlines() or [""])[-1], result

    yield run
    signal.signal(signal.SIGTERM, sigterm)


@pytest.mark.slow
def test_a_posterior_that_cannot_be_drawn_leaves_all_else(evaluated, monkeypatch, tmp_path):
    refused = failing(ValueError("no trajectory reached a positive weight"))
    monkeypatch.setattr("dpm_jax.experiments.swiss_roll.measure.draw", refused)
    code, _, last, result = evaluated("swiss_roll")
    assert code == 2
    assert last.startswith(
        "error: parts of the measurement failed, all others are there (posterior"
    )
    assert result["failed"] == {"posterior": "no trajectory reached a positive weight"}
    assert {"K_bits", "iw_bound_bits", "ceiling_bits"} <= result.keys()
    assert "posterior" not in result
    drawn = {p.stem for p in (tmp_path / "run/figures").iterdir()}
    assert drawn == {"swiss_roll", "schedules", "bits"}
    assert (tmp_path / "run/samples.npz").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "key"), [("swiss_roll", "K_bits"), ("images", "K_bits_per_pixel")]
)
def test_a_bound_that_does_not_fit_leaves_a_summary_and_a_row(
    evaluated, monkeypatch, tmp_path, name, key
):
    home = {"swiss_roll": "known_law", "images": "images"}[name]
    lost = failing(MemoryError("held-out K needs 9 GiB for one row"))
    monkeypatch.setattr(f"dpm_jax.experiments.{home}.measure.evaluate", lost)
    code, out, last, result = evaluated(name)
    assert code == 2
    assert "(likelihood: held-out K needs 9 GiB for one row)" in last
    assert result["failed"] == {"likelihood": "held-out K needs 9 GiB for one row"}
    assert key not in result
    assert "K (ours)                  – bits" in out
    assert "samples" in result or "iw_bound_bits" in result
    row = table.row(table.read(tmp_path / "run"))
    assert row[1].startswith("– bits")


@pytest.mark.slow
def test_a_figure_that_cannot_be_rendered_is_a_part_too(evaluated, monkeypatch, tmp_path):
    whole = figures.pixels

    def fail(figure):
        if len(figure.axes) == 4:  # where the bits go
            raise ValueError("Axis limits cannot be NaN or Inf")
        return whole(figure)

    monkeypatch.setattr(figures, "pixels", fail)
    code, _, _, result = evaluated("swiss_roll")
    assert code == 2
    assert result["failed"] == {"figure bits": "Axis limits cannot be NaN or Inf"}
    assert (tmp_path / "run/figures/schedules.png").exists()
