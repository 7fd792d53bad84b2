"""What only the roll's evaluation has: the paper's Figure 1, and what the schedule allows."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dpm_jax import perturb, schedule, trajectory
from dpm_jax.array_types import Array, PRNGKey
from dpm_jax.data.swiss_roll import Roll
from dpm_jax.evaluation import figures
from dpm_jax.evaluation.entropies import entropy_profile
from dpm_jax.evaluation.likelihood import MakeProcess
from dpm_jax.evaluation.posterior import Posterior, draw, summary
from dpm_jax.evaluation.toy_problem import Outcome
from dpm_jax.limits import swiss_roll as limits
from dpm_jax.limits.conditional import Conditional, conditional
from dpm_jax.process import bind

SHOWN = 3000
KNOWN = 0.3  # of the first coordinate, where the second has four arms to be on
GRID = np.linspace(-2.5, 2.5, 17)
START = "where learning starts"
OWN, BEST, FIXED = "this run's", "best by dynamic programming", "fixed 1/(T−t+1)"


def forward_states(outcome: Outcome, key: Array) -> dict[int, np.ndarray]:
    """Held-out points pushed forward, their states at t = 0, T/2 and T by t [n, 2]."""
    model, steps = outcome.model, outcome.model.schedule.steps
    keep = (0, steps // 2, steps)
    process = bind(model, outcome.fitted.params)
    points = jnp.asarray(outcome.data.heldout[:SHOWN])
    walk = partial(trajectory.forward, process, keep=keep)
    kept = jax.jit(jax.vmap(walk))(points, jax.random.split(key, len(points))).kept
    return {t: np.asarray(kept[:, i]) for i, t in enumerate(keep)}


def drift(outcome: Outcome, t: int) -> tuple[np.ndarray, np.ndarray]:
    """f_μ(x, t) - x on a square grid: positions and vectors, [g, g, 2] each."""
    positions = np.stack(np.meshgrid(GRID, GRID), axis=-1).astype(np.float32)
    process, step = bind(outcome.model, outcome.fitted.params), jnp.asarray(t)
    c = schedule.at(process.schedule, step)
    mean = jax.vmap(jax.vmap(lambda x: process.reverse(x, step, c).mean))(positions)
    return positions, np.asarray(mean) - positions


def schedules(outcome: Outcome, roll: Roll, beta_1: float) -> dict[str, tuple[np.ndarray, float]]:
    """β and its ceiling in bits, by name: this run's, the best possible, and the fixed ones."""
    steps, last = outcome.model.schedule.steps, outcome.model.learned_last_step
    own = outcome.model.schedule.apply(outcome.fitted.params["schedule"])
    start = schedule.learned(steps, beta_1)
    families = {FIXED: schedule.fixed(steps), START: start}
    named = {OWN: own} | {name: f.apply(f.init()) for name, f in families.items()}
    found = {
        name: (np.asarray(s.beta), limits.ceiling(roll, s, learned_last_step=last))
        for name, s in named.items()
    }
    return found | {BEST: limits.best_schedule(roll, steps, beta_1, learned_last_step=last)}


def posterior(process: MakeProcess, params: Any, count: int, key: PRNGKey) -> Posterior:
    """Weighted points whose first coordinate is ``KNOWN``."""
    value, mask = jnp.array([KNOWN, 0.0]), jnp.array([True, False])
    return draw(process, params, lambda p: perturb.known(p, value, mask), (2,), count, key)


def answer(draws: Posterior, exact: Conditional) -> dict[str, Any]:
    """Probability of every arm of the roll, and the second coordinate's mean, beside the truth."""
    y, edges = draws.x[:, 1], exact.arms
    inside = np.diff((y[:, None] <= np.append(edges[:-1], np.inf)).astype(float), axis=-1)
    inside[:, 0] += y <= edges[0]  # the outer arms take what lies off the grid
    values = np.concatenate([inside, y[:, None]], axis=-1)
    truth = np.append(exact.mass(edges), exact.mean)
    names = [f"arm {i + 1}" for i in range(len(edges) - 1)]
    return {
        "known": KNOWN,
        "edges": edges.tolist(),
        "of": [*names, "mean"],
        **summary(draws, values, truth, exact.log_evidence),
    }


def finish(
    outcome: Outcome, folder: Path, *, roll: Roll, beta_1: float, seed: int
) -> dict[str, Any]:
    """Draw the figures into ``folder``; return the ceilings for ``result.json``."""
    key = jax.random.key(seed)
    keys = jax.random.split(jax.random.fold_in(key, 2))
    steps = outcome.model.schedule.steps
    compared = schedules(outcome, roll, beta_1)
    examples = outcome.data.heldout[:SHOWN]
    profile = entropy_profile(
        partial(bind, outcome.model), outcome.fitted.params, examples, keys[1]
    )
    draws = posterior(
        partial(bind, outcome.model),
        outcome.fitted.params,
        len(outcome.samples[0]),
        jax.random.fold_in(key, 3),
    )
    exact = conditional(roll, 0, KNOWN)
    shown = {t: x[:SHOWN] for t, x in outcome.samples.items()}
    pictures = {
        "swiss_roll": figures.swiss_roll(
            forward_states(outcome, keys[0]),
            shown,
            {t: drift(outcome, t) for t in sorted({2, max(2, steps // 2), steps})},
        ),
        "schedules": figures.schedules(
            {name: beta for name, (beta, _) in compared.items()},
            notes={name: f"K ≤ {top:.3f} bits" for name, (_, top) in compared.items()},
        ),
        "bits": figures.where_the_bits_go(outcome.likelihood.step_kl, *profile, continuous=True),
        "posterior": figures.conditional(
            draws.x[:, 1], draws.weight, exact.grid, exact.density, known=KNOWN
        ),
    }
    for name, figure in pictures.items():
        figures.save(figure, folder / f"{name}.png")
    return {
        "noise": roll.noise,
        "beta_1": beta_1,
        "ceiling_bits": {name: top for name, (_, top) in compared.items()},
        "posterior": answer(draws, exact),
        "beta": compared[OWN][0].tolist(),
    }
