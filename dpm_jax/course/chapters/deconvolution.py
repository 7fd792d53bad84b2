"""Chapter 8: can the noise be divided away? Deconvolution against the posterior transform."""

import numpy as np

from dpm_jax.course.chapters.common import SHOWN, chosen, random, seeds, shown, window
from dpm_jax.course.parts import Chapter, Control, Curve, Demo, Plot, Reading
from dpm_jax.laboratory import law
from dpm_jax.laboratory.deconvolution import amplification, deconvolved, stretched
from dpm_jax.laboratory.space import Space, line
from dpm_jax.laboratory.transform import posterior, transform

ALPHAS = (0.1, 0.3, 0.5, 0.7, 0.9)
CUTOFFS = (4.0, 8.0, 12.0, 16.0, 20.0, 30.0)
ERRORS = (0.0, 1e-12, 1e-9, 1e-6, 1e-3)
LAWS = 3
AXES = ("seed", "alpha", "cutoff", "error")
HIGHEST = 4.0
"""Densities beyond ± this are cut off: they can be as large as 1e100."""
FREQUENCIES = np.linspace(0, 30, 61)


def chapter() -> Chapter:
    """One demonstration: the law divided back, from a z that is wrong by a little."""
    space = line(513)
    x, laws = space.states[shown(space)], [random(space, seed) for seed in range(LAWS)]
    divided, transformed = _restored(space, laws)
    same = np.array([[divide(space, space.prior, a, c) for c in CUTOFFS] for a in ALPHAS])
    data = Curve("data", "q", ("seed",), x, window(space, np.stack(laws)))
    axis, height = ("x", -SHOWN, SHOWN), ("", -1.0, 2.5)
    plots = (
        Plot(
            "divided",
            axis,
            height,
            (data, Curve("divided", "best", AXES, x, _cut(window(space, divided)))),
        ),
        Plot(
            "by_posterior",
            axis,
            height,
            (
                data,
                Curve(
                    "by_posterior",
                    "best",
                    (AXES[0], AXES[1], AXES[3]),
                    x,
                    window(space, transformed),
                ),
            ),
        ),
        Plot(
            "divided_normal",
            axis,
            height,
            (data, Curve("divided_normal", "best", AXES[1:3], x, _cut(window(space, same)))),
        ),
        Plot(
            "amplification",
            ("ω", 0.0, 30.0),
            ("log₁₀", 0.0, 20.0),
            (
                Curve(
                    "amplification",
                    "plain",
                    ("alpha",),
                    FREQUENCIES,
                    np.log10([amplification(FREQUENCIES, a) for a in ALPHAS]),
                ),
            ),
        ),
    )
    stacked = np.stack(laws)
    readings = (
        Reading("gain", AXES[1:3], np.array([amplification(np.array(CUTOFFS), a) for a in ALPHAS])),
        Reading("off_divided", AXES, _off(space, divided, stacked[:, None, None, None])),
        Reading(
            "off_posterior",
            (AXES[0], AXES[1], AXES[3]),
            _off(space, transformed, stacked[:, None, None]),
        ),
    )
    controls = (
        seeds(LAWS),
        chosen("alpha", ALPHAS, 0.5),
        chosen("cutoff", CUTOFFS, 12),
        Control("error", ("0", "10⁻¹²", "10⁻⁹", "10⁻⁶", "10⁻³"), 2),
    )
    return Chapter("deconvolution", (Demo("divide", controls, plots, readings),))


def divide(space: Space, q_z: np.ndarray, alpha: float, cutoff: float) -> np.ndarray:
    """Both halves of the transform turned back."""
    return stretched(space, deconvolved(space, q_z, alpha, cutoff), alpha)


def wrong(space: Space, q_z: np.ndarray, error: float) -> np.ndarray:
    """The law with each mass wrong by about this share of itself."""
    noise = np.random.default_rng(0).standard_normal(len(q_z)).clip(-4, 4)
    return law.law(space, q_z * (1 + error * noise))


def _restored(space: Space, laws: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    divided = np.zeros((LAWS, len(ALPHAS), len(CUTOFFS), len(ERRORS), len(space.states)))
    transformed = np.zeros((LAWS, len(ALPHAS), len(ERRORS), len(space.states)))
    for seed, a in np.ndindex(LAWS, len(ALPHAS)):
        q_z, back = transform(space, laws[seed], ALPHAS[a]), posterior(space, laws[seed], ALPHAS[a])
        for e, error in enumerate(ERRORS):
            seen = wrong(space, q_z, error)
            transformed[seed, a, e] = back @ seen
            divided[seed, a, :, e] = [divide(space, seen, ALPHAS[a], c) for c in CUTOFFS]
    return divided, transformed


def _cut(density: np.ndarray) -> np.ndarray:
    return density.clip(-HIGHEST, HIGHEST)


def _off(space: Space, found: np.ndarray, laws: np.ndarray) -> np.ndarray:
    """The largest error of a density."""
    return np.asarray(np.abs(law.density(space, found - laws)).max(-1))
