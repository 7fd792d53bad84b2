"""The binomial twins of contraction, the second eigenvalue, the walkers and the division."""

import numpy as np

from dpm_jax.course.chapters.common import chosen, seeds
from dpm_jax.course.chapters.eight import LAWS, NAMES, NUMBERS, bars, laws, matrix, random
from dpm_jax.course.parts import Chapter, Control, Curve, Demo, Plot, Reading
from dpm_jax.laboratory import deconvolution, law, markov
from dpm_jax.laboratory.distances import tv
from dpm_jax.laboratory.space import Space
from dpm_jax.laboratory.transform import posterior, transform

ALPHAS = (0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95)
CURVE = np.linspace(0.05, 0.95, 19)
PAIRS, FIRST_INPUT = 3, 20  # FIRST_INPUT is the seed of the first input
WALKERS = 5_000
TIMES = (0, 1, 2, 3, 5, 10, 20, 50)
ERRORS = (0.0, 1e-6, 1e-4, 1e-2, 1e-1)


def chapter() -> Chapter:
    """Four demonstrations."""
    space, data = laws()
    demos = (_closer(space, data), _speed(space, data), _walk(space, data), _divide(space, data))
    return Chapter("bits_walk", demos)


def _closer(space: Space, data: np.ndarray) -> Demo:
    axes = ("seed", "alpha", "pair")
    inputs = np.stack([random(space, FIRST_INPUT + k) for k in range(2 * PAIRS)])
    pairs = inputs.reshape(PAIRS, 2, -1)
    matrices = np.array([[posterior(space, q, alpha) for alpha in ALPHAS] for q in data])
    outputs = np.einsum("saxz,pkz->sapkx", matrices, pairs)
    apart = np.array(
        [
            [[markov.contraction(m, *pair) for pair in pairs] for m in of_seed]
            for of_seed in matrices
        ]
    )  # [seed, alpha, pair, before or after, distance]
    plots = (
        bars(
            "inputs",
            ("input_a", "q", ("pair",), pairs[:, 0]),
            ("input_b", "best", ("pair",), pairs[:, 1]),
        ),
        matrix("bits_posterior", "z", "x", axes[:2], matrices),
        bars(
            "outputs",
            ("input_a", "q", axes, outputs[..., 0, :]),
            ("input_b", "best", axes, outputs[..., 1, :]),
        ),
    )
    readings = tuple(
        Reading(f"{distance}_{when}", axes, apart[..., i, j])
        for j, distance in enumerate(("tv", "kl", "js"))
        for i, when in enumerate(("in", "out"))
    )
    controls = (seeds(LAWS), chosen("alpha", ALPHAS, 0.7), seeds(PAIRS, name="pair"))
    return Demo("closer", controls, plots, readings)


def _speed(space: Space, data: np.ndarray) -> Demo:
    found, independent = (
        np.array([[markov.second_eigenvalue(posterior(space, q, a)) for a in CURVE] for q in some])
        for some in (data, space.prior[None])
    )
    chord = [np.interp(CURVE, CURVE[[0, -1]], values[[0, -1]]) for values in found]
    plot = Plot(
        "second",
        ("α", 0.0, 1.0),
        ("λ₂", 0.0, 1.0),
        (
            Curve("second", "best", ("seed",), CURVE, found),
            Curve("chord", "plain", ("seed",), CURVE, np.array(chord)),
            Curve("second_independent", "exact", (), CURVE, independent[0]),
        ),
    )
    readings = (Reading("off_chord", ("seed",), np.abs(found - chord).max(-1)),)
    return Demo("speed", (seeds(LAWS),), (plot,), readings)


def _walk(space: Space, data: np.ndarray) -> Demo:
    axes = ("seed", "alpha", "times")
    walked = np.zeros((LAWS, len(ALPHAS), len(TIMES), len(NUMBERS)))
    for seed, a in np.ndindex(LAWS, len(ALPHAS)):
        matrix_ = posterior(space, data[seed], ALPHAS[a])
        start = np.full(WALKERS, NAMES.index("000"))
        places = markov.walk(matrix_, start, max(TIMES), np.random.default_rng(0))
        walked[seed, a] = [counted(places[time]) for time in TIMES]
    rest = np.array([[markov.stationary(space, q, alpha) for alpha in ALPHAS] for q in data])
    rng = np.random.default_rng(1)
    independent = np.stack([counted(markov.draw(q, WALKERS, rng)) for q in data])
    plot = bars(
        "walkers",
        ("data", "q", ("seed",), data),
        ("stationary", "exact", axes[:2], rest),
        ("walkers", "plain", axes, walked),
    )
    readings = (
        Reading("tv_walkers", axes, tv(walked, data[:, None, None])),
        Reading("tv_independent", ("seed",), tv(independent, data)),
    )
    controls = (
        seeds(LAWS),
        chosen("alpha", ALPHAS, 0.5),
        Control("times", tuple(map(str, TIMES)), 1),
    )
    return Demo("walk", controls, (plot,), readings)


def counted(places: np.ndarray) -> np.ndarray:
    """The share of walkers in each state."""
    return np.bincount(places, minlength=len(NUMBERS)) / len(places)


def _divide(space: Space, data: np.ndarray) -> Demo:
    axes = ("seed", "alpha", "error")
    sizes = (LAWS, len(ALPHAS), len(ERRORS))
    divided, transformed = np.zeros((2, *sizes, len(NUMBERS)))
    noise = np.random.default_rng(0).standard_normal(len(NUMBERS)).clip(-4, 4)
    for place in np.ndindex(sizes):
        q, alpha, error = data[place[0]], ALPHAS[place[1]], ERRORS[place[2]]
        seen = law.law(space, transform(space, q, alpha) * (1 + error * noise))
        divided[place] = deconvolution.undone(space, seen, alpha)
        transformed[place] = posterior(space, q, alpha) @ seen
    wide = bars(
        "divided",
        ("data", "q", ("seed",), data),
        ("divided", "best", axes, divided.clip(-1, 2)),
        ("by_posterior", "exact", axes, transformed),
    )
    readings = (
        Reading("gain_bits", ("alpha",), np.array(ALPHAS) ** -np.log2(len(NUMBERS))),
        Reading("off_bits", axes, np.abs(divided - data[:, None, None]).max(-1)),
        Reading("off_posterior", axes, np.abs(transformed - data[:, None, None]).max(-1)),
    )
    controls = (
        seeds(LAWS),
        chosen("alpha", ALPHAS, 0.3),
        Control("error", ("0", "10⁻⁶", "10⁻⁴", "10⁻²", "10⁻¹"), 3),
    )
    plot = wide._replace(y=("", -0.5, 1.5))
    return Demo("divide", controls, (plot,), readings)
