"""What a training step takes of the machine's memory is what its program says before it runs."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

# In a process of its own, whose peak nothing else has set; the peak is forgotten before training.
SCRIPT = """
import gc, re
from pathlib import Path
import jax, numpy as np
from dpm_jax import memory, models, schedule
from dpm_jax.training.config import TrainConfig
from dpm_jax.training.program import prepare

family = schedule.learned(100, 1e-4, spacing=0.0, knots=8)
model = models.gaussian_multiscale((32, 32, 1), family, finest=1 / 64, convolutions=(32,) * 4)
data = np.random.default_rng(0).normal(size=(64, 32, 32, 1)).astype(np.float32)
program = prepare(model, data, TrainConfig(batch_size=64, times_per_batch=16))
state, resident = jax.block_until_ready(program.start())
held = memory.of_tree(state) + memory.of_tree(resident)

def now(name):
    return 1024 * int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

gc.collect()
before = now("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
jax.block_until_ready(program.train_steps(state, resident, np.int32(3)))
print(memory.of_program(program.train_steps) - held, now("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the peak of a process")
def test_memory_of_training_is_as_predicted(tmp_path):
    command = [sys.executable, "-c", SCRIPT]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    predicted, measured = map(int, done.stdout.split())
    assert predicted > 200 * 2**20
    assert measured == pytest.approx(predicted, rel=0.2)
