"""Are the samples what the data are? Graded by a classifier that is trained in the same run.

How many samples it is sure of says whether they are digits at all, and the entropy of their classes
whether they are all of them; both beside the same numbers of as many test images. The entropy of a
few images is too low by about (classes - 1)/(2 ln 2 · images) bits, for both alike.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from dpm_jax import scaling
from dpm_jax.array_types import Float
from dpm_jax.data.dataset import Images
from dpm_jax.data.patches import evenly
from dpm_jax.data.prepared import Labels
from dpm_jax.evaluation import classifier, report
from dpm_jax.evaluation.classifier import Classifier
from dpm_jax.evaluation.likelihood import estimate
from dpm_jax.experiments.images.restored import Subject

SURE = 0.9  # probability of one class


class Lesson(NamedTuple):
    """What a classifier learns from.

    Attributes:
        images: 8-bit, of one size.
        labels: reads their classes.
        steps: of its training.
    """

    images: Images
    labels: Callable[[], Labels]
    steps: int


class Grader(NamedTuple):
    """A trained classifier, the test images, and whether it takes each for what it is."""

    classifier: Classifier
    heldout: np.ndarray
    right: np.ndarray
    steps: int


def learn(lesson: Lesson, seed: int) -> Grader:
    """The classifier of a lesson."""
    labels = lesson.labels()
    train, heldout = (np.asarray(part) for part in lesson.images)
    learned = classifier.fit(train, labels.train, steps=lesson.steps, seed=seed, progress=True)
    right = classifier.probabilities(learned, heldout).argmax(1) == labels.heldout
    return Grader(learned, heldout, right, lesson.steps)


def grade(subject: Subject, grader: Grader, drawn: np.ndarray) -> dict[str, Any]:
    """Of samples in the model's units, and of as many test images."""
    return {
        "grade": {
            "classifier_steps": grader.steps,
            "test_images": len(grader.heldout),
            **report.pair("test_accuracy", estimate(grader.right.astype(float))),
            "sure_from": SURE,
            "of_samples": of_samples(subject, grader, drawn),
            "of_test_images": of_test_images(grader, len(drawn)),
        }
    }


def of_samples(subject: Subject, grader: Grader, drawn: np.ndarray) -> dict[str, Any]:
    """The grade of samples in the model's units."""
    levels = scaling.levels(subject.data.scaling, drawn)
    return of(classifier.probabilities(grader.classifier, levels))


def of_test_images(grader: Grader, count: int) -> dict[str, Any]:
    """The grade of so many test images, evenly spread."""
    some = grader.heldout[evenly(len(grader.heldout), count)]
    return of(classifier.probabilities(grader.classifier, some))


def of(probabilities: Float[np.ndarray, "n classes"]) -> dict[str, Any]:
    """Share that is sure, and the entropy of the mean of all in bits, with standard errors.

    The entropy's is of first order: it vanishes where all classes are equally frequent.
    """
    each = probabilities.astype(np.float64)
    mean = each.mean(0)
    seen = mean > 0  # a class that never comes costs nothing
    cost = each[:, seen] @ -np.log2(mean[seen])
    return {
        "images": len(each),
        **report.pair("sure", estimate((each.max(1) >= SURE).astype(float))),
        **report.pair("class_entropy_bits", estimate(cost)),
    }
