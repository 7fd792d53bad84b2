"""Grades of images against probabilities that are given, and their errors against repetition."""

import jax.numpy as jnp
import numpy as np
import pytest

from dpm_jax import scaling
from dpm_jax.data import patches
from dpm_jax.data.dataset import Images
from dpm_jax.data.prepared import Labels
from dpm_jax.evaluation.classifier import Layer
from dpm_jax.experiments.images import grade
from dpm_jax.experiments.images.grade import Grader, Lesson
from dpm_jax.experiments.images.restored import Subject


def one_hot(classes, of=10):
    return np.eye(of, dtype=np.float32)[classes]


def test_all_classes_alike_are_log2_of_their_number_and_one_is_0():
    found = grade.of(one_hot(np.arange(40) % 8, 8))
    assert (found["images"], found["sure"], found["sure_se"]) == (40, 1, 0)
    assert found["class_entropy_bits"] == pytest.approx(3)
    assert found["class_entropy_bits_se"] == pytest.approx(0, abs=1e-12)
    assert grade.of(one_hot(np.full(9, 4)))["class_entropy_bits"] == 0


def test_the_share_that_is_sure_has_its_binomial_error():
    each = np.repeat([[0.9, 0.1], [0.88, 0.12]], [30, 70], axis=0)
    found = grade.of(each)
    assert found["sure"] == pytest.approx(0.3)
    assert found["sure_se"] == pytest.approx(np.sqrt(0.3 * 0.7 / 99))
    assert grade.of(each[:, ::-1].copy())["sure"] == pytest.approx(0.3)


def test_the_error_of_the_entropy_is_that_of_repetition():
    rng = np.random.default_rng(0)
    often = np.array([0.5, 0.25, 0.15, 0.1])
    found = [grade.of(one_hot(rng.choice(4, 200, p=often), 4)) for _ in range(2_000)]
    values = np.array([f["class_entropy_bits"] for f in found])
    errors = np.array([f["class_entropy_bits_se"] for f in found])
    assert errors.mean() == pytest.approx(values.std(), rel=0.08)
    # Too low by what the docstring says: (classes - 1)/(2 ln 2 n).
    truth = -(often * np.log2(often)).sum()
    bias = 3 / (2 * np.log(2) * 200)
    assert truth - values.mean() == pytest.approx(bias, abs=5 * values.std() / np.sqrt(2_000))


def test_samples_are_graded_as_the_grey_levels_that_they_are():
    # Sure of class 1 where the one pixel is bright, of class 0 where it is dark.
    by_brightness = (Layer(jnp.array([[-40.0, 40.0]]), jnp.array([20.0, -20.0])),)
    levels = np.array([0, 255, 255, 128], np.uint8).reshape(4, 1, 1, 1)
    test = np.array([0, 0, 255, 255, 255, 255], np.uint8).reshape(6, 1, 1, 1)
    data = patches.prepare(Images(levels, test), None, seed=0, dequantise=False)
    right = np.array([True, True, False, True, True, True])
    drawn = scaling.standardise(data.scaling, levels + 0.5)
    grader = Grader(by_brightness, test, right, 7)
    found = grade.grade(Subject(None, data), grader, drawn)["grade"]
    assert found["of_samples"]["sure"] == 0.75
    assert found["of_test_images"]["images"] == 4
    assert found["of_test_images"]["sure"] == 1
    assert found["test_accuracy"] == pytest.approx(5 / 6)
    assert found["of_samples"]["class_entropy_bits"] == pytest.approx(
        grade.of(np.array([[1, 0], [0, 1], [0, 1], [0.41, 0.59]]))["class_entropy_bits"], abs=0.02
    )


@pytest.mark.slow
def test_a_lesson_is_learned_and_its_accuracy_is_of_images_that_it_has_not_seen():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 600).astype(np.int32)
    # A bright left half or a bright right one; a tenth of the test labels is wrong.
    left = np.arange(8) < 4
    bright = np.where(labels[:, None] == 1, left, ~left)[:, None, :, None]
    pixels = (200 * np.broadcast_to(bright, (600, 8, 8, 1))).astype(np.uint8)
    told = labels[400:] ^ (np.arange(200) % 10 == 0)
    lesson = Lesson(
        Images(pixels[:400], pixels[400:]), lambda: Labels(labels[:400], told), steps=150
    )
    grader = grade.learn(lesson, seed=0)
    assert grader.right.mean() == 0.9
    assert grader.steps == 150
