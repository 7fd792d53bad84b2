"""Weighted estimates: their errors, and how many draws they are worth."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys

from dpm_jax.kernels.binomial import Bernoulli
from dpm_jax.process import bind, init
from dpm_jax.sampling import perturb, posterior
from dpm_jax.sampling.draw import draw
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


def test_few_weights_have_the_error_of_their_own_spread():
    # Weights 1 and 3: mean 2 with standard error 1, and an error of 1/2 on its logarithm.
    found = Posterior(np.zeros((2, 1)), np.float32(np.log([1, 3])) - 100).log_evidence
    np.testing.assert_allclose(found, (np.log(2) - 100, 0.5), rtol=1e-5)
    assert Posterior(np.zeros((1, 1)), np.zeros(1)).log_evidence == (0.0, 0.0)


def test_draws_of_one_run_have_the_errors_of_runs():
    x = np.random.default_rng(0).normal(size=(300, 1))
    forty = np.repeat(x, 40, axis=0)  # of each draw forty copies: no more is known
    shared = Posterior(forty, forty[:, 0], runs=300)
    one = Posterior(x, x[:, 0])
    np.testing.assert_allclose(shared.mean(forty)[1], one.mean(x)[1], rtol=0.01)
    np.testing.assert_allclose(shared.log_evidence, one.log_evidence)
    alone = Posterior(x, x[:, 0], runs=1)
    assert np.isnan([alone.mean(x)[1][0], alone.log_evidence[1]]).all()


def test_a_summary_can_be_written_as_json():
    draws = Posterior(np.zeros((3, 1), np.float32), np.float32([0, 1, 2]))
    said = posterior.summary(draws, np.float32([[0], [1], [2]]), np.zeros(1), log_evidence=0.0)
    assert json.loads(json.dumps(said)) == said


def test_weights_of_any_size_add_up_to_one():
    weight = Posterior(np.zeros((3, 1)), np.float32([1e4, 1e4 + 1, -1e4])).weight
    np.testing.assert_allclose(weight, [1 / (1 + np.e), np.e / (1 + np.e), 0], rtol=1e-6)
    assert weight.dtype == np.float64
    many = Posterior(np.zeros((1, 1)), np.random.default_rng(0).normal(size=100_001)).weight
    assert abs(many.sum() - 1) < 1e-12


@pytest.mark.parametrize("model", [toys.reals(), toys.bits()], ids=["reals", "bits"])
def test_an_r_that_says_nothing_leaves_the_draws_and_their_weights(model):
    process, key = toys.random_process(model), jax.random.key(1)
    found = posterior.draw(process, lambda p: perturb.smooth(p, lambda x: 0.0 * x.sum()), 7, key)
    np.testing.assert_allclose(found.x, draw(process, 7, key), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.log_weight, np.zeros(7), atol=1e-5)
    assert isinstance(found.x, np.ndarray)
    assert isinstance(found.log_weight, np.ndarray)


def test_one_draw_that_can_be_is_enough():
    process = toys.random_process(toys.bits())

    def zeros(process):
        return perturb.smooth(process, lambda x: jnp.where(x.sum() > 0, -1e30, 0.0))

    def ones(process):
        return perturb.observed(process, Bernoulli(jnp.full(3, 30.0)))

    for known, bit in ((zeros, 0), (ones, 1)):
        found = posterior.draw(process, known, 200, jax.random.key(2))
        np.testing.assert_allclose(found.weight @ found.x, np.full(3, bit), atol=1e-6)


def test_what_cannot_be_is_said():
    model = toys.bits()
    with pytest.raises(ValueError, match="no trajectory reached a positive weight"):
        posterior.draw(
            bind(model, init(model, jax.random.key(0))),
            lambda process: perturb.smooth(process, lambda x: -np.inf * (1 + x[0])),
            5,
            jax.random.key(1),
        )
