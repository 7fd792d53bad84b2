"""The compiled step: what it learns, averages, clips, reports and gives back."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import toys
from reference import jit, standard_errors

from dpm_jax import bound, models, process, schedule
from dpm_jax.devices import data_mesh, replicate
from dpm_jax.training import program
from dpm_jax.training.config import TrainConfig
from dpm_jax.training.objective import batch_bound, loss
from dpm_jax.training.optimizer import CLIP_NORM, make_optimizer
from dpm_jax.training.state import TrainState
from dpm_jax.training.step import NEVER, TrainSteps
from dpm_jax.training.times import start


class Run(NamedTuple):
    train_steps: TrainSteps
    start: TrainState  # on the host: what is passed on is a copy, which may be donated
    data: jax.Array

    def __call__(self, state: TrainState, count: int):
        placed = replicate(jax.tree.map(jnp.asarray, state), data_mesh())
        return jax.device_get(self.train_steps(placed, self.data, np.int32(count)))


def prepared() -> Run:
    made = program.prepare(toys.reals(), toys.real_data(), toys.config())
    start, data = made.start()
    return Run(made.train_steps, jax.device_get(start), data)


@pytest.fixture(scope="module")
def reals() -> Run:
    return prepared()


def test_forty_steps_raise_K_and_move_beta_but_not_beta_1(reals):
    state, first = reals(reals.start, 10)
    state, _ = reals(state, 20)
    state, last = reals(state, 10)
    assert state.step == 40
    assert last.metrics["K_bits"] > first.metrics["K_bits"] + 0.3
    apply = toys.reals().schedule.apply
    before, after = (
        apply(jax.tree.map(jnp.asarray, s.params["schedule"])).beta for s in (reals.start, state)
    )
    assert before[0] == after[0]
    assert (np.abs(after[1:] / before[1:] - 1) > 1e-3).all()


def test_two_dispatches_are_one_of_both_lengths(reals):
    together, _ = reals(reals.start, 7)
    apart, _ = reals(reals(reals.start, 4)[0], 3)
    jax.tree.map(np.testing.assert_array_equal, together, apart)


def test_the_average_follows_its_formula(reals):
    state, decay = reals.start, toys.config().ema_decay
    expected = state.params
    for s in range(6):
        state, _ = reals(state, 1)
        d = min(decay, (1 + s) / (10 + s))
        expected = jax.tree.map(lambda e, p, d=d: d * e + (1 - d) * p, expected, state.params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), state.ema, expected)
    assert not np.array_equal(state.ema["network"]["offset"], state.params["network"]["offset"])


def test_the_old_state_is_donated(reals):
    old = replicate(jax.tree.map(jnp.asarray, reals.start), data_mesh())
    new, _ = reals.train_steps(old, reals.data, np.int32(1))
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(old))
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves((new, reals.data)))


def test_the_report_is_the_mean_over_the_steps_of_a_dispatch(reals):
    state, together = reals(reals.start, 3)
    singles, state = [], reals.start
    for _ in range(3):
        state, report = reals(state, 1)
        singles.append(report.metrics)
    for name, value in together.metrics.items():
        np.testing.assert_allclose(value, np.mean([s[name] for s in singles]), rtol=1e-5)
    terms = together.metrics
    K = terms["last_step_bits"] - terms["prior_kl_bits"] - terms["step_kl_bits"]
    np.testing.assert_allclose(terms["K_bits"], K, atol=1e-4)
    np.testing.assert_allclose(terms["loss"], -K / 2, atol=1e-4)  # two dimensions
    assert together.first_bad_step == NEVER


def test_data_that_are_not_finite_are_reported_at_their_step(reals):
    poisoned = Run(reals.train_steps, reals.start, jnp.full_like(reals.data, jnp.nan))
    _, report = poisoned(reals(reals.start, 4)[0], 3)
    assert report.first_bad_step == 5


def test_parameters_that_overflow_are_reported_even_where_the_loss_was_finite(monkeypatch):
    monkeypatch.setattr(program, "make_optimizer", lambda config: optax.scale(float("inf")))
    run = prepared()
    state, report = run(run.start, 1)
    assert np.isfinite(report.metrics["loss"])
    assert report.first_bad_step == 1
    assert not np.isfinite(state.params["network"]["offset"]).all()


@pytest.mark.parametrize("norm", [0.1, 100.0])
def test_the_gradient_is_clipped_to_its_norm(norm):
    optimizer = make_optimizer(toys.config())
    params = {"w": jnp.zeros(4)}
    gradient = {"w": jnp.full(4, norm / 2)}
    _, state = optimizer.update(gradient, optimizer.init(params), params)
    first_moment = np.asarray(optax.tree_utils.tree_get(state, "mu")["w"])
    clipped = np.full(4, min(norm, CLIP_NORM) / 2)
    np.testing.assert_allclose(first_moment, 0.1 * clipped, rtol=1e-6)  # Adam's 1 - b1


def test_the_rate_warms_up_from_zero_and_ends_at_zero():
    config = toys.config(learning_rate=0.5)
    optimizer = make_optimizer(config)
    params = {"w": jnp.zeros(())}
    state, moves = optimizer.init(params), []
    for _ in range(config.steps + 1):
        update, state = optimizer.update({"w": jnp.ones(())}, state, params)
        moves.append(-float(update["w"]))  # Adam's step under a constant gradient is the rate
    np.testing.assert_allclose(moves[:4], [0, 0.5 / 3, 1 / 3, 0.5], atol=1e-5)
    assert moves[-1] == 0
    assert (np.diff(moves[3:]) < 0).all()


MODELS = {
    "gaussian": (
        models.gaussian_mlp((2,), schedule.learned(5, 0.01), hidden=(4,)),
        toys.real_data(),
    ),
    "binomial": (
        models.binomial_mlp((3,), schedule.fixed(5), activity=0.3, hidden=(4,), bumps=2),
        toys.bit_data(),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_training_starts_from_L_null(name):
    model, data = MODELS[name]
    params = process.init(model, jax.random.key(0))
    keys = jax.random.split(jax.random.key(1), len(data))
    start = process.bind(model, params)
    weights = jit(jax.vmap(lambda x, key: bound.path_log_weight(start, x, key)))(data, keys)
    prior = model.kernel.prior(model.event_shape)
    null = jax.vmap(lambda x: model.kernel.log_prob(prior, x))(data)
    # Detailed balance holds for every path, not only in the mean.
    np.testing.assert_allclose(weights, null, atol=2e-3)


@pytest.mark.parametrize("times", [0, 10])
@pytest.mark.parametrize("name", MODELS)
def test_the_training_estimate_starts_from_L_null_in_the_mean(name, times):
    model, data = MODELS[name]
    params = process.init(model, jax.random.key(0))
    terms = jit(lambda p, x, k: batch_bound(model, p, x, k, times))(params, data, jax.random.key(1))
    assert standard_errors(terms.K - terms.null, 0.0) < 5


@pytest.mark.parametrize("times", [0, 4])
def test_the_loss_is_less_K_per_dimension_and_the_metrics_are_its_terms_in_bits(times):
    model, key = toys.reals(), jax.random.key(5)
    params, x0 = toys.random_params(model), jnp.asarray(toys.real_data(8))
    terms = jax.device_get(batch_bound(model, params, x0, key, times))
    config, known = TrainConfig(times_per_batch=times), start(model.schedule.steps)
    value, (metrics, after) = jax.device_get(loss(model, params, x0, key, config, known))
    np.testing.assert_array_equal(after, known)
    bits = {
        name: np.mean(term, 0, np.float64) / np.log(2) for name, term in terms._asdict().items()
    }
    K = bits["last_step"] - bits["prior_kl"] - bits["step_kl"].sum()
    eq14 = bits["entropy_last"] - bits["entropy_first"] - bits["entropy_prior"]
    beta = np.asarray(model.schedule.apply(params["schedule"]).beta, np.float64)
    expected = {
        "K_bits": K,
        "K_eq14_bits": eq14 - bits["step_kl"].sum(),
        "step_kl_bits": bits["step_kl"].sum(),
        "prior_kl_bits": bits["prior_kl"],
        "last_step_bits": bits["last_step"],
        "entropy_first_bits": bits["entropy_first"],
        "entropy_last_bits": bits["entropy_last"],
        "beta_min": beta.min(),
        "beta_max": beta.max(),
        "beta_mean": beta.mean(),
        "alpha_bar_T": np.prod(1 - beta),
    }
    assert metrics == pytest.approx(expected, rel=1e-4)
    assert value == pytest.approx(-K / 2, rel=1e-4)


def test_examples_of_different_steps_have_noise_of_their_own():
    # The last step, where it is learned, is taken at a noisy x_1: the same x_0, yet no two alike.
    model = dataclasses.replace(toys.reals(), last_step=process.LEARNED)
    x0 = jnp.ones((8, 2))
    for times in (0, 4):
        terms = batch_bound(model, toys.random_params(model), x0, jax.random.key(6), times)
        assert len(np.unique(terms.last_step)) == 8
