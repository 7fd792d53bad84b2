"""Diffusion probabilistic models of Sohl-Dickstein et al. (2015), in JAX.

The rooms, in the order in which they may import each other:

    array_types   names of arrays
    errors        why a run ended early, and what an error says in one line
    kernels       forward physics, Gaussian and binomial: one tuple of pure functions
    schedule      parameters -> β_t, log ᾱ_t
    scaling       data units and back, nats and bits
    hosts         several machines as one: who speaks, what all agree on
    memory        how much there is, and how much a program takes
    devices       work spread over all devices, chunk by chunk
    files         files that a person may have edited, read with care
    data          images, read or made, as datasets
    reverse       read-out and β_t -> p(x_{t-1} | x_t)
    process       a model with its parameters filled in: a value, all that the rest needs
    levels        last steps that end in a grey level
    lattice       a normal belief about x_0 restricted to grey levels
    mixture       a belief about x_0 that is a mixture of levels and normals
    wiener        a belief about x_0 from the second moments of a pixel's surroundings
    foreign       a network that was trained anywhere, as a process
    bound         K, its terms, path weights
    entropy       the bounds of eq. 24
    sampling      trajectories, multiplied by r(x) if asked for; draws, posteriors, their proof
    laws          laws that are known: swiss roll, heartbeat, and what no model can beat
    laboratory    laws on few states, of which every answer is a sum: NumPy alone
    course        pages that draw from the laboratory and move without a server
    networks      flax modules: RBF, MLP, multi-scale, residual, U-Net, read-outs in t
    beliefs       what networks of images are shown of a pixel, and say of it
    models        ready-made models of vectors, bits and images
    training      one compiled step, its checkpoints and its record, the model file
    evaluation    held-out bounds, the paper's tables, baselines, figures
    experiments   the paper's experiments: configuration, measurement, the command ``dpm``

Laws know, sampling draws, evaluation measures, experiments run. The names below are the short
public API; they and the rooms are imported when first used, so that ``import dpm_jax`` costs
nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dpm_jax.evaluation.likelihood import estimate, evaluate, importance_weighted
    from dpm_jax.experiments.saved_run import load
    from dpm_jax.process import Model, Process, bind
    from dpm_jax.sampling.draw import draw
    from dpm_jax.sampling.posterior import posterior
    from dpm_jax.training.config import TrainConfig
    from dpm_jax.training.loop import fit

__version__ = "0.1.0"

__all__ = [
    "Model",
    "Process",
    "TrainConfig",
    "bind",
    "draw",
    "estimate",
    "evaluate",
    "fit",
    "importance_weighted",
    "load",
    "posterior",
]
_HOMES = {
    "Model": "process",
    "Process": "process",
    "TrainConfig": "training.config",
    "bind": "process",
    "draw": "sampling.draw",
    "estimate": "evaluation.likelihood",
    "evaluate": "evaluation.likelihood",
    "fit": "training.loop",
    "importance_weighted": "evaluation.likelihood",
    "load": "experiments.saved_run",
    "posterior": "sampling.posterior",
}
_ROOMS = (
    "models",
    "beliefs",
    "schedule",
    "scaling",
    "kernels",
    "reverse",
    "levels",
    "lattice",
    "mixture",
    "wiener",
    "foreign",
    "bound",
    "sampling",
    "laws",
    "laboratory",
)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    if name in _ROOMS:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
