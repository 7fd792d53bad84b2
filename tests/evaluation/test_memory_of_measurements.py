"""What measuring needs does not grow with T: known of the compiled program, which is not run."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest
import toys

from dpm_jax import memory, models, schedule
from dpm_jax.evaluation import likelihood
from dpm_jax.sampling import draw

EXAMPLES = 256
FLOAT = 4
# Rates, log ᾱ, and what is made of them once, are numbers a step, and of no example.
A_STEP = 4 * FLOAT


def needed(steps, function, *arrays, **static):
    """Bytes of the program for one process of so many steps."""
    model = models.gaussian_mlp((2,), schedule.learned(steps, 0.01), hidden=(8,))
    process = toys.random_process(model)
    program = partial(function, process, jax.random.key(0), **static)
    return memory.of_program(jax.jit(program).lower(*arrays).compile())


X0, NUMBERS = jnp.zeros((EXAMPLES, 2)), jnp.arange(EXAMPLES)
MEASURES = {
    "K": (likelihood._bounds, (X0, NUMBERS), {"times": 4}),
    "weighted bound": (likelihood._weighted, (X0, NUMBERS), {"paths": 2}),
    "samples": (
        draw._trajectories,
        (jnp.zeros((EXAMPLES, 0)), NUMBERS),
        {"perturb": draw._freely, "keep": (0,)},
    ),
}


@pytest.mark.parametrize("name", MEASURES)
def test_memory_does_not_grow_with_T(name):
    function, arrays, static = MEASURES[name]
    few, many = (needed(steps, function, *arrays, **static) for steps in (100, 1000))
    assert few > EXAMPLES * 2 * FLOAT
    assert many - few < 900 * A_STEP
    # Where every step of every example were held:
    assert 900 * A_STEP < 900 * EXAMPLES * 2 * FLOAT


def test_a_whole_bound_holds_its_KLs_of_every_step_and_nothing_else_of_them():
    few, many = (needed(n, likelihood._bounds, X0, NUMBERS, times=0) for n in (100, 1000))
    assert many - few < 900 * (A_STEP + 2 * EXAMPLES * FLOAT)  # as they are stacked and turned
    # Noise, states and one layer of 8 units would be 12 numbers more.
