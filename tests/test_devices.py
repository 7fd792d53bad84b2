"""Chunks: all rows in order, one compiled shape, and the same numbers on any number of devices."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpm_jax.devices import in_chunks


def whole(function, *arrays, chunk):
    parts = list(in_chunks(function, *arrays, chunk=chunk, label="", progress=False))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts), len(parts)


@settings(max_examples=8)  # every one compiles a program
@given(st.integers(1, 40), st.integers(1, 60))
def test_all_rows_are_there_in_order_and_one_shape_is_compiled(count, chunk):
    x = np.random.default_rng(count).normal(size=(count, 2)).astype(np.float32)
    keys, shapes = jax.random.split(jax.random.key(0), count), []

    @jax.jit
    def function(x, keys):
        shapes.append(x.shape)
        return {"twice": 2 * x, "noise": jax.vmap(jax.random.uniform)(keys)}

    found, parts = whole(function, x, keys, chunk=chunk)
    assert isinstance(found["twice"], np.ndarray)
    np.testing.assert_array_equal(found["twice"], 2 * x)
    np.testing.assert_array_equal(found["noise"], jax.vmap(jax.random.uniform)(keys))
    assert shapes == [(min(chunk, count), 2)]
    assert parts == -(-count // min(chunk, count))


@pytest.mark.parametrize(("count", "chunk"), [(0, 5), (5, 0)])
def test_nothing_to_do_is_refused_in_one_line(count, chunk):
    rows = np.zeros((count, 2))
    message = f"^draws: rows and chunk must be at least 1, got {count} and {chunk}$"
    with pytest.raises(ValueError, match=message):
        list(in_chunks(jnp.sin, rows, chunk=chunk, label="draws", progress=False))


MEASURED = """
import sys
import jax, numpy as np
sys.path.insert(0, sys.argv[1])
import toys
from functools import partial
from dpm_jax import devices
from dpm_jax.evaluation import parzen
from dpm_jax.evaluation.entropies import entropy_profile
from dpm_jax.evaluation.likelihood import evaluate, importance_weighted
from dpm_jax.sampling.draw import draw, forward
from dpm_jax.sampling.methods import METHODS, Sizes, runs_of
from dpm_jax.sampling.observation import known, noisy
from dpm_jax.sampling.posterior import posterior

key, found = jax.random.key(0), {}
placed, several = [], jax.device_count() > 1

def note(x):
    placed.append((x.shape, len(x.sharding.device_set), x.addressable_shards[0].data.shape))
    return x

x = np.arange(20.0)
parts = list(devices.in_chunks(note, x, chunk=9, label="", progress=False))
found["rows"] = np.concatenate(parts)
found["placed"] = [(*shape, devices, *of_one) for shape, devices, of_one in placed]
for name, model, data in (
    ("reals", toys.reals(), toys.real_data(50)), ("bits", toys.bits(), toys.bit_data(50))
):
    process = toys.random_process(model)
    found[f"{name} draw"] = draw(process, 50, key, chunk=20)
    found[f"{name} K"] = evaluate(process, data, key, chunk=20, progress=False).K
    found[f"{name} drawn K"] = evaluate(process, data, key, times=2, chunk=20, progress=False).K
    found[f"{name} iw"] = importance_weighted(process, data, key, paths=3, chunk=20, progress=False)
found["entropies"] = np.stack(entropy_profile(process, data, key))
found["forward"] = forward(process, data, key, (1, 3))[3]
bits, reals = process, toys.random_process(toys.reals())
given = known(np.zeros(3), np.arange(3) == 1)
# Of 11 runs each device has some; of 1, some of the particles, but for one device.
for method, runs in (("smc", 11), ("smc", 1), ("gibbs", 1)):
    draws = posterior(bits, given, key, method=method, particles=16, runs=runs, sweeps=4)
    found[f"{method} {runs}"], found[f"{method} weights {runs}"] = draws.x, draws.log_weight
entered = posterior(reals, noisy(np.zeros(2), 1.0), key, particles=16, runs=1)
found["enter"], found["enter Z"] = entered.x, entered.evidence
few, more, rest = np.split(toys.real_data(90), 3)
found["parzen"] = parzen.parzen(few, more, rest, widths=(0.3, 0.5), chunk=7).per_example
sizes = Sizes(16, 1, several)
program = runs_of.lower(bits, given, key, np.arange(1), run=METHODS["smc"].run, sizes=sizes)
found["placed smc"] = program.compile().output_shardings[0].shard_shape((1, 16, 3))[1]
try:
    posterior(bits, given, key, particles=6, runs=1 if several else 0)
except ValueError as error:
    found["placed refused"] = str(error)
np.savez(sys.argv[2], **found)
"""


def measured(path, devices):
    tests = Path(__file__).parent
    environment = os.environ | {
        "PYTHONPATH": str(tests.parent),
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
    }
    command = [sys.executable, "-c", MEASURED, str(tests), str(path)]
    done = subprocess.run(command, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return dict(np.load(path))


@pytest.mark.slow
def test_one_device_two_and_eight_measure_and_draw_the_same(tmp_path):
    one, two, eight = (measured(tmp_path / f"{n}.npz", n) for n in (1, 2, 8))
    # A chunk of 9 is 9 rows on one device, and 16, 2 on each, on eight.
    np.testing.assert_array_equal(one.pop("placed"), [(9, 1, 9)] * 3)
    np.testing.assert_array_equal(eight.pop("placed"), [(16, 8, 2)] * 2)
    np.testing.assert_array_equal(one["rows"], np.arange(20))
    for several in (two, eight):
        for name, values in one.items():
            if "placed" not in name:
                np.testing.assert_allclose(several[name], values, 1e-5, 1e-5, err_msg=name)
    assert [n["placed smc"] for n in (one, two, eight)] == [16, 8, 2]
    assert eight["placed refused"] == (
        "particles must be a multiple of the number of devices, 8, where runs are fewer, "
        "got 6 particles and 1 runs"
    )
