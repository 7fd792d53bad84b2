"""The figure of rate and distortion: every number at its place, with its error."""

import numpy as np

from dpm_jax.evaluation.figures import pixels
from dpm_jax.experiments.images import rates

T = np.array([1, 40, 100])
RATE, RATE_SE = np.array([1.4, 0.6, 0.0]), np.array([0.1, 0.05, 0.001])
RMSE, RMSE_SE = np.array([0.1, 9.0, 64.0]), np.array([0.01, 0.5, 2.0])


def bars(axes, direction):
    """Ends of the error bars [k, 2] along x (0) or y (1)."""
    spans = [np.array(c.get_segments())[:, :, direction] for c in axes.collections]
    return next(s for s in spans if np.ptp(s, axis=1).max() > 0)


def test_rate_and_distortion_stand_against_each_other_and_against_t():
    figure = rates.figure(T, RATE, RATE_SE, RMSE, RMSE_SE, unit="grey levels")
    curve, errors, against_t = figure.axes
    np.testing.assert_array_equal(curve.lines[0].get_xydata(), np.stack([RATE, RMSE], 1))
    np.testing.assert_array_equal(errors.lines[0].get_xydata(), np.stack([T, RMSE], 1))
    np.testing.assert_array_equal(against_t.lines[0].get_xydata(), np.stack([T, RATE], 1))
    np.testing.assert_allclose(bars(curve, 0), RATE[:, None] + RATE_SE[:, None] * [-1, 1])
    np.testing.assert_allclose(bars(errors, 1), RMSE[:, None] + RMSE_SE[:, None] * [-1, 1])
    np.testing.assert_allclose(bars(against_t, 1), RATE[:, None] + RATE_SE[:, None] * [-1, 1])
    assert curve.get_xlabel() == "rate (bits per dimension)"
    assert curve.get_ylabel().endswith("(grey levels)")
    assert [text.get_text() for text in curve.texts] == ["t = 1", "t = 100"]
    assert all(axes.get_ylim()[0] == 0 for axes in figure.axes)
    assert pixels(figure).shape[2] == 3
