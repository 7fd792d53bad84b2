"""Trajectories: the law of their ends, of their kept steps, and what they hold in memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import bit_steps, draws_of, jit, process_of, product_law, standard_errors, states
from scipy import stats

from dpm_jax import schedule
from dpm_jax.kernels import binomial, gaussian
from dpm_jax.kernels.gaussian import Normal
from dpm_jax.process import LAST_STEPS, LEARNED
from dpm_jax.reverse import bridge
from dpm_jax.sampling import perturb, trajectory

BETA = [0.1, 0.3, 0.4, 0.6]
ALPHA_BAR = np.cumprod(1 - np.array(BETA))
ACTIVITY = 0.3
SAMPLES = 4_000


def process(kernel, family, event_shape, reverse=None, last_step=LEARNED):
    def forward_kernel(xt, t, c):
        return kernel.step(xt, c.beta)

    return process_of(kernel, family.apply({}), reverse or forward_kernel, event_shape, last_step)


def many(draw, seed):
    return jax.device_get(draws_of(draw, seed, SAMPLES))


def test_gaussian_steps_have_the_law_of_the_marginal():
    chain, x0 = process(gaussian.KERNEL, schedule.given(BETA), (2,)), jnp.array([1.5, -0.3])
    keep = (2, 3, 4)
    end, kept, log_weight = many(lambda key: trajectory.forward(chain, x0, key, keep=keep), 0)
    assert (log_weight == 0).all()
    np.testing.assert_array_equal(end, kept[:, 2])
    for i, t in enumerate(keep):
        mean, variance = np.sqrt(ALPHA_BAR[t - 1]) * np.asarray(x0), 1 - ALPHA_BAR[t - 1]
        assert (standard_errors(kept[:, i], mean) < 5).all()
        assert (standard_errors((kept[:, i] - mean) ** 2, variance) < 5).all()
        for d in (0, 1):
            law = stats.norm(mean[d], variance**0.5)
            assert stats.kstest(kept[:, i, d], law.cdf).pvalue > 1e-3
    # One trajectory, not independent marginals: cov(x_3, x_4) = √(1-β_4) var(x_3).
    together = (kept[:, 1] - kept[:, 1].mean(0)) * kept[:, 2]
    assert (standard_errors(together, np.sqrt(0.4) * (1 - ALPHA_BAR[2])) < 5).all()


def test_binomial_steps_have_the_law_of_the_marginal():
    chain = process(binomial.kernel(ACTIVITY), schedule.given(BETA), (2,))
    x0, keep = jnp.array([1.0, 0.0]), (1, 3)
    end, kept, _ = many(lambda key: trajectory.forward(chain, x0, key, keep=keep), 1)
    for x, t in ((kept[:, 0], 1), (kept[:, 1], 3), (end, 4)):
        one = bit_steps(BETA[:t], ACTIVITY)[[1, 0], 1]
        assert (standard_errors(x, one) < 5).all()
        assert (standard_errors(x.prod(1), one.prod()) < 5).all()


@pytest.mark.parametrize("last_step", LAST_STEPS.values(), ids=LAST_STEPS)
def test_exact_reverse_samples_gaussian_data(last_step):
    mean, variance = 0.4, 0.3

    def reverse(xt, t, c):
        alpha_bar = jnp.exp(c.log_alpha_bar_prev)
        m, v = jnp.sqrt(alpha_bar) * mean, alpha_bar * variance + 1 - alpha_bar
        precision = 1 / v + (1 - c.beta) / c.beta
        shift = m / v + jnp.sqrt(1 - c.beta) / c.beta * xt
        return Normal(shift / precision, jnp.broadcast_to(1 / precision, xt.shape))

    chain = process(gaussian.KERNEL, schedule.fixed(5), (1,), reverse, last_step)
    end, kept, _ = many(lambda key: trajectory.sample(chain, key, keep=(5, 3, 1)), 2)
    for i, alpha_bar in enumerate((0.0, 0.4, 0.8)):
        law = stats.norm(np.sqrt(alpha_bar) * mean, np.sqrt(1 + alpha_bar * (variance - 1)))
        assert stats.kstest(kept[:, i, 0], law.cdf).pvalue > 1e-3
    if last_step is LEARNED:
        law = stats.norm(mean, np.sqrt(variance))
    else:  # p(x_0 | x_1) = N(√(1-β_1) x_1, β_1)
        beta = 0.2
        law = stats.norm((1 - beta) * mean, np.sqrt((1 - beta) * law.std() ** 2 + beta))
    assert stats.kstest(end[:, 0], law.cdf).pvalue > 1e-3


def test_exact_reverse_samples_bits():
    activity = np.array([0.1, 0.3, 0.8])
    shift = jnp.asarray(np.log(activity / (1 - activity)) - np.log(ACTIVITY / (1 - ACTIVITY)))
    kernel = binomial.kernel(ACTIVITY)

    def reverse(xt, t, c):
        return bridge(kernel, shift[:, None], xt, c)

    chain = process(kernel, schedule.fixed(5), (3,), reverse)
    end, _, _ = many(lambda key: trajectory.sample(chain, key), 3)
    is_state = (end[:, None] == states(3)).all(-1)
    assert (standard_errors(is_state, product_law(activity)) < 5).all()


def test_kept_steps_are_the_steps_asked_for():
    # A process that counts: x_t = x_0 + t on the way up, x_{t-1} = t-1 on the way down.
    def exactly(mean):
        return Normal(mean, jnp.zeros_like(mean))

    kernel = gaussian.KERNEL._replace(step=lambda x, beta: exactly(x + 1))
    chain = process(kernel, schedule.fixed(5), (2,), lambda x, t, c: exactly(0 * x + t - 1))
    keep, key = (0, 3, 5, 1, 3), jax.random.key(4)
    up = jit(lambda key: trajectory.forward(chain, jnp.zeros(2), key, keep=keep))(key)
    np.testing.assert_array_equal(up.kept, np.tile([[0], [3], [5], [1], [3]], 2))
    np.testing.assert_array_equal(up.end, [5, 5])
    down = jit(lambda key: trajectory.sample(chain, key, keep=keep))(key)
    np.testing.assert_array_equal(np.delete(down.kept, 2, 0), np.tile([[0], [3], [1], [3]], 2))
    np.testing.assert_array_equal(down.end, [0, 0])
    assert (np.abs(down.kept[2]) < 5).all()  # x_T ~ π
    assert len(np.unique(down.kept[2])) == 2


def test_one_key_repeats_and_keeping_changes_nothing():
    chain, key = process(gaussian.KERNEL, schedule.given(BETA), (2,)), jax.random.key(5)
    sample = jit(lambda key: trajectory.sample(chain, key))
    once, other = sample(key), sample(jax.random.key(6))
    again = jit(lambda key: trajectory.sample(chain, key, keep=(0, 2, 4)))(key)
    np.testing.assert_allclose(once.end, again.end, rtol=1e-6)
    assert once.kept.shape == (0, 2)
    np.testing.assert_array_equal(again.kept[0], again.end)
    assert (np.abs(other.end - once.end) > 1e-3).any()
    assert once.log_weight == 0


@pytest.mark.parametrize("direction", ["forward", "sample", "inpaint"])
def test_memory_does_not_grow_with_the_steps(direction):
    size = 1_000

    def bytes_held(steps):
        chain = process(gaussian.KERNEL, schedule.fixed(steps), (size,))

        def run(x0, key):
            if direction == "forward":
                return trajectory.forward(chain, x0, key, keep=(0, steps // 2))
            known = perturb.known(chain, x0, jnp.arange(size) < size // 2)
            perturbation = known if direction == "inpaint" else None
            keep = (0, steps // 2)
            return trajectory.sample(chain, key, keep=keep, perturbation=perturbation)

        compiled = jax.jit(run).lower(jnp.zeros(size), jax.random.key(0)).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    per_step = (bytes_held(1_000) - bytes_held(100)) / 900
    assert per_step < 0.01 * 4 * size  # a kept step would be 4·size; the schedule itself is a few
