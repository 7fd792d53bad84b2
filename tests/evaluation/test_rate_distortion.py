"""Rate and distortion: of a law that is known, both in closed form, and on Shannon's own curve."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import process_of

from dpm_jax import schedule
from dpm_jax.evaluation.likelihood import estimate, evaluate
from dpm_jax.evaluation.rate_distortion import rate_distortion
from dpm_jax.kernels import gaussian
from dpm_jax.process import LEARNED
from dpm_jax.reverse import bridge

MEAN, VARIANCE, D = 0.7, 0.4, 3
RATES = schedule.given(np.geomspace(1e-3, 0.4, 40)).apply({})
ALPHA_BAR = np.exp(np.asarray(RATES.log_alpha_bar, np.float64))
KEY = jax.random.key(0)
EXAMPLES = np.random.default_rng(0).normal(MEAN, np.sqrt(VARIANCE), (4_000, D)).astype(np.float32)


def exact(offset=0.0):
    """The reverse process of x_0 ~ N(MEAN, VARIANCE), whose belief may be off by ``offset``."""

    def reverse(xt, t, c):
        signal, noise = jnp.exp(0.5 * c.log_alpha_bar), -jnp.expm1(c.log_alpha_bar)
        gain = signal * VARIANCE / (signal**2 * VARIANCE + noise)
        mean, variance = MEAN + gain * (xt - signal * MEAN) + offset, (1 - gain * signal) * VARIANCE
        shifted = (mean - signal * xt) / jnp.sqrt(noise), jnp.log(variance / noise)
        return bridge(gaussian.KERNEL, jnp.stack(jnp.broadcast_arrays(*shifted), -1), xt, c)

    return process_of(gaussian.KERNEL, RATES, reverse, (D,), LEARNED)


EXACT = exact()


def measured(process, examples=EXAMPLES, **options):
    return rate_distortion(process, examples, KEY, progress=False, **options)


def end():
    """KL(q(x_T) ‖ π), bits: what starting from π and not from q(x_T) costs."""
    mean, variance = np.sqrt(ALPHA_BAR[-1]) * MEAN, 1 + ALPHA_BAR[-1] * (VARIANCE - 1)
    return D / 2 * (variance + mean**2 - 1 - np.log(variance)) / np.log(2)


def information(t):
    """I(X_0; X_t), bits."""
    a = ALPHA_BAR[t - 1]
    return D / 2 * np.log2(1 + a * VARIANCE / (1 - a))


def remaining(t):
    """The variance of x_0 given x_t."""
    a = ALPHA_BAR[t - 1]
    return VARIANCE * (1 - a) / (a * VARIANCE + 1 - a)


@pytest.mark.parametrize("points", [7, 40])
def test_of_a_normal_law_both_are_known_and_lie_on_shannons_curve(points):
    found = measured(EXACT, points=points)
    assert found.t[0] == 1
    assert found.t[-1] == 40
    assert len(found.t) == points
    assert (found.rate_se > 0).all()
    assert (np.abs(found.rate - information(found.t) - end()) < 5 * found.rate_se).all()
    assert (np.abs(found.rmse - np.sqrt(remaining(found.t))) < 5 * found.rmse_se).all()
    # Errors of 1% and less: enough to see a factor of two, or a step too many.
    assert (found.rmse_se < 0.01 * found.rmse).all()
    assert (found.rate_se[:-1] < 0.03 * found.rate[:-1]).all()
    shannon = D / 2 * np.log2(VARIANCE / found.rmse**2)
    error = np.hypot(found.rate_se, D / np.log(2) * found.rmse_se / found.rmse)
    assert (np.abs(shannon - found.rate + end()) < 5 * error).all()


def test_a_belief_that_is_off_costs_bits_and_shows_less():
    found, right = measured(exact(0.2)), measured(EXACT)
    expected = np.sqrt(remaining(found.t) + 0.2**2)
    assert (np.abs(found.rmse - expected) < 5 * found.rmse_se).all()
    assert (found.rate[:-1] > right.rate[:-1]).all()
    assert (found.rate[:12] - right.rate[:12] > 5 * right.rate_se[:12]).all()


def test_all_of_it_but_L_0_is_the_bound():
    held_out = evaluate(EXACT, EXAMPLES, jax.random.key(1), progress=False)
    total = estimate(-held_out.K).mean + held_out.terms["last_step"]
    for points in (3, 40):
        found = measured(EXACT, points=points)
        assert abs(found.rate[0] - total) < 5 * np.hypot(found.rate_se[0], estimate(held_out.K).se)
        np.testing.assert_allclose(found.rate[-1], held_out.terms["prior_kl"], rtol=1e-4)


def test_the_standard_errors_are_those_of_many_repetitions():
    few = EXAMPLES.reshape(80, 50, D)
    found = [
        rate_distortion(EXACT, x, jax.random.key(i), points=4, progress=False)
        for i, x in enumerate(few)
    ]
    for name in ("rate", "rmse"):
        spread = np.std([getattr(f, name) for f in found], axis=0, ddof=1)
        said = np.mean([getattr(f, f"{name}_se") for f in found], axis=0)
        np.testing.assert_allclose(said, spread, rtol=5 / np.sqrt(2 * 80))


def test_the_chunk_does_not_matter_and_points_are_at_most_T():
    few = EXAMPLES[:50]
    whole, cut = measured(EXACT, few, points=100), measured(EXACT, few, points=100, chunk=7)
    np.testing.assert_array_equal(whole.t, np.arange(1, 41))
    for a, b in zip(whole, cut, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_examples_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="must be finite"):
        measured(EXACT, np.full((4, D), np.nan, np.float32))
