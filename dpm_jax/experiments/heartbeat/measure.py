"""What only the heartbeat's measurement has: are the samples heartbeats, and of which phase?"""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from dpm_jax.array_types import PRNGKey
from dpm_jax.data.dataset import Dataset
from dpm_jax.evaluation import figures
from dpm_jax.evaluation.entropies import EntropyProfile, entropy_profile
from dpm_jax.evaluation.likelihood import Likelihood
from dpm_jax.experiments.heartbeat import figures as heartbeat_figures
from dpm_jax.experiments.known_law import measure as known_law
from dpm_jax.experiments.known_law.config import KnownLawConfig
from dpm_jax.experiments.known_law.measure import Law
from dpm_jax.experiments.measurement import Measurement
from dpm_jax.kernels.binomial import Bernoulli
from dpm_jax.laws import heartbeat
from dpm_jax.process import Process
from dpm_jax.sampling import observation, perturb, posterior
from dpm_jax.sampling.protocol import Observation

PROFILE_EXAMPLES = 200
POSTERIOR_DRAWS = 2_000  # of 2,000 steps each
RUNS = 8  # of particles, independent of each other


class Question(NamedTuple):
    """Which phase, given five bits? Bits by bin, counted from 0."""

    bits: dict[int, int]
    flipped: float = 0.0  # how often a bit is seen wrong


QUESTIONS = {
    "five zeros": Question({0: 0, 1: 0, 5: 0, 6: 0, 10: 0}),
    "one period": Question({5: 0, 6: 0, 7: 1, 8: 0, 9: 0}),
    "three in ten flipped": Question({0: 1, 1: 1, 2: 1, 3: 0, 5: 1}, flipped=0.3),
}
"""Two phases excluded and three left; the phase certain; five unequal probabilities."""


def phase_counts(samples: np.ndarray) -> np.ndarray:
    """How many samples [n, 20] are exactly heartbeat k, for k = 0..4; int [5]."""
    same = (samples[:, None] == heartbeat.sequences()).all(-1)
    counts: np.ndarray = same.sum(0)
    return counts


def nearest_phase(samples: np.ndarray) -> np.ndarray:
    """One-hot: the heartbeat with the fewest different bits from each sample [n, 20]; [n, 5]."""
    same = (samples[:, None] == heartbeat.sequences()).sum(-1)
    return np.asarray(np.eye(heartbeat.PERIOD)[same.argmax(-1)])


def perturbation(process: Process, question: Question) -> perturb.Perturbation:
    """Known bits are held; bits seen through a channel multiply by its likelihood."""
    value, mask = map(jnp.asarray, _arrays(question))
    if not question.flipped:
        return perturb.known(process, value, mask)
    odds = np.log((1 - question.flipped) / question.flipped)
    r = Bernoulli(jnp.where(mask, (2 * value - 1) * odds, 0.0))
    return perturb.observed(process, r)


def posteriors(
    process: Process, count: int, key: PRNGKey, *, progress: bool = False
) -> dict[str, dict[str, Any]]:
    """The phase's posterior from ``count`` weighted trajectories beside Bayes, by question."""
    found = {}
    for i, (name, question) in enumerate(QUESTIONS.items()):
        draws = posterior.draw(
            process,
            partial(perturbation, question=question),
            count,
            jax.random.fold_in(key, i),
            progress=progress,
        )
        # r is Bernoulli: a half for each bit that was not seen
        unseen = heartbeat.BITS - len(question.bits) if question.flipped else 0
        found[name] = _answer(question, draws, -unseen * math.log(2))
    return found


def resampled(
    process: Process, count: int, key: PRNGKey, *, progress: bool = False
) -> dict[str, dict[str, Any]]:
    """The same from about ``count`` particles (``sampling.particles``)."""
    found = {}
    for i, (name, question) in enumerate(QUESTIONS.items()):
        draws = posterior.posterior(
            process,
            observed(question),
            jax.random.fold_in(key, i),
            method="smc",
            particles=max(2, count // RUNS),
            runs=RUNS,
            chunk=500,
            progress=progress,
        )
        found[name] = _answer(question, draws)
    return found


def observed(question: Question) -> Observation:
    """The question's bits: known, or seen through the channel."""
    value, mask = _arrays(question)
    if not question.flipped:
        return observation.known(value, mask)
    return observation.flipped(value, question.flipped, mask)


def _answer(
    question: Question, draws: posterior.Posterior, constant: float = 0.0
) -> dict[str, Any]:
    """The phases beside Bayes; ``constant`` is by how much r is not what the channel says, nats."""
    exact, evidence = heartbeat.phases_given_bits(*_arrays(question), flipped=question.flipped)
    return {
        "bits": {str(bin_): bit for bin_, bit in question.bits.items()},
        "flipped": question.flipped,
        **posterior.summary(draws, nearest_phase(draws.x), exact, evidence + constant),
    }


def _arrays(question: Question) -> tuple[np.ndarray, np.ndarray]:
    """Bits [20] and which of them are known [20]."""
    value, mask = np.zeros(heartbeat.BITS, np.float32), np.zeros(heartbeat.BITS, bool)
    value[list(question.bits)] = list(question.bits.values())
    mask[list(question.bits)] = True
    return value, mask


def measure(config: KnownLawConfig, law: Law, data: Dataset, process: Process) -> Measurement:
    """K and its limits, the samples' score, and posteriors beside the exact ones."""
    found, likelihood, samples = known_law.measure(config, law, data, process)
    keys, few = known_law.keys(config.seed), data.heldout[:PROFILE_EXAMPLES]
    found.samples = None if samples is None else samples[0]
    found.add("samples", _score, found.samples)
    answers = found.value(
        "posterior", posteriors, process, POSTERIOR_DRAWS, keys.posterior, progress=True
    )
    found.add("posterior", lambda said: {"posterior": said}, answers)
    smc = found.value("smc", resampled, process, POSTERIOR_DRAWS, keys.posterior, progress=True)
    found.add("smc", lambda said: {"posterior_smc": said}, smc)
    profile = found.value("entropies", entropy_profile, process, few, keys.entropies)
    found.draw("heartbeat", partial(_samples, process.schedule.steps // 2), data.heldout, samples)
    found.draw("bits", _bits, likelihood, profile)
    found.draw("posterior", heartbeat_figures.phase_posteriors, answers, smc)
    return found


def _score(drawn: np.ndarray) -> dict[str, Any]:
    counts, total = phase_counts(drawn), len(drawn)
    return {
        "samples": total,
        "samples_exact_share": float(counts.sum() / total),
        "samples_phase_frequency": (counts / total).tolist(),
        "samples_phase_frequency_se": float(np.sqrt(0.2 * 0.8 / total)),
    }


def _samples(halfway: int, heldout: np.ndarray, drawn: dict[int, np.ndarray]) -> Figure:
    return heartbeat_figures.heartbeat(heldout, drawn[halfway], drawn[0])


def _bits(likelihood: Likelihood, profile: EntropyProfile) -> Figure:
    return figures.where_the_bits_go(likelihood.step_kl, *profile, continuous=False)
