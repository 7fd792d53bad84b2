"""From a trained process of a known law to the numbers that its experiment leaves behind."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from tqdm.auto import tqdm

from dpm_jax.array_types import PRNGKey
from dpm_jax.data.dataset import Dataset
from dpm_jax.evaluation import report, table
from dpm_jax.evaluation.likelihood import Likelihood, estimate, evaluate, importance_weighted
from dpm_jax.experiments.known_law.config import KnownLawConfig
from dpm_jax.experiments.measurement import Measurement
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
    """What was measured on a process of a known law; None where it failed.

    Attributes:
        found: its numbers, and what is added to them.
        likelihood: of all held-out examples.
        samples: ancestral samples, their states at t = 0, T/2 and T [k, *event] each.
    """

    found: Measurement
    likelihood: Likelihood | None
    samples: dict[int, np.ndarray] | None


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
    key, steps, heldout = keys(config.seed), process.schedule.steps, data.heldout
    few, keep = heldout[: config.iw_examples], (0, steps // 2, steps)
    found = Measurement(
        {
            "train_examples": len(data.train),
            "heldout_examples": len(heldout),
            "iw_samples": config.iw_samples,
            "iw_examples": len(few),
            "true_limit_bits": law.true_limit_bits,
        }
    )
    shown = partial(found.value, progress=progress)
    likelihood = shown("likelihood", evaluate, process, heldout, key.bound)
    log_q = shown("exact density", _log_q, law, heldout)
    weigh = partial(importance_weighted, paths=config.iw_samples)
    weighted = shown("weighted bound", weigh, process, few, key.weighted)
    samples = shown("samples", states, process, config.samples, key.samples, keep)
    likelihood = likelihood if found.add("likelihood", _bound, law, likelihood) else None
    weighted = weighted if found.add("weighted bound", _weighted, weighted) else None
    found.add("exact density", lambda q: {"heldout_log_q_bits": float(q.mean())}, log_q)
    found.add("gap of the likelihood", _gap, likelihood, log_q)
    found.add("gap of the weighted bound", _weighted_gap, weighted, log_q)
    return Outcome(found, likelihood, samples)


def _log_q(law: Law, examples: np.ndarray, *, progress: bool) -> np.ndarray:
    parts = np.array_split(examples, 1 + len(examples) // LAW_CHUNK)
    shown = tqdm(parts, desc="exact log q", disable=not progress, leave=False)
    return np.concatenate([law.log_q(part) for part in shown])


def watch(data: Dataset, seed: int, process: Process) -> float:
    """Held-out K of a few examples, bits."""
    times = WATCHED_TIMES if process.schedule.steps > WATCHED_TIMES else 0
    few, key = data.heldout[:WATCHED], keys(seed).bound
    return float(evaluate(process, few, key, times=times, progress=False).K.mean())


def _bound(law: Law, bound: Likelihood) -> dict[str, Any]:
    """Bits per example unless the name says otherwise."""
    K, null = estimate(bound.K), estimate(bound.null)
    return {
        **report.pair("K_bits", K),
        "K_nats": K.mean * NATS_PER_BIT,
        "K_nats_se": K.se * NATS_PER_BIT,
        "K_eq14_bits": estimate(bound.K_eq14).mean,
        "L_null_bits": null.mean,
        **report.pair("K_minus_L_null_bits", estimate(bound.K - bound.null)),
        "true_limit_minus_K_bits": law.true_limit_bits - K.mean,
        "terms_bits": {"step_kl": float(bound.step_kl.sum()), **bound.terms},
    }


def _weighted(weighted: np.ndarray) -> dict[str, Any]:
    return report.pair("iw_bound_bits", estimate(weighted))


def _gap(bound: Likelihood, log_q: np.ndarray) -> dict[str, Any]:
    return report.pair("log_q_minus_K_bits", estimate(log_q - bound.K))


def _weighted_gap(weighted: np.ndarray, log_q: np.ndarray) -> dict[str, Any]:
    same = log_q[: len(weighted)]
    return {
        "iw_heldout_log_q_bits": float(same.mean()),
        **report.pair("log_q_minus_iw_bits", estimate(same - weighted)),
    }


def summary(result: Mapping[str, Any]) -> list[str]:
    """What a command prints at its end: the gaps in words, then the table's row as lines."""
    line = partial(report.line, result)
    return [
        "",
        f"{result['heldout_examples']:,} held-out examples, bits per example:",
        line("true limit L* = −H", "true_limit_bits"),
        line("mean exact log q of the same points", "heldout_log_q_bits"),
        line("K", "K_bits"),
        line("K by eq. 14", "K_eq14_bits"),
        line("gap: exact log q − K, same points", "log_q_minus_K_bits"),
        line("gap: L* − K", "true_limit_minus_K_bits"),
        f"{result['iw_examples']:,} of them with N = {result['iw_samples']} weighted paths:",
        line("importance-weighted bound", "iw_bound_bits"),
        line("gap: exact log q − it, same points", "log_q_minus_iw_bits"),
        "",
        report.effort(result),
        "",
        *table.lines(result),
    ]
