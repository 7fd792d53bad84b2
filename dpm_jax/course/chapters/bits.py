"""The binomial twin of one transform, its posterior, its best model and its iteration."""

import numpy as np

from dpm_jax.course.chapters.common import chosen, seeds
from dpm_jax.course.chapters.eight import BITS, LAWS, NAMES, bars, laws, matrix, random, state
from dpm_jax.course.parts import Chapter, Control, Demo, Reading
from dpm_jax.laboratory import chain, law, markov
from dpm_jax.laboratory.account import account
from dpm_jax.laboratory.distances import js, kl, mean_kl, tv
from dpm_jax.laboratory.space import bits
from dpm_jax.laboratory.transform import likelihood, posterior, transform

ALPHAS = (0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95)
ACTIVITIES = (0.1, 0.3, 0.5)
STEPS = (1, 2, 4, 8, 16, 32)
TIMES = (0, 1, 2, 3, 5, 10, 20, 50, 100, 1000)


def chapter() -> Chapter:
    """Transform and posterior; the way back by independent bits; the iteration."""
    return Chapter("bits", (_one(), _back(), _again()))


def _one() -> Demo:
    axes = ("activity", "seed", "alpha")
    spaces = [bits(BITS, activity) for activity in ACTIVITIES]
    data = np.stack([random(spaces[0], seed) for seed in range(LAWS)])
    after = np.array([[[transform(s, q, a) for a in ALPHAS] for q in data] for s in spaces])
    back = np.array([[[posterior(s, q, a) for a in ALPHAS] for q in data] for s in spaces])
    ahead = np.array([[likelihood(s, a) for a in ALPHAS] for s in spaces])
    sight = ahead / ahead.sum(-1, keepdims=True)
    plots = (
        bars(
            "bits_noisy",
            ("data", "q", ("seed",), data),
            ("transformed", "best", axes, after),
        ),
        matrix("bits_likelihood", "x", "z", ("activity", "alpha"), ahead),
        matrix("bits_posterior", "z", "x", axes, back),
        bars(
            "bits_product",
            ("data", "q", ("seed",), data),
            ("likelihood_of_state", "exact", ("activity", "alpha", "state"), sight),
            ("posterior", "best", (*axes, "state"), np.swapaxes(back, -1, -2)),
        ),
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
        state(NAMES.index("100")),
    )
    return Demo("one", controls, plots, readings)


def _back() -> Demo:
    """Schedules of equal rates: together they keep a hundredth of the signal."""
    axes, (space, data) = ("seed", "steps"), laws()
    rates = [np.full(count, 0.01 ** (1 / count)) for count in STEPS]
    found = [[chain.restored_by_best(space, q, r, space.prior)[0] for r in rates] for q in data]
    accounts = [[account(space, q, r) for r in rates] for q in data]
    plot = bars(
        "bits_restored",
        ("data", "q", ("seed",), data),
        ("from_best_bits", "best", axes, np.array(found)),
    )
    readings = (
        Reading("limit", ("seed",), np.array([-of_seed[0].data for of_seed in accounts])),
        Reading("K", axes, np.array([[a.K for a in of_seed] for of_seed in accounts])),
        Reading("cost", axes, np.array([[a.steps.sum() for a in s] for s in accounts])),
        Reading("end_cost", axes, np.array([[a.end for a in s] for s in accounts])),
        Reading("tv_restored", axes, tv(np.array(found), data[:, None])),
    )
    return Demo("back", (seeds(LAWS, LAWS - 1), chosen("steps", STEPS, 4)), (plot,), readings)


def _again() -> Demo:
    axes, (space, data) = ("seed", "alpha", "times"), laws()
    start = law.product(space, np.zeros(BITS))
    matrices = [[posterior(space, q, alpha) for alpha in ALPHAS] for q in data]
    powers = np.array([[[markov.power(m, n) for n in TIMES] for m in s] for s in matrices])
    found = powers @ start
    rest = np.array([[markov.stationary(space, q, alpha) for alpha in ALPHAS] for q in data])
    plots = (
        bars(
            "bits_iterated",
            ("data", "q", ("seed",), data),
            ("iterated", "best", axes, found),
        ),
        matrix("power", "z", "x", axes, powers),
    )
    second = [[markov.second_eigenvalue(m) for m in of_seed] for of_seed in matrices]
    readings = (
        Reading("js_from_data", axes, js(found, data[:, None, None])),
        Reading("js_from_stationary", axes, js(found, rest[:, :, None])),
        Reading("gap", axes[:2], 1 - np.array(second)),
    )
    controls = (
        seeds(LAWS),
        chosen("alpha", ALPHAS, 0.7),
        Control("times", tuple(map(str, TIMES)), 1),
    )
    return Demo("again", controls, plots, readings)
