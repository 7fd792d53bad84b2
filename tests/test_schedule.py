"""Schedules: what is promised of β and log ᾱ, for any parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import jit

from dpm_jax import schedule

EPS = np.finfo(np.float32).eps


def test_the_least_number_that_float32_holds_in_full_is_a_rate():
    least = float(np.finfo(np.float32).tiny)
    family = schedule.given([0.5, least, 0.5])
    assert family.apply({}).beta[1] == least


def float64_of(s: schedule.Schedule) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(s.beta, np.float64), np.asarray(s.log_alpha_bar, np.float64)


def test_linear_is_that_of_ddpm_and_any_number_of_steps_is_on_its_path():
    beta, log_alpha_bar = float64_of(schedule.linear(1000).apply({}))
    np.testing.assert_allclose(beta, 1e-4 + 0.0199 * np.arange(1000) / 999, rtol=2 * EPS)
    assert np.exp(log_alpha_bar[-1]) == pytest.approx(4.036e-5, rel=1e-3)
    half = float64_of(schedule.linear(500).apply({}))[1]
    np.testing.assert_allclose(half, log_alpha_bar[1::2], rtol=1e-6)
    assert float64_of(schedule.linear(2).apply({}))[1][-1] == pytest.approx(
        log_alpha_bar[-1], rel=1e-5
    )
    more = float64_of(schedule.linear(4000).apply({}))[1]
    np.testing.assert_allclose(more[3::4], log_alpha_bar, rtol=1e-5)


@pytest.mark.parametrize("steps", [2, 40, 4000])
def test_cosine_is_that_of_improved_ddpm(steps):
    beta, log_alpha_bar = float64_of(schedule.cosine(steps).apply({}))
    t = np.arange(1, steps)
    # cos² v = (1 + cos 2v)/2
    f = 1 + np.cos(np.pi * (np.append(0, t) / steps + 0.008) / 1.008)
    np.testing.assert_allclose(log_alpha_bar[:-1], np.log(f[1:] / f[0]), rtol=1e-4)
    assert beta[-1] == np.float32(0.999)
    assert (beta[:-1] < 0.999).all()


@pytest.mark.parametrize("steps", [2, 40, 2000])
def test_fixed_removes_the_same_signal_each_step(steps):
    family = schedule.fixed(steps)
    beta, log_alpha_bar = float64_of(family.apply(family.init()))
    t = np.arange(1, steps + 1)
    assert family.steps == len(beta) == steps
    np.testing.assert_allclose(beta, 1 / (steps - t + 1), rtol=EPS)
    np.testing.assert_allclose(log_alpha_bar[:-1], np.log(1 - t[:-1] / steps), rtol=EPS)
    assert beta[-1] == 1
    assert log_alpha_bar[-1] == -np.inf


def test_given_accumulates_the_signal():
    beta = np.linspace(1e-4, 0.02, 1000)
    s = schedule.given(beta).apply({})
    np.testing.assert_allclose(s.beta, beta, rtol=EPS)
    signal = 1.0
    for t, b in enumerate(beta):
        signal *= 1 - b
        np.testing.assert_allclose(np.exp(float64_of(s)[1][t]), signal, rtol=1e-5)
    np.testing.assert_array_equal(schedule.given(list(beta)).apply({}).beta, s.beta)


@pytest.mark.parametrize(
    ("beta", "message"),
    [
        ([0.5, 0.0, 0.5], r"beta must lie in \(0, 1\), got beta_2 = 0.0"),
        ([-0.1, 0.5], r"beta must lie in \(0, 1\), got beta_1 = -0.1"),
        ([0.5, 1.0, 0.5], r"beta must lie in \(0, 1\), got beta_2 = 1.0"),
        ([0.5, 1.5], r"beta must lie in \(0, 1\), got beta_2 = 1.5"),
        ([0.5, float("nan")], r"beta must lie in \(0, 1\), got beta_2 = nan"),
        ([0.5, 1e-46], r"got beta_2 = 1e-46: float32 holds 1.2e-38 to 1 - 6e-8"),
        ([1e-40, 0.5], r"got beta_1 = 1e-40: float32 holds"),  # subnormal: XLA takes it for 0
        ([1 - 1e-9, 0.5], r"got beta_1 = 0.999999999: float32 holds"),
        ([0.5, 1 - 1e-9], r"got beta_2 = 0.999999999: float32 holds"),
        ([0.5], "timesteps must be at least 2, got 1"),
    ],
)
def test_given_checks_its_rates(beta, message):
    with pytest.raises(ValueError, match=message):
        schedule.given(beta)


def test_given_is_the_diffusion_of_the_rates_that_float32_holds():
    # Near β = 1 rounding moves 1-β, and ᾱ has to move with it.
    asked = [1 - 1e-7, 0.3, 1 - 3e-7]
    beta, log_alpha_bar = float64_of(schedule.given(asked).apply({}))
    assert abs((1 - beta[0]) / 1e-7 - 1) > 0.1
    np.testing.assert_allclose(log_alpha_bar, np.log(np.cumprod(1 - beta)), rtol=EPS)


@pytest.mark.parametrize("steps", [1, 0, -3])
def test_a_schedule_has_two_steps_or_more(steps):
    for make in (schedule.fixed, lambda steps: schedule.learned(steps, 1e-3)):
        with pytest.raises(ValueError, match=f"timesteps must be at least 2, got {steps}"):
            make(steps)


@pytest.mark.parametrize("beta_1", [0.0, 1.0, -1e-3, float("nan"), 1e-15, 1 - 1e-7])
def test_learned_checks_beta_1(beta_1):
    with pytest.raises(ValueError, match=rf"beta_1 must lie in \(0, 1\), got {beta_1}"):
        schedule.learned(40, beta_1)


def test_learned_starts_with_harmonic_steps_in_log_snr():
    family = schedule.learned(40, 1e-4)
    with jax.enable_x64(True):
        beta, log_alpha_bar = float64_of(family.apply(family.init()))
    log_snr = log_alpha_bar - np.log(-np.expm1(log_alpha_bar))
    steps_in_log_snr = np.diff(log_snr)
    np.testing.assert_allclose(steps_in_log_snr * np.arange(1, 40), steps_in_log_snr[0], rtol=1e-9)
    np.testing.assert_allclose(log_snr[0], np.log(1 / 1e-4 - 1), rtol=1e-12)
    assert -8 < log_snr[-1] < -5
    np.testing.assert_allclose(np.cumsum(np.log1p(-beta)), log_alpha_bar, rtol=1e-9)


@st.composite
def learned_schedules(draw):
    """A learned family and parameters as far from the start as training could take them."""
    family = schedule.learned(draw(st.sampled_from([2, 5, 40])), draw(st.floats(1e-6, 0.9)))
    number = st.floats(-4, 4, width=32)
    gaps = draw(st.lists(number, min_size=family.steps - 1, max_size=family.steps - 1))
    end = draw(st.floats(-2, 100, width=32))
    return family, {"gaps": jnp.asarray(gaps), "end": jnp.asarray(end)}


@settings(max_examples=60)
@given(learned_schedules())
def test_learned_is_a_schedule_for_any_parameters(drawn):
    family, params = drawn
    s = family.apply(params)
    beta, log_alpha_bar = float64_of(s)
    assert s.beta[0] == family.apply(family.init()).beta[0]  # fixed: no parameter moves it
    assert ((beta > 0) & (beta < 1)).all()
    assert (np.diff(log_alpha_bar) < 0).all()
    assert log_alpha_bar[0] < 0
    with jax.enable_x64(True):  # the floor itself, but for the least shares added to all
        exact = float64_of(family.apply(jax.tree.map(lambda p: p.astype(float), params)))[1][-1]
    assert exact - np.log(-np.expm1(exact)) >= schedule.MIN_LOG_SNR - 1e-8
    # In float32 the rounding of every β leaves log(1-β) uncertain, and log ᾱ_T as much as below.
    log_snr = log_alpha_bar - np.log(-np.expm1(log_alpha_bar))
    rounding = EPS * ((1 / (1 - beta)).sum() - 8 * log_alpha_bar[-1])
    assert log_snr[-1] >= schedule.MIN_LOG_SNR - rounding
    # log ᾱ is that of these very rates.
    np.testing.assert_allclose(np.cumsum(np.log1p(-beta)), log_alpha_bar, rtol=8 * EPS)


def by_hand(steps, beta_1, gaps, end):
    """β_t as the docstring says it, in float64 from ᾱ_t = 1/(1 + exp(-λ_t))."""
    start = np.log(1 / beta_1 - 1)
    shares = np.exp(gaps - np.max(gaps))
    shares = shares / shares.sum() + schedule.LEAST_SHARE
    fall = (start - min(schedule.MIN_LOG_SNR, start - 1)) / (1 + np.exp(-end))
    fallen = np.concatenate([[0.0], fall * shares])
    odds = np.exp(np.cumsum(fallen) - start)  # (1-ᾱ_t)/ᾱ_t
    return np.concatenate([[beta_1], -np.expm1(-fallen[1:]) * odds[1:] / (1 + odds[1:])])


@pytest.mark.parametrize(("steps", "beta_1"), [(40, 4.5e-6), (1000, 4e-8), (5, 0.01)])
def test_learned_rates_keep_their_digits_however_small_the_share(steps, beta_1):
    family = schedule.learned(steps, beta_1)
    gaps = np.float32(-np.log(np.arange(1, steps)))
    gaps[2] = gaps[1] - 20  # a share of 2e-9 of its neighbours'
    beta, _ = float64_of(family.apply({"gaps": jnp.asarray(gaps), "end": jnp.asarray(1.5)}))
    expected = by_hand(steps, beta_1, np.float64(gaps), 1.5)
    np.testing.assert_allclose(beta, expected, rtol=60 * EPS)


@pytest.mark.parametrize("beta_1", [schedule.LEAST_BETA_1, 1e-7, 0.5, schedule.MOST_BETA_1])
@pytest.mark.parametrize(("steps", "knots"), [(2, None), (1000, None), (1000, 20)])
def test_no_parameters_make_a_rate_of_zero_or_one(steps, knots, beta_1):
    family = schedule.learned(steps, beta_1, knots=knots)
    size = family.init()["gaps"].shape
    draws = np.random.default_rng(0).normal(size=size).astype(np.float32)
    scale, end = np.meshgrid([0.0, 20.0, 1e6], [-1e6, -50.0, 0.0, 50.0, 1e6])

    def facts(scale, end):
        def logs(params):
            s = family.apply(params)
            return jnp.log(s.beta).sum() + jnp.log1p(-s.beta).sum() + s.log_alpha_bar.sum(), s.beta

        return jax.value_and_grad(logs, has_aux=True)({"gaps": scale * draws, "end": end})

    (value, beta), gradient = jit(jax.vmap(facts))(jnp.ravel(scale), jnp.ravel(end))
    assert ((beta > 0) & (beta < 1)).all()
    assert np.isfinite(value).all()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize(
    ("beta_1", "lowest"),
    [(1e-6, -8.0), (0.5, -8.0), (0.9995, np.log(0.0005 / 0.9995) - 1)],
)
def test_log_snr_ends_at_its_floor_or_one_below_the_first(beta_1, lowest, float64):
    family = schedule.learned(6, beta_1)
    for end in (2.0, 40.0, 1e4):
        last = log_snr(family.apply(family.init() | {"end": jnp.asarray(end)}))[-1]
        first = np.log(1 / beta_1 - 1)
        expected = first - (first - lowest) / (1 + np.exp(-end))
        np.testing.assert_allclose(last, expected, atol=1e-6)


def test_beta_1_has_no_gradient_and_the_others_do():
    family = schedule.learned(5, 1e-3)
    jacobian = jit(jax.jacobian(lambda params: family.apply(params).beta))(family.init())
    np.testing.assert_array_equal(jacobian["gaps"][0], 0)
    assert jacobian["end"][0] == 0
    assert (jnp.abs(jacobian["gaps"][1:]).sum(1) > 0).all()


def test_at_counts_from_one():
    s = schedule.Schedule(jnp.array([0.1, 0.2, 0.3]), jnp.array([-1.0, -2.0, -3.0]))
    steps = [schedule.at(s, jnp.asarray(t)) for t in (1, 2, 3)]
    np.testing.assert_allclose([c.beta for c in steps], [0.1, 0.2, 0.3])
    np.testing.assert_array_equal([c.log_alpha_bar for c in steps], [-1, -2, -3])
    np.testing.assert_array_equal([c.log_alpha_bar_prev for c in steps], [0, -1, -2])
    np.testing.assert_array_equal(schedule.times(s), [2, 3])
    assert s.steps == 3


def test_a_schedule_of_numpy_arrays_is_read_at_a_traced_step():
    family = schedule.fixed(5)
    held = jax.device_get(family.apply({}))
    assert isinstance(held.beta, np.ndarray)
    traced = jit(lambda t: schedule.at(held, t))(jnp.asarray(2))
    np.testing.assert_array_equal(traced.beta, held.beta[1])
    assert isinstance(schedule.at(held, jnp.asarray(2)).beta, jax.Array)


def test_log_snr_is_exact_at_both_ends():
    log_alpha_bar = np.array([-1e-17, -1e-3, -1.0, -50.0, -np.inf])  # ᾱ of nearly 1 to 0
    found = schedule.log_snr(log_alpha_bar)
    # 1 - ᾱ = 1e-17, which 1 - exp(log ᾱ) would round to zero
    assert found[0] == pytest.approx(17 * np.log(10), rel=1e-15)
    alpha_bar = np.exp(log_alpha_bar[1:3])
    np.testing.assert_allclose(found[1:3], np.log(alpha_bar / (1 - alpha_bar)), rtol=1e-12)
    assert found[3] == pytest.approx(-50, rel=1e-15)
    assert found[4] == -np.inf


def test_log_snr_is_float64_whatever_comes_in():
    log_alpha_bar = np.float32([-1e-7, -0.25])
    found = schedule.log_snr(log_alpha_bar)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, schedule.log_snr(log_alpha_bar.astype(np.float64)))


def log_snr(s):
    return schedule.log_snr(np.asarray(s.log_alpha_bar))


def test_a_constant_schedule_is_its_arrays_bit_for_bit():
    beta, log_alpha_bar = np.float32([0.1, 0.2, 0.3]), np.float32([-0.1, -0.3, -0.7])
    family = schedule.constant(beta, log_alpha_bar)
    assert (family.steps, family.init(), family.learned) == (3, {}, False)
    s = family.apply(family.init())
    assert np.asarray(s.beta).tobytes() == beta.tobytes()
    assert np.asarray(s.log_alpha_bar).tobytes() == log_alpha_bar.tobytes()


def test_only_a_learned_schedule_says_so():
    assert schedule.learned(5, 0.01).learned
    assert not schedule.fixed(5).learned
    assert not schedule.given([0.1, 0.2]).learned


def test_knots_make_log_shares_straight_lines(float64):
    family = schedule.learned(50, 1e-4, spacing=0.0, knots=4)
    start = family.init()
    assert start["gaps"].shape == (4,)
    # spacing 0: log-SNR falls evenly from λ_1.
    np.testing.assert_allclose(np.diff(log_snr(family.apply(start)), 2), 0, atol=1e-9)
    params = start | {"gaps": jnp.array([0.0, 1.0, -0.5, 0.3])}
    shares = -np.diff(log_snr(family.apply(params)))
    expected = np.exp(np.interp(np.arange(49), np.linspace(0, 48, 4), params["gaps"]))
    np.testing.assert_allclose(shares / shares.sum(), expected / expected.sum(), rtol=1e-7)


def test_as_many_knots_as_steps_are_parameters_of_their_own():
    own, knots = (schedule.learned(9, 1e-3, knots=k) for k in (None, 8))
    assert own.init()["gaps"].shape == knots.init()["gaps"].shape == (8,)
    for a, b in zip(own.apply(own.init()), knots.apply(knots.init()), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    assert schedule.learned(9, 1e-3, knots=2).init()["gaps"].shape == (2,)
    with pytest.raises(ValueError, match="knots must be at least 2, got 1"):
        schedule.learned(9, 1e-3, knots=1)


def test_a_resampled_schedule_is_on_the_same_path():
    own = schedule.learned(9, 1e-5)
    own = own.apply(own.init())
    levels, fine, few = (
        schedule.log_snr(np.asarray(s.log_alpha_bar))
        for s in (own, schedule.resampled(own, 17), schedule.resampled(own, 3))
    )
    np.testing.assert_allclose(fine[::2], levels, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(fine[1::2], (levels[1:] + levels[:-1]) / 2, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(few, levels[[0, 4, 8]], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(schedule.resampled(own, 9).beta, own.beta, rtol=1e-4)


def test_a_resampled_schedule_ends_just_above_nothing():
    ended = schedule.resampled(schedule.fixed(5).apply({}), 3)
    np.testing.assert_allclose(ended.log_alpha_bar, np.log([0.8, 0.4, np.exp(-15)]), rtol=1e-3)
    with pytest.raises(ValueError, match="timesteps must be at least 2, got 1"):
        schedule.resampled(ended, 1)
