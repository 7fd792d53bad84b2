"""App. A: the entropy of a step backwards, between what is known without data (eq. 24)."""

import jax.numpy as jnp
import numpy as np
import pytest
from cases import CHAINS
from chains import close, column, with_data

from dpm_jax.entropy import entropy_bounds

pytestmark = pytest.mark.usefixtures("float64")

BITS = CHAINS["three bits"]


def backwards(chain, t):
    """H_q(X_{t-1} | X_t)."""
    return chain.entropy(t - 1, t) - chain.entropy(t)


def of_data(chain, t):
    """H_q(X_0 | X_t)."""
    return chain.entropy(0, t) - chain.entropy(t)


def about_data(chain, t):
    """H_q(X_t | X_0) of the library, over the data; 0 at t = 0."""
    kernel = chain.kernel
    if t == 0:
        return 0.0
    a = chain.at(t).log_alpha_bar
    return chain.mean(column(chain, lambda x0: kernel.entropy(kernel.marginal(x0, a))))


def certain():
    """Bits that are one state for sure."""
    with np.errstate(divide="ignore"):
        return with_data(BITS, np.log(np.eye(8)[5]))


def test_reversal_entropy(chain):
    kernel = chain.kernel
    for t in chain.steps:
        c = chain.at(t)

        def step_entropy(x0, c=c):
            before = kernel.marginal(x0, c.log_alpha_bar_prev)
            return kernel.step_entropy(before, c.beta)

        forwards = chain.mean(column(chain, step_entropy))
        close(forwards, chain.entropy(t - 1, t) - chain.entropy(t - 1))
        close(backwards(chain, t), forwards + chain.entropy(t - 1) - chain.entropy(t))


def test_entropy_grows(scaled, equilibrium, wide):
    kernel = scaled.kernel
    H = float(kernel.entropy(kernel.prior(scaled.process.event_shape)))
    entropies = np.array([scaled.entropy(t) for t in range(scaled.T + 1)])
    assert (np.diff(entropies) > 1e-4).all()
    assert entropies[-1] < H
    close([equilibrium.entropy(t) for t in range(scaled.T + 1)], H)
    # Of data that are wider than π it falls.
    entropies = np.array([wide.entropy(t) for t in range(scaled.T + 1)])
    assert (np.diff(entropies) < -1e-3).all()
    assert entropies[-1] > H


def test_information(chain):
    left = [of_data(chain, t) for t in range(1, chain.T + 1)]
    known = [
        chain.entropy(0) + about_data(chain, t) - chain.entropy(t) for t in range(1, chain.T + 1)
    ]
    close(left, known)
    assert (np.diff(left) > 1e-4).all()
    close([of_data(certain(), t) for t in range(1, BITS.T + 1)], 0)


def sides(chain, t, bounds):
    """Eq. 24 of the library, averaged over the data."""

    def both(x0):
        return jnp.stack(bounds(chain.kernel, chain.process.schedule, x0, jnp.asarray(t)))

    return [chain.mean(side) for side in column(chain, both).T]


def test_lower_entropy(chain):
    for t in chain.steps:
        lower, upper = sides(chain, t, entropy_bounds)
        close(lower, upper + about_data(chain, t - 1) - about_data(chain, t))
        # What it leaves open is what x_{t-1} still tells of the data once x_t is known.
        missing = of_data(chain, t) - of_data(chain, t - 1)
        close(backwards(chain, t) - lower, missing)
        assert missing > 1e-4
    for t in BITS.steps:
        close(sides(certain(), t, entropy_bounds)[0], backwards(certain(), t))


def test_entropy_bounds(scaled, equilibrium, wide):
    for t in scaled.steps:
        lower, upper = sides(scaled, t, entropy_bounds)
        assert lower + 1e-4 < backwards(scaled, t) < upper - 1e-4
        close(sides(equilibrium, t, entropy_bounds)[1], backwards(equilibrium, t))
        lower, upper = sides(wide, t, entropy_bounds)
        assert lower + 1e-4 < backwards(wide, t)
        assert upper + 1e-4 < backwards(wide, t)
