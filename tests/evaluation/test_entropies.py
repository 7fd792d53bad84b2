"""The entropy of every reverse step: where its bounds meet, and against means taken one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys
from reference import jit, process_of

from dpm_jax import schedule
from dpm_jax.entropy import entropy_bounds
from dpm_jax.evaluation.entropies import entropy_profile
from dpm_jax.kernels import gaussian
from dpm_jax.scaling import NATS_PER_BIT

BETA = [0.1, 0.3, 0.4, 0.6]


def test_a_reverse_step_of_gaussian_data_is_between_its_bounds():
    variance = 0.5
    before = np.concatenate([[1.0], np.cumprod(1 - np.array(BETA))])
    wide = before * variance + 1 - before  # Var x_t
    # Var(x_{t-1} | x_t): variance less what the regression explains.
    exact = wide[:-1] - (1 - np.array(BETA)) * wide[:-1] ** 2 / wide[1:]
    steps = jnp.asarray(exact, jnp.float32)

    def reverse(xt, t, c):
        return gaussian.Normal(xt, jnp.broadcast_to(steps[t - 1], xt.shape))

    process = process_of(gaussian.KERNEL, schedule.given(BETA).apply({}), reverse, (2,))
    found = entropy_profile(process, np.zeros((3, 2), np.float32), jax.random.key(0))
    assert all(field.shape == (3,) for field in found)
    np.testing.assert_allclose(found.model, np.log2(2 * np.pi * np.e * exact[1:]), rtol=1e-5)
    assert (found.lower < found.model).all()
    assert (found.model < found.upper).all()


@pytest.mark.parametrize("model", [toys.reals(), toys.bits()], ids=["reals", "bits"])
def test_the_profile_is_the_mean_over_data_step_by_step(model):
    process = toys.random_process(model)
    kernel, s = process.kernel, process.schedule
    data = jnp.asarray(toys.real_data(300) if kernel.learnable else toys.bit_data(300))
    found = entropy_profile(process, np.asarray(data), jax.random.key(1))

    def of_one(x0, t, key):
        c = schedule.at(s, t)
        xt = kernel.transport(kernel.marginal(x0, c.log_alpha_bar), kernel.noise(key, x0.shape))
        own = kernel.entropy(process.reverse(xt, t, c))
        return jnp.stack([*entropy_bounds(kernel, s, x0, t), own]) / NATS_PER_BIT

    at_t = jit(jax.vmap(of_one, (0, None, 0)))
    for i, t in enumerate(range(2, toys.STEPS + 1)):
        keys = jax.random.split(jax.random.key(t), len(data))
        lower, upper, own = np.asarray(at_t(data, jnp.asarray(t), keys), np.float64).T
        np.testing.assert_allclose(found.lower[i], lower.mean(), rtol=1e-4)
        np.testing.assert_allclose(found.upper[i], upper.mean(), rtol=1e-4)
        # Two independent draws of x_t.
        error = own.std() * np.sqrt(2 / len(own)) + 1e-5
        assert abs(found.model[i] - own.mean()) < 5 * error
