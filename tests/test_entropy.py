"""The bounds of eq. 24 around the entropy that they bound: normals exactly, bits by enumeration."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import fixed64, jit, product_law, schedule64, state_step, states

from dpm_jax.entropy import entropy_bounds
from dpm_jax.kernels import binomial, gaussian

pytestmark = pytest.mark.usefixtures("float64")

BETA = np.array([0.1, 0.3, 0.4, 0.6])
ALPHA_BAR = np.cumprod(1 - BETA)
ACTIVITY = 0.3


def bounds(kernel, s, x0):
    """Both sides for t = 2..T [T-1] and each x_0."""
    t = jnp.arange(2, s.steps + 1)
    at_t = jax.vmap(lambda t, x: entropy_bounds(kernel, s, x, t), (0, None))
    return jit(jax.vmap(at_t, (None, 0), 1))(t, jnp.asarray(x0))


def normal_entropy(variance):
    return 0.5 * np.log(2 * np.pi * np.e * variance)


def test_gaussian_bounds_are_the_two_variances():
    # Per dimension ½ log(2πe β̃_t) and ½ log(2πe β_t), whatever x_0 is.
    lower, upper = bounds(gaussian.KERNEL, schedule64(BETA), [[0.0, 0.0, 0.0], [3.0, -1.0, 0.2]])
    posterior_variance = BETA[1:] * (1 - ALPHA_BAR[:-1]) / (1 - ALPHA_BAR[1:])
    for x in (0, 1):
        np.testing.assert_allclose(lower[:, x], 3 * normal_entropy(posterior_variance), rtol=1e-10)
        np.testing.assert_allclose(upper[:, x], 3 * normal_entropy(BETA[1:]), rtol=1e-10)


@pytest.mark.parametrize("variance", [1e-12, 0.01, 0.5, 1.0])
def test_gaussian_bounds_hold_the_entropy_of_gaussian_data(variance):
    lower, upper = (side[:, 0] for side in bounds(gaussian.KERNEL, schedule64(BETA), [[0.7]]))
    # Var(x_{t-1} | x_t) of the joint normal: variance less what the regression explains.
    before, after = (1 + a * (variance - 1) for a in (ALPHA_BAR[:-1], ALPHA_BAR[1:]))
    exact = normal_entropy(before - (1 - BETA[1:]) * before**2 / after)
    assert (lower <= exact + 1e-9).all()
    assert (exact <= upper + 1e-9).all()
    if variance == 1:  # data from π: the reverse step is as wide as the forward one
        np.testing.assert_allclose(exact, upper, rtol=1e-9)
    elif variance == 1e-12:  # x_0 known: the reverse step is the posterior
        np.testing.assert_allclose(exact, lower, rtol=1e-9)
    else:
        assert (exact - lower > 1e-4).all()
        assert (upper - exact > 1e-4).all()


def test_the_upper_bound_needs_data_no_wider_than_the_prior():
    _, upper = bounds(gaussian.KERNEL, schedule64(BETA), [[0.7]])
    before, after = (1 + a * (4.0 - 1) for a in (ALPHA_BAR[:-1], ALPHA_BAR[1:]))
    exact = normal_entropy(before - (1 - BETA[1:]) * before**2 / after)
    assert (exact > upper[:, 0]).all()


def chain_entropies(data):
    """H(X_{t-1} | X_t), t = 2..T, of three bits that start from the law ``data`` [8]."""

    def entropy(p):
        return -np.sum(p * np.log(np.where(p > 0, p, 1)))

    law, exact = data @ state_step(BETA[0], ACTIVITY, 3), []
    for b in BETA[1:]:
        joint = law[:, None] * state_step(b, ACTIVITY, 3)
        exact.append(entropy(joint) - entropy(joint.sum(0)))
        law = joint.sum(0)
    return np.array(exact)


def bit_bounds(data):
    return (s @ data for s in bounds(binomial.kernel(ACTIVITY), schedule64(BETA), states(3)))


def test_binomial_bounds_hold_the_entropy_of_a_chain():
    # All ones or all zeros: as correlated as bits can be, of mean activity p₀.
    data = np.zeros(8)
    data[[0, 7]] = 1 - ACTIVITY, ACTIVITY
    (lower, upper), exact = bit_bounds(data), chain_entropies(data)
    assert (exact - lower > 1e-3).all()
    assert (upper - exact > 1e-3).all()


def test_binomial_bounds_are_met_at_their_ends():
    known, prior = np.eye(8)[5], product_law([ACTIVITY] * 3)
    np.testing.assert_allclose(next(bit_bounds(known)), chain_entropies(known), rtol=1e-10)
    np.testing.assert_allclose(list(bit_bounds(prior))[1], chain_entropies(prior), rtol=1e-10)


@pytest.mark.parametrize("kernel", [gaussian.KERNEL, binomial.kernel(0.2)], ids=["normal", "bits"])
def test_bounds_are_finite_where_the_signal_ends(kernel):
    # β_T = 1, ᾱ_T = 0: the last step forgets, so x_{T-1} keeps all of its own entropy.
    s = fixed64(4)
    (lower, upper), x0 = bounds(kernel, s, [[1.0, 0.0]]), jnp.array([1.0, 0.0])
    assert np.isfinite(lower).all()
    assert np.isfinite(upper).all()
    own = kernel.entropy(kernel.marginal(x0, s.log_alpha_bar[-2]))
    np.testing.assert_allclose(lower[-1, 0], own, rtol=1e-12)
    np.testing.assert_allclose(upper[-1, 0], kernel.entropy(kernel.prior((2,))), rtol=1e-12)
