"""Networks that were trained anywhere: one that predicts ε, x_0 or v becomes a ``Process``.

Its bound, samples and posteriors then come from here. The conventions are those of DDPM's family
(Ho et al. 2020; Nichol & Dhariwal 2021): the mean of p(x_{t-1} | x_t) is the posterior's at x̂_0,
and β̃_2 takes the place of the first variance, as in their code; β_1 would be another process.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dpm_jax import levels, reverse
from dpm_jax.array_types import Event, Float, Step
from dpm_jax.kernels import gaussian
from dpm_jax.kernels.gaussian import Normal
from dpm_jax.process import LAST_STEPS, LastStep, Process
from dpm_jax.schedule import Coefficients, at, given

Predict = Callable[[Any, Event, Step], Any]
"""``predict(params, xt, t)`` is ε̂, x̂_0 or v̂ of one example, with the learned z beside it if any."""


def process(
    predict: Predict,
    beta: Float[np.ndarray, " T"] | list[float],
    event_shape: tuple[int, ...],
    *,
    predicts: str,
    variance: str,
    first_step: int,
    params: Any = (),
    last_step: str = "binned",
    range: tuple[float, float] = (-1.0, 1.0),
    grey_levels: int = 256,
    clip: bool = False,
) -> Process:
    """The process that a network makes with its schedule; equal arguments are one program.

    Args:
        predict: ``predict(params, xt, t)`` sees one example, in its own layout, and returns what
            it predicts in the shape of ``xt``; with variance "between", two such arrays.
        beta: the rates β_1..β_T that it was trained with.
        event_shape: of one example.
        predicts: "epsilon", "x0" or "v" (``dpm_jax.reverse.MEANS``).
        variance: "beta", "beta_tilde", or "between" the two, at the z ∈ [-1, 1] that ``predict``
            returns as its second array (``dpm_jax.reverse.VARIANCES``).
        first_step: the number by which ``predict`` knows our t = 1: 0 or 1.
        params: of the network: a pytree, what ``predict`` is given.
        last_step: "binned" (DDPM's decoder) or "levels" for images of grey levels, whose K is of a
            probability; "learned" or "fixed" for real numbers, whose K is of a density.
        range: black and white in the network's units.
        grey_levels: how many there are from black to white.
        clip: whether x̂_0 is cut to ``range``. Its bound is true too, of another process.

    Raises:
        ValueError: if an argument is none of these, a rate is not in (0, 1), or ``predict``
            returns another shape.
    """
    _one_of("predicts", predicts, tuple(reverse.MEANS))
    _one_of("variance", variance, tuple(reverse.VARIANCES))
    _one_of("first_step", first_step, (0, 1))
    _one_of("last_step", last_step, (*levels.LAST_STEPS, *LAST_STEPS))
    low, high = (float(end) for end in range)
    if not -np.inf < low < high < np.inf:
        raise ValueError(f"range must be two finite numbers that rise, got {(low, high)}")
    if grey_levels < 2:
        raise ValueError(f"grey_levels must be at least 2, got {grey_levels}")
    schedule = given(beta).apply({})
    if predicts == "epsilon" and schedule.beta[-1] == 1:
        raise ValueError(
            "beta must end below 1 where predicts is epsilon, got 1: x_T then holds nothing of x_0"
        )
    _check_shape(predict, params, event_shape, first_step, 2 if variance == "between" else 1)
    cut = (low, high) if clip else None
    return Process(
        kernel=gaussian.UNSCALED,
        schedule=schedule,
        step=_ForeignStep(predict, predicts, variance, first_step, cut),
        event_shape=event_shape,
        params={
            "network": params,
            "beta_tilde_2": reverse.beta_tilde(jnp.zeros(()), at(schedule, jnp.asarray(2))),
        },
        last_step=_last_step(last_step, low, high, grey_levels),
    )


def on_host(
    network: Callable[[np.ndarray, np.ndarray], np.ndarray], arrays: int = 1
) -> Callable[[Any, Event, Step], Any]:
    """A network of any other framework as a ``predict``; JAX calls it back, batch by batch.

    ``process`` calls it once to see its shapes, with an x of zeros.

    Args:
        network: ``network(x, t)`` of NumPy arrays x [n, *event], float32, and t [n], int32, is
            an array like x. Where it knows its own parameters, ``params`` stay empty.
        arrays: how many such arrays it returns; 2 with a learned variance, as a tuple.
    """
    return _OnHost(network, arrays)


@dataclass(frozen=True)
class _ForeignStep:
    """The reverse step; equal where all these are: the rates are data."""

    predict: Predict
    predicts: str
    variance: str
    first_step: int
    cut: tuple[float, float] | None

    def __call__(self, params: Any, xt: Event, t: Step, c: Coefficients) -> Normal:
        out = self.predict(params["network"], xt, t - 1 + self.first_step)
        learned = self.variance == "between"
        # Without a second array, the variance reads nothing but the shape.
        z, share = (a.astype(xt.dtype) for a in (out if learned else (out, out)))
        guess = reverse.MEANS[self.predicts](z, xt, c)
        if self.cut is not None:
            guess = jnp.clip(guess, *self.cut)
        mean = gaussian.posterior(guess, xt, c.beta, c.log_alpha_bar_prev).mean
        # At t = 1, β̃_2 stands for β̃, and for β too where nothing is learned between them.
        least = params["beta_tilde_2"]
        first = (
            c._replace(log_alpha_bar_prev=jnp.log1p(-least)) if learned else c._replace(beta=least)
        )
        of_variance = jax.tree.map(lambda a, b: jnp.where(t == 1, a, b), first, c)
        return Normal(mean, reverse.VARIANCES[self.variance](share, of_variance))


@dataclass(frozen=True)
class _OnHost:
    """Equal where the network is."""

    network: Callable[[np.ndarray, np.ndarray], Any]
    arrays: int

    def __call__(self, params: Any, xt: Event, t: Step) -> Any:
        def batched(x: Any, t: Any) -> tuple[np.ndarray, ...]:
            # Steps and examples are mapped over: there may be several leading axes.
            flat = np.asarray(x).reshape(-1, *xt.shape)
            return tuple(a.reshape(x.shape) for a in self.of_batch(flat, np.asarray(t).ravel()))

        like = (jax.ShapeDtypeStruct(xt.shape, xt.dtype),) * self.arrays
        found = jax.pure_callback(batched, like, xt, t, vmap_method="broadcast_all")
        return found if self.arrays > 1 else found[0]

    def of_batch(self, x: np.ndarray, t: np.ndarray) -> list[np.ndarray]:
        """Its arrays for x [n, *event] and t [n]; ValueError unless each has x's shape."""
        out = self.network(x, t)
        found = [np.asarray(a, x.dtype) for a in (out if self.arrays > 1 else (out,))]
        if [a.shape for a in found] != [x.shape] * self.arrays:
            raise ValueError(
                f"network must return {_count(self.arrays)} of x's shape {x.shape}, got "
                f"{', '.join(str(a.shape) for a in found)}"
            )
        return found


@cache  # equal grids are one last step: what was compiled for it serves again
def _last_step(name: str, low: float, high: float, grey_levels: int) -> LastStep:
    if name in LAST_STEPS:
        return LAST_STEPS[name]
    grid = levels.Grid(
        np.float32(low) + np.zeros(()), (high - low) / (grey_levels - 1), grey_levels
    )
    return levels.LAST_STEPS[name](grid)


def _one_of(field: str, value: Any, allowed: tuple[Any, ...]) -> None:
    if value not in allowed:
        names = ", ".join(str(a) for a in allowed)
        raise ValueError(f"{field} must be one of {names}, got {value!r}")


def _check_shape(
    predict: Predict, params: Any, event_shape: tuple[int, ...], first_step: int, arrays: int
) -> None:
    if isinstance(predict, _OnHost):  # of which a trace sees nothing
        one = np.zeros((1, *event_shape), np.float32)
        predict.of_batch(one, np.full(1, first_step, np.int32))
    xt = jax.ShapeDtypeStruct(event_shape, np.float32)
    out = jax.eval_shape(predict, params, xt, jax.ShapeDtypeStruct((), np.int32))
    shapes = [leaf.shape for leaf in jax.tree.leaves(out)]
    if shapes != [event_shape] * arrays:
        raise ValueError(
            f"predict must return {_count(arrays)} of x_t's shape {event_shape}, got "
            f"{', '.join(map(str, shapes))}"
        )


def _count(arrays: int) -> str:
    return "one array" if arrays == 1 else f"{arrays} arrays"
