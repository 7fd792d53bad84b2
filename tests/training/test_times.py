"""Steps drawn by importance: unbiased whatever is known, even, and with the smaller variance."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys
from reference import draws_of, jit, standard_errors

from dpm_jax import bound, models, process, reverse, schedule
from dpm_jax.kernels import gaussian
from dpm_jax.training import times
from dpm_jax.training.config import TrainConfig
from dpm_jax.training.objective import batch_bound, loss

STEPS = 100


@pytest.mark.parametrize("steps", [2, 5, 500])
def test_probabilities_add_up_and_none_is_lost(steps):
    parts = min(times.PARTS, steps - 1)
    squares = 10.0 ** np.random.default_rng(steps).uniform(-12, 12, (20, parts))
    of_each = jit(jax.vmap(lambda known: times.probabilities(known, steps)))
    p = np.asarray(of_each(jnp.asarray(squares, jnp.float32)), np.float64)
    assert p.shape == (20, steps - 1)
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)
    assert (p >= 0.0999 / (steps - 1)).all()


def test_probabilities_follow_the_root_mean_square():
    p = times.probabilities(jnp.array([1.0, 9.0]), 5)  # t = 2, 3 and t = 4, 5
    np.testing.assert_allclose(p, 0.9 * np.array([1, 1, 3, 3]) / 8 + 0.1 / 4, rtol=1e-6)
    np.testing.assert_allclose(times.probabilities(times.start(7), 7), 1 / 6, rtol=1e-6)
    assert len(times.start(3)) == 2
    assert len(times.start(STEPS)) == times.PARTS


def test_draws_have_these_probabilities_and_are_even():
    p = times.probabilities(jnp.array([4.0, 0.01, 1.0]), 7)
    drawn = np.asarray(draws_of(lambda key: times.draw(key, 10, p), 1, 4_000))
    counts = (drawn[:, :, None] == np.arange(2, 8)).sum(1)
    assert (standard_errors(counts, 10 * np.asarray(p)) < 5).all()
    assert (np.ptp(counts, axis=0) <= 2).all()  # one point in each stratum
    assert len({tuple(row) for row in np.sign(np.diff(drawn[:50]))}) > 10  # in random order
    one = jax.nn.one_hot(5, 6) + 1e-30  # rounding cannot lead beyond the last step
    assert (np.asarray(times.draw(jax.random.key(0), 50, one)) <= 7).all()


def test_what_is_known_moves_only_where_a_step_was_drawn():
    known = jnp.array([1.0, 2.0, 3.0])
    t, square = jnp.array([2, 3, 6]), jnp.array([10.0, 20.0, 5.0])  # parts 0, 0, 2 of t = 2..7
    after = times.updated(known, t, square, 7)
    np.testing.assert_allclose(after, [0.9 + 0.1 * 15, 2.0, 2.7 + 0.5], rtol=1e-6)


@pytest.mark.parametrize("objective", ["bound", "simple"])
def test_the_loss_is_unbiased_whatever_is_known(objective):
    model, x0 = toys.reals(), jnp.asarray(toys.real_data(8))
    params, steps = toys.random_params(model), toys.STEPS
    known = jnp.array([0.01, 25.0, 1.0])
    config = TrainConfig(times_per_batch=4, time_sampling="importance", objective=objective)
    of_key = lambda key: loss(model, params, x0, key, config, known)[0]  # noqa: E731
    found = draws_of(of_key, 2, 4_000)
    if objective == "bound":
        exact = draws_of(lambda k: batch_bound(model, params, x0, k, 0).K.mean(), 3, 4_000)
        expected = -np.asarray(exact) / (2 * np.log(2))
    else:
        whole = process.bind(model, params)

        def every(key):
            def one(t, key):
                noise = gaussian.noise(key, x0.shape)
                return jax.vmap(lambda x, e: bound.noise_error(whole, x, t, e))(x0, noise).mean()

            return jax.vmap(one)(jnp.arange(2, steps + 1), jax.random.split(key, steps - 1)).mean()

        expected = np.asarray(draws_of(every, 3, 4_000)) / (2 * np.log(2))
    error = np.hypot(expected.std(), np.asarray(found).std()) / np.sqrt(4_000)
    assert abs(np.mean(found) - expected.mean()) < 5 * error


def test_the_noise_error_of_a_known_network(float64):
    # A network that says ε̂ = z: of N(0, 1) data, ‖ε - z‖² averages to 1 + z² per component.
    model = process.Model(
        gaussian.KERNEL,
        schedule.given([0.1, 0.3, 0.5]),
        process.Network(lambda key: {}, lambda p, x, t: jnp.full((*x.shape, 2), 0.7)),
        reverse.named("epsilon", "beta"),
        (3,),
    )
    whole = process.bind(model, process.init(model, jax.random.key(0)))

    def error(key):
        x_key, noise_key = jax.random.split(key)
        x0, noise = jax.random.normal(x_key, (3,)), jax.random.normal(noise_key, (3,))
        found = bound.noise_error(whole, x0, jnp.asarray(2), noise)
        return found, jnp.sum((noise - 0.7) ** 2)

    found, expected = draws_of(error, 4, 2_000)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert standard_errors(found, 3 * (1 + 0.49)) < 5


def test_importance_has_the_smaller_variance():
    # Losses of very different sizes: with everything known, the estimate hardly varies.
    family = schedule.given(np.full(STEPS, 0.08))
    model = models.gaussian_mlp((2,), family, hidden=(4,))
    params = process.init(model, jax.random.key(0))
    x0 = jnp.full((16, 2), 3.0)
    configs = {
        name: TrainConfig(times_per_batch=4, time_sampling=name)
        for name in ("uniform", "importance")
    }
    known = times.start(STEPS)
    step = jit(lambda key, known: loss(model, params, x0, key, configs["importance"], known)[1][1])
    for i in range(200):
        known = step(jax.random.key(i), known)
    of_key = {
        "uniform": lambda key: loss(model, params, x0, key, configs["uniform"], times.start(STEPS))[
            0
        ],
        "importance": lambda key: loss(model, params, x0, key, configs["importance"], known)[0],
    }
    spread = {name: np.std(draws_of(f, 5, 400)) for name, f in of_key.items()}
    assert spread["importance"] < 0.5 * spread["uniform"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"objective": "simple"}, "objective must be bound where times_per_batch is 0, got simple"),
        ({"time_sampling": "importance"}, "time_sampling must be uniform where times_per_batch"),
    ],
)
def test_what_needs_drawn_steps_is_refused_without(given, said):
    with pytest.raises(ValueError, match=f"^{said}"):
        TrainConfig(**given)
