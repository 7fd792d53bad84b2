"""States and laws: what is accepted, what is refused, and what a refusal says."""

import numpy as np
import pytest

from dpm_jax.laboratory import law
from dpm_jax.laboratory.space import bits, check_law, line
from dpm_jax.laboratory.transform import transform

LINE = line()
SMALL = line(257)


def test_a_grid_is_even_and_symmetric():
    x = LINE.states
    assert x[0] == -8
    assert x[512] == 0
    np.testing.assert_allclose(np.diff(x), LINE.cell, rtol=1e-12)


def test_bits_are_counted_upwards():
    states = bits(3, 0.2).states
    np.testing.assert_array_equal(states @ [4, 2, 1], np.arange(8))
    np.testing.assert_allclose(bits(2, 0.2).prior, [0.64, 0.16, 0.16, 0.04], rtol=1e-14)


@pytest.mark.parametrize("gaps", [0, 1, 3])
def test_random_laws_are_the_same_on_any_grid(gaps):
    coarse, fine = line(513), line(1025)
    q = law.density(coarse, law.random(coarse, 5, 0.2, gaps))
    same = law.density(fine, law.random(fine, 5, 0.2, gaps))[::2]
    edges = (q > 0) != (np.roll(q, 1) > 0)
    assert edges.sum() == 2 * (gaps + 1)
    # Each edge moves by less than a cell, and so does the mass.
    np.testing.assert_allclose(q, same, atol=0.02 * q.max())
    assert (law.random(coarse, 6, 0.2, gaps) != law.random(coarse, 5, 0.2, gaps)).any()


def test_smoother_laws_change_less():
    changes = [np.abs(np.diff(law.random(LINE, 3, s)))[420:600].sum() for s in (0.05, 0.1, 0.4)]
    assert changes[0] > changes[1] > changes[2]


def test_a_mixture_has_its_moments():
    means, stds, weights = np.array([-1.0, 0.5]), np.array([0.2, 0.7]), np.array([1.0, 3.0])
    q, x = law.mixture(LINE, means, stds, weights), LINE.states
    mean = 0.25 * -1 + 0.75 * 0.5
    second = 0.25 * (1 + 0.04) + 0.75 * (0.25 + 0.49)
    np.testing.assert_allclose([q.sum(), x @ q, x**2 @ q], [1, mean, second], rtol=1e-12)


def test_bits_that_beat():
    q = law.heartbeat(bits(4), 2)
    np.testing.assert_array_equal(np.flatnonzero(q), [0b0101, 0b1010])
    np.testing.assert_array_equal(law.heartbeat(bits(3), 3), [0, 1 / 3, 1 / 3, 0, 1 / 3, 0, 0, 0])
    np.testing.assert_allclose(
        law.product(bits(2), np.array([0.9, 0.2])), [0.08, 0.02, 0.72, 0.18], rtol=1e-14
    )


def spoiled(value):
    values = np.ones(257)
    values[7] = value
    return values


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (spoiled(-1.0), r"^q must not be negative, got -1$"),
        (spoiled(np.nan), r"^q must be finite, got nan$"),
        (spoiled(np.inf), r"^q must be finite, got inf$"),
        (np.zeros(257), r"^q must have a value above 0, got all 0$"),
        (np.ones(256), r"^q must have a value for each of 257 states, got 256$"),
        (np.ones(257), r"^q must lie within the grid, .* beyond ±8, .*take a grid of more reach$"),
        (np.eye(257)[-40], r"^q must lie within the grid"),
    ],
)
def test_what_is_no_law_is_refused(values, said):
    with pytest.raises(ValueError, match=said):
        law.law(SMALL, values)


def test_a_law_need_not_be_scaled_to_be_taken():
    np.testing.assert_array_equal(
        law.law(SMALL, 1e300 * SMALL.prior),
        law.law(SMALL, SMALL.prior * 2.0**-40 * 2.0**40 * 1e300),
    )


def test_masses_that_do_not_sum_to_1_are_refused():
    with pytest.raises(ValueError, match=r"^q must sum to 1, got 2: law\.law makes it so$"):
        check_law(SMALL, 2 * SMALL.prior)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, 2.0, np.nan])
def test_rates_outside_0_and_1_are_refused(alpha):
    for space in (SMALL, bits(2)):
        with pytest.raises(ValueError, match=r"^alpha must lie in \(0, 1\), got "):
            transform(space, space.prior, alpha)


def test_a_grid_that_is_too_coarse_says_what_it_needs():
    said = r"got 0\.9999: it needs a spacing of at most 0\.008, and the grid's is 0\.0625$"
    with pytest.raises(ValueError, match=said):
        transform(SMALL, SMALL.prior, 0.9999)
    fine = line(2002)
    assert fine.cell < 0.008
    transform(fine, fine.prior, 0.9999)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: line(2), "count must be at least 3, got 2"),
        (lambda: line(9, -1.0), "reach must be positive and finite, got -1"),
        (lambda: bits(11), "bits must be 1 to 10, got 11"),
        (lambda: bits(0), "bits must be 1 to 10, got 0"),
        (lambda: bits(2, 1.0), r"activity must lie in \(0, 1\), got 1"),
        (lambda: law.random(SMALL, 0, 0.0), "smoothness must be positive"),
        (lambda: law.random(SMALL, 0, 0.1, 6), "gaps must be 0 to 5, got 6"),
        (lambda: law.normal(SMALL, 9.0), "means must lie within the grid, ±8, got 9"),
        (lambda: law.normal(SMALL, 0.0, 0.01), "stds must leave a width that the grid resolves"),
        (lambda: law.normal(SMALL, 7.0), "q must lie within the grid"),
        (lambda: law.mixture(SMALL, np.zeros(1), np.ones(1), np.zeros(1)), "weights must be fini"),
        (lambda: law.product(bits(2), np.array([0.5, 1.5])), "ones must be 2 probabilities"),
        (lambda: law.product(bits(2), np.array([0.5, np.nan])), "ones must be 2 probabilities"),
        (lambda: law.heartbeat(bits(2), 3), "period must be 1 to 2, got 3"),
    ],
)
def test_parameters_out_of_range_are_refused(make, said):
    with pytest.raises(ValueError, match=f"^{said}"):
        make()
