"""The roll's limits, against sums over a dense curve, against samples, and against each other."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import standard_errors

from dpm_jax import bound
from dpm_jax.laws.swiss_roll import curve, limits
from dpm_jax.laws.swiss_roll import roll as swiss_roll
from dpm_jax.process import LAST_STEPS, LEARNED
from dpm_jax.scaling import NATS_PER_BIT
from dpm_jax.schedule import at, fixed, given

LASTS = tuple(LAST_STEPS.values())
NOISES = [0.02, 0.25, 1.0, 10.0]
STEEP = np.array([1e-5, 1e-3, 0.02, 0.2, 0.4, 0.5, 0.6])  # a diffusion of seven steps


def even(steps, beta_1, last=-6.0):
    """β_t of a log-SNR that falls evenly."""
    log_snr = np.linspace(np.log(1 / beta_1 - 1), last, steps)
    alpha_bar = 1 / (1 + np.exp(-log_snr))
    return 1 - alpha_bar / np.concatenate([[1.0], alpha_bar[:-1]])


def midpoints(roll, count=50_000):
    """Points of the curve at evenly spread u."""
    return roll.curve((np.arange(count) + 0.5) / count)


def dense_weights(points, centre, variance):
    """q(u | point) at every one of ``centre`` [M, 2]; [N, M], and log of the mean density [N]."""
    log_q = -((points[:, None] - centre) ** 2).sum(-1) / (2 * variance)
    top = log_q.max(-1, keepdims=True)
    weights = np.exp(log_q - top)
    log_density = top[:, 0] + np.log(weights.mean(-1)) - np.log(2 * np.pi * variance)
    return weights / weights.sum(-1, keepdims=True), log_density


def dense_moments(roll, xt, alpha_bar, weights, curve):
    """E[x_0 | x_t] and Var_d[x_0 | x_t] from q(u | x_t): two normals multiplied, then mixed."""
    noise = (1 - alpha_bar) / alpha_bar
    share = noise / (noise + roll.variance)
    given_u = share * curve + (1 - share) * xt[:, None] / np.sqrt(alpha_bar)
    mean = np.einsum("nm,nmd->nd", weights, given_u)
    second = np.einsum("nm,nmd->nd", weights, (given_u - mean[:, None]) ** 2)
    return mean, second + share * roll.variance


@pytest.mark.parametrize("noise", NOISES)
def test_log_density_is_the_sum_over_a_dense_curve(noise):
    roll = swiss_roll.law(noise)
    near = swiss_roll.sample(roll, 100, np.random.default_rng(0))
    spread = np.random.default_rng(1).normal(size=(20, 2))
    _, expected = dense_weights(near, midpoints(roll), roll.variance)
    np.testing.assert_allclose(limits.log_density(roll, near), expected, atol=5e-6)
    # Off the curve the density may be e^-10,000; relative accuracy is what remains.
    _, expected = dense_weights(spread, midpoints(roll), roll.variance)
    np.testing.assert_allclose(limits.log_density(roll, spread), expected, rtol=5e-3)


@pytest.mark.parametrize("noise", [0.25, 1.0])
def test_density_integrates_to_one(noise):
    roll = swiss_roll.law(noise)
    h = np.sqrt(roll.variance) / 1.5  # errors of e^{-2π² 1.5²} for normals of that width
    side = np.arange(-3.0, 3.0, h)
    grid = np.stack(np.meshgrid(side, side), axis=-1)
    density = np.exp(limits.log_density(roll, grid))
    assert density.shape == grid.shape[:-1]
    np.testing.assert_allclose(density.sum() * h**2, 1, rtol=1e-6)
    # The law was scaled to this second moment.
    second = (density[..., None] * grid**2).sum() / 2 * h**2
    np.testing.assert_allclose(second, 1, rtol=1e-6)


@pytest.mark.parametrize(("noise", "bits"), [(0.25, -0.946315), (0.05, 1.381063)])
def test_negative_entropy_is_the_number_known(noise, bits):
    found = limits.negative_entropy(swiss_roll.law(noise)) / NATS_PER_BIT
    np.testing.assert_allclose(found, bits, atol=1e-6)


@pytest.mark.parametrize("noise", NOISES)
def test_negative_entropy_is_the_mean_log_density_of_samples(noise):
    roll = swiss_roll.law(noise)
    x = swiss_roll.sample(roll, 20_000, np.random.default_rng(2))
    assert standard_errors(limits.log_density(roll, x), limits.negative_entropy(roll)) < 5


def finer(monkeypatch, along, across):
    """Rules with so many times the nodes."""
    rule = curve.rule

    def multiplied(roll, variance, **nodes):
        return rule(
            roll, variance, along=along * nodes["along"], across=int(across * nodes["across"])
        )

    monkeypatch.setattr(curve, "rule", multiplied)


def entropies(roll):
    return np.array(
        [
            limits.negative_entropy(roll) / NATS_PER_BIT,
            *(limits.last_step_limit(roll, beta_1) for beta_1 in (1e-3, 0.02, 0.3)),
        ]
    )


@pytest.mark.parametrize("noise", [0.25, 1.5])
def test_finer_rules_across_the_curve_change_no_entropy(monkeypatch, noise):
    roll = swiss_roll.law(noise)
    before = entropies(roll)
    finer(monkeypatch, 1, 1.5)
    np.testing.assert_allclose(entropies(roll), before, atol=5e-5)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.05, 0.5, 1.5])
@pytest.mark.parametrize("rule", ["along", "across", "panels"])
def test_doubling_any_rule_changes_no_limit_by_1e_4_bits(monkeypatch, noise, rule):
    roll, steep = swiss_roll.law(noise), given(even(6, 1e-3)).apply({})
    chosen = [fixed(6).apply({}), steep]

    def all_limits():
        ceilings = [limits.ceiling(roll, s, last_step=last) for s in chosen for last in LASTS]
        return np.array([*entropies(roll), *ceilings])

    before = all_limits()
    if rule == "panels":
        monkeypatch.setattr(curve, "PANEL_NODES", 2 * curve.PANEL_NODES)
    else:
        finer(monkeypatch, 1 + (rule == "along"), 1 + (rule == "across"))
    np.testing.assert_allclose(all_limits(), before, atol=1e-4)


def test_the_arc_is_as_long_as_its_chords():
    roll = swiss_roll.law(0.25)
    ends = roll.scale * roll.curve(np.linspace(0, 1, 100_001))
    assert np.linalg.norm(np.diff(ends, axis=0), axis=1).sum() == pytest.approx(
        curve.ARC_LENGTH, abs=5e-4
    )


def test_wide_noise_leaves_a_normal():
    # All limits are then L_null, and with Gaussian data no schedule loses anything.
    roll, null = swiss_roll.law(3000.0), -np.log2(2 * np.pi * np.e)
    np.testing.assert_allclose(limits.negative_entropy(roll) / NATS_PER_BIT, null, atol=1e-6)
    np.testing.assert_allclose(limits.last_step_limit(roll, 0.1), null, atol=1e-6)
    for family in (fixed(5), given(STEEP)):
        np.testing.assert_allclose(limits.ceiling(roll, family.apply({})), null, atol=1e-5)


def test_last_step_limit_is_the_entropy_of_x1():
    roll, beta_1 = swiss_roll.law(0.25), 0.01
    rng = np.random.default_rng(3)
    x0 = swiss_roll.sample(roll, 2000, rng).astype(np.float64)
    x1 = np.sqrt(1 - beta_1) * x0 + np.sqrt(beta_1) * rng.normal(size=x0.shape)
    variance = (1 - beta_1) * roll.variance + beta_1
    curve = np.sqrt(1 - beta_1) * midpoints(roll, 2000)
    _, log_q = dense_weights(x1, curve, variance)
    assert standard_errors(log_q / NATS_PER_BIT, limits.last_step_limit(roll, beta_1)) < 5


@pytest.mark.parametrize("noise", [0.05, 0.25])
@pytest.mark.parametrize("t", range(1, 8))
def test_exact_reverse_has_the_moments_of_a_dense_sum(noise, t):
    roll, schedule = swiss_roll.law(noise), given(STEEP).apply({})
    rng = np.random.default_rng(t)
    alpha_bar, before = np.cumprod(1 - STEEP)[t - 1], np.prod(1 - STEEP[: t - 1])
    x0 = swiss_roll.sample(roll, 40, rng)
    xt = np.sqrt(alpha_bar) * x0 + np.sqrt(1 - alpha_bar) * rng.normal(size=x0.shape)
    xt = xt.astype(np.float32)

    curve = midpoints(roll, 20_000)
    total = alpha_bar * roll.variance + 1 - alpha_bar
    weights, _ = dense_weights(xt, np.sqrt(alpha_bar) * curve, total)
    mean, variance = dense_moments(roll, xt, alpha_bar, weights, curve)
    a = np.sqrt(before) * STEEP[t - 1] / (1 - alpha_bar)
    b = np.sqrt(1 - STEEP[t - 1]) * (1 - before) / (1 - alpha_bar)
    expected = STEEP[t - 1] * (1 - before) / (1 - alpha_bar) + a**2 * variance

    step = jnp.asarray(t)
    process, c = limits.exact_process(roll, schedule), at(schedule, step)
    found = jax.vmap(lambda x: process.reverse(x, step, c))(jnp.asarray(xt))
    # In units of the step's own width: what a KL sees.
    assert (np.abs(found.mean - (a * mean + b * xt)) < 2e-3 * np.sqrt(expected)).all()
    np.testing.assert_allclose(found.variance, expected, rtol=2e-3)


def test_exact_reverse_has_the_moments_of_weighted_samples():
    # No curve here: x_{t-1} from q, weighted by the forward step's own density of x_t.
    roll, schedule = swiss_roll.law(0.25), given(STEEP).apply({})
    rng = np.random.default_rng(4)
    t, x0 = 5, swiss_roll.sample(roll, 200_000, rng)
    before = np.prod(1 - STEEP[: t - 1])
    x = np.sqrt(before) * x0 + np.sqrt(1 - before) * rng.normal(size=x0.shape)
    xt = np.array([0.4, -0.3])
    beta = STEEP[t - 1]
    weights = np.exp(-((xt - np.sqrt(1 - beta) * x) ** 2).sum(-1) / (2 * beta))
    step = jnp.asarray(t)
    process = limits.exact_process(roll, schedule)
    p = process.reverse(jnp.asarray(xt), step, at(schedule, step))
    # Σ w (f - E f) is 0 in the mean where E f is right.
    deviation = x - np.asarray(p.mean)
    assert (standard_errors(weights[:, None] * deviation, 0) < 5).all()
    excess = deviation**2 - np.asarray(p.variance)
    assert (standard_errors(weights[:, None] * excess, 0) < 5).all()


def bounds_of(process, x0, seed):
    """``all_steps`` of every point, in bounded memory."""

    def of_one(x, key):
        return bound.all_steps(process, x, jax.random.normal(key, (process.schedule.steps, 2)))

    keys = jax.random.split(jax.random.key(seed), len(x0))
    return jax.jit(lambda x, k: jax.lax.map(lambda a: of_one(*a), (x, k), batch_size=100))(x0, keys)


@pytest.mark.parametrize("last_step", LAST_STEPS.values(), ids=LAST_STEPS)
def test_the_exact_process_attains_the_ceiling(last_step):
    roll, schedule = swiss_roll.law(0.25), given(even(8, 1e-4, last=-2.0)).apply({})
    process = limits.exact_process(roll, schedule, last_step=last_step)
    x0 = swiss_roll.sample(roll, 4000, np.random.default_rng(5))
    K = np.asarray(bounds_of(process, jnp.asarray(x0), 0).K, np.float64)
    ceiling = limits.ceiling(roll, schedule, last_step=last_step)
    # Against log q of the same points: most of K's spread is theirs.
    gap = (K - limits.log_density(roll, x0)) / NATS_PER_BIT
    assert standard_errors(gap, ceiling - limits.negative_entropy(roll) / NATS_PER_BIT) < 5
    assert gap.std() / np.sqrt(len(gap)) < 0.1


def test_every_step_of_the_ceiling_is_a_mean_over_samples():
    # E[KL_t | x_t] from the dense curve, at random points: spread too small to hide 0.01 bits.
    roll, beta = swiss_roll.law(0.25), even(8, 1e-4, last=-2.0)
    rng, alpha_bar = np.random.default_rng(6), np.cumprod(1 - beta)
    snr, curve = alpha_bar / (1 - alpha_bar), midpoints(roll, 2000)
    kls = np.zeros(1000)
    # Stratified in u: the standard error below is then an upper bound.
    u = (np.arange(1000) + rng.uniform(size=1000)) / 1000
    for t in range(2, 9):
        a = alpha_bar[t - 1]
        total = a * roll.variance + 1 - a
        xt = np.sqrt(a) * roll.curve(u) + np.sqrt(total) * rng.normal(size=(1000, 2))
        weights, _ = dense_weights(xt, np.sqrt(a) * curve, total)
        _, variance = dense_moments(roll, xt, a, weights, curve)
        kls += 0.5 * np.log1p((snr[t - 2] - snr[t - 1]) * variance).sum(-1)
    null = -np.log2(2 * np.pi * np.e)
    boundary = (np.log(1 - alpha_bar[-1]) - np.log(beta[0])) / NATS_PER_BIT
    found = limits.ceiling(roll, given(beta).apply({}))
    assert standard_errors(null + boundary - kls / NATS_PER_BIT, found) < 5


@pytest.mark.slow
def test_weighted_paths_close_the_gap_from_below():
    roll, schedule = swiss_roll.law(0.25), given(even(12, 1e-5, last=-4.0)).apply({})
    process = limits.exact_process(roll, schedule)
    x0 = swiss_roll.sample(roll, 1000, np.random.default_rng(7))
    log_q = limits.log_density(roll, x0)

    def weighted(paths):
        def of_one(x, key):
            return bound.importance_weighted(process, x, key, paths)

        keys = jax.random.split(jax.random.key(paths), len(x0))
        run = jax.jit(lambda x, k: jax.lax.map(lambda a: of_one(*a), (x, k)))
        return np.asarray(run(jnp.asarray(x0), keys), np.float64)

    one, some, many = (weighted(paths) for paths in (1, 8, 64))
    for lower, higher in ((one, some), (some, many)):
        gain = higher - lower
        assert gain.mean() > 3 * gain.std() / np.sqrt(len(gain))
    below = many - log_q
    assert below.mean() < 5 * below.std() / np.sqrt(len(below))
    assert below.mean() > -0.15  # nats; a single path is at -0.4


def test_ceilings_are_in_order():
    # More steps help, a learned last step helps, and no limit is above the one before it.
    roll, beta_1 = swiss_roll.law(0.25), 1e-4
    L = limits.negative_entropy(roll) / NATS_PER_BIT
    cap = limits.last_step_limit(roll, beta_1)
    short, long = (given(even(steps, beta_1)).apply({}) for steps in (10, 40))
    found = [limits.ceiling(roll, s) for s in (short, long)]
    assert found[0] < found[1] < cap < L
    assert found[1] < limits.ceiling(roll, long, last_step=LEARNED) < L
    assert limits.ceiling(roll, fixed(40).apply({})) < -3.2


@pytest.mark.slow
def test_best_schedule_beats_its_rivals_and_its_neighbours():
    roll, beta_1, steps = swiss_roll.law(0.25), 1e-5, 10
    beta, best = limits.best_schedule(roll, steps, beta_1)
    assert beta.shape == (steps,)
    np.testing.assert_allclose(beta[0], beta_1)
    assert ((beta > 0) & (beta < 1)).all()
    ceiling = partial(limits.ceiling, roll)
    np.testing.assert_allclose(best, ceiling(given(beta).apply({})), atol=1e-9)
    assert best < limits.last_step_limit(roll, beta_1)
    assert best > ceiling(fixed(steps).apply({}))
    for last in (-1.0, -3.0, -6.0):
        assert best > ceiling(given(even(steps, beta_1, last)).apply({})) + 0.05
    alpha_bar = np.cumprod(1 - beta)
    log_snr = np.log(alpha_bar) - np.log1p(-alpha_bar)
    rng = np.random.default_rng(8)
    for _ in range(5):
        moved = log_snr + 0.15 * rng.normal(size=steps) * (np.arange(steps) > 0)
        bar = 1 / (1 + np.exp(-moved))
        rival = 1 - bar / np.concatenate([[1.0], bar[:-1]])
        assert best > ceiling(given(rival).apply({}))


@pytest.mark.parametrize("beta_1", [0.0, 1.0, -0.1])
def test_rates_outside_the_open_interval_are_refused(beta_1):
    roll = swiss_roll.law(0.25)
    with pytest.raises(ValueError, match="beta_1 must lie in"):
        limits.best_schedule(roll, 40, beta_1)
    with pytest.raises(ValueError, match="beta_1 must lie in"):
        limits.last_step_limit(roll, beta_1)


def test_one_step_is_refused():
    with pytest.raises(ValueError, match="timesteps must be at least 2"):
        limits.best_schedule(swiss_roll.law(0.25), 1, 1e-5)
