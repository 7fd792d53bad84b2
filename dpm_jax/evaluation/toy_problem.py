"""From a trained model of a known law to the numbers that its experiment leaves behind."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from dpm_jax.data.dataset import Dataset
from dpm_jax.evaluation import report
from dpm_jax.evaluation.likelihood import Likelihood, estimate, evaluate, importance_weighted
from dpm_jax.evaluation.table import text
from dpm_jax.process import Model, bind
from dpm_jax.scaling import NATS_PER_BIT
from dpm_jax.training.loop import Fitted


class Outcome(NamedTuple):
    """A trained model and what was measured on it, bits.

    Attributes:
        likelihood: of all held-out examples.
        log_q: exact log q(x_0) of the same examples [n].
        iw: importance-weighted bound of the first examples [m], N = ``iw_samples``.
        samples: ancestral samples, their states at t = 0, T/2 and T [k, *event] each.
    """

    model: Model
    fitted: Fitted
    data: Dataset
    likelihood: Likelihood
    log_q: np.ndarray
    iw: np.ndarray
    iw_samples: int
    samples: dict[int, np.ndarray]


def evaluate_model(
    model: Model,
    fitted: Fitted,
    data: Dataset,
    log_q: Callable[[np.ndarray], np.ndarray],
    *,
    seed: int,
    iw_examples: int,
    iw_samples: int,
    samples: int,
    progress: bool = True,
) -> Outcome:
    """Measure K, the weighted bound and samples; every draw follows from ``seed``."""
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), 1), 3)
    process = partial(bind, model)
    measure = partial(evaluate, process, fitted.params, progress=progress)
    weighted = importance_weighted(
        process,
        fitted.params,
        data.heldout[:iw_examples],
        keys[1],
        paths=iw_samples,
        progress=progress,
    )
    return Outcome(
        model=model,
        fitted=fitted,
        data=data,
        likelihood=measure(data.heldout, keys[0]),
        log_q=log_q(data.heldout),
        iw=weighted,
        iw_samples=iw_samples,
        samples=report.draw(model, fitted.params, samples, keys[2]),
    )


def measure(
    model: Model,
    data: Dataset,
    fitted: Fitted,
    folder: Path,
    *,
    true_limit_bits: float,
    log_q: Callable[[np.ndarray], np.ndarray],
    finish: Callable[[Outcome, Path], dict[str, Any]],
    seed: int,
    iw_examples: int,
    iw_samples: int,
    samples: int,
) -> dict[str, Any]:
    """``evaluate_model``, then ``result`` and what ``finish`` adds while it draws."""
    outcome = evaluate_model(
        model,
        fitted,
        data,
        log_q,
        seed=seed,
        iw_examples=iw_examples,
        iw_samples=iw_samples,
        samples=samples,
    )
    return result(outcome, true_limit_bits) | finish(outcome, folder)


def result(outcome: Outcome, true_limit_bits: float) -> dict[str, Any]:
    """The numbers of ``result.json``: bits per example unless the name says otherwise."""
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
        "true_limit_bits": true_limit_bits,
        "heldout_log_q_bits": float(outcome.log_q.mean()),
        **report.pair("log_q_minus_K_bits", gap),
        "iw_heldout_log_q_bits": float(iw_log_q.mean()),
        **report.pair("log_q_minus_iw_bits", estimate(iw_log_q - iw)),
        "true_limit_minus_K_bits": true_limit_bits - K.mean,
        "terms_bits": {"step_kl": float(bound.step_kl.sum()), **bound.terms},
    }


def summary(result: dict[str, Any]) -> str:
    """What a script prints at its end: the gaps in words, then the table's row."""
    lines = [
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
        text([result]),
    ]
    return "\n".join(lines)
