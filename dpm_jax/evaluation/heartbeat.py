"""What only the heartbeat's evaluation has: are the samples heartbeats, and of which phase?"""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dpm_jax.data import heartbeat
from dpm_jax.evaluation import figures
from dpm_jax.evaluation.entropies import entropy_profile
from dpm_jax.evaluation.report import Outcome
from dpm_jax.process import bind

PROFILE_EXAMPLES = 200


def phase_counts(samples: np.ndarray) -> np.ndarray:
    """How many samples [n, 20] are exactly heartbeat k, for k = 0..4; int [5]."""
    same = (samples[:, None] == heartbeat.sequences()).all(-1)
    counts: np.ndarray = same.sum(0)
    return counts


def finish(outcome: Outcome, folder: Path, *, seed: int) -> dict[str, Any]:
    """Draw the figures into ``folder``; return the samples' score for ``result.json``."""
    model, params, drawn = outcome.model, outcome.fitted.params, outcome.samples
    halfway, total = model.schedule.steps // 2, len(drawn[0])
    counts = phase_counts(drawn[0])
    profile = entropy_profile(
        partial(bind, model),
        params,
        outcome.data.heldout[:PROFILE_EXAMPLES],
        jax.random.fold_in(jax.random.key(seed), 2),
    )
    pictures = {
        "heartbeat": figures.heartbeat(outcome.data.heldout, drawn[halfway], drawn[0]),
        "bits": figures.where_the_bits_go(outcome.likelihood.step_kl, *profile, continuous=False),
    }
    for name, figure in pictures.items():
        figures.save(figure, folder / f"{name}.png")
    return {
        "samples": total,
        "samples_exact_share": float(counts.sum() / total),
        "samples_phase_frequency": (counts / total).tolist(),
        "samples_phase_frequency_se": float(np.sqrt(0.2 * 0.8 / total)),
    }
