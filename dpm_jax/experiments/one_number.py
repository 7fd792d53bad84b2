"""A network learns a law of one number: what the course's page ``learned`` draws.

    python -m dpm_jax.experiments.one_number learned.npz

trains ``models.gaussian_mlp`` for some seconds and writes the mean and the variance of its
p(x_{t-1} | x_t) at every point of the laboratory's grid, at the stages that the page has. The file
that the page reads is ``dpm_jax/course/learned.npz``.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from dpm_jax import models, schedule
from dpm_jax.course.chapters import learned
from dpm_jax.laboratory import markov
from dpm_jax.process import LEARNED, Model, Process, bind
from dpm_jax.schedule import at
from dpm_jax.training.config import TrainConfig
from dpm_jax.training.loop import Heldout, fit
from dpm_jax.training.program import prepare

EXAMPLES = 20_000
EVERY = 100  # steps between two readings
Readings = Float[np.ndarray, "stages T n"]


def model() -> Model:
    """The smallest of the library's networks, on the page's rates."""
    made = schedule.given(1 - learned.RATES).apply({})
    family = schedule.constant(np.asarray(made.beta), np.asarray(made.log_alpha_bar))
    return models.gaussian_mlp((1,), family, hidden=(8, 8), octaves=1, last_step=LEARNED)


def config() -> TrainConfig:
    """How it is trained."""
    return TrainConfig(steps=learned.STAGES[-1], batch_size=256, ema_decay=0.99, warmup_steps=100)


def examples(seed: int = 0) -> Float[np.ndarray, "examples 1"]:
    """Draws from the page's law, float32: points of the grid."""
    space, q = learned.data()
    drawn = markov.draw(q, EXAMPLES, np.random.default_rng(seed))
    return space.states[drawn].astype(np.float32)[:, None]


def read(process: Process) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of p(x_{t-1} | x_t), each [T, n], float32: t = 1..T, every point."""
    x = jnp.asarray(learned.data()[0].states, jnp.float32)[:, None]
    steps = jnp.arange(1, process.schedule.steps + 1)

    def step(t: jax.Array) -> tuple[jax.Array, jax.Array]:
        c = at(process.schedule, t)
        normal = jax.vmap(lambda xt: process.reverse(xt, t, c))(x)
        return normal.mean[:, 0], normal.variance[:, 0]

    mean, variance = jax.jit(jax.vmap(step))(steps)
    return np.asarray(mean), np.asarray(variance)


def trained() -> tuple[Process, Readings, Readings]:
    """The process at the end; means and variances at each stage."""
    made, data, how = model(), examples(), config()
    program = prepare(made, data, how)
    found = [read(bind(made, program.start()[0].ema))]

    def measure(process: Process) -> dict[str, float]:
        found.append(read(process))
        return {}

    fitted = fit(made, data, how, heldout=Heldout(EVERY, measure), program=program, progress=False)
    kept = [found[stage // EVERY] for stage in learned.STAGES]
    mean, variance = (np.stack(values) for values in zip(*kept, strict=True))
    return fitted.process, mean, variance


def main(words: list[str]) -> None:
    """Write the file that ``words`` names."""
    if len(words) != 1 or not words[0].endswith(".npz") or not Path(words[0]).parent.is_dir():
        print("error: name one .npz file, in a folder that there is", file=sys.stderr)
        sys.exit(2)
    _, mean, variance = trained()
    np.savez_compressed(words[0], mean=mean, variance=variance)
    print(f"the page's network, read at stages {learned.STAGES}, is in {words[0]}")


if __name__ == "__main__":
    main(sys.argv[1:])
