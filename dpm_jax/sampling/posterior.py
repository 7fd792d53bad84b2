"""The door to posteriors: p(x_0) r(x_0) / Z by any of several ways."""

from collections.abc import Callable
from functools import partial

import jax
import numpy as np

from dpm_jax.array_types import PRNGKey
from dpm_jax.devices import check_particles, data_mesh, in_chunks
from dpm_jax.process import Process
from dpm_jax.sampling import enter
from dpm_jax.sampling.draw import CHUNK, check_finite, multiplied
from dpm_jax.sampling.estimates import Posterior, summary
from dpm_jax.sampling.methods import METHODS, Found, Sizes, runs_of
from dpm_jax.sampling.perturb import Perturbation
from dpm_jax.sampling.protocol import Observation

__all__ = ["Posterior", "draw", "posterior", "summary"]


def posterior(
    process: Process,
    observation: Observation,
    key: PRNGKey,
    *,
    particles: int = 128,
    runs: int = 8,
    sweeps: int = 64,
    method: str = "auto",
    chunk: int = CHUNK,
    progress: bool = False,
) -> Posterior:
    """Draws of x_0 given what was observed, their weights, and the evidence log p(observed).

    Runs are split over all devices; where they are fewer than these, the particles of each are. The
    ``to_data`` of a loaded run takes the draws to data units. Methods:

    - "enter": from noisy data straight into the chain (``sampling.enter``); no weights. The
      evidence is the mean weight of forward paths from there.
    - "smc": twisted sequential Monte Carlo (``sampling.particles``), right for many particles.
    - "path": the same with one noisy path of the known components for all particles of a run, for
      images (SMCDiff, Trippe et al. 2022): exact as far as the process's steps are those of q.
    - "gibbs": particle Gibbs (``sampling.gibbs``), right for any number of particles after many
      sweeps; its evidence is from 1/Ẑ.
    - "weights": importance weights of multiplied trajectories, never drawn anew.
    - "replace": known components held on a forward path of their own, as images are inpainted in
      the paper, without weights: an approximation, biased however many draws there are.
    - "auto": "enter" where the observation can be entered, and "smc" elsewhere.

    Args:
        process: p.
        observation: r, of ``sampling.observation``, in the process's units.
        key: of all random numbers.
        particles: N of a run.
        runs: independent repetitions: ``particles`` · ``runs`` draws, and the standard errors.
        sweeps: of "gibbs" alone: a draw each, of ``runs`` chains; one quarter is dropped.
        method: one of the above.
        chunk: trajectories at once.
        progress: whether to show a bar.

    Raises:
        ValueError: if a number is too small, there are fewer runs than devices and particles that
            do not divide among these, the observation is not of this process or has not
            this method, or no particle is left.
    """
    if particles < 2:
        raise ValueError(f"particles must be at least 2, got {particles}")
    if runs < 1:
        raise ValueError(f"runs must be at least 1, got {runs}")
    if sweeps < 1:
        raise ValueError(f"sweeps must be at least 1, got {sweeps}")
    observation.check(process)
    if method == "auto":
        method = "smc" if enter.why_not(process, observation) else "enter"
    if method not in METHODS:
        raise ValueError(f"method must be auto, {', '.join(METHODS)}, got {method}")
    way = METHODS[method]
    apart = check_particles(particles, runs, data_mesh())
    sizes = Sizes(particles, sweeps, apart)
    prepared = way.prepare(process, observation)
    parts = in_chunks(
        partial(runs_of, prepared, observation, key, run=way.run, sizes=sizes),
        np.arange(runs),
        chunk=max(1, chunk // particles),
        label=method,
        progress=progress,
        split=not apart,
    )
    found = Found(*map(np.concatenate, zip(*parts, strict=True)))
    told = way.told(process, observation, jax.random.fold_in(key, runs), found)
    if not told.log_weight.max() > -np.inf:
        raise ValueError(
            "no particle is left: what was observed is impossible under the process, or nearly so; "
            "check the observation, or take more particles"
        )
    check_finite(told.x)
    return told


def draw(
    process: Process,
    perturb: Callable[[Process], Perturbation],
    count: int,
    key: PRNGKey,
    *,
    chunk: int = 500,
    progress: bool = False,
) -> Posterior:
    """``count`` perturbed trajectories, with their weights.

    Raises:
        ValueError: if no trajectory has a positive weight.
    """
    found = multiplied(
        process,
        lambda process, given: perturb(process),
        np.zeros((count, 0), np.float32),
        key,
        chunk=chunk,
        label="posterior",
        progress=progress,
    )
    if not found.log_weight.max() > -np.inf:
        raise ValueError(
            "no trajectory reached a positive weight: "
            "draw more of them, or check that what is known can occur at all"
        )
    return Posterior(np.asarray(found.end), np.asarray(found.log_weight))
