"""The binomial twins of whole chains: there and back, K term by term, schedules, a posterior."""

import numpy as np

from dpm_jax.course.chapters import cost, product, steps
from dpm_jax.course.chapters.common import chosen, seeds
from dpm_jax.course.chapters.eight import LAWS, bars, laws, random, state
from dpm_jax.course.parts import Chapter, Demo, Reading
from dpm_jax.laboratory import chain, law
from dpm_jax.laboratory.distances import js, kl, tv
from dpm_jax.laboratory.space import Space
from dpm_jax.laboratory.transform import likelihood, transform

RATES = (0.25, 0.5, 0.7, 0.95)
STEPS = 7
RATIOS = (0.0, 0.5, 1.0)
NOISE = 10  # seed of the law that disturbs an end
SEEN = (0, LAWS - 1)  # seeds of the laws of the pages on the line's schedules


def chapter() -> Chapter:
    """Four demonstrations, each the twin of a chapter on the line."""
    space, data = laws()
    some = [data[seed] for seed in SEEN]
    return Chapter(
        "bits_chain",
        (
            _chain(space, data),
            cost.terms(space, some, most=1.2, entropies=(0.0, 3.0)),
            steps.three(space, some, (-3.0, -1.5)),
            _see(space, data),
        ),
    )


def _chain(space: Space, data: np.ndarray) -> Demo:
    """Out by seven steps, and back by exact posteriors from two ends."""
    sizes, axes = (LAWS, len(RATES), len(RATES)), ("seed", "start", "end")
    out, prior = np.zeros((2, *sizes, STEPS + 1, len(space.prior)))
    back = np.zeros((*sizes, len(RATIOS), STEPS + 1, len(space.prior)))
    bars_left, one = np.ones((*sizes[1:], STEPS + 1)), np.zeros((*sizes, STEPS + 1))
    for place in np.ndindex(sizes):
        seed, start, end = place
        q, rates = data[seed], chain.rates(RATES[start], RATES[end], STEPS)
        out[place] = chain.forward(space, q, rates)
        prior[place] = chain.restored(space, q, rates, space.prior)
        bars_left[start, end, 1:] = chain.alpha_bar(rates)
        for t in range(1, STEPS + 1):
            whole = transform(space, q, float(bars_left[start, end, t]))
            one[(*place, t)] = tv(out[(*place, t)], whole)
        for i, ratio in enumerate(RATIOS):
            wrong = chain.disturbed(space, out[(*place, -1)], random(space, NOISE), ratio)
            back[(*place, i)] = chain.restored(space, q, rates, wrong)
    plot = bars(
        "restored",
        ("chain", "q", (*axes, "t"), out),
        ("from_independent", "exact", (*axes, "t"), prior),
        ("from_disturbed", "other", (*axes, "ratio", "t"), back),
    )
    apart = js(back, out[..., None, :, :])
    readings = (
        Reading("alpha_bar", (*axes[1:], "t"), bars_left),
        Reading("tv_one_step", (*axes, "t"), one),
        Reading("kl_prior", (*axes, "t"), kl(out, space.prior)),
        Reading("js_from_independent", (*axes, "t"), js(prior, out)),
        Reading("js_from_disturbed", (*axes, "ratio", "t"), apart),
        Reading("js_end", (*axes, "ratio"), apart[..., -1]),
        Reading("js_data", (*axes, "ratio"), apart[..., 0]),
    )
    controls = (
        seeds(LAWS),
        chosen("start", RATES, 0.95),
        chosen("end", RATES, 0.7),
        chosen("ratio", RATIOS, 0.5),
        chosen("t", range(STEPS + 1), 3),
    )
    return Demo("chain", controls, (plot,), readings)


def _see(space: Space, data: np.ndarray) -> Demo:
    """Noisy bits are seen: multiplied at the data, by entering the chain, and at every step."""
    alpha_bars = chain.alpha_bar(product.RATES)
    sights = np.stack([likelihood(space, float(bar)) for bar in alpha_bars])  # [t, z, x]
    states = np.arange(len(space.prior))
    multiplied = np.array([[[law.law(space, q * r) for r in of] for of in sights] for q in data])
    entered = np.array([product.entering(space, q, states) for q in data])
    walked = np.array([product.product_of_steps(space, q, sights) for q in data])
    axes = ("seed", "t", "state")
    plots = (
        bars(
            "sight",
            ("data", "q", ("seed",), data),
            ("sight", "exact", axes[1:], sights / sights.sum(-1, keepdims=True)),
        ),
        bars(
            "three_ways",
            ("multiplied", "q", axes, multiplied),
            ("entered", "exact", axes, entered),
            ("walked", "best", axes, walked),
        ),
    )
    readings = (
        Reading("alpha_bar", ("t",), alpha_bars),
        Reading("tv_entered", axes, tv(entered, multiplied)),
        Reading("tv_walked", axes, tv(walked, multiplied)),
    )
    controls = (seeds(LAWS), chosen("t", range(1, product.STEPS + 1), 3), state(1))
    return Demo("see", controls, plots, readings)
