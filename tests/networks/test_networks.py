"""Networks: what each layer computes, by loops, and that all read-outs start at zero."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from reference import jit

from dpm_jax.networks.fourier import fourier_features, sine_and_cosine
from dpm_jax.networks.mlp import MLP, signs
from dpm_jax.networks.rbf import RBF
from dpm_jax.networks.temporal import Bumps, PerStep, as_network, bumps

STEPS = 7
READOUTS = {
    "per step": lambda features: PerStep(STEPS, features),
    "bumps": lambda features: Bumps(STEPS, features, count=3),
}
ENCODE = partial(fourier_features, octaves=1)
HIDDEN = {
    "mlp": lambda channels, readout: MLP((5, 4), channels, readout, ENCODE),
    "rbf": lambda channels, readout: RBF(4, channels, readout),
}


def network(hidden, readout, event_shape, channels=2):
    features = channels * math.prod(event_shape)
    return as_network(HIDDEN[hidden](channels, READOUTS[readout](features)), event_shape)


def randomised(params, seed=1):
    """The same tree with random numbers: read-outs start at zero, which would hide everything."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape), a.dtype), params)


class Itself(nn.Module):
    """A read-out that returns the hidden layer."""

    @nn.compact
    def __call__(self, h, t):
        return h


@pytest.mark.parametrize("event_shape", [(2,), (20,)])
@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_networks_start_at_zero(hidden, readout, event_shape):
    net = network(hidden, readout, event_shape)
    params = jit(net.init)(jax.random.key(0))
    out = jit(net.apply)(params, jnp.linspace(-1, 1, event_shape[0]), jnp.asarray(3))
    np.testing.assert_array_equal(out, np.zeros((*event_shape, 2)))


@pytest.mark.parametrize("hidden", HIDDEN)
def test_per_step_read_outs_share_everything_below(hidden):
    net = network(hidden, "per step", (2,))
    params = randomised(jit(net.init)(jax.random.key(0)))
    x, apply = jnp.array([0.3, -0.8]), jit(jax.vmap(net.apply, (None, None, 0)))
    t = jnp.arange(1, STEPS + 1)
    before = apply(params, x, t)
    assert len(np.unique(before.round(5), axis=0)) == STEPS

    # Moving step 3's row moves step 3's output and no other; moving what is below moves all.
    row = jax.tree.map(lambda a: a, params)
    row["readout"]["kernel"] = row["readout"]["kernel"].at[3 - 1].add(1.0)
    moved = np.abs(apply(row, x, t) - before).max((1, 2)) > 1e-3
    np.testing.assert_array_equal(moved, t == 3)
    below = {k: v if k == "readout" else randomised(v, 2) for k, v in params.items()}
    assert (np.abs(apply(below, x, t) - before).max((1, 2)) > 1e-3).all()
    sizes = [a.shape[0] for k, v in params.items() if k != "readout" for a in jax.tree.leaves(v)]
    assert STEPS not in sizes


def test_per_step_picks_the_row_of_t():
    module, h = PerStep(STEPS, 3), jnp.array([0.5, -1.0])
    params = randomised(module.init(jax.random.key(0), h, jnp.asarray(1)))
    kernel, bias = (np.asarray(params["params"][k]) for k in ("kernel", "bias"))
    for t in range(1, STEPS + 1):
        expected = np.asarray(h) @ kernel[t - 1] + bias[t - 1]
        np.testing.assert_allclose(module.apply(params, h, jnp.asarray(t)), expected, rtol=1e-6)


@pytest.mark.parametrize(("steps", "count"), [(6, 3), (40, 10), (1000, 1)])
def test_bumps_are_a_partition_of_unity(steps, count):
    ours = jit(jax.vmap(lambda t: bumps(t, steps, count)))(jnp.arange(1, steps + 1))
    width = steps / count
    for t in range(1, steps + 1):
        g = [math.exp(-((t - (j + 0.5) * width) ** 2) / (2 * width**2)) for j in range(count)]
        np.testing.assert_allclose(ours[t - 1], np.array(g) / sum(g), rtol=2e-4)
    np.testing.assert_allclose(ours.sum(1), 1, rtol=1e-5)
    # Each bump is highest, among all bumps, at the steps nearest to its own centre.
    centres = (np.arange(count) + 0.5) * width
    near = np.abs(np.arange(1, steps + 1)[:, None] - centres)
    assert (near[np.arange(steps), np.argmax(ours, 1)] <= near.min(1) + 1e-6).all()


