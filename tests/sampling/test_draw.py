"""Many trajectories: shapes, and numbers that neither the chunk nor the repetition changes."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys
from reference import jit

from dpm_jax.sampling import trajectory
from dpm_jax.sampling.draw import draw, forward, states

PROCESSES = {
    "reals": (toys.random_process(toys.reals()), toys.real_data(7)),
    "bits": (toys.random_process(toys.bits()), toys.bit_data(7)),
}
KEY = jax.random.key(0)


@pytest.fixture(params=PROCESSES)
def process(request):
    return PROCESSES[request.param][0]


def test_draws_are_the_trajectories_of_their_own_keys(process):
    found = draw(process, 5, KEY)
    assert found.shape == (5, *process.event_shape)
    assert isinstance(found, np.ndarray)
    keys = jax.random.split(KEY, 5)
    expected = jit(jax.vmap(lambda key: trajectory.sample(process, key).end))(keys)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_the_chunk_changes_nothing(process, chunk):
    np.testing.assert_allclose(
        draw(process, 10, KEY, chunk=chunk), draw(process, 10, KEY), rtol=1e-5, atol=1e-6
    )


def test_one_key_repeats_and_another_does_not(process):
    once, again, other = (draw(process, 50, key) for key in (KEY, KEY, jax.random.key(1)))
    np.testing.assert_array_equal(once, again)
    assert (once != other).any()
    assert len(np.unique(once, axis=0)) > 1


def test_states_are_of_the_same_trajectories_by_their_t(process):
    keep = (0, toys.STEPS, 1)
    found = states(process, 5, KEY, keep, chunk=3)
    assert tuple(found) == keep
    np.testing.assert_allclose(found[0], draw(process, 5, KEY), rtol=1e-5, atol=1e-6)
    keys = jax.random.split(KEY, 5)
    kept = jit(jax.vmap(lambda key: trajectory.sample(process, key, keep=keep).kept))(keys)
    for i, t in enumerate(keep):
        np.testing.assert_allclose(found[t], kept[:, i], rtol=1e-5, atol=1e-6)
    assert (found[toys.STEPS] != found[0]).any()


@pytest.mark.parametrize("name", PROCESSES)
def test_forward_keeps_the_examples_and_ends_where_trajectories_end(name):
    process, x0 = PROCESSES[name]
    found = forward(process, x0, KEY, (toys.STEPS, 0))
    assert tuple(found) == (toys.STEPS, 0)
    np.testing.assert_array_equal(found[0], x0)
    keys = jax.random.split(KEY, len(x0))
    ends = jit(jax.vmap(lambda x, key: trajectory.forward(process, x, key).end))(
        jnp.asarray(x0), keys
    )
    np.testing.assert_allclose(found[toys.STEPS], ends, rtol=1e-5, atol=1e-6)


def test_draws_that_are_not_finite_are_counted_and_none_is_handed_on():
    process = toys.random_process(toys.reals())
    step = process.step

    def broken(params, xt, t, c):
        dist = step(params, xt, t, c)
        # Of one half-space, what a division by zero would leave.
        return dist._replace(mean=jnp.where((t == 2) & (xt[0] > 0), jnp.nan, dist.mean))

    with pytest.raises(ValueError, match=r"^\d+ of 20 draws are not finite$"):
        draw(replace(process, step=broken), 20, jax.random.key(0))
