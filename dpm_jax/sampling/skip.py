"""Fewer steps than a process was trained with: sampling and the bound on some of its t.

One step of the kernel may stand for several: q(x_s | x_0) is the same whatever lies between, so
that K on any sub-sequence of the steps is a bound too, and its samples cost as many calls of the
network as there are steps.
"""

from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from dpm_jax.array_types import Event, Int, Step
from dpm_jax.kernels.base import Distribution, Kernel
from dpm_jax.process import Process, ReverseStep, guess_of
from dpm_jax.reverse import Guess
from dpm_jax.schedule import Coefficients, Schedule


@dataclass(frozen=True)
class _Skipping:
    """A reverse step whose t counts the steps that are kept; equal where the whole one is."""

    step: ReverseStep

    def __call__(self, params: Any, xt: Event, t: Step, c: Coefficients) -> Distribution:
        inner, kept = params
        return self.step(inner, xt, kept[t - 1], c)

    def guess(
        self, kernel: Kernel, params: Any, xt: Event, t: Step, c: Coefficients
    ) -> Guess | None:
        """That of the whole process: what is skipped changes no belief."""
        inner, kept = params
        return guess_of(self.step, kernel, inner, xt, kept[t - 1], c)


def fewer(process: Process, steps: int) -> Process:
    """The process of so many of its steps, evenly spread; all of them where ``steps`` is 0.

    Raises:
        ValueError: as ``kept``.
    """
    return only(process, kept(process.schedule.steps, steps)) if steps else process


def kept(steps: int, wanted: int) -> Int[np.ndarray, " wanted"]:
    """``wanted`` of the steps t = 1..T, the first and the last among them, evenly spread.

    Raises:
        ValueError: unless 2 ≤ ``wanted`` ≤ T.
    """
    if not 2 <= wanted <= steps:
        raise ValueError(f"sample_steps must lie in 2 to timesteps, {steps}, got {wanted}")
    return np.linspace(1, steps, wanted).round().astype(np.int32)


def only(process: Process, kept: Int[np.ndarray, " wanted"]) -> Process:
    """The process of the steps ``kept``, from 1 to T and rising.

    Its reverse must follow from a belief about x_0: the rate of a longer step is none that the
    paper's forms have read out a variance for.
    """
    log_alpha_bar = process.schedule.log_alpha_bar[kept - 1]
    # 1 - ᾱ_t/ᾱ_s; the first step is the process's own.
    beta = jnp.append(process.schedule.beta[0], -jnp.expm1(jnp.diff(log_alpha_bar)))
    return replace(
        process,
        schedule=Schedule(beta, log_alpha_bar),
        step=_Skipping(process.step),
        params=(process.params, jnp.asarray(kept)),
    )
