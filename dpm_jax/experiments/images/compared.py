"""Ways to a posterior of images side by side: how near their means are, and how honest they are."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from dpm_jax.array_types import Bool, Float, PRNGKey
from dpm_jax.devices import shown
from dpm_jax.evaluation import report
from dpm_jax.evaluation.likelihood import estimate
from dpm_jax.process import Process
from dpm_jax.sampling.posterior import Posterior, posterior
from dpm_jax.sampling.protocol import Observation
from dpm_jax.scaling import NATS_PER_BIT

INTERVAL = 0.8
"""Probability of the intervals whose coverage is measured."""


class Sizes(NamedTuple):
    """How much work a way is given, for each image."""

    particles: int
    runs: int
    sweeps: int = 1


class Compared(NamedTuple):
    """One way on all images.

    Attributes:
        draws: one of each run, by the weights [images, runs, *event].
        squared_error: of the posterior mean over what is unknown [images].
        covered: share of unknown components that lie inside their 80% intervals [images].
        total_covered: whether the sum of the unknown components does, 0 or 1 [images].
        log_evidence: nats [images]; NaN where the way has none.
        effective: what the weights leave of the draws [images].
        kept: draws for each image.
    """

    draws: np.ndarray
    squared_error: np.ndarray
    covered: np.ndarray
    total_covered: np.ndarray
    log_evidence: np.ndarray
    effective: np.ndarray
    kept: int

    def numbers(self) -> dict[str, Any]:
        """Means over images, and their standard errors; evidence in bits."""
        named = {
            "mse": self.squared_error,
            "covered": self.covered,
            "total_covered": self.total_covered,
            "log_evidence_bits": self.log_evidence / NATS_PER_BIT,
            "effective": self.effective,
        }
        found: dict[str, Any] = {"draws": self.kept}
        for name, values in named.items():
            if np.isfinite(values).all():
                found |= report.pair(name, estimate(values))
        return found


def compare(
    process: Process,
    images: Float[np.ndarray, "n height width channels"],
    observe: Callable[[np.ndarray, np.random.Generator], Observation],
    unknown: Bool[np.ndarray, "height width channels"],
    ways: Mapping[str, Sizes],
    key: PRNGKey,
    *,
    progress: bool = False,
) -> dict[str, Compared]:
    """Every way on the same observations of the same images, in the process's units.

    Args:
        process: the model.
        images: the truth.
        observe: makes an observation of one; the same noise for all ways.
        unknown: components that are judged.
        ways: methods of ``posterior`` with their sizes.
        key: of all random numbers.
        progress: whether to show a bar.
    """
    seed = np.asarray(jax.random.key_data(jax.random.fold_in(key, 0)))
    observed = [
        observe(image, rng) for image, rng in zip(images, _each(seed, len(images)), strict=True)
    ]
    found = {}
    for number, (method, sizes) in enumerate(ways.items(), 1):
        rows = []
        way_key = jax.random.fold_in(key, number)
        for i in shown(range(len(observed)), method, progress):
            run_key = jax.random.fold_in(way_key, i)
            told = posterior(process, observed[i], run_key, method=method, **sizes._asdict())
            rng = np.random.default_rng([*seed, number, i])
            rows.append(judged(told, images[i], unknown, sizes.runs, rng))
        fields: Any = [np.stack(column) for column in zip(*rows, strict=True)]
        found[method] = Compared._make([*fields, len(told.x)])
    return found


def judged(
    told: Posterior, truth: np.ndarray, unknown: np.ndarray, runs: int, rng: np.random.Generator
) -> tuple[Any, ...]:
    """The fields of ``Compared`` of one image."""
    weight, x, own = told.weight, told.x[:, unknown], truth[unknown]
    mean = weight @ x
    total = inside(weight, x.sum(1, keepdims=True), own.sum(keepdims=True), rng)
    return (
        _one_of_each(told, runs, rng),
        ((mean - own) ** 2).mean(),
        inside(weight, x, own, rng).mean(),
        total.mean(),
        told.log_evidence[0],
        told.effective,
    )


def inside(
    weight: Float[np.ndarray, " n"],
    x: Float[np.ndarray, "n k"],
    own: Float[np.ndarray, " k"],
    rng: np.random.Generator,
) -> Bool[np.ndarray, " k"]:
    """Whether the truth's rank among the draws is one of the middle 80%.

    It counts as one draw more, of the weight that each of the effective draws has; where others
    are the same, as so many pixels are, chance orders them: so the middle has 80% where draws are
    right, of grey levels and of few draws too.
    """
    below, same, one = weight @ (x < own), weight @ (x == own), (weight**2).sum()
    rank = (below + rng.random(len(own)) * (same + one)) / (1 + one)
    return np.abs(rank - 0.5) < INTERVAL / 2


def _each(seed: np.ndarray, count: int) -> list[np.random.Generator]:
    return [np.random.default_rng([*seed, i]) for i in range(count)]


def _one_of_each(told: Posterior, runs: int, rng: np.random.Generator) -> np.ndarray:
    each = told.log_weight.reshape(runs, -1).astype(np.float64)
    picks = np.argmax(each + rng.gumbel(size=each.shape), 1)
    return told.x.reshape(runs, each.shape[1], *told.x.shape[1:])[np.arange(runs), picks]
