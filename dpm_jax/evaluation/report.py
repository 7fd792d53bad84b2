"""What every experiment reports of a trained model, whatever its data."""

import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

import dpm_jax
from dpm_jax.evaluation.likelihood import Estimate, estimate

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def machine() -> dict[str, Any]:
    """Device kind and count, versions, and the source's git revision where there is one."""
    devices = jax.devices()
    versions = {name: version(name) for name in PACKAGES}
    return {
        "device": devices[0].device_kind,
        "device_count": len(devices),
        "process_count": jax.process_count(),
        "versions": {"python": platform.python_version(), "dpm_jax": dpm_jax.__version__}
        | versions,
        "git_revision": _git_revision(),
    }


def pair(name: str, value: Estimate) -> dict[str, float]:
    """A mean and its standard error under two keys."""
    return {name: value.mean, f"{name}_se": value.se}


def pairs(name: str, values: Sequence[np.ndarray]) -> dict[str, list[float]]:
    """As ``pair``, of several sets of independent values [n]: lists under two keys."""
    found = [estimate(each) for each in values]
    return {name: [f.mean for f in found], f"{name}_se": [f.se for f in found]}


def line(result: Mapping[str, Any], label: str, key: str) -> str:
    """A labelled number, with its standard error where it has one."""
    if key not in result:
        return f"  {label:35s}    missing"
    error = f" ± {result[key + '_se']:.4f}" if f"{key}_se" in result else ""
    return f"  {label:35s}  {result[key]:9.4f}{error}"


def effort(result: Mapping[str, Any]) -> str:
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
