"""What only the roll's evaluation has: the paper's Figure 1, and what the schedule allows."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dpm_jax import schedule, trajectory
from dpm_jax.array_types import Array
from dpm_jax.data.swiss_roll import Roll
from dpm_jax.evaluation import figures
from dpm_jax.evaluation.entropies import entropy_profile
from dpm_jax.evaluation.report import Outcome
from dpm_jax.limits import swiss_roll as limits
from dpm_jax.process import bind

SHOWN = 3000
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


def finish(
    outcome: Outcome, folder: Path, *, roll: Roll, beta_1: float, seed: int
) -> dict[str, Any]:
    """Draw the figures into ``folder``; return the ceilings for ``result.json``."""
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), 2))
    steps = outcome.model.schedule.steps
    compared = schedules(outcome, roll, beta_1)
    examples = outcome.data.heldout[:SHOWN]
    profile = entropy_profile(
        partial(bind, outcome.model), outcome.fitted.params, examples, keys[1]
    )
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
    }
    for name, figure in pictures.items():
        figures.save(figure, folder / f"{name}.png")
    return {
        "noise": roll.noise,
        "beta_1": beta_1,
        "ceiling_bits": {name: top for name, (_, top) in compared.items()},
        "beta": compared[OWN][0].tolist(),
    }
