"""Some of the steps: the same marginals, another true bound, fewer calls."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys
from reference import draws_of, jit, process_of, schedule64, standard_errors

from dpm_jax import bound
from dpm_jax.kernels import binomial, gaussian
from dpm_jax.kernels.gaussian import Normal
from dpm_jax.laws import heartbeat
from dpm_jax.process import log_snr
from dpm_jax.sampling import skip, trajectory
from dpm_jax.schedule import at, fixed

BETA = np.array([0.02, 0.1, 0.15, 0.3, 0.35, 0.5])


def exact_for(mean, variance):
    """The exact reverse of x_0 ~ N(mean, variance), from the belief that x_t leaves about x_0."""

    def reverse(xt, t, c):
        signal, noise = jnp.exp(0.5 * c.log_alpha_bar), -jnp.expm1(c.log_alpha_bar)
        gain = variance * signal / (variance * signal**2 + noise)
        belief = Normal(
            mean + gain * (xt - signal * mean), jnp.full(xt.shape, variance * (1 - gain * signal))
        )
        return gaussian.bridge(belief, xt, c.beta, c.log_alpha_bar_prev)

    return reverse


def test_which_steps_are_kept():
    np.testing.assert_array_equal(skip.kept(1000, 5), [1, 251, 500, 750, 1000])
    np.testing.assert_array_equal(skip.kept(7, 7), np.arange(1, 8))
    np.testing.assert_array_equal(skip.kept(7, 2), [1, 7])
    for wanted in (1, 8):
        says = f"sample_steps must lie in 2 to timesteps, 7, got {wanted}"
        with pytest.raises(ValueError, match=f"^{says}$"):
            skip.kept(7, wanted)


def test_rates_are_those_of_several_steps_in_one(float64):
    process = process_of(gaussian.KERNEL, schedule64(BETA), exact_for(0.0, 1.0), (2,))
    few = skip.only(process, np.array([1, 3, 4, 6])).schedule
    alpha = 1 - BETA
    expected = 1 - np.array([alpha[0], alpha[1] * alpha[2], alpha[3], alpha[4] * alpha[5]])
    np.testing.assert_allclose(few.beta, expected, rtol=1e-12)
    np.testing.assert_allclose(few.log_alpha_bar, np.log(np.cumprod(1 - expected)), rtol=1e-12)


def test_the_network_is_told_the_t_that_it_knows(float64):
    seen = process_of(
        gaussian.KERNEL,
        schedule64(BETA),
        lambda xt, t, c: Normal(jnp.stack([t * 1.0, log_snr(t, c)]), jnp.ones(2)),
        (2,),
    )
    kept = np.array([1, 3, 4, 6])
    few = skip.only(seen, kept)
    for number, t in enumerate(kept, 1):
        found = few.reverse(
            jnp.zeros(2), jnp.asarray(number), at(few.schedule, jnp.asarray(number))
        )
        whole = at(seen.schedule, jnp.asarray(t))
        np.testing.assert_allclose(found.mean, [t, log_snr(jnp.asarray(t), whole)], rtol=1e-12)


def test_an_exact_reverse_stays_exact_and_K_pays_for_long_steps(float64):
    # Normal data: the exact chain reaches log q by any steps, so its paths have no variance.
    process = process_of(gaussian.KERNEL, schedule64(BETA), exact_for(0.7, 0.2), (1,))
    few = skip.only(process, np.array([1, 4, 6]))
    x0 = jnp.array([0.4])

    def K(chain):
        def one(key):
            noise = gaussian.noise(key, (chain.schedule.steps, 1))
            return bound.all_steps(chain, x0, noise).K

        return np.asarray(draws_of(one, 0, 4_000))

    weights = [
        np.asarray(draws_of(lambda key, c=c: bound.path_log_weight(c, x0, key), 1, 4_000))
        for c in (process, few)
    ]
    # E_q p/q = p(x_0), by either chain, whose ends are the same.
    means = [np.exp(w).mean() for w in weights]
    errors = [np.exp(w).std() / np.sqrt(len(w)) for w in weights]
    assert abs(means[0] - means[1]) < 5 * np.hypot(*errors)
    assert (
        abs(K(few).mean() - weights[1].mean()) < 5 * np.hypot(K(few).std(), weights[1].std()) / 63
    )
    ends = np.asarray(draws_of(lambda key: trajectory.sample(few, key).end[0], 2, 20_000))
    whole = np.asarray(draws_of(lambda key: trajectory.sample(process, key).end[0], 3, 20_000))
    assert abs(ends.mean() - whole.mean()) < 5 * np.hypot(ends.std(), whole.std()) / np.sqrt(20_000)
    assert abs(ends.std() / whole.std() - 1) < 0.05


def test_K_of_bits_falls_with_the_steps():
    process = heartbeat.exact_process(fixed(40).apply({}))
    x0 = jnp.asarray(heartbeat.load(train=2, heldout=600, seed=0).heldout)
    found = []
    for wanted in (40, 10, 4):
        chain = skip.only(process, skip.kept(40, wanted))
        noise = binomial.noise(jax.random.key(0), (wanted, *x0.shape))
        found.append(np.asarray(jit(bound.all_steps_of_batch)(chain, x0, noise).K))
    assert standard_errors(found[0] - found[1], 0.0) > 5
    assert standard_errors(found[1] - found[2], 0.0) > 5
    assert found[0].mean() > found[1].mean() > found[2].mean()


def test_processes_of_as_many_steps_are_one_program():
    process = toys.random_process(toys.reals())
    a, b = (skip.only(process, np.array(steps)) for steps in ([1, 2, 4], [1, 3, 4]))
    assert jax.tree.structure(a) == jax.tree.structure(b)
