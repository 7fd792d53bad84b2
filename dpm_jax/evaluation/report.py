"""From a trained model to the numbers that an experiment leaves behind."""

import platform
import subprocess
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import dpm_jax
from dpm_jax import trajectory
from dpm_jax.array_types import Array
from dpm_jax.data.dataset import Dataset
from dpm_jax.evaluation.likelihood import (
    Estimate,
    Likelihood,
    estimate,
    evaluate,
    importance_weighted,
)
from dpm_jax.evaluation.table import text
from dpm_jax.process import Model, Params, bind, parameter_count
from dpm_jax.scaling import NATS_PER_BIT
from dpm_jax.training.loop import Fitted

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


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
        samples=draw(model, fitted.params, samples, keys[2]),
    )


def draw(model: Model, params: Params, count: int, key: Array) -> dict[int, np.ndarray]:
    """``count`` ancestral samples at t = 0, T/2 and T, by t; one compiled program."""
    steps = model.schedule.steps
    keep = (0, steps // 2, steps)

    @jax.jit
    def compiled(params: Params, keys: Array) -> Array:
        process = bind(model, params)
        one = partial(trajectory.sample, process, model.event_shape, keep=keep)
        return jax.vmap(one)(keys).kept

    kept = jax.device_get(compiled(params, jax.random.split(key, count)))
    return {t: kept[:, i] for i, t in enumerate(keep)}


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
        **_pair("K_bits", K),
        "K_nats": K.mean * NATS_PER_BIT,
        "K_nats_se": K.se * NATS_PER_BIT,
        "K_eq14_bits": estimate(bound.K_eq14).mean,
        "L_null_bits": null.mean,
        **_pair("K_minus_L_null_bits", above_null),
        **_pair("iw_bound_bits", estimate(iw)),
        "iw_samples": outcome.iw_samples,
        "iw_examples": len(iw),
        "true_limit_bits": true_limit_bits,
        "heldout_log_q_bits": float(outcome.log_q.mean()),
        **_pair("log_q_minus_K_bits", gap),
        "iw_heldout_log_q_bits": float(iw_log_q.mean()),
        **_pair("log_q_minus_iw_bits", estimate(iw_log_q - iw)),
        "true_limit_minus_K_bits": true_limit_bits - K.mean,
        "terms_bits": {"step_kl": float(bound.step_kl.sum()), **bound.terms},
        "steps": outcome.fitted.steps,
        "train_seconds": outcome.fitted.seconds,
        "first_step_seconds": outcome.fitted.first_step_seconds,
        "parameters": parameter_count(outcome.fitted.params),
        **machine(),
    }


def machine() -> dict[str, Any]:
    """Device kind and count, versions, and the source's git revision where there is one."""
    devices = jax.devices()
    versions = {name: version(name) for name in PACKAGES}
    return {
        "device": devices[0].device_kind,
        "device_count": len(devices),
        "versions": {"python": platform.python_version(), "dpm_jax": dpm_jax.__version__}
        | versions,
        "git_revision": _git_revision(),
    }


def summary(result: dict[str, Any]) -> str:
    """What a script prints at its end: the gaps in words, then the table's row."""
    lines = [
        "",
        f"{result['heldout_examples']:,} held-out examples, bits per example:",
        f"  true limit L* = −H                   {result['true_limit_bits']:9.4f}",
        f"  mean exact log q of the same points  {result['heldout_log_q_bits']:9.4f}",
        _line("K", result, "K_bits"),
        f"  K by eq. 14                          {result['K_eq14_bits']:9.4f}",
        _line("gap: exact log q − K, same points", result, "log_q_minus_K_bits"),
        f"  gap: L* − K                          {result['true_limit_minus_K_bits']:9.4f}",
        f"{result['iw_examples']:,} of them with N = {result['iw_samples']} weighted paths:",
        _line("importance-weighted bound", result, "iw_bound_bits"),
        _line("gap: exact log q − it, same points", result, "log_q_minus_iw_bits"),
        "",
        f"{result['steps']:,} steps in {result['train_seconds']:.0f} s on "
        f"{result['device_count']} × {result['device']}, {result['parameters']:,} parameters",
        "",
        text([result]),
    ]
    return "\n".join(lines)


def _line(label: str, result: dict[str, Any], key: str) -> str:
    return f"  {label:35s}  {result[key]:9.4f} ± {result[key + '_se']:.4f}"


def _pair(name: str, value: Estimate) -> dict[str, float]:
    return {name: value.mean, f"{name}_se": value.se}


def _git_revision() -> str | None:
    source = Path(__file__).parent
    command = ["git", "-C", str(source), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