def test_a_blended_readout_computes_in_its_inputs_precision():
    module, h = Bumps(STEPS, 4, count=3), jnp.ones((5, 2), jnp.bfloat16)
    params = module.init(jax.random.key(0), h, jnp.asarray(1))
    assert params["params"]["kernel"].dtype == jnp.float32
    assert module.apply(params, h, jnp.asarray(1)).dtype == jnp.bfloat16


def test_bump_read_out_blends_its_coefficients():
    module, h = Bumps(STEPS, 4, count=3), jnp.array([0.5, -1.0])
    params = randomised(module.init(jax.random.key(0), h, jnp.asarray(1)))
    kernel, bias = (np.asarray(params["params"][k]) for k in ("kernel", "bias"))
    y = [np.asarray(h) @ kernel[j] + bias[j] for j in range(3)]
    for t in (1, 4, 7):
        g = bumps(jnp.asarray(t), STEPS, 3)
        expected = sum(float(g[j]) * y[j] for j in range(3))
        np.testing.assert_allclose(module.apply(params, h, jnp.asarray(t)), expected, rtol=1e-5)


def test_rbf_is_normalised():
    module = RBF(6, 3, Itself())  # six units, read as three channels of two components
    x = jnp.array([[0.3, -0.8], [2.0, 1.0], [40.0, -40.0]])
    apply = jit(jax.vmap(module.apply, (None, 0, None)))
    params = module.init(jax.random.key(0), x[0], jnp.asarray(1))
    hidden = apply(params, x, jnp.asarray(1)).reshape(3, 6)
    np.testing.assert_allclose(hidden.sum(1), 1, rtol=1e-5)
    centres, log_width = (np.asarray(params["params"][k]) for k in ("centres", "log_width"))
    for point, h in zip(np.asarray(x[:2]), hidden, strict=False):
        g = [
            math.exp(-sum((point - c) ** 2) / (2 * math.exp(w) ** 2))
            for c, w in zip(centres, log_width, strict=True)
        ]
        np.testing.assert_allclose(h, np.array(g) / sum(g), rtol=1e-4, atol=1e-7)


def test_fourier_features():
    x, octaves = [0.3, -0.8], 3
    waves = [(2**k * math.pi / 2 * v) for k in range(octaves) for v in x]
    expected = [*x, *map(math.sin, waves), *map(math.cos, waves)]
    np.testing.assert_allclose(fourier_features(jnp.array(x), octaves=octaves), expected, rtol=1e-4)
    np.testing.assert_allclose(fourier_features(jnp.array(x), octaves=0), x)


def test_mlp_is_its_layers_in_turn():
    module = MLP((5, 4), 2, Itself(), encode=signs)
    x = jnp.array([0.3, -0.8])
    params = randomised(module.init(jax.random.key(0), x, jnp.asarray(1)))
    h = 2 * np.asarray(x) - 1
    for layer in ("Dense_0", "Dense_1"):
        dense = params["params"][layer]
        h = h @ np.asarray(dense["kernel"]) + np.asarray(dense["bias"])
        h = h / (1 + np.exp(-h))
    out = module.apply(params, x, jnp.asarray(1))
    np.testing.assert_allclose(out, h.reshape(2, 2), rtol=1e-5)


def test_sine_and_cosine_are_right_to_float32_and_so_are_their_slopes():
    turns = np.concatenate([np.linspace(-9, 9, 4001), [1e5 + 0.5, -3.0, 0.0, 2.5]]).astype("f")
    exact = np.pi / 2 * turns.astype(np.float64)
    sin, cos = sine_and_cosine(jnp.asarray(turns))
    near = np.abs(turns) < 10
    np.testing.assert_allclose(sin[near], np.sin(exact)[near], atol=2e-7)
    np.testing.assert_allclose(cos[near], np.cos(exact)[near], atol=2e-7)
    np.testing.assert_allclose(sin**2 + cos**2, 1, atol=1e-6)
    slope = jax.vmap(jax.grad(lambda t: sine_and_cosine(t)[0]))(jnp.asarray(turns[near]))
    np.testing.assert_allclose(slope, np.pi / 2 * np.cos(exact)[near], atol=1e-6)
    slope = jax.vmap(jax.grad(lambda t: sine_and_cosine(t)[1]))(jnp.asarray(turns[near]))
    np.testing.assert_allclose(slope, -np.pi / 2 * np.sin(exact)[near], atol=1e-6)
