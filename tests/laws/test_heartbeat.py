"""The heartbeat's limits, against Bayes over the five phases written out in float64."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import bit_step, bit_steps, jit, product_law, standard_errors

from dpm_jax import bound
from dpm_jax.kernels.binomial import Bernoulli
from dpm_jax.laws import heartbeat
from dpm_jax.process import LAST_STEPS, LEARNED
from dpm_jax.sampling import trajectory
from dpm_jax.scaling import NATS_PER_BIT
from dpm_jax.schedule import Coefficients, at, fixed

P0 = heartbeat.ACTIVITY
BOTH_LAST_STEPS = pytest.mark.parametrize("last_step", LAST_STEPS.values(), ids=LAST_STEPS)
PHASES = heartbeat.sequences().astype(int)


def rates(steps):
    """β_t = 1/(T-t+1)."""
    return 1 / np.arange(steps, 0, -1)


def bayes(xt, beta, t):
    """P(phase | x_t) [5], and P(x_{t-1} = 1 | x_t) [20], from transition matrices alone."""
    before, step = bit_steps(beta[: t - 1], P0), bit_step(beta[t - 1], P0)
    joint = before[PHASES] * step[:, xt].T  # [5, 20, x_{t-1}], jointly with x_t given the phase
    of_phase = joint.sum(-1).prod(-1)
    of_phase /= of_phase.sum()
    return of_phase, of_phase @ (joint[..., 1] / joint.sum(-1))


@pytest.mark.parametrize("steps", [3, 8])
def test_exact_reverse_is_bayes_over_the_phases(steps):
    schedule, beta, rng = fixed(steps).apply({}), rates(steps), np.random.default_rng(0)
    for t in range(1, steps + 1):
        alpha_bar = np.prod(1 - beta[:t])
        for _ in range(5):
            x0 = PHASES[rng.integers(5)]
            xt = (rng.uniform(size=20) < alpha_bar * x0 + P0 * (1 - alpha_bar)).astype(int)
            phases, ones = bayes(xt, beta, t)
            c = at(schedule, jnp.asarray(t))
            x = jnp.asarray(xt, jnp.float32)
            found = np.exp(heartbeat.phase_posterior(x, c.log_alpha_bar))
            np.testing.assert_allclose(found, phases, rtol=2e-4, atol=1e-30)
            p = heartbeat.exact_reverse((), x, jnp.asarray(t), c)
            logits = np.asarray(p.logits, np.float64)
            np.testing.assert_allclose(1 / (1 + np.exp(-logits)), ones, rtol=2e-4)
            np.testing.assert_allclose(1 / (1 + np.exp(logits)), 1 - ones, rtol=2e-4)


@pytest.mark.parametrize("flipped", [0.0, 0.2])
def test_phases_given_bits_is_bayes(flipped):
    rng = np.random.default_rng(1)
    for _ in range(10):
        seen = PHASES[rng.integers(5)] ^ (rng.uniform(size=20) < flipped)
        mask = rng.uniform(size=20) < 0.2
        joint = np.array([0.2] * 5)
        for k, bin_ in np.ndindex(5, 20):
            if mask[bin_]:
                joint[k] *= flipped if seen[bin_] != PHASES[k, bin_] else 1 - flipped
        found, evidence = heartbeat.phases_given_bits(seen, mask, flipped=flipped)
        np.testing.assert_allclose(found, joint / joint.sum(), rtol=1e-12)
        np.testing.assert_allclose(evidence, np.log(joint.sum()), rtol=1e-12, atol=1e-12)


def test_bits_of_no_heartbeat_are_refused():
    with pytest.raises(ValueError, match="no heartbeat has"):
        heartbeat.phases_given_bits(np.ones(20), np.arange(20) < 2)
    with pytest.raises(ValueError, match="flipped must lie in"):
        heartbeat.phases_given_bits(np.ones(20), np.arange(20) < 2, flipped=1.2)


def test_phases_are_equally_likely_where_nothing_is_left():
    x = jnp.asarray(PHASES[2], jnp.float32)
    np.testing.assert_allclose(
        np.exp(heartbeat.phase_posterior(x, jnp.asarray(-jnp.inf))), 0.2, rtol=1e-6
    )


def test_last_step_limit_is_the_entropy_of_x1_over_all_states():
    for beta_1 in (1 / 2000, 0.4):
        # 2^20 states of x_1, under each phase.
        laws = [product_law(phase * (1 - beta_1) + P0 * beta_1) for phase in PHASES]
        law = sum(laws) / 5
        expected = np.sum(law * np.log2(law, where=law > 0, out=np.zeros_like(law)))
        np.testing.assert_allclose(heartbeat.last_step_limit(beta_1), expected, rtol=1e-9)


def test_limits_are_the_numbers_known():
    np.testing.assert_allclose(heartbeat.TRUE_LIMIT_BITS, -2.32193, atol=1e-5)
    np.testing.assert_allclose(heartbeat.last_step_limit(1 / 2000), -2.366, atol=5e-4)
    # With nothing left in x_1, K is L_null.
    np.testing.assert_allclose(heartbeat.last_step_limit(1.0), -14.4386, atol=5e-5)


@pytest.mark.parametrize("beta_1", [0.0, 1.5])
def test_rates_outside_the_interval_are_refused(beta_1):
    with pytest.raises(ValueError, match="beta_1 must lie in"):
        heartbeat.last_step_limit(beta_1)


def limit_of(last_step, beta_1):
    """The K that nothing exceeds, bits."""
    if last_step is LEARNED:
        return heartbeat.TRUE_LIMIT_BITS
    return heartbeat.last_step_limit(beta_1)


def bounds_of(process, count, seed):
    """The bound of ``count`` heartbeats, the five phases equally often, so E log π is exact."""
    x0 = jnp.asarray(np.tile(heartbeat.sequences(), (count // 5, 1)))
    noise = process.kernel.noise(jax.random.key(seed), (process.schedule.steps, len(x0), 20))
    return jit(lambda x, eps: bound.all_steps_of_batch(process, x, eps))(x0, noise)


@BOTH_LAST_STEPS
def test_K_is_finite_and_below_its_limit(last_step):
    # T = 100: β_T = 1 and ᾱ_T = 0 at one end, a posterior that is a delta at the other.
    schedule = fixed(100).apply({})
    terms = bounds_of(heartbeat.exact_process(schedule, last_step=last_step), 500, 1)
    assert all(np.isfinite(term).all() for term in terms)
    assert (np.asarray(terms.step_kl) > -1e-4).all()
    K = np.asarray(terms.K, np.float64) / NATS_PER_BIT
    error = K.std() / np.sqrt(len(K))
    limit = limit_of(last_step, 1 / 100)
    assert K.mean() < limit + 5 * error
    assert K.mean() > limit - 0.2  # so near that a wrong step would show


@pytest.mark.slow
@BOTH_LAST_STEPS
def test_K_nears_its_limit_in_two_thousand_steps(last_step):
    schedule = fixed(2000).apply({})
    terms = bounds_of(heartbeat.exact_process(schedule, last_step=last_step), 200, 2)
    assert all(np.isfinite(term).all() for term in terms)
    K = np.asarray(terms.K, np.float64) / NATS_PER_BIT
    limit = limit_of(last_step, 1 / 2000)
    error = K.std() / np.sqrt(len(K))
    assert limit - 0.02 - 5 * error < K.mean() < limit + 5 * error


@pytest.mark.parametrize("shift", [-0.3, 0.3])
def test_any_other_logits_give_a_lower_K(shift):
    exact = heartbeat.exact_process(fixed(10).apply({}))

    def shifted(params, xt, t, c: Coefficients):
        return Bernoulli(heartbeat.exact_reverse(params, xt, t, c).logits + shift * xt)

    best, other = (bounds_of(p, 250, 3).K for p in (exact, replace(exact, step=shifted)))
    loss = np.asarray(best - other, np.float64)
    assert loss.mean() > 5 * loss.std() / np.sqrt(len(loss))


def test_weighted_paths_rise_to_the_truth():
    # Few steps, so that a single path leaves a gap to close.
    process = heartbeat.exact_process(fixed(8).apply({}), last_step=LEARNED)
    x0 = jnp.asarray(np.tile(heartbeat.sequences(), (100, 1)))

    def weighted(paths):
        keys = jax.random.split(jax.random.key(paths), len(x0))
        run = jit(jax.vmap(lambda x, k: bound.importance_weighted(process, x, k, paths)))
        return np.asarray(run(x0, keys), np.float64) / NATS_PER_BIT

    one, many = weighted(1), weighted(16)
    gain = many - one
    assert gain.mean() > 3 * gain.std() / np.sqrt(len(gain))
    error = many.std() / np.sqrt(len(many))
    assert many.mean() < heartbeat.TRUE_LIMIT_BITS + 5 * error


def test_samples_of_a_long_exact_process_are_heartbeats():
    process = heartbeat.exact_process(fixed(300).apply({}), last_step=LEARNED)
    keys = jax.random.split(jax.random.key(4), 200)
    found = jit(jax.vmap(lambda k: trajectory.sample(process, k).end))(keys)
    whole = (np.asarray(found)[:, None] == PHASES).all(-1)
    # K within 0.02 nats of the truth leaves at most one sample in fifty to be anything else.
    assert whole.any(-1).mean() > 0.95
    # Each phase has its share.
    assert (standard_errors(whole, 0.2 * whole.any(-1).mean()) < 5).all()
