"""Whole diffusions as tables of log-probabilities, in float64 NumPy: nothing is derived.

Bits are summed over all their states; a real number over a grid, where the trapezoidal rule of
smooth laws that end before the grid does is as exact as float64. Only one-step kernels are stated.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from reference import jit, process_of

from dpm_jax.bound import Bound
from dpm_jax.kernels import gaussian
from dpm_jax.kernels.base import Kernel
from dpm_jax.process import Process
from dpm_jax.schedule import at

BETA = [0.4, 0.5, 0.6, 0.3]


@dataclass(frozen=True, eq=False)
class Chain:
    """The same diffusion twice: as the library's process, and as tables.

    ``forward[t-1]`` is log q(x_t | x_{t-1}) and ``reverse[t-1]`` log p(x_{t-1} | x_t), both
    [x_{t-1}, x_t]; ``data`` is log q(x_0), ``prior`` log π; a sum over points times ``weight`` is
    an integral.
    """

    process: Process
    points: np.ndarray
    weight: float
    data: np.ndarray
    prior: np.ndarray
    forward: list[np.ndarray]
    reverse: list[np.ndarray]

    @property
    def kernel(self) -> Kernel:
        return self.process.kernel

    @property
    def T(self) -> int:
        return len(self.forward)

    @property
    def steps(self) -> range:
        """t = 2..T."""
        return range(2, self.T + 1)

    def at(self, t: int):
        """Coefficients of step t."""
        return at(self.process.schedule, jnp.asarray(t))

    @cached_property
    def log_q(self) -> np.ndarray:
        """log q(x_0, …, x_T), an axis for each."""
        return chained(self.forward) + along(self.data, 0, self.T)

    @cached_property
    def log_p(self) -> np.ndarray:
        """log p(x_0, …, x_T)."""
        return chained(self.reverse) + along(self.prior, self.T, self.T)

    @cached_property
    def q(self) -> np.ndarray:
        return np.exp(self.log_q)

    def integral(self, values: np.ndarray, keep: tuple[int, ...] = ()) -> np.ndarray:
        """Over all axes but those of ``keep``."""
        axes = tuple(i for i in range(values.ndim) if i not in keep)
        return values.sum(axes) * self.weight ** len(axes)

    def law(self, *times: int) -> np.ndarray:
        """q of x_t at these t, rising."""
        return self.integral(self.q, times)

    def given_data(self, t: int) -> np.ndarray:
        """q(x_t | x_0) [x_0, x_t]."""
        return self.law(0, t) / np.exp(self.data)[:, None]

    def mean(self, values: np.ndarray) -> float:
        """Of a function of x_0, over the data."""
        return float(self.integral(np.exp(self.data) * values))

    @cached_property
    def log_probability(self) -> np.ndarray:
        """log p(x_0)."""
        return np.log(self.integral(np.exp(self.log_p), (0,)))

    @property
    def log_weight(self) -> np.ndarray:
        """log of p(x_T) ∏ p(x_{t-1} | x_t)/q(x_t | x_{t-1}) of every path."""
        return self.log_p - self.log_q + along(self.data, 0, self.T)

    @cached_property
    def K(self) -> float:
        """The mean log-weight over all paths."""
        return float(self.integral(self.q * self.log_weight))

    def entropy(self, *times: int) -> float:
        """H of x_t at these t."""
        p = self.law(*times)
        return -float(self.integral(p * np.log(np.where(p > 0, p, 1))))


def close(left, right) -> None:
    """Both sides of an equation, to what is left of float64 after so many sums."""
    np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-10)


def along(values: np.ndarray, axis: int, last: int) -> np.ndarray:
    """A function of one x_t, with an axis for each of x_0..x_last."""
    return values.reshape([-1 if i == axis else 1 for i in range(last + 1)])


def chained(tables: list[np.ndarray]) -> np.ndarray:
    """The sum of tables of (x_{t-1}, x_t) along all paths."""
    total = tables[0]
    for table in tables[1:]:
        total = total[..., None] + table
    return total


def table(chain: Chain, function: Callable) -> np.ndarray:
    """``function(x, y)`` of the library at all pairs of points."""
    pairs = jax.vmap(jax.vmap(function, (None, 0)), (0, None))
    return np.asarray(jit(pairs)(jnp.asarray(chain.points), jnp.asarray(chain.points)))


def column(chain: Chain, function: Callable) -> np.ndarray:
    """``function(x)`` of the library at all points."""
    return np.asarray(jit(jax.vmap(function))(jnp.asarray(chain.points)))


@lru_cache(maxsize=4)  # tests of one chain follow each other
def averaged(chain: Chain, all_steps: Callable[..., Bound]) -> Bound:
    """The library's terms for every x_0, their noise integrated out: x_t runs over all points."""
    alpha_bar = np.cumprod(1 - np.array(BETA[: chain.T]))[:, None]

    def at_point(x0, x):
        if chain.kernel is gaussian.KERNEL:
            noise = (x - np.sqrt(alpha_bar) * x0) / np.sqrt(1 - alpha_bar)
        else:
            noise = jnp.broadcast_to(jnp.where(x > 0.5, -1e3, 1e3), (chain.T, *x.shape))
        return all_steps(chain.process, x0, noise)

    pairs = jax.vmap(jax.vmap(at_point, (None, 0)), (0, None))
    x = jnp.asarray(chain.points)
    with jax.numpy_rank_promotion("allow"):
        terms = jax.tree.map(np.asarray, jit(pairs)(x, x))
    seen = [chain.given_data(t) * chain.weight for t in range(1, chain.T + 1)]
    kls = [(terms.step_kl[..., t - 2] * seen[t - 1]).sum(1) for t in chain.steps]
    rest = {name: value[:, 0] for name, value in terms._asdict().items() if name != "step_kl"}
    rest["last_step"] = (terms.last_step * seen[0]).sum(1)
    return jax.tree.map(jnp.asarray, Bound(step_kl=np.stack(kls, -1), **rest))


def with_data(chain: Chain, data: np.ndarray) -> Chain:
    """The same diffusion of other data, whose log-probabilities are given."""
    return replace(chain, data=data)


def turned_around(chain: Chain) -> Chain:
    """Its reverse process is the forward kernel: exact where the data are those of π."""
    kernel = chain.kernel
    process = process_of(
        kernel,
        chain.process.schedule,
        lambda xt, t, c: kernel.step(xt, c.beta),
        chain.process.event_shape,
    )
    return replace(chain, process=process, reverse=[q.T for q in chain.forward])
