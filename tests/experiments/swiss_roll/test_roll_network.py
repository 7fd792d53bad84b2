"""What the roll's flags make of its network."""

import jax
import pytest

from dpm_jax import schedule
from dpm_jax.experiments.swiss_roll.problem import PROBLEM
from dpm_jax.process import init


@pytest.mark.parametrize(
    ("words", "layers"), [({"hidden": ()}, 1), ({"hidden": (4,)}, 2), ({"hidden": (4, 4)}, 3)]
)
def test_there_may_be_no_hidden_layer(words, layers):
    config = type(PROBLEM.presets["default"])(**words)
    model = PROBLEM.model(config, {}, schedule.fixed(3))
    parameters = init(model, jax.random.key(0))["network"]
    assert sum("kernel" in str(path) for path, _ in jax.tree.leaves_with_path(parameters)) == layers
