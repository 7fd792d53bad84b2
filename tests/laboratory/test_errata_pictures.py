"""The pictures of docs/errata.md draw what the laboratory finds."""

import numpy as np
import pytest
from PIL import Image

from dpm_jax.experiments import errata
from dpm_jax.laboratory import law
from dpm_jax.laboratory.space import line

SPACE = line(129)
LAWS = [SPACE.prior, law.random(SPACE, 0)]


def test_the_eigenvalues_of_a_normal_are_roots_and_a_law_is_drawn_less_its_line():
    left, right = errata.eigenvalues(SPACE, LAWS).axes
    drawn = np.array([curve.get_ydata() for curve in left.lines[:2]])
    np.testing.assert_allclose(drawn[0], np.sqrt(errata.LINEAR), atol=1e-6)
    off = np.array([curve.get_ydata() for curve in right.lines[:2]])
    for values, residual in zip(drawn, off, strict=True):
        np.testing.assert_allclose(
            values - residual,
            np.polyval(np.polyfit(errata.LINEAR, values, 1), errata.LINEAR),
            atol=1e-9,
        )


def test_the_laws_at_rest_near_q():
    left, right = errata.stationary(SPACE, [LAWS[1]] * 4).axes
    heights = [curve.get_ydata() for curve in left.lines]
    q = law.density(SPACE, LAWS[1])[np.abs(SPACE.states) <= law.EXTENT + 0.3]
    off = [np.abs(height - q).max() for height in heights]
    assert off == sorted(off, reverse=True)
    assert (np.diff(right.lines[0].get_ydata()) > 0).all()


def test_both_pictures_are_written_and_a_wrong_place_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(errata.claims, "SEEDS", range(4))
    monkeypatch.setattr(errata.claims, "POINTS", 129)
    errata.main([str(tmp_path)])
    for name in ("eigenvalues", "stationary"):
        with Image.open(tmp_path / f"errata_{name}.png") as picture:
            assert picture.size[0] == 960
    with pytest.raises(SystemExit) as ended:
        errata.main([str(tmp_path / "no")])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: name one folder that there is\n"
