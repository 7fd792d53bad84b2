"""Halves of held-out images by several ways, in few steps: pictures and numbers side by side."""

import numpy as np

from dpm_jax.array_types import PRNGKey
from dpm_jax.data.patches import evenly
from dpm_jax.experiments.images import compared, figures
from dpm_jax.experiments.images.compared import Sizes
from dpm_jax.experiments.images.restored import SHOWN, Subject, left_half
from dpm_jax.experiments.measurement import Found
from dpm_jax.sampling import skip
from dpm_jax.sampling.knowledge import one_path
from dpm_jax.sampling.observation import known

STEPS = 50  # of the sub-sequence: particles take a slope at every step
WAYS = {"replace": Sizes(16, 1), "path": Sizes(2, 8)}  # rather many paths than many on each


def halves(subject: Subject, key: PRNGKey) -> Found:
    """The right half of images given the left, by replacing and by particles on one path.

    Only where known components have a path of their own (``one_path``).
    """
    process = subject.process
    images = subject.heldout[evenly(len(subject.heldout), SHOWN)]
    mask = left_half(process.event_shape)
    if not one_path(process, known(images[0], mask)):
        return {}, {}
    fewer = skip.fewer(process, min(STEPS, process.schedule.steps))
    found = compared.compare(fewer, images, lambda x, _: known(x, mask), ~mask, WAYS, key)
    rows = {"image": images, "given": np.where(mask, images, np.float32(0))}
    rows |= {way: of.draws[:, 0] for way, of in found.items()}
    figure = figures.rows({name: subject.grey(x) for name, x in rows.items()})
    numbers = {way: of.numbers() for way, of in found.items()}
    said = {"steps": fewer.schedule.steps, "images": len(images), **numbers}
    return {"inpainting_ways": said}, {"inpainting_ways": figure}
