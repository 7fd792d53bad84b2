"""Weighted estimates: their errors, and how many draws they are worth."""

import jax
import numpy as np
import pytest
import toys

from dpm_jax.process import bind, init
from dpm_jax.sampling import perturb, posterior
from dpm_jax.sampling.posterior import Posterior


def of_shifted_normal(seed, count=500):
    """x ~ N(0, 1), weighted to N(0.5, 1); Z is e."""
    x = np.random.default_rng(seed).normal(size=(count, 1))
    return Posterior(x, 0.5 * x[:, 0] - 0.125 + 1)


def test_errors_are_those_of_repeated_estimates():
    means, errors, evidences = [], [], []
    for seed in range(400):
        draws = of_shifted_normal(seed)
        mean, error = draws.mean(np.concatenate([draws.x, draws.x > 0], axis=-1))
        means, errors = [*means, mean], [*errors, error]
        evidences.append(draws.log_evidence)
    means, errors, evidences = map(np.array, (means, errors, evidences))
    spread = means.std(0)
    np.testing.assert_allclose(np.mean(errors, 0), spread, rtol=0.15)
    truth = [0.5, 0.6914625]
    assert (np.abs(means.mean(0) - truth) < 5 * spread / np.sqrt(400) + 1e-3).all()
    np.testing.assert_allclose(evidences[:, 1].mean(), evidences[:, 0].std(), rtol=0.15)
    np.testing.assert_allclose(evidences[:, 0].mean(), 1, atol=0.01)


def test_effective_counts_the_draws_that_matter():
    x = np.zeros((4, 1))
    np.testing.assert_allclose(Posterior(x, np.full(4, -1e4)).effective, 4)
    np.testing.assert_allclose(Posterior(x, np.array([0, 0, -np.inf, -np.inf])).effective, 2)
    assert Posterior(x, np.zeros(4)).log_evidence == (0.0, 0.0)


def test_what_cannot_be_is_said():
    model = toys.bits()
    with pytest.raises(ValueError, match="no trajectory reached a positive weight"):
        posterior.draw(
            bind(model, init(model, jax.random.key(0))),
            lambda process: perturb.smooth(process, lambda x: -np.inf * (1 + x[0])),
            5,
            jax.random.key(1),
        )
