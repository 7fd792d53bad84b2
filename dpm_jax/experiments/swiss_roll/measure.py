"""What only the roll's measurement has: the paper's Figure 1, and what the schedule allows."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from dpm_jax import schedule
from dpm_jax.array_types import PRNGKey
from dpm_jax.data.dataset import Dataset
from dpm_jax.evaluation import figures
from dpm_jax.evaluation.entropies import EntropyProfile, entropy_profile
from dpm_jax.evaluation.likelihood import Likelihood
from dpm_jax.experiments.known_law import measure as known_law
from dpm_jax.experiments.known_law.measure import Keys, Law
from dpm_jax.experiments.measurement import Measurement
from dpm_jax.experiments.swiss_roll import across
from dpm_jax.experiments.swiss_roll import figures as roll_figures
from dpm_jax.experiments.swiss_roll.config import Config
from dpm_jax.laws.swiss_roll import limits
from dpm_jax.laws.swiss_roll.conditional import Conditional, conditional
from dpm_jax.laws.swiss_roll.roll import Roll
from dpm_jax.process import Process
from dpm_jax.sampling import observation, perturb
from dpm_jax.sampling.draw import forward
from dpm_jax.sampling.perturb import Perturbation
from dpm_jax.sampling.posterior import Posterior, draw, summary
from dpm_jax.sampling.posterior import posterior as ask

SHOWN = 3000
RUNS = 16  # of particles, independent of each other
KNOWN = 0.3  # of the first coordinate, where the second has four arms to be on
GRID = np.linspace(-2.5, 2.5, 17)
BEST_UP_TO = 500  # T: the table of all steps' costs has 64 T² entries
START = "where learning starts"
OWN, BEST, FIXED = "this run's", "best by dynamic programming", "fixed 1/(T−t+1)"


def drift(process: Process, t: int) -> tuple[np.ndarray, np.ndarray]:
    """f_μ(x, t) - x on a square grid: positions and vectors, [g, g, 2] each."""
    positions = np.stack(np.meshgrid(GRID, GRID), axis=-1).astype(np.float32)
    step = jnp.asarray(t)
    c = schedule.at(process.schedule, step)
    mean = jax.vmap(jax.vmap(lambda x: process.reverse(x, step, c).mean))(positions)
    return positions, np.asarray(mean) - positions


def schedules(
    process: Process, roll: Roll, beta_1: float, *, knots: int | None = None
) -> dict[str, tuple[np.ndarray, float]]:
    """β and its ceiling in bits, by name: this run's, the best possible, and the fixed ones.

    ``knots`` are those of the run's schedule: they say where its learning started.
    """
    steps, last = process.schedule.steps, process.last_step
    start = schedule.learned(steps, beta_1, knots=knots)
    families = {FIXED: schedule.fixed(steps), START: start}
    named = {OWN: process.schedule} | {n: f.apply(f.init()) for n, f in families.items()}
    found = {
        name: (np.asarray(s.beta), limits.ceiling(roll, s, last_step=last))
        for name, s in named.items()
    }
    if steps > BEST_UP_TO:
        return found
    best = limits.best_schedule(roll, steps, beta_1, last_step=last, progress=True)
    return found | {BEST: best}


def posterior(process: Process, count: int, key: PRNGKey, *, progress: bool = False) -> Posterior:
    """Weighted points whose first coordinate is ``KNOWN``."""
    return draw(process, _known, count, key, progress=progress)


def resampled(process: Process, count: int, key: PRNGKey, *, progress: bool = False) -> Posterior:
    """The same by about ``count`` particles (``sampling.particles``)."""
    return ask(
        process,
        observation.known(np.array([KNOWN, 0.0]), np.array([True, False])),
        key,
        method="smc",
        particles=max(2, count // RUNS),
        runs=RUNS,
        progress=progress,
    )


def _known(process: Process) -> Perturbation:
    return perturb.known(process, jnp.array([KNOWN, 0.0]), jnp.array([True, False]))


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


def measure(
    config: Config, law: Law, roll: Roll, beta_1: float, data: Dataset, process: Process
) -> Measurement:
    """K and its limits, the schedule's ceilings, and a posterior beside the exact one.

    And K at other T, where the network is one that any T may ask.
    """
    found, likelihood, samples = known_law.measure(config, law, data, process)
    keys, few = known_law.keys(config.seed), data.heldout[:SHOWN]
    beta = np.asarray(process.schedule.beta).tolist()
    found.numbers |= {"noise": roll.noise, "beta_1": beta_1, "beta": beta}
    found.samples = None if samples is None else samples[0]
    compared = found.value("schedules", schedules, process, roll, beta_1, knots=config.knots)
    found.add(
        "schedules",
        lambda named: {"ceiling_bits": {name: top for name, (_, top) in named.items()}},
        compared,
    )
    draws = found.value(
        "posterior", posterior, process, config.samples, keys.posterior, progress=True
    )
    exact = found.value("exact posterior", conditional, roll, 0, KNOWN)
    found.add("posterior", lambda *both: {"posterior": answer(*both)}, draws, exact)
    smc = found.value("smc", resampled, process, config.samples, keys.posterior, progress=True)
    found.add("smc", lambda *both: {"posterior_smc": answer(*both)}, smc, exact)
    profile = found.value("entropies", entropy_profile, process, few, keys.entropies)
    found.draw("swiss_roll", _figure_1, process, few, keys, samples)
    found.draw("schedules", _schedules, compared)
    found.draw("bits", _bits, likelihood, profile)
    found.draw("posterior", _posterior, draws, smc, exact)
    if config.network == "snr":
        points = found.value(
            "other T", across.measure, process, roll, law.log_q, data.heldout, keys.bound
        )
        found.add("other T", across.numbers, points)
        found.draw("timesteps", _timesteps, points, law, process.schedule.steps)
    return found


def _figure_1(
    process: Process, few: np.ndarray, keys: Keys, samples: dict[int, np.ndarray]
) -> Figure:
    steps = process.schedule.steps
    return roll_figures.swiss_roll(
        forward(process, few, keys.states, tuple(samples)),
        {t: x[:SHOWN] for t, x in samples.items()},
        {t: drift(process, t) for t in sorted({2, max(2, steps // 2), steps})},
    )


def _schedules(named: dict[str, tuple[np.ndarray, float]]) -> Figure:
    return figures.schedules(
        {name: beta for name, (beta, _) in named.items()},
        notes={name: f"K ≤ {top:.3f} bits" for name, (_, top) in named.items()},
    )


def _bits(likelihood: Likelihood, profile: EntropyProfile) -> Figure:
    return figures.where_the_bits_go(likelihood.step_kl, *profile, continuous=True)


def _posterior(draws: Posterior, smc: Posterior, exact: Conditional) -> Figure:
    return roll_figures.conditional(
        draws.x[:, 1],
        draws.weight,
        exact.grid,
        exact.density,
        known=KNOWN,
        smc=(smc.x[:, 1], smc.weight),
    )


def _timesteps(points: list[across.Point], law: Law, trained: int) -> Figure:
    gaps = [p.gap for p in points]
    return roll_figures.timesteps(
        [p.steps for p in points],
        np.array([gap.mean for gap in gaps]),
        np.array([gap.se for gap in gaps]),
        np.array([p.ceiling for p in points]),
        limit=law.true_limit_bits,
        trained=trained,
    )
