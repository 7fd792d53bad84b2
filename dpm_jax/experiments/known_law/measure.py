"""From a trained process of a known law to the numbers that its experiment leaves behind."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from tqdm.auto import tqdm

from dpm_jax.array_types import PRNGKey
from dpm_jax.data.dataset import Dataset
from dpm_jax.evaluation import report, table
from dpm_jax.evaluation.likelihood import Likelihood, estimate, evaluate, importance_weighted
from dpm_jax.experiments.known_law.config import KnownLawConfig
from dpm_jax.process import Process
from dpm_jax.sampling.draw import states
from dpm_jax.scaling import NATS_PER_BIT

LAW_CHUNK = 20_000  # points between two moves of the bar of the exact log q
WATCHED = 2_000  # held-out examples that are looked at during training
WATCHED_TIMES = 50  # steps drawn for each of them, where there are more


class Law(NamedTuple):
    """What is known exactly of the data.

    Attributes:
        true_limit_bits: the mean of log q(x_0) under the law itself: no K can exceed it.
        log_q: exact log q(x_0) of examples [n, *event], bits [n].
    """

    true_limit_bits: float
    log_q: Callable[[np.ndarray], np.ndarray]


class Keys(NamedTuple):
    """All random numbers of a measurement, split from its seed once."""

    bound: PRNGKey
    weighted: PRNGKey
    samples: PRNGKey
    states: PRNGKey
    entropies: PRNGKey
    posterior: PRNGKey


class Outcome(NamedTuple):
    """What was measured on a process, bits.

    Attributes:
        process: it.
        data: the examples.
        likelihood: of all held-out examples.
        log_q: exact log q(x_0) of the same examples [n].
        iw: importance-weighted bound of the first examples [m].
        iw_samples: paths N of that bound.
        samples: ancestral samples, their states at t = 0, T/2 and T [k, *event] each.
    """

    process: Process
    data: Dataset
    likelihood: Likelihood
    log_q: np.ndarray
    iw: np.ndarray
    iw_samples: int
    samples: dict[int, np.ndarray]


def keys(seed: int) -> Keys:
    """The keys of a seed."""
    root = jax.random.key(seed)
    bound, weighted, samples = jax.random.split(jax.random.fold_in(root, 1), 3)
    states, entropies = jax.random.split(jax.random.fold_in(root, 2))
    return Keys(bound, weighted, samples, states, entropies, jax.random.fold_in(root, 3))


def measure(
    config: KnownLawConfig, law: Law, data: Dataset, process: Process, *, progress: bool = True
) -> Outcome:
    """K, the weighted bound and samples; every draw follows from the config's seed."""
    key, steps = keys(config.seed), process.schedule.steps
    return Outcome(
        process=process,
        data=data,
        likelihood=evaluate(process, data.heldout, key.bound, progress=progress),
        log_q=_log_q(law, data.heldout, progress),
        iw=importance_weighted(
            process,
            data.heldout[: config.iw_examples],
            key.weighted,
            paths=config.iw_samples,
            progress=progress,
        ),
        iw_samples=config.iw_samples,
        samples=states(
            process, config.samples, key.samples, (0, steps // 2, steps), progress=progress
        ),
    )


def _log_q(law: Law, examples: np.ndarray, progress: bool) -> np.ndarray:
    parts = np.array_split(examples, 1 + len(examples) // LAW_CHUNK)
    shown = tqdm(parts, desc="exact log q", disable=not progress, leave=False)
    return np.concatenate([law.log_q(part) for part in shown])


def watch(data: Dataset, seed: int, process: Process) -> float:
    """Held-out K of a few examples, bits."""
    times = WATCHED_TIMES if process.schedule.steps > WATCHED_TIMES else 0
    few, key = data.heldout[:WATCHED], keys(seed).bound
    return float(evaluate(process, few, key, times=times, progress=False).K.mean())


def numbers(outcome: Outcome, law: Law) -> dict[str, Any]:
    """For ``result.json``: bits per example unless the name says otherwise."""
    bound, iw = outcome.likelihood, outcome.iw
    K, null = estimate(bound.K), estimate(bound.null)
    above_null = estimate(bound.K - bound.null)
    gap = estimate(outcome.log_q - bound.K)
    iw_log_q = outcome.log_q[: len(iw)]
    return {
        "train_examples": len(outcome.data.train),
        "heldout_examples": len(bound.K),
        **report.pair("K_bits", K),
        "K_nats": K.mean * NATS_PER_BIT,
        "K_nats_se": K.se * NATS_PER_BIT,
        "K_eq14_bits": estimate(bound.K_eq14).mean,
        "L_null_bits": null.mean,
        **report.pair("K_minus_L_null_bits", above_null),
        **report.pair("iw_bound_bits", estimate(iw)),
        "iw_samples": outcome.iw_samples,
        "iw_examples": len(iw),
        "true_limit_bits": law.true_limit_bits,
        "heldout_log_q_bits": float(outcome.log_q.mean()),
        **report.pair("log_q_minus_K_bits", gap),
        "iw_heldout_log_q_bits": float(iw_log_q.mean()),
        **report.pair("log_q_minus_iw_bits", estimate(iw_log_q - iw)),
        "true_limit_minus_K_bits": law.true_limit_bits - K.mean,
        "terms_bits": {"step_kl": float(bound.step_kl.sum()), **bound.terms},
    }


def summary(result: Mapping[str, Any]) -> list[str]:
    """What a command prints at its end: the gaps in words, then the table's row as lines."""
    return [
        "",
        f"{result['heldout_examples']:,} held-out examples, bits per example:",
        f"  true limit L* = −H                   {result['true_limit_bits']:9.4f}",
        f"  mean exact log q of the same points  {result['heldout_log_q_bits']:9.4f}",
        report.line("K", result, "K_bits"),
        f"  K by eq. 14                          {result['K_eq14_bits']:9.4f}",
        report.line("gap: exact log q − K, same points", result, "log_q_minus_K_bits"),
        f"  gap: L* − K                          {result['true_limit_minus_K_bits']:9.4f}",
        f"{result['iw_examples']:,} of them with N = {result['iw_samples']} weighted paths:",
        report.line("importance-weighted bound", result, "iw_bound_bits"),
        report.line("gap: exact log q − it, same points", result, "log_q_minus_iw_bits"),
        "",
        report.effort(result),
        "",
        *table.lines(result),
    ]
