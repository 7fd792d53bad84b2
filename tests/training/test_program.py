"""The program that trains is compiled once, and refused before it takes memory."""

import importlib.util
import math
import re
import time
from pathlib import Path

import jax
import jax.export
import pytest
import toys

from dpm_jax import memory, models, schedule
from dpm_jax.experiments import registry
from dpm_jax.training import program
from dpm_jax.training.loop import fit

GIB = 2**30
SPEC = importlib.util.spec_from_file_location(
    "presets", Path(__file__).parents[2] / "benchmarks" / "presets.py"
)
presets = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(presets)


@pytest.fixture
def free(monkeypatch):
    """Makes the machine one of so many free bytes."""

    def has(size):
        monkeypatch.setattr(memory, "free_on_host", lambda: size)

    return has


def mlp(*hidden):
    return models.gaussian_mlp((2,), schedule.learned(toys.STEPS, 0.01), hidden=hidden)


def test_a_network_without_end_is_refused_at_once_and_is_not_compiled(free, monkeypatch):
    free(8 * GIB)
    monkeypatch.setattr(program, "make_train_steps", None)
    with pytest.raises(ValueError, match=r"^not enough memory: .* GiB for training \(batch_size\)"):
        program.prepare(mlp(10**6, 10**6, 10**6), toys.real_data(), toys.config())


def test_a_batch_without_end_is_refused_by_what_its_program_needs(free):
    free(8 * GIB)
    begin = time.perf_counter()
    with pytest.raises(ValueError, match=r"^not enough memory: .* GiB for training \(batch_size\)"):
        program.prepare(mlp(8), toys.real_data(), toys.config(batch_size=10**9))
    assert time.perf_counter() - begin < 60


def test_the_state_counts_twice_for_while_it_is_saved_it_is_there_twice(free):
    config, model = toys.config(batch_size=8), mlp(500, 500)
    made = program.prepare(model, toys.real_data(), config)
    state = memory.of_tree(made.start()[0])
    needed = memory.of_program(made.train_steps)
    free(needed + state - 1)
    with pytest.raises(ValueError, match="not enough memory"):
        program.prepare(model, toys.real_data(), config)
    free(needed + state)
    program.prepare(model, toys.real_data(), config)


def test_a_program_that_is_given_is_not_compiled_again(monkeypatch):
    model, data, config = toys.reals(), toys.real_data(), toys.config()
    made = program.prepare(model, data, config)
    straight = fit(model, data, config, progress=False)
    with monkeypatch.context() as patch:
        patch.setattr(jax.stages.Lowered, "compile", None)
        fitted = fit(model, data, config, program=made, progress=False)
    jax.tree.map(
        lambda a, b: (a == b).all() or pytest.fail("differ"), fitted.params, straight.params
    )
    assert fitted.first_step_seconds > made.seconds


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_the_preset_for_an_accelerator_is_lowered_for_one(name):
    """With no such chip at hand: nothing is compiled. Its cost is what its layers say."""
    config = registry.problem(name).presets["residual"]
    model = presets.model_of(name, config)
    height, width, _ = model.event_shape
    flops = {platform: presets.cost(model, config, platform)[0] for platform in ("cuda", "tpu")}
    blocks = 2 * len(config.convolutions) * 2 * 9 * config.convolutions[0] ** 2 * height * width
    # Forward, and back to the image and to the kernel.
    assert flops["cuda"] == pytest.approx(3 * config.batch_size * blocks, rel=0.1)
    assert flops["tpu"] == pytest.approx(flops["cuda"], rel=0.01)


ACCELERATED = [
    (name, preset)
    for name in ("mnist", "cifar10", "dead_leaves", "bark", "images")
    for preset in registry.problem(name).presets
    if preset != "cpu"
]
PRODUCT = re.compile(
    r"stablehlo\.(convolution|dot_general).* : \(tensor<([^>]*)>, tensor<([^>]*)>\) -> "
)


def products(module):
    """Kind, types of both factors, and numbers in the first, of every product of a module."""
    for kind, a, b in PRODUCT.findall(module):
        *shape, of_a = a.split("x")
        yield kind, (of_a, b.split("x")[-1]), math.prod(map(int, shape))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "preset"), ACCELERATED)
def test_presets_of_accelerators_multiply_in_bfloat16_and_never_call_back(name, preset):
    config = registry.problem(name).presets[preset]
    model = presets.model_of(name, config)
    assert config.precision == "bfloat16"
    for platform in ("cuda", "tpu"):
        for made, module in presets.exported(model, config, platform).items():
            where = f"{made} for {platform}"
            # As programs call back: pure_callback, io_callback and debug.print.
            assert not re.search("callback|infeed|outfeed|stablehlo.send", module), where
            found = list(products(module))
            assert found, where
            for kind, types, _ in found:
                assert kind == "dot_general" or types == ("bf16", "bf16"), where
            low = sum(size for _, types, size in found if types == ("bf16", "bf16"))
            # Read-out and schedule stay in float32.
            assert low > 0.5 * sum(size for _, _, size in found), where


def test_a_call_of_the_host_is_not_exported():
    calls = jax.jit(lambda x: jax.pure_callback(lambda x: x, x, x))
    with pytest.raises(NotImplementedError, match="host_callbacks"):
        jax.export.export(calls, platforms=("cpu",))(jax.numpy.ones(2))
