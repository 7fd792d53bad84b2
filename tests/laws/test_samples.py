"""The toy laws: the moments they promise, and that training and held-out examples differ."""

from functools import cache

import numpy as np
import pytest
from reference import standard_errors

from dpm_jax.laws import heartbeat
from dpm_jax.laws.swiss_roll import roll as swiss_roll

law = cache(swiss_roll.law)


@pytest.mark.parametrize("noise", [0.05, 0.25])
def test_roll_has_mean_zero_and_variance_one(noise):
    # In law, by the midpoint rule, and in a sample within 5 standard errors.
    roll = law(noise)
    curve = roll.curve((np.arange(100_000) + 0.5) / 100_000)
    np.testing.assert_allclose(curve.mean(0), 0, atol=1e-8)
    np.testing.assert_allclose((curve**2).mean() + roll.variance, 1, rtol=1e-8)
    x = swiss_roll.sample(roll, 100_000, np.random.default_rng(0)).astype(np.float64)
    assert (standard_errors(x, 0) < 5).all()
    assert standard_errors((x**2).mean(1), 1) < 5


def test_roll_is_the_spiral_of_the_paper_plus_noise():
    roll = law(0.25)
    u = np.array([0.0, 0.3, 1.0])
    s = 1.5 * np.pi * (1 + 2 * u)
    radius = np.linalg.norm(roll.curve(u) * roll.scale + roll.mean, axis=1)
    np.testing.assert_allclose(radius, s)
    np.testing.assert_allclose(roll.variance, (0.25 / roll.scale) ** 2)
    # The radius of a sampled point moves by the radial part of the noise, and its winding repeats.
    x = swiss_roll.sample(roll, 20_000, np.random.default_rng(1)) * roll.scale + roll.mean
    radius, angle = np.hypot(*x.T), np.arctan2(x[:, 1], x[:, 0])
    off = (radius - angle + np.pi) % (2 * np.pi) - np.pi  # r = s, and s is the angle
    inner = (radius > 6) & (radius < 13)
    # Radial noise, and tangential noise turned into an angle, 1/r each.
    expected = 0.25**2 * (1 + 1 / radius[inner] ** 2)
    assert standard_errors(off[inner] ** 2 / expected, 1) < 5


@pytest.mark.parametrize("noise", [0.0, -1.0, float("nan"), float("inf")])
def test_roll_checks_its_noise(noise):
    with pytest.raises(ValueError, match=f"noise must be positive and finite, got {noise}"):
        swiss_roll.law(noise)


def test_heartbeats_are_the_five_phases():
    rows = heartbeat.sequences()
    assert rows.shape == (5, 20)
    assert rows.dtype == np.float32
    for phase, row in enumerate(rows):
        np.testing.assert_array_equal(np.flatnonzero(row), [phase + 5 * k for k in range(4)])
    assert rows.mean() == pytest.approx(heartbeat.ACTIVITY)
    x = heartbeat.sample(10_000, np.random.default_rng(0))
    phases = (x[:, None] == rows).all(-1)
    np.testing.assert_array_equal(phases.sum(1), 1)
    assert (standard_errors(phases, 0.2) < 5).all()


def load_roll(seed, train=300):
    return swiss_roll.load(law(0.25), train=train, heldout=200, seed=seed)


def load_heartbeat(seed, train=300):
    return heartbeat.load(train=train, heldout=200, seed=seed)


@pytest.mark.parametrize("load", [load_roll, load_heartbeat])
def test_one_seed_one_dataset(load):
    first, again, other = load(7), load(7), load(8)
    assert len(first.train) == 300
    assert len(first.heldout) == 200
    assert first.train.dtype == first.heldout.dtype == np.float32
    np.testing.assert_array_equal(first.train, again.train)
    np.testing.assert_array_equal(first.heldout, again.heldout)
    assert (first.train != other.train).any()
    assert (first.heldout != other.heldout).any()
    assert (first.train[:200] != first.heldout).any()
    # More training examples leave the held-out ones as they are.
    np.testing.assert_array_equal(load(7, train=500).heldout, first.heldout)


def test_held_out_points_are_new():
    data = load_roll(7)
    assert not (data.train[:, None] == data.heldout).all(-1).any()
