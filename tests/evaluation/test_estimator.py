"""Exact variances of drawn steps against repetition by the code that draws them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys
from reference import draws_of

from dpm_jax import bound
from dpm_jax.evaluation import estimator, step_costs
from dpm_jax.kernels import gaussian
from dpm_jax.process import log_snr
from dpm_jax.schedule import at, fixed, given, learned
from dpm_jax.training import times

STEPS = 11  # T
COSTS = np.random.default_rng(0).gamma(0.5, 2.0, (3, STEPS - 1))
UNEVEN = np.random.default_rng(1).dirichlet(np.ones(STEPS - 1))


def repeated(probability, draws):
    """Estimates of every example by steps that training draws, [many, 3]."""
    p = jnp.asarray(probability, jnp.float32)
    t = np.asarray(draws_of(lambda key: times.draw(key, draws, p), 2, 40_000))
    return (COSTS[:, t - 2] / probability[t - 2]).mean(-1).T


@pytest.mark.parametrize("draws", [1, 3, 4, 10])
@pytest.mark.parametrize("probability", [np.full(STEPS - 1, 0.1), UNEVEN])
def test_variances_are_those_of_repetition(probability, draws):
    found = estimator.variances(COSTS, probability, draws)
    values = repeated(probability, draws)
    squares = (values - COSTS.sum(1)) ** 2
    error = squares.std(0) / np.sqrt(len(squares))
    assert (np.abs(squares.mean(0) - found) < 5 * error + 1e-6).all()


def test_variances_of_the_bound_as_it_is_evaluated():
    even = np.full(STEPS - 1, 0.1)
    t = np.asarray(draws_of(lambda key: bound.stratified_times(key, 4, STEPS), 3, 40_000))
    squares = ((STEPS - 1) * COSTS[:, t - 2].mean(-1).T - COSTS.sum(1)) ** 2
    error = squares.std(0) / np.sqrt(len(squares))
    assert (np.abs(squares.mean(0) - estimator.variances(COSTS, even, 4)) < 5 * error).all()


def test_all_steps_once_and_costs_in_proportion_leave_no_variance():
    even = np.full(STEPS - 1, 0.1)
    np.testing.assert_allclose(estimator.variances(COSTS, even, STEPS - 1), 0, atol=1e-12)
    one = COSTS[:1]
    np.testing.assert_allclose(estimator.variances(one, one[0], 1), 0, atol=1e-20)
    # A plain draw by hand: the second moment less the square of the sum.
    by_hand = (COSTS**2 / UNEVEN).sum(1) - COSTS.sum(1) ** 2
    np.testing.assert_allclose(estimator.variances(COSTS, UNEVEN, 1), by_hand, rtol=1e-12)


@pytest.mark.parametrize("steps", [3, 40, 500])
def test_what_is_known_of_every_step_is_what_many_draws_would_say(steps):
    square = np.random.default_rng(0).gamma(1.0, 1.0, steps - 1).astype(np.float32)
    found = np.asarray(times.of_every_step(jnp.asarray(square)))
    known, t = times.start(steps), jnp.arange(2, steps + 1)
    for _ in range(300):  # a running mean of the same batch
        known = times.updated(known, t, jnp.asarray(square), steps)
    np.testing.assert_allclose(found, known, rtol=1e-5)


def test_costs_of_every_step_sum_to_those_of_the_bound():
    process = toys.random_process(toys.reals())
    x0 = toys.real_data(2_000)
    costs = step_costs.step_costs(process, x0, jax.random.key(0), chunk=300)
    assert costs.shape == (2_000, toys.STEPS - 1)
    noise = gaussian.noise(jax.random.key(1), (toys.STEPS, *x0.shape))
    other = np.asarray(bound.all_steps_of_batch(process, jnp.asarray(x0), noise).step_kl)
    gap = costs - other / np.log(2)
    assert (np.abs(gap.mean(0)) < 5 * gap.std(0) / np.sqrt(len(gap))).all()
    again = step_costs.step_costs(process, x0[:7], jax.random.key(0))
    np.testing.assert_allclose(again, costs[:7], rtol=1e-4)  # noise belongs to the example
    with pytest.raises(ValueError, match="finite"):
        step_costs.step_costs(process, x0 * np.nan, jax.random.key(0))


@pytest.mark.parametrize(
    "family", [learned(STEPS, 1e-4), fixed(STEPS), given([1e-3, 0.2, 1 - 6e-8, 1 - 6e-8, 1.0])]
)
@pytest.mark.parametrize("width", [0.5, 3.0])
def test_ranges_of_the_log_snr_hold_every_step_where_it_leads(family, width):
    schedule = family.apply(family.init())
    edges = step_costs.log_snr_edges(schedule, width)
    np.testing.assert_allclose(np.diff(edges), -width)
    path = [
        max(float(log_snr(jnp.asarray(t), at(schedule, jnp.asarray(t)))), -15)
        for t in range(1, schedule.steps + 1)
    ]
    assert edges[0] >= path[0] - 1e-4 >= edges[0] - width
    assert edges[-1] <= path[-1] + 1e-4 <= edges[-1] + width
    for t in range(2, schedule.steps + 1):
        alone = np.zeros((1, schedule.steps - 1))
        alone[0, t - 2] = 1
        parts = step_costs.by_log_snr(alone, schedule, edges)[0]
        assert parts.sum() == pytest.approx(1)
        # The share of a range is the share of the way that lies in it.
        way = np.linspace(path[t - 2], path[t - 1], 20_001)
        inside = -np.histogram(-way, -edges)[0] / -len(way)
        np.testing.assert_allclose(parts, inside, atol=2e-3)
