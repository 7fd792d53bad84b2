"""Pairs of held-out images, mixed half-way to the noise and brought back."""

import numpy as np

from dpm_jax.array_types import PRNGKey
from dpm_jax.data.patches import evenly
from dpm_jax.experiments.images import figures
from dpm_jax.experiments.images.restored import Subject
from dpm_jax.experiments.measurement import Found
from dpm_jax.sampling.interpolate import interpolate

PAIRS = 8
WEIGHTS = np.linspace(0, 1, 6)  # of the second image
DEPTH = 0.5  # of all steps


def between(subject: Subject, key: PRNGKey) -> Found:
    """A column for each pair: the one image, what lies between, the other."""
    steps = subject.process.schedule.steps
    t = max(1, round(DEPTH * steps))
    images = subject.heldout[evenly(len(subject.heldout), 2 * PAIRS)]
    first, second = images[: len(images) // 2], images[-(len(images) // 2) :]
    found = interpolate(
        subject.process, first, second, t, WEIGHTS, key, chunk=len(first), progress=True
    )
    rows = {"image A": first}
    rows |= {f"{1 - w:.0%} A": x for w, x in zip(WEIGHTS, found, strict=True)}
    rows |= {"image B": second}
    figure = figures.rows({name: subject.grey(x) for name, x in rows.items()})
    return {"interpolation": {"t": t, "pairs": len(first)}}, {"interpolation": figure}
