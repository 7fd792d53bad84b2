"""Distances of laws, against numbers by hand and normals in closed form."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from dpm_jax.laboratory import law
from dpm_jax.laboratory.distances import distances, entropy, js, kl, mean_entropy, mean_kl, tv
from dpm_jax.laboratory.space import bits, line

LINE = line(513)


def test_laws_of_two_states():
    p, q = np.array([0.5, 0.5]), np.array([0.25, 0.75])
    assert_allclose(tv(p, q), 0.25)
    assert_allclose(kl(p, q), 0.5 * math.log2(2) + 0.5 * math.log2(2 / 3), rtol=1e-14)
    apart = distances(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    assert_allclose([apart.tv, apart.js], 1)
    assert apart.kl == math.inf
    assert kl(np.array([1.0, 0.0]), p) == 1.0


def test_normals():
    p, q = law.normal(LINE, 0.3, 0.5), law.normal(LINE, -0.4, 0.8)
    nats = math.log(0.8 / 0.5) + (0.25 + 0.49) / (2 * 0.64) - 0.5
    assert_allclose(kl(p, q), nats / math.log(2), rtol=1e-9)
    assert_allclose(entropy(LINE, p), 0.5 * math.log2(2 * math.pi * math.e * 0.25), rtol=1e-9)
    same = tv(law.normal(LINE, -0.5), law.normal(LINE, 0.5))
    # Where the two densities cross, the grid cuts between two points: second order.
    assert_allclose(same, math.erf(0.5 / math.sqrt(2)), rtol=1e-3)


def test_bits():
    space = bits(2, 0.2)
    h = -0.2 * math.log2(0.2) - 0.8 * math.log2(0.8)
    assert_allclose(entropy(space, space.prior), 2 * h, rtol=1e-14)


def test_small_distances_keep_their_digits():
    p = np.array([0.5, 0.3, 0.2])
    for size in (1e-4, 1e-6):
        step = size * np.array([1.0, -2.0, 1.0])
        expected = 0.5 * (step**2 / p).sum() / math.log(2)
        assert_allclose(kl(p, p + step), expected, rtol=20 * size)


def test_rounding_makes_no_distance_negative():
    stack = np.random.default_rng(0).dirichlet(np.ones(50), 200)
    same = stack * (1 / 3) * 3
    assert (kl(stack, same) >= 0).all()
    assert (js(stack, same / same.sum(1, keepdims=True)) >= 0).all()


def test_stacks_are_compared_law_by_law():
    stack = np.stack([law.normal(LINE, m) for m in (0.0, 0.5, 1.0)])
    found = distances(stack, LINE.prior)
    assert_allclose(found.kl, [float(kl(q, LINE.prior)) for q in stack], rtol=1e-14)
    assert_allclose(found.kl, np.array([0, 0.125, 0.5]) / math.log(2), rtol=1e-9, atol=1e-15)


def test_means_over_columns():
    weights, p = np.array([0.25, 0.75]), np.array([[0.5, 1.0], [0.5, 0.0]])
    log_q = np.log(np.array([[0.25, 0.5], [0.75, 0.5]]))
    expected = 0.25 * float(kl(p[:, 0], np.exp(log_q[:, 0]))) + 0.75
    assert_allclose(mean_kl(weights, p, log_q), expected, rtol=1e-12)
    assert_allclose(mean_entropy(bits(1), weights, p), 0.25, rtol=1e-14)


MASSES = st.lists(st.floats(0, 1), min_size=4, max_size=4).filter(lambda m: sum(m) > 0.1)


@given(MASSES, MASSES)
def test_distances_are_ordered(a, b):
    p, q = np.array(a) / sum(a), np.array(b) / sum(b)
    found = distances(p, q)
    assert 0 <= found.js <= found.tv + 1e-12  # Lin 1991
    assert found.tv <= math.sqrt(float(found.kl) * math.log(2) / 2) + 1e-7  # Pinsker
    assert_allclose(js(p, q), js(q, p), atol=1e-15)


def test_the_smallest_masses_are_no_infinite_distance():
    tiny = 5e-324  # half of it is 0
    p, q = np.array([1.0, tiny]), np.array([1.0, 0.0])
    assert js(p, q) == 0
