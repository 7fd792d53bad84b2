"""Every way to a posterior on problems whose answer is known: docs/posteriors.md's tables.

    python benchmarks/posteriors.py

Prints, for each problem and way, how many draws the weights leave, by how many standard errors
the worst estimate is off, log evidence beside the exact one, and seconds without compilation; then
by how much ``replace`` is biased; then the gap between the evidence from below and from above; then
the price beside plain sampling.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

import dpm_jax
from dpm_jax import schedule
from dpm_jax.experiments.heartbeat import measure as beat
from dpm_jax.experiments.swiss_roll import measure as roll
from dpm_jax.laws import heartbeat
from dpm_jax.laws.swiss_roll import limits
from dpm_jax.laws.swiss_roll.conditional import conditional
from dpm_jax.laws.swiss_roll.roll import law
from dpm_jax.process import Process
from dpm_jax.sampling.certificate import Observe, sandwich
from dpm_jax.sampling.observation import flipped, known
from dpm_jax.sampling.posterior import Posterior
from dpm_jax.sampling.protocol import Observation

BEATS, ROLL = 200, 100  # T
RUNS, PARTICLES = 20, 50  # 1,000 in all
SWEEPS, OF_SWEEP = 20, 8  # 15 of them kept by each of 20 chains
MANY = 8_000  # draws of ``replace``: enough to see its bias
KEY = jax.random.key(0)


class Problem(NamedTuple):
    """A question with its answer."""

    process: Process
    observation: Observation
    observe: Observe
    values: Callable[[np.ndarray], np.ndarray]
    exact: np.ndarray
    log_evidence: float
    name: str


def heartbeats() -> list[Problem]:
    """Which phase, given five bits? Three times."""
    process, found = heartbeat.exact_process(schedule.fixed(BEATS).apply({})), []
    for name, question in beat.QUESTIONS.items():
        value, mask = beat._arrays(question)
        f = question.flipped

        def observe(
            x0: np.ndarray, rng: np.random.Generator, f: float = f, mask: np.ndarray = mask
        ) -> Observation:
            wrong = rng.random(x0.shape) < f
            return flipped(np.where(wrong, 1 - x0, x0), f, mask) if f else known(x0, mask)

        exact, evidence = heartbeat.phases_given_bits(value, mask, flipped=f)
        given = beat.observed(question)
        row = process, given, observe, beat.nearest_phase, exact, evidence, f"heartbeat, {name}"
        found.append(Problem(*row))
    return found


def rolls() -> list[Problem]:
    """The arm that a point lies on, given its first coordinate."""
    shape = law(0.25)
    family = schedule.learned(ROLL, 3e-3 * shape.variance, spacing=0.0)
    process = limits.exact_process(shape, family.apply(family.init()))
    exact, mask = conditional(shape, 0, roll.KNOWN), np.array([True, False])
    edges = np.array([-np.inf, *exact.arms[1:-1], np.inf])

    def arms(x: np.ndarray) -> np.ndarray:
        return np.diff((x[:, 1:] <= edges).astype(float), axis=-1)

    def observe(x0: np.ndarray, rng: np.random.Generator) -> Observation:
        return known(x0, mask)

    given, shares = known(np.array([roll.KNOWN, 0.0]), mask), exact.mass(exact.arms)
    return [Problem(process, given, observe, arms, shares, exact.log_evidence, "roll, x₁ known")]


def asked(problem: Problem, method: str) -> tuple[Posterior, float]:
    """Draws, and the seconds of a second call."""
    particles = OF_SWEEP if method == "gibbs" else PARTICLES
    for _ in range(2):
        start = time.perf_counter()
        found = dpm_jax.posterior(
            problem.process,
            problem.observation,
            KEY,
            method=method,
            particles=particles,
            runs=RUNS,
            sweeps=SWEEPS,
        )
        seconds = time.perf_counter() - start
    return found, seconds


def row(problem: Problem, method: str) -> str:
    """A line of the first table."""
    found, seconds = asked(problem, method)
    mean, error = found.mean(problem.values(found.x))
    likely = problem.exact > 1e-3  # of what never occurs, no standard error can speak
    off = (np.abs(mean - problem.exact) / np.maximum(error, 1e-6))[likely].max()
    evidence, evidence_error = found.log_evidence
    said = f"{evidence:.3f} ± {evidence_error:.3f}" if np.isfinite(evidence) else "none"
    left = f"{found.effective:,.0f}" if method in ("smc", "weights") else "—"
    cells = f"{len(found.x):,}", left, f"{off:.1f}", said, f"{problem.log_evidence:.3f}"
    return f"| {problem.name} | {method} | {' | '.join(cells)} | {seconds:.1f} |"


def bias(problem: Problem) -> str:
    """A line of the second table: the event that ``replace`` is furthest off for."""
    given, runs = problem.observation, MANY // PARTICLES
    found = dpm_jax.posterior(
        problem.process, given, KEY, method="replace", particles=PARTICLES, runs=runs
    )
    mean, error = found.mean(problem.values(found.x))
    worst = np.abs(mean - problem.exact).argmax()
    off, exact = mean[worst] - problem.exact[worst], problem.exact[worst]
    return f"| {problem.name} | {exact:.3f} | {mean[worst]:.3f} | {off:+.3f} ± {error[worst]:.3f} |"


def tables() -> None:
    """All four, as Markdown."""
    problems = [*heartbeats(), *rolls()]
    print("| problem | way | draws | left by the weights | off, s.e. | log evidence | exact | s |")
    print("|---|---|---|---|---|---|---|---|")
    for problem in problems:
        flips = "flipped" in problem.name
        for method in ("smc", "gibbs", "weights", *(() if flips else ("replace",))):
            print(row(problem, method), flush=True)
    print("\n| problem | exact | replace | bias |\n|---|---|---|---|")
    for problem in problems:
        if "flipped" not in problem.name:
            print(bias(problem), flush=True)
    print("\n| problem | log Ẑ from below | from above | gap, nats | median |")
    print("|---|---|---|---|---|")
    for problem in problems[1:]:
        found = sandwich(problem.process, problem.observe, KEY, simulations=50, particles=256)
        gap, error = found.gap
        ends = f"{found.below.mean():.3f} | {found.above.mean():.3f}"
        median = np.median(found.above - found.below)
        print(f"| {problem.name} | {ends} | {gap:.3f} ± {error:.3f} | {median:.3f} |", flush=True)
    print("\n| way | T | particles | s | effective draws a second |\n|---|---|---|---|---|")
    first = problems[0]
    for steps in (100, 200, 400):
        process = heartbeat.exact_process(schedule.fixed(steps).apply({}))
        for particles in (25, 100):
            total = RUNS * particles
            for name in ("plain", "smc"):
                for _ in range(2):
                    start = time.perf_counter()
                    if name == "plain":
                        worth = float(len(dpm_jax.draw(process, total, KEY)))
                    else:
                        worth = dpm_jax.posterior(
                            process,
                            first.observation,
                            KEY,
                            method="smc",
                            particles=particles,
                            runs=RUNS,
                        ).effective
                    seconds = time.perf_counter() - start
                cells = f"{RUNS} × {particles} | {seconds:.2f} | {worth / seconds:,.0f}"
                print(f"| {name} | {steps} | {cells} |", flush=True)


if __name__ == "__main__":
    tables()
