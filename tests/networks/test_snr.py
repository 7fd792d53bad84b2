"""The network that is told the log-SNR: what it computes, by loops, and that T is not in it."""

import math
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys
from reference import jit

from dpm_jax import models, schedule
from dpm_jax.bound import all_steps
from dpm_jax.networks import snr
from dpm_jax.networks.fourier import fourier_features
from dpm_jax.process import bind, init
from dpm_jax.schedule import at, resampled

X = jnp.array([0.3, -0.8])


def roll(family):
    return models.gaussian_snr((2,), family, hidden=(5, 4), octaves=1, bumps=6)


@pytest.mark.parametrize("level", [-7.0, 0.4, 9.0, 30.0])
def test_the_layers_are_scaled_and_shifted_and_the_read_out_is_blended(level):
    net = roll(schedule.fixed(3)).network
    params = toys.random_params(roll(schedule.fixed(3)))["network"]
    place = min(max(level, snr.LOWEST), snr.HIGHEST) - snr.LOWEST
    g = np.array([math.exp(-((place - (j + 0.5) * 4) ** 2) / 32) for j in range(6)])  # 24 nats
    g, h = g / g.sum(), np.asarray(fourier_features(X, octaves=1))
    for i in range(2):
        dense = params[f"Dense_{i}"]
        scale, shift = (g @ np.asarray(params[f"{name}_{i}"]) for name in ("scale", "shift"))
        h = scale * (h @ np.asarray(dense["kernel"]) + np.asarray(dense["bias"])) + shift
        h = h / (1 + np.exp(-h))
    kernel, bias = (np.asarray(params["Bumps_0"][name]) for name in ("kernel", "bias"))
    expected = sum(g[j] * (h @ kernel[j] + bias[j]) for j in range(6))
    found = net.apply(params, X, jnp.asarray(level))
    np.testing.assert_allclose(found, expected.reshape(2, 2), rtol=1e-4, atol=1e-6)


def test_equal_log_snr_at_two_T_is_one_read_out():
    """Of steps 3 of 5 and 37 of 73, the belief about x_0: only the clock says which they are."""
    few, many = schedule.learned(5, 1e-4), schedule.learned(73, 1e-4)
    params = toys.random_params(roll(few))
    short = bind(roll(few), params)
    long = replace(short, schedule=resampled(short.schedule, 73))
    # One of every 18 of its steps is one of the short diffusion's.
    for t in range(2, 6):
        here, there = (jnp.asarray(k) for k in (t, 1 + 18 * (t - 1)))
        beliefs = [
            p.reverse(X, k, at(p.schedule, k).to_data) for p, k in ((short, here), (long, there))
        ]
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3), *beliefs)
    same = bind(roll(many), params | {"schedule": many.init()})
    jax.tree.map(np.testing.assert_array_equal, same.params, short.params)
    others = [short.reverse(X, jnp.asarray(t), at(short.schedule, jnp.asarray(3))) for t in (2, 5)]
    jax.tree.map(np.testing.assert_array_equal, *others)


def test_different_log_snr_are_different_read_outs():
    net = roll(schedule.fixed(3)).network
    params = toys.random_params(roll(schedule.fixed(3)))["network"]
    levels = jnp.linspace(-7.5, 15.5, 24)
    found = jit(jax.vmap(net.apply, (None, None, 0)))(params, X, levels)
    assert np.abs(np.diff(found, axis=0)).max((1, 2)).min() > 1e-3


@pytest.mark.parametrize("steps", [2, 7, 200])
def test_learning_starts_at_the_forward_kernel(steps):
    """So K is L_null, by detailed balance."""
    model = roll(schedule.fixed(steps))
    process = bind(model, init(model, jax.random.key(0)))
    for t in {2, steps}:
        c = at(process.schedule, jnp.asarray(t))
        there, back = process.kernel.step(X, c.beta), process.reverse(X, jnp.asarray(t), c)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), back, there)


@pytest.mark.parametrize("level", [20.0, -20.0, -math.inf])
def test_read_out_and_gradients_are_finite_at_any_log_snr(level):
    model = roll(schedule.fixed(3))
    params = toys.random_params(model)["network"]

    def total(params, x, level):
        return jnp.sum(model.network.apply(params, x, level) ** 2)

    found = jit(jax.value_and_grad(total, (0, 1, 2)))(params, X, jnp.asarray(level))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))


@pytest.mark.parametrize("rates", [[1e-9, 1e-9, 0.5], [0.5, 1 - 1e-7, 0.5], [0.1, 0.5, 1.0]])
def test_the_bound_and_its_gradients_are_finite_on_any_schedule(rates):
    """Where λ_2 is 20 and -16, and where ᾱ_T is 0."""
    model = roll(schedule.given(rates))
    params = toys.random_params(model)

    def K(network, x):
        return all_steps(bind(model, params | {"network": network}), x, jnp.ones((3, 2))).K

    found = jit(jax.value_and_grad(K, (0, 1)))(params["network"], X)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))


def test_a_learned_schedule_has_a_gradient_through_what_the_network_is_told():
    """Against differences: the clock is part of K's dependence on β."""
    model = roll(schedule.learned(4, 1e-2))
    params = toys.random_params(model)

    def K(end):
        moved = params | {"schedule": params["schedule"] | {"end": end}}
        return all_steps(bind(model, moved), X, jnp.ones((4, 2))).K

    end, width = params["schedule"]["end"], 0.05
    found = jit(jax.grad(K))(end)
    by_hand = (jit(K)(end + width) - jit(K)(end - width)) / (2 * width)
    np.testing.assert_allclose(found, by_hand, rtol=2e-2)
