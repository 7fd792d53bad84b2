"""Processes of one real number whose data are a mixture of normals: exact reverse, or the best."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import logsumexp
from jax.scipy.special import ndtr

from dpm_jax import schedule
from dpm_jax.array_types import Array
from dpm_jax.kernels import gaussian
from dpm_jax.kernels.gaussian import Normal
from dpm_jax.laboratory import law
from dpm_jax.laboratory.space import Space
from dpm_jax.process import LEARNED, LastStep, Process
from dpm_jax.schedule import Coefficients

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(24)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


class Mixture(NamedTuple):
    """Normals of the data."""

    means: np.ndarray
    stds: np.ndarray
    weights: np.ndarray

    def on(self, line: Space) -> np.ndarray:
        return law.mixture(line, self.means, self.stds, self.weights)

    def sample(self, count: int, rng: np.random.Generator) -> np.ndarray:
        k = rng.choice(len(self.means), count, p=self.weights / self.weights.sum())
        return (self.means[k] + self.stds[k] * rng.normal(size=count)).astype(np.float32)[:, None]

    def log2_density(self, x: np.ndarray) -> np.ndarray:
        z = (np.asarray(x, np.float64) - self.means) / self.stds
        each = np.exp(-0.5 * z**2) / (self.stds * np.sqrt(2 * np.pi))
        return np.log2(each @ (self.weights / self.weights.sum()))

    def arrays(self) -> tuple[Array, Array, Array]:
        """Means, variances and log weights, float32."""
        log_weights = np.log(self.weights / self.weights.sum())
        return tuple(jnp.asarray(a, jnp.float32) for a in (self.means, self.stds**2, log_weights))


def given_xt(data, xt: Array, log_alpha_bar: Array) -> tuple[Array, Array, Array]:
    """Log weights, means and variances of x_0 | x_t for one number x_t."""
    means, variances, log_weights = data
    signal, noise = jnp.exp(0.5 * log_alpha_bar), -jnp.expm1(log_alpha_bar)
    total = signal**2 * variances + noise
    off = xt - signal * means
    log_w = log_weights - 0.5 * (off**2 / total + jnp.log(total))
    mean = means + signal * variances / total * off
    return log_w - logsumexp(log_w), mean, variances * noise / total


class Reverse(NamedTuple):
    """q(x_{t-1} | x_t), by what it depends on; each field in the shape of an event."""

    xt: Array
    beta: Array
    log_alpha_bar_prev: Array


def exact_kernel(mixture: Mixture):
    """The Gaussian kernel, that knows what to do with a ``Reverse`` of this mixture too."""
    data = mixture.arrays()

    def components(p: Reverse) -> tuple[Array, Array, Array]:
        """Log weights, means and variances of x_{t-1} | x_t, one number."""
        log_w, mean, variance = given_xt(data, p.xt, p.log_alpha_bar_prev + jnp.log1p(-p.beta))
        xt = jnp.broadcast_to(p.xt, mean.shape)
        bridge = gaussian.bridge(Normal(mean, variance), xt, p.beta, p.log_alpha_bar_prev)
        return log_w, bridge.mean, bridge.variance

    def log_prob_of_one(p: Reverse, x: Array) -> Array:
        log_w, mean, variance = components(p)
        log_each = gaussian.LOG_2PI + jnp.log(variance) + (x - mean) ** 2 / variance
        return logsumexp(log_w - 0.5 * log_each)

    def kl_of_one(q: Normal, p: Reverse) -> Array:
        def at(node: Array) -> Array:
            x = gaussian.transport(q, node)
            return gaussian.log_prob(q, x) - log_prob_of_one(p, x)

        return jnp.asarray(WEIGHTS, jnp.float32) @ jax.vmap(at)(jnp.asarray(NODES, jnp.float32))

    def transport_one(p: Reverse, noise: Array) -> Array:
        log_w, mean, variance = components(p)
        std, share = jnp.sqrt(variance), ndtr(noise)

        def halve(_, ends):
            low, high = ends
            middle = 0.5 * (low + high)
            below = jnp.exp(log_w) @ ndtr((middle - mean) / std) < share
            return jnp.where(below, middle, low), jnp.where(below, high, middle)

        ends = (mean - 6 * std).min(), (mean + 6 * std).max()
        return 0.5 * sum(jax.lax.fori_loop(0, 30, halve, ends))

    def of_each(function, *arguments):
        return jax.vmap(function)(*jax.tree.map(jnp.ravel, arguments))

    def log_prob(p: Any, x: Array) -> Array:
        normal = isinstance(p, Normal)
        return gaussian.log_prob(p, x) if normal else of_each(log_prob_of_one, p, x).sum()

    def kl(q: Normal, p: Any) -> Array:
        return gaussian.kl(q, p) if isinstance(p, Normal) else of_each(kl_of_one, q, p).sum()

    def transport(p: Any, noise: Array) -> Array:
        normal = isinstance(p, Normal)
        return gaussian.transport(p, noise) if normal else of_each(transport_one, p, noise)

    return gaussian.KERNEL._replace(log_prob=log_prob, kl=kl, transport=transport)


def _exact_step(params: Any, xt: Array, t: Array, c: Coefficients) -> Reverse:
    return Reverse(xt, jnp.full(xt.shape, c.beta), jnp.full(xt.shape, c.log_alpha_bar_prev))


def _best_step(data: Any, xt: Array, t: Array, c: Coefficients) -> Normal:
    log_w, mean, variance = given_xt(data, xt[0], c.log_alpha_bar)
    w = jnp.exp(log_w)
    centre = w @ mean
    belief = Normal(centre[None], (w @ (variance + (mean - centre) ** 2))[None])
    return gaussian.bridge(belief, xt, c.beta, c.log_alpha_bar_prev)


def rates_of(alphas: np.ndarray) -> tuple[schedule.Schedule, np.ndarray]:
    """The schedule, and the rates that float32 makes of ``alphas``, in float64."""
    made = schedule.given(1 - alphas).apply({})
    return made, 1 - np.asarray(made.beta, np.float64)


def exact(kernel: Any, made: schedule.Schedule) -> Process:
    return Process(kernel, made, _exact_step, (1,), last_step=LEARNED)


def best(mixture: Mixture, made: schedule.Schedule, last_step: LastStep) -> Process:
    return Process(gaussian.KERNEL, made, _best_step, (1,), mixture.arrays(), last_step)
