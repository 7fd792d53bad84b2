"""One trained model in fewer of its steps: the bound, and the grade of its samples."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dpm_jax.array_types import PRNGKey
from dpm_jax.evaluation import report
from dpm_jax.evaluation.likelihood import Likelihood, evaluate
from dpm_jax.experiments.images import bounds, curves, grade, yardsticks
from dpm_jax.experiments.images.grade import Grader
from dpm_jax.experiments.images.restored import Subject
from dpm_jax.experiments.measurement import Found
from dpm_jax.sampling import skip


def across(
    subject: Subject,
    counts: Sequence[int],
    times: int,
    likelihood: Likelihood,
    drawn: dict[int, np.ndarray],
    keys: tuple[PRNGKey, PRNGKey],
    grader: Grader | None = None,
) -> Found:
    """K on evenly spread steps, so many of them, and on all, which are measured already.

    Each is the true bound of its own chain, on the same held-out images.

    Args:
        subject: the process of all steps.
        counts: numbers of steps.
        times: steps drawn for each image in the bound, where there are as many.
        likelihood: of all steps.
        drawn: samples by t, in all steps.
        keys: of the bound and of samples.
        grader: of samples.
    """
    every = subject.process.schedule.steps
    code, samples = [bounds.code(subject, likelihood)], [drawn[0]]
    fewer = sorted(set(counts) - {every}, reverse=True)
    for count in fewer:
        few = subject._replace(process=skip.fewer(subject.process, count))
        code.append(bounds.code(few, _bound(few, min(times, count - 1), keys[0])))
        samples.append(bounds.freely(few, len(drawn[0]), keys[1]) if grader else drawn[0][:0])
    steps, code, samples = [every, *fewer][::-1], code[::-1], samples[::-1]
    unit = yardsticks.per_dimension(subject.data)
    found: dict[str, Any] = {
        "steps": steps,
        **report.pairs(unit, code),
        **report.pairs(f"more_than_all_{unit}", [c - code[-1] for c in code]),
    }
    if grader:
        graded = [grade.of_samples(subject, grader, x) for x in samples]
        found |= {"of_test_images": grade.of_test_images(grader, len(drawn[0]))}
        for name in ("sure", "class_entropy_bits"):
            found |= {key: [g[key] for g in graded] for key in (name, f"{name}_se")}
    figure = curves.fewer_steps(found, unit)
    return {"fewer_steps": found}, {"steps": figure}


def _bound(subject: Subject, times: int, key: PRNGKey) -> Likelihood:
    chunk = bounds.chunk_of_images(subject.process, times)
    whole = evaluate(subject.process, subject.heldout, key, times=times, chunk=chunk)
    return bounds.density(subject, whole)
