"""Diffusion probabilistic models of Sohl-Dickstein et al. (2015), in JAX.

The rooms, in the order in which they may import each other:

    array_types   names of arrays
    kernels       forward physics, Gaussian and binomial: one tuple of pure functions
    schedule      parameters -> β_t, log ᾱ_t
    scaling       data units and back, nats and bits
    reverse       read-out and β_t -> p(x_{t-1} | x_t)
    process       model + parameters -> process, which is all that the rest needs
    bound         K, its terms, path weights
    entropy       the bounds of eq. 24
    perturb       multiplying by r(x): denoising, inpainting, any differentiable log r
    trajectory    forward and reverse sampling, with a perturbation if asked for
    networks      flax modules: RBF, MLP, read-outs in t
    models        ready-made models of vectors, bits and images
    data          datasets
    limits        exact reverse processes and the ceilings of a schedule
    training      one compiled step, its checkpoints and its record
    evaluation    held-out bounds, the paper's tables, posteriors, figures

The names below are the short public API; they are imported when first used, so that
``import dpm_jax`` costs nothing.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Model": "process",
    "Process": "process",
    "TrainConfig": "training.config",
    "bind": "process",
    "draw": "evaluation.report",
    "estimate": "evaluation.likelihood",
    "evaluate": "evaluation.likelihood",
    "fit": "training.loop",
    "importance_weighted": "evaluation.likelihood",
}
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
