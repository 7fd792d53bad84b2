"""A process is a value: a pytree whose numbers may change and whose structure may not."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys
from reference import jit

from dpm_jax import bound, models, schedule
from dpm_jax.evaluation.likelihood import evaluate, importance_weighted
from dpm_jax.kernels import binomial
from dpm_jax.process import FIXED, LAST_STEPS, LEARNED, bind, init, parameter_count
from dpm_jax.sampling.draw import draw, states

MODELS = {"reals": (toys.reals(), toys.real_data(20)), "bits": (toys.bits(), toys.bit_data(20))}
KEY = jax.random.key(0)


def assert_equal(tree, other):
    assert jax.tree.structure(tree) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, tree, other)


def K_of(process, x0):
    noise = process.kernel.noise(KEY, (process.schedule.steps, *x0.shape))
    return bound.all_steps_of_batch(process, jnp.asarray(x0), noise).K.mean()


@pytest.mark.parametrize("name", MODELS)
def test_a_process_comes_back_from_its_leaves(name):
    model, _ = MODELS[name]
    params = toys.random_params(model)
    process = bind(model, params)
    leaves, tree = jax.tree.flatten(process)
    again = jax.tree.unflatten(tree, leaves)
    assert_equal(again, process)
    for field in ("kernel", "step", "event_shape", "last_step"):
        assert getattr(again, field) is getattr(process, field)
    assert (again.kernel, again.event_shape) == (model.kernel, model.event_shape)
    assert_equal(process.params, params["network"])
    assert_equal(process.schedule, model.schedule.apply(params["schedule"]))


@pytest.mark.parametrize("name", MODELS)
def test_two_processes_of_one_model_have_one_structure(name):
    model, _ = MODELS[name]
    one, other = (toys.random_process(model, seed) for seed in (0, 1))
    assert jax.tree.structure(one) == jax.tree.structure(other)
    assert hash(jax.tree.structure(one)) == hash(jax.tree.structure(other))
    assert (one.params["slope"] != other.params["slope"]).any()
    for changed in (
        replace(one, last_step=LEARNED),
        replace(one, event_shape=(7,)),
        replace(one, kernel=binomial.kernel(0.123)),
        replace(one, step=lambda *args: one.step(*args)),
    ):
        assert jax.tree.structure(changed) != jax.tree.structure(one)


def test_equal_activities_are_one_kernel():
    assert binomial.kernel(0.3) is binomial.kernel(0.3)
    assert binomial.kernel(0.3) != binomial.kernel(0.2)


@pytest.mark.parametrize("name", MODELS)
def test_the_gradient_by_a_process_is_a_process(name):
    model, data = MODELS[name]
    params = toys.random_params(model)
    by_process = jit(jax.grad(K_of))(bind(model, params), data)
    by_params = jit(jax.grad(lambda p: K_of(bind(model, p), data)))(params)
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6)
    jax.tree.map(close, by_process.params, by_params["network"])
    assert all(np.abs(leaf).max() > 1e-3 for leaf in jax.tree.leaves(by_process.params))
    assert jax.tree.structure(by_process) == jax.tree.structure(bind(model, params))


def test_a_stack_of_processes_is_mapped_over():
    model, data = MODELS["reals"]
    processes = [toys.random_process(model, seed) for seed in range(3)]
    stack = jax.tree.map(lambda *leaves: jnp.stack(leaves), *processes)
    found = jit(jax.vmap(K_of, (0, None)))(stack, data)
    np.testing.assert_allclose(found, [jit(K_of)(p, data) for p in processes], rtol=1e-5)
    assert np.ptp(found) > 0.01


MEASURES = {
    "evaluate": lambda p, x: evaluate(p, x, KEY, progress=False).K,
    "evaluate drawn steps": lambda p, x: evaluate(p, x, KEY, times=2, progress=False).K,
    "importance_weighted": lambda p, x: importance_weighted(p, x, KEY, paths=3, progress=False),
    "draw": lambda p, x: draw(p, 20, KEY),
    "states": lambda p, x: states(p, 20, KEY, (2, 0))[2],
}


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
@pytest.mark.parametrize("name", MODELS)
def test_one_trace_serves_all_parameters(name, measure):
    model, data = MODELS[name]
    traced = []

    def apply(params, x, t):
        traced.append(t)
        return model.network.apply(params, x, t)

    counted = replace(model, network=model.network._replace(apply=apply))
    one = measure(toys.random_process(counted, 0), data)
    first = len(traced)
    other = measure(toys.random_process(counted, 1), data)
    assert len(traced) == first > 0
    assert (one != other).any()


def test_last_steps_have_the_names_of_the_configurations():
    assert {"fixed": FIXED, "learned": LEARNED} == LAST_STEPS
    last = {
        name: models.gaussian_mlp((2,), schedule.fixed(3), last_step=LAST_STEPS[name])
        for name in LAST_STEPS
    }
    for name, model in last.items():
        assert bind(model, init(model, KEY)).last_step is LAST_STEPS[name]


def test_a_model_of_bits_has_no_learned_schedule():
    message = "^schedule must be fixed or given for bits, got a learned one"
    with pytest.raises(ValueError, match=message):
        models.binomial_mlp((3,), schedule.learned(5, 0.01), activity=0.3)
    for family in (schedule.fixed(5), schedule.given([0.1, 0.2])):
        models.binomial_mlp((3,), family, activity=0.3)


def test_parameters_are_counted_with_the_schedules():
    params = toys.random_params(toys.reals())
    assert parameter_count(params) == 2 * toys.STEPS * 2 * 2 + toys.STEPS
