"""Certificates: they pass what is right, fail what is not, and refuse what proves nothing."""

import jax
import numpy as np
import pytest
from small_chains import linear_gaussian

from dpm_jax.sampling.certificate import Ranks, Sandwich, ranks, sandwich
from dpm_jax.sampling.observation import known

FIRST = np.array([True, False])
PROCESS = linear_gaussian(variance=((1.0, 0.9), (0.9, 1.0)))[0]


def observe(x0, rng):
    return known(x0, FIRST)


def product(x):
    """Large where the two agree; what shrinks one towards its mean makes it small."""
    return x[0] * x[1]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["smc", "gibbs", "weights", "replace"])
def test_ranks_are_uniform_but_for_the_wrong_method(method):
    sizes = {"simulations": 1_000, "particles": 32, "sweeps": 8, "chunk": 50_000}
    found = ranks(PROCESS, observe, product, jax.random.key(0), method=method, **sizes)
    assert found.counts.shape == (10,)
    assert found.counts.sum() == 1_000
    if method == "replace":
        assert found.p_value < 1e-4
    else:
        assert found.p_value > 1e-3


def test_the_p_value_is_that_of_chi_squared():
    found = Ranks(np.array([30, 10, 20]))
    assert found.chi2 == pytest.approx(10)
    assert found.p_value == pytest.approx(np.exp(-5), rel=1e-5)  # of two degrees of freedom
    assert Ranks(np.full(10, 7)).p_value == pytest.approx(1)


def test_the_gap_has_the_error_of_its_mean():
    found = Sandwich(np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, 6.0]))
    assert found.gap == pytest.approx((1.0, 1 / np.sqrt(3)))


@pytest.mark.parametrize("name", ["simulations", "particles"])
def test_one_of_anything_proves_nothing(name):
    with pytest.raises(ValueError, match=f"^{name} must be at least 2, got 1$"):
        sandwich(PROCESS, observe, jax.random.key(0), **{name: 1})
    with pytest.raises(ValueError, match=f"^{name} must be at least 2, got 1$"):
        ranks(PROCESS, observe, product, jax.random.key(0), **{name: 1})


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match=r"^method must be one of enter, .*, got auto$"):
        ranks(PROCESS, observe, product, jax.random.key(0), method="auto")
