"""A run's folder as training leaves it, without the training."""

from pathlib import Path

import jax
import numpy as np

from dpm_jax.experiments import command_line, identity, registry, saved_run
from dpm_jax.process import bind, init
from dpm_jax.training.folder import open_folder
from dpm_jax.training.loop import Fitted

FLAGS = {
    "swiss_roll": "--train-examples 40 --heldout-examples 50 --iw-examples 5 --iw-samples 2 "
    "--samples 20 --timesteps 4 --hidden 4",
    "heartbeat": "--train-examples 40 --heldout-examples 30 --iw-examples 5 --iw-samples 2 "
    "--samples 20 --timesteps 5 --hidden 4 --bumps 2",
    "images": "--network multiscale --timesteps 5 --convolutions 2 --scales 2 --upper 3 --bumps 2 "
    "--octaves 2 --samples 4 --times-per-example 0",
}


def untrained(path: Path, name: str, flags: str = "") -> Path:
    """The folder of a run of an experiment at debug size, whose parameters are the first ones."""
    problem = registry.problem(name)
    words = [*FLAGS[name].split(), *flags.split(), "--workdir", str(path)]
    default = next(iter(problem.presets.values()))
    config = command_line.parse("", default, words)
    experiment = problem.build(config)
    settings = identity.settings(problem, config, experiment.inputs)
    folder = open_folder(path, settings, resume=False, overwrite=False)
    params = jax.device_get(init(experiment.model, jax.random.key(1)))
    process = jax.device_get(bind(experiment.model, params))
    fitted = Fitted(process, params, steps=7, seconds=1.5, first_step_seconds=1.0)
    saved_run.save(folder, settings, fitted, experiment)
    folder.close()
    return path


def untrained_images(place: Path) -> Path:
    """``untrained`` on 20 colour images of 6x5 pixels, an array beside it."""
    levels = np.random.default_rng(0).integers(0, 256, (20, 6, 5, 3), np.uint8)
    np.save(place / "mine.npy", levels)
    return untrained(place / "images", "images", f"--data {place / 'mine.npy'}")
