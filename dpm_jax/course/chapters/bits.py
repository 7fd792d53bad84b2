"""The binomial twin: the same story told by three bits."""

import numpy as np
from jaxtyping import Float

from dpm_jax.course.chapters.common import chosen, seeds
from dpm_jax.course.parts import Chapter, Control, Curve, Demo, Picture, Plot, Reading
from dpm_jax.laboratory import chain, law, markov
from dpm_jax.laboratory.account import account
from dpm_jax.laboratory.distances import js, kl, mean_kl, tv
from dpm_jax.laboratory.space import Space, bits
from dpm_jax.laboratory.transform import likelihood, posterior, transform

BITS, LAWS = 3, 4
ALPHAS = (0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95)
ACTIVITIES = (0.1, 0.3, 0.5)
STEPS = (1, 2, 4, 8, 16, 32)
TIMES = (0, 1, 2, 3, 5, 10, 20, 50, 100, 1000)
BAR = 0.4  # of the distance between two states
NUMBERS = np.arange(2.0**BITS)


def chapter() -> Chapter:
    """Transform and posterior; the way back by independent bits; the iteration."""
    return Chapter("bits", (_one(), _back(), _again()))


def random(space: Space, seed: int) -> Float[np.ndarray, " n"]:
    """The law of a seed; the last is the heartbeat of period 3."""
    if seed == LAWS - 1:
        return law.heartbeat(space, BITS)
    return law.law(space, np.random.default_rng(seed).exponential(size=2**BITS) ** 2)


def _one() -> Demo:
    axes = ("activity", "seed", "alpha")
    spaces = [bits(BITS, activity) for activity in ACTIVITIES]
    laws = np.stack([random(spaces[0], seed) for seed in range(LAWS)])
    after = np.array([[[transform(s, q, a) for a in ALPHAS] for q in laws] for s in spaces])
    back = np.array([[[posterior(s, q, a) for a in ALPHAS] for q in laws] for s in spaces])
    ahead = np.array([[likelihood(s, a) for a in ALPHAS] for s in spaces])
    plots = (
        _bars(
            "bits_noisy",
            Curve("data", "q", ("seed",), NUMBERS - BAR / 2, laws, "bars"),
            Curve("transformed", "best", axes, NUMBERS + BAR / 2, after, "bars"),
        ),
        _matrix("bits_likelihood", "x", "z", Picture(("activity", "alpha"), ahead)),
        _matrix("bits_posterior", "z", "x", Picture(axes, back)),
    )
    priors = np.stack([space.prior for space in spaces])
    fits = np.zeros(back.shape[:3])
    for place in np.ndindex(fits.shape):
        log_best = spaces[place[0]].log_best(back[place])
        fits[place] = mean_kl(after[place], back[place], log_best)
    readings = (
        Reading("kl_prior", axes, kl(after, priors[:, None, None])),
        Reading("from_bits", axes, fits),
    )
    controls = (
        seeds(LAWS),
        chosen("alpha", ALPHAS, 0.7),
        chosen("activity", ACTIVITIES, 0.5),
    )
    return Demo("one", controls, plots, readings)


def _back() -> Demo:
    """Schedules of equal rates: together they keep a hundredth of the signal."""
    axes, space = ("seed", "steps"), bits(BITS)
    laws = np.stack([random(space, seed) for seed in range(LAWS)])
    rates = [np.full(count, 0.01 ** (1 / count)) for count in STEPS]
    found = [[chain.restored_by_best(space, q, r, space.prior)[0] for r in rates] for q in laws]
    accounts = [[account(space, q, r) for r in rates] for q in laws]
    plot = _bars(
        "bits_restored",
        Curve("data", "q", ("seed",), NUMBERS - BAR / 2, laws, "bars"),
        Curve("from_best_bits", "best", axes, NUMBERS + BAR / 2, np.array(found), "bars"),
    )
    readings = (
        Reading("limit", ("seed",), np.array([-of_seed[0].data for of_seed in accounts])),
        Reading("K", axes, np.array([[a.K for a in of_seed] for of_seed in accounts])),
        Reading("cost", axes, np.array([[a.steps.sum() for a in s] for s in accounts])),
        Reading("end_cost", axes, np.array([[a.end for a in s] for s in accounts])),
        Reading("tv_restored", axes, tv(np.array(found), laws[:, None])),
    )
    return Demo("back", (seeds(LAWS, LAWS - 1), chosen("steps", STEPS, 4)), (plot,), readings)


def _again() -> Demo:
    axes, space = ("seed", "alpha", "times"), bits(BITS)
    laws = np.stack([random(space, seed) for seed in range(LAWS)])
    start = law.product(space, np.zeros(BITS))
    matrices = [[posterior(space, q, alpha) for alpha in ALPHAS] for q in laws]
    powers = np.array([[[markov.power(m, n) for n in TIMES] for m in s] for s in matrices])
    found = powers @ start
    rest = np.array([[markov.stationary(space, q, alpha) for alpha in ALPHAS] for q in laws])
    plots = (
        _bars(
            "bits_iterated",
            Curve("data", "q", ("seed",), NUMBERS - BAR / 2, laws, "bars"),
            Curve("iterated", "best", axes, NUMBERS + BAR / 2, found, "bars"),
        ),
        _matrix("power", "z", "x", Picture(axes, powers)),
    )
    second = [[markov.second_eigenvalue(m) for m in of_seed] for of_seed in matrices]
    readings = (
        Reading("js_from_data", axes, js(found, laws[:, None, None])),
        Reading("js_from_stationary", axes, js(found, rest[:, :, None])),
        Reading("gap", axes[:2], 1 - np.array(second)),
    )
    controls = (
        seeds(LAWS),
        chosen("alpha", ALPHAS, 0.7),
        Control("times", tuple(map(str, TIMES)), 1),
    )
    return Demo("again", controls, plots, readings)


def _bars(name: str, *curves: Curve) -> Plot:
    return Plot(name, ("", -0.5, len(NUMBERS) - 0.5), ("", 0.0, 1.0), curves)


def _matrix(name: str, x: str, y: str, picture: Picture) -> Plot:
    ends = (-0.5, len(NUMBERS) - 0.5)
    return Plot(name, (x, *ends), (y, *ends), (picture,))
