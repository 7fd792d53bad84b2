"""The classifier against images whose classes have a posterior that is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dpm_jax.evaluation import classifier
from dpm_jax.evaluation.classifier import Layer
from dpm_jax.training import minimise

BRIGHT = np.array([0.35, 0.5, 0.65])  # how often a pixel is on, by class
SIDE, FRAME = 5, 2  # a frame as wide as the shifts: nothing leaves the image


def coins(count, seed):
    """Images of independent pixels, their classes, and the posterior of these."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(BRIGHT), count)
    on = rng.random((count, SIDE, SIDE)) < BRIGHT[labels, None, None]
    frame = ((0, 0), (FRAME, FRAME), (FRAME, FRAME))
    images = np.pad(255 * on.astype(np.uint8), frame)[..., None]
    k = on.sum((1, 2))[:, None]
    joint = BRIGHT**k * (1 - BRIGHT) ** (SIDE**2 - k)
    return images, labels.astype(np.int32), joint / joint.sum(1, keepdims=True)


@pytest.mark.slow
def test_it_learns_the_posterior_of_the_classes():
    images, labels, _ = coins(20_000, 0)
    model = classifier.fit(images, labels, steps=500)
    shown, _, posterior = coins(2_000, 1)
    found = classifier.probabilities(model, shown)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)
    assert np.abs(found - posterior).mean() < 0.04
    assert np.abs(found.mean(0) - posterior.mean(0)).max() < 0.02


def test_before_the_first_step_all_classes_are_alike():
    start = classifier._start(jax.random.key(0), (9, 7, 5, 4))
    assert [layer.weight.shape for layer in start] == [(9, 7), (7, 5), (5, 4)]
    images = np.random.default_rng(0).integers(0, 256, (6, 3, 3, 1), np.uint8)
    np.testing.assert_allclose(classifier.probabilities(start, images), 1 / 4)


def test_probabilities_are_those_of_the_layers_by_hand():
    rng = np.random.default_rng(0)
    sizes = [(12, 4), (4, 3)]
    layers = tuple(
        Layer(jnp.asarray(rng.normal(size=s), jnp.float32), jnp.asarray(rng.normal(size=s[1])))
        for s in sizes
    )
    images = rng.integers(0, 256, (5, 2, 2, 3), np.uint8)
    x = images.reshape(5, 12) / 255 @ np.asarray(layers[0].weight) + np.asarray(layers[0].offset)
    logits = x / (1 + np.exp(-x)) @ np.asarray(layers[1].weight) + np.asarray(layers[1].offset)
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(classifier.probabilities(layers, images), expected, rtol=1e-4)


@pytest.mark.parametrize("by", [(0, 0), (2, -1), (-2, 2), (0, 1)])
def test_a_shift_moves_every_pixel_and_lets_black_in(by):
    image = np.random.default_rng(0).integers(1, 256, (5, 6, 2), np.uint8)
    moved = np.asarray(classifier._shifted(jnp.asarray(image), jnp.asarray(by)))
    for row, column in np.ndindex(5, 6):
        from_ = row - by[0], column - by[1]
        inside = 0 <= from_[0] < 5 and 0 <= from_[1] < 6
        np.testing.assert_array_equal(moved[row, column], image[from_] if inside else 0)


def test_a_seed_fits_one_model_however_its_steps_are_dispatched(monkeypatch):
    images, labels, _ = coins(300, 2)

    def fitted(seed, dispatch):
        monkeypatch.setattr(minimise, "DISPATCH", dispatch)
        return np.asarray(classifier.fit(images, labels, steps=5, seed=seed)[0].weight)

    first, again, other = fitted(0, 5), fitted(0, 3), fitted(1, 5)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_bad_input_is_refused():
    images, labels, _ = coins(4, 0)
    says = "labels must be a class ≥ 0 for each of 4 images"
    with pytest.raises(ValueError, match=says):
        classifier.fit(images, labels[:3], steps=1)
    with pytest.raises(ValueError, match=says):
        classifier.fit(images, labels - 5, steps=1)
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        classifier.fit(images, labels, steps=0)
