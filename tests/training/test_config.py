import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpm_jax.training.config import TrainConfig

AT_LEAST_ONE = ("steps", "batch_size", "steps_per_dispatch", "checkpoint_every")


@given(st.sampled_from(AT_LEAST_ONE), st.integers(max_value=0))
def test_a_count_below_one_is_refused_by_name_and_value(name, value):
    with pytest.raises(ValueError, match=rf"^{name} must be at least 1, got {value}$"):
        TrainConfig(**{name: value})


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("times_per_batch", -1, "at least 0"),
        ("times_per_batch", 100, "divide batch_size, 256"),
        ("warmup_steps", -1, "at least 0"),
        ("learning_rate", 0.0, "at least 1e-12"),
        ("learning_rate", -1.0, "at least 1e-12"),
        ("learning_rate", float("nan"), "at least 1e-12"),
        ("learning_rate", float("inf"), "at most 1000000.0"),
        ("steps", 10**9 + 1, "at most 1000000000"),
        ("steps_per_dispatch", 10_001, "at most 10000"),
        ("ema_decay", 1.0, "[0, 1)"),
        ("ema_decay", float("nan"), "[0, 1)"),
        ("seed", -1, "[0, 2**32)"),
        ("seed", 2**32, "[0, 2**32)"),
    ],
)
def test_a_value_out_of_range_is_refused_with_what_is_allowed(name, value, allowed):
    message = f"^{name} must .*{re.escape(allowed)}, got {re.escape(str(value))}$"
    with pytest.raises(ValueError, match=message):
        TrainConfig(**{name: value})


@given(st.integers(0, 2**32 - 1), st.integers(1, 10**6))
def test_every_other_value_is_taken(seed, steps):
    config = TrainConfig(seed=seed, steps=steps, warmup_steps=2 * steps)
    assert (config.seed, config.steps) == (seed, steps)
