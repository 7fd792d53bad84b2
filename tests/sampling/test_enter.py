"""Entering the chain: what is drawn there, and in one call, is Bayes on what y says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import process_of

from dpm_jax import schedule
from dpm_jax.kernels import binomial, gaussian
from dpm_jax.laws.swiss_roll import roll
from dpm_jax.laws.swiss_roll.limits import exact_process
from dpm_jax.process import LEARNED
from dpm_jax.reverse import bridge
from dpm_jax.sampling import enter
from dpm_jax.sampling.draw import multiplied

MEAN, VARIANCE = 0.7, 0.4
STEPS = 60
RATES = schedule.given(np.geomspace(1e-4, 0.4, STEPS)).apply({})
NOISES = np.sqrt(np.expm1(-np.asarray(RATES.log_alpha_bar, np.float64)))  # of x_t, by t - 1


def read_out(xt, t, c):
    """What takes the belief under π to that under x_0 ~ N(MEAN, VARIANCE), at any log-SNR."""
    signal, unexplained = jnp.exp(0.5 * c.log_alpha_bar), -jnp.expm1(c.log_alpha_bar)
    gain = signal * VARIANCE / (signal**2 * VARIANCE + unexplained)
    mean, variance = MEAN + gain * (xt - signal * MEAN), (1 - gain * signal) * VARIANCE
    shifted = (mean - signal * xt) / jnp.sqrt(unexplained), jnp.log(variance / unexplained)
    return jnp.stack(jnp.broadcast_arrays(*shifted), -1)


def normal_process(asked=None):
    """The exact reverse of x_0 ~ N(MEAN, VARIANCE); tells of which steps it was asked."""

    def reverse(xt, t, c):
        if asked is not None:
            asked.append((int(t), c))
        return bridge(gaussian.KERNEL, read_out(xt, t, c), xt, c)

    return process_of(gaussian.KERNEL, RATES, reverse, (3,), LEARNED)


ROOM = schedule.learned(100, 1e-4, spacing=0.0)
BETWEEN = float(np.sqrt(NOISES[40] * NOISES[41]))


@pytest.mark.parametrize("std", [NOISES[1], BETWEEN, 0.5, 1.0, NOISES[-1]])
def test_the_mean_in_one_call_and_that_of_draws_are_the_posteriors(std):
    process, y = normal_process(), np.array([[-1.0, 0.4, 2.5]], np.float32)
    gain = VARIANCE / (VARIANCE + std**2)
    exact, variance = MEAN + gain * (y[0] - MEAN), gain * std**2
    np.testing.assert_allclose(enter.posterior_mean(process, y, std)[0], exact, atol=1e-5)
    entered, count = enter.until(process, std), 20_000
    given = np.repeat(y, count, axis=0)
    key = jax.random.key(0)
    found = multiplied(entered, enter.from_noisy, given, key, label="", progress=False)
    ends, log_weight = found.end, found.log_weight
    np.testing.assert_array_equal(log_weight, np.zeros(count))
    errors = (ends.mean(0) - exact) / np.sqrt(variance / count)
    assert np.abs(errors).max() < 4
    np.testing.assert_allclose(ends.var(0), variance, rtol=4 * np.sqrt(2 / count))


def test_the_belief_of_one_call_has_the_posteriors_variance():
    entered = enter.until(normal_process(), BETWEEN)
    gain = VARIANCE / (VARIANCE + BETWEEN**2)
    np.testing.assert_allclose(
        enter.belief(entered, jnp.zeros(3)).variance, gain * BETWEEN**2, rtol=1e-5
    )


@pytest.mark.parametrize(
    ("std", "t"),
    [(NOISES[1] * 1.001, 3), (BETWEEN, 42), (NOISES[40] * 1.001, 42), (NOISES[-1], 60)],
)
def test_the_chain_is_entered_between_the_steps_around_the_noise(std, t):
    asked = []
    entered = enter.until(normal_process(asked), float(std))
    assert entered.schedule.steps == t
    np.testing.assert_allclose(np.exp(-entered.schedule.log_alpha_bar[-1]), 1 + std**2, rtol=1e-5)
    np.testing.assert_array_equal(entered.schedule.beta[:-1], RATES.beta[: t - 1])
    product = np.log1p(-np.asarray(entered.schedule.beta, np.float64)).cumsum()
    np.testing.assert_allclose(product, entered.schedule.log_alpha_bar, rtol=1e-4)
    enter.belief(entered, jnp.zeros(3))
    [(step, to_data)] = asked
    assert step == t
    assert to_data.log_alpha_bar_prev == 0
    np.testing.assert_allclose(to_data.beta, 1 - 1 / (1 + std**2), rtol=1e-5)


def test_of_the_swiss_roll_one_call_is_as_good_as_many_draws():
    process = exact_process(roll.law(1.0), ROOM.apply(ROOM.init()))
    y = np.array([[0.9, -0.6], [-0.2, 1.4]], np.float32)
    exact = enter.posterior_mean(process, y, 0.6, chunk=2)
    count = 2_000
    draws = multiplied(
        enter.until(process, 0.6),
        enter.from_noisy,
        np.repeat(y, count, axis=0),
        jax.random.key(1),
        label="",
        progress=False,
        chunk=500,
    ).end.reshape(2, count, 2)
    errors = (draws.mean(1) - exact) / (draws.std(1) / np.sqrt(count))
    assert np.abs(errors).max() < 4.5


def test_noise_outside_the_chain_and_bits_are_refused():
    process = normal_process()
    for std in (0.0, -1.0, float(NOISES[0]), float(NOISES[-1]) * 1.01, float("nan")):
        with pytest.raises(ValueError, match=r"std must be more than 0.01 and at most .*, got"):
            enter.until(process, std)
    kernel = binomial.kernel(0.5)
    bits = process_of(kernel, RATES, lambda xt, t, c: kernel.step(xt, c.beta), (3,))
    with pytest.raises(ValueError, match="process must be Gaussian"):
        enter.until(bits, 1.0)
