"""What every experiment reports of a trained model, whatever its data."""

import platform
import subprocess
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm.auto import tqdm

import dpm_jax
from dpm_jax import trajectory
from dpm_jax.array_types import Array
from dpm_jax.evaluation.likelihood import Estimate
from dpm_jax.process import Model, Params, bind, parameter_count
from dpm_jax.training.loop import Fitted

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def draw(
    model: Model,
    params: Params,
    count: int,
    key: Array,
    *,
    keep: Sequence[int] | None = None,
    chunk: int | None = None,
) -> dict[int, np.ndarray]:
    """``count`` ancestral samples at t = 0, T/2 and T, or at the steps to ``keep``, by t.

    One compiled program, called for ``chunk`` samples at a time, by default for all.
    """
    steps = model.schedule.steps
    keep = (0, steps // 2, steps) if keep is None else tuple(keep)

    @jax.jit
    def compiled(params: Params, keys: Array) -> Array:
        process = bind(model, params)
        one = partial(trajectory.sample, process, model.event_shape, keep=keep)
        return jax.vmap(one)(keys).kept

    keys, chunk = jax.random.split(key, count), min(chunk or count, count)
    filled = jnp.resize(keys, (-(-count // chunk), chunk))  # the last chunk is cut off again
    parts = tqdm(filled, desc="samples", disable=len(filled) == 1, leave=False)
    kept = np.concatenate([jax.device_get(compiled(params, part)) for part in parts])[:count]
    return {t: kept[:, i] for i, t in enumerate(keep)}


def training(fitted: Fitted) -> dict[str, Any]:
    """What training took, for ``result.json``."""
    return {
        "steps": fitted.steps,
        "train_seconds": fitted.seconds,
        "first_step_seconds": fitted.first_step_seconds,
        "parameters": parameter_count(fitted.params),
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


def pair(name: str, value: Estimate) -> dict[str, float]:
    """A mean and its standard error under two keys."""
    return {name: value.mean, f"{name}_se": value.se}


def line(label: str, result: dict[str, Any], key: str) -> str:
    """A labelled mean ± standard error."""
    return f"  {label:35s}  {result[key]:9.4f} ± {result[key + '_se']:.4f}"


def effort(result: dict[str, Any]) -> str:
    """Steps, seconds, machine and size in words."""
    return (
        f"{result['steps']:,} steps in {result['train_seconds']:.0f} s on "
        f"{result['device_count']} × {result['device']}, {result['parameters']:,} parameters"
    )


def _git_revision() -> str | None:
    source = Path(__file__).parent
    command = ["git", "-C", str(source), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
