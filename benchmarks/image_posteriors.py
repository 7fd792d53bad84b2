"""Posteriors of images by every way, side by side: docs/posteriors.md's tables of images.

    python benchmarks/image_posteriors.py RUN_DIR halves --data-dir FOLDER

RUN_DIR is a run of ``dpm mnist``, or of another experiment on images of one size. ``halves``: right
halves of held-out images given the left ones. ``denoising``: images under noise of standard
deviation 1. ``certificate``: the gap between the evidence from both sides, and rank histograms, of
halves of images that the model draws. ``cost``: seconds, and draws that the weights leave, against
particles and T, beside plain sampling. ``hole``: of a run of ``dpm bark``, the hole of Figure 5
with what is around it, of every held-out scene. All in a sub-sequence of the model's steps
(--steps), which is a model with a bound of its own.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dpm_jax import draw, posterior
from dpm_jax.data import image_files, split
from dpm_jax.data.patches import evenly
from dpm_jax.evaluation import figures as pngs
from dpm_jax.evaluation.likelihood import estimate
from dpm_jax.experiments import saved_run
from dpm_jax.experiments.base import Units
from dpm_jax.experiments.images import compared, figures
from dpm_jax.experiments.images.compared import Compared, Sizes
from dpm_jax.experiments.images.restored import HOLE, SHOWN, left_half
from dpm_jax.process import Process
from dpm_jax.sampling import skip
from dpm_jax.sampling.certificate import ranks, sandwich
from dpm_jax.sampling.observation import known, noisy
from dpm_jax.sampling.protocol import Observation

KEY = jax.random.key(0)
NOISE = 1.0
# Draws for each image are particles · runs; of gibbs, three quarters of sweeps · runs.
HALVES = {
    "replace": Sizes(32, 1),
    "path": Sizes(2, 16),  # rather many paths than many particles on each
    "smc": Sizes(8, 4),
    "gibbs": Sizes(3, 4, 11),
}
HOLES = {  # a particle of a window takes memory as fifty small images do
    "replace": Sizes(4, 2),
    "path": Sizes(2, 4),
    "smc": Sizes(4, 2),
    "gibbs": Sizes(2, 2, 6),
}
ENOUGH = 8  # draws for a mean that shows none of them
AROUND = 16  # pixels on each side of a hole
NOISY = {"enter": Sizes(32, 1), "smc": Sizes(8, 4), "gibbs": Sizes(3, 4, 11)}


def table(found: dict[str, Compared], against: str) -> None:
    """A line for each way, and by how much it is better than ``against``, image by image."""
    print(f"| way | draws | left | log evidence, nats | MSE | less than {against}'s | covered |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for way, of in found.items():
        mse, less = estimate(of.squared_error), found[against].squared_error - of.squared_error
        gain, cover = estimate(less), estimate(of.covered)
        total, z = estimate(of.total_covered), estimate(of.log_evidence)
        evidence = f"{z.mean:.0f} ± {z.se:.0f}" if np.isfinite(z.mean) else "none"
        print(
            f"| {way} | {of.kept} | {of.effective.mean():.1f} | {evidence} | "
            f"{mse.mean:.4f} ± {mse.se:.4f} | {gain.mean:+.4f} ± {gain.se:.4f} | "
            f"{cover.mean:.1%} ± {cover.se:.1%}; of the sum {total.mean:.0%} ± {total.se:.0%} |"
        )


def halves(
    process: Process, images: np.ndarray, grey: Callable, out: Path, ways: list[str]
) -> None:
    """The right half given the left: a table and a picture."""
    inpainting(process, images, left_half(process.event_shape), HALVES, grey, out, ways)


def hole(process: Process, scenes: np.ndarray, grey: Callable, out: Path, ways: list[str]) -> None:
    """A hole in the middle of every window: a table and a picture."""
    mask = np.ones(scenes.shape[1:], bool)
    mask[AROUND : AROUND + HOLE, AROUND : AROUND + HOLE] = False
    larger = replace(process, event_shape=mask.shape)
    inpainting(larger, scenes, mask, HOLES, grey, out, ways)


def inpainting(
    process: Process,
    images: np.ndarray,
    mask: np.ndarray,
    sizes: dict[str, Sizes],
    grey: Callable,
    out: Path,
    ways: list[str],
) -> None:
    """What is not under the mask, given what is."""
    asked = {way: size for way, size in sizes.items() if way in ["replace", *ways]}
    found = compared.compare(
        process, images, lambda x, rng: known(x, mask), ~mask, asked, KEY, progress=True
    )
    table(found, "replace")
    rows = {"image": images, "given": np.where(mask, images, np.float32(0))}
    rows |= {way: of.draws[:, 0] for way, of in found.items()}
    means = {f"{way}, mean of {of.draws.shape[1]}": of.draws for way, of in found.items()}
    rows |= {name: draws.mean(1) for name, draws in means.items() if draws.shape[1] >= ENOUGH}
    pngs.save(figures.rows({name: grey(x[:SHOWN]) for name, x in rows.items()}), out)


def windows(data_dir: Path, patch: int) -> np.ndarray:
    """A hole and what is around it, as often as it goes into the held-out scenes."""
    side = HOLE + 2 * AROUND
    scenes = split.split(image_files.read(data_dir, any_size=True), patch=patch).heldout
    found = [
        np.asarray(scene)[top : top + side, left : left + side]
        for scene in scenes
        for top in range(0, scene.shape[0] - side + 1, side)
        for left in range(0, scene.shape[1] - side + 1, side)
    ]
    if not found:
        raise SystemExit(f"error: no held-out scene of {data_dir} has {side} pixels a side")
    return np.stack(found)


def denoising(
    process: Process, images: np.ndarray, grey: Callable, out: Path, ways: list[str]
) -> None:
    """Noise of signal-to-noise 1: a table and a picture."""

    def observe(x: np.ndarray, rng: np.random.Generator) -> Observation:
        return noisy(x + NOISE * rng.standard_normal(x.shape, np.float32), NOISE)

    everything = np.ones(process.event_shape, bool)
    asked = {way: sizes for way, sizes in NOISY.items() if way in ["enter", *ways]}
    found = compared.compare(process, images, observe, everything, asked, KEY, progress=True)
    table(found, "enter")
    rows = {"image": images} | {way: of.draws[:, 0] for way, of in found.items()}
    pngs.save(figures.rows({name: grey(x[:SHOWN]) for name, x in rows.items()}), out)


def certificate(process: Process, simulations: int, particles: int) -> None:
    """Both certificates of halves; no data are needed."""
    mask = left_half(process.event_shape)
    edge = jnp.asarray(np.roll(mask, 2, 1) & ~mask, jnp.float32)

    def observe(x0: np.ndarray, rng: np.random.Generator) -> Observation:
        return known(x0, mask)

    print("Ranks of the sum of two columns along the edge:\n")
    print("| way | ranks | p |\n|---|---|---|")
    for way, few in (("replace", 2), ("path", 8), ("gibbs", 3)):
        found = ranks(
            process,
            observe,
            lambda x: (x * edge).sum(),
            KEY,
            method=way,
            simulations=8 * simulations,
            draws=4,
            particles=few,
            sweeps=4,
            progress=True,
        )
        print(f"| {way} | {found.counts} | {found.p_value:.2g} |", flush=True)
    both = sandwich(
        process, observe, KEY, simulations=simulations, particles=particles, progress=True
    )
    gap, error = both.gap
    print(f"\n{simulations} simulated halves, {particles} particles, log evidence in nats:")
    print(
        f"below {both.below.mean():.1f}, above {both.above.mean():.1f}, gap {gap:.1f} ± {error:.1f}"
    )


def cost(process: Process, image: np.ndarray) -> None:
    """Seconds of a second call, without compilation."""
    given = known(image, left_half(process.event_shape))
    print("| way | T | particles | s | draws left a second |\n|---|---|---|---|---|")
    for steps in (process.schedule.steps // 2, process.schedule.steps):
        fewer = skip.fewer(process, steps)
        for way, particles in (("plain", 32), ("replace", 32), ("path", 8), ("path", 32)):
            for _ in range(2):
                start = time.perf_counter()
                if way == "plain":
                    left = float(len(draw(fewer, particles, KEY)))
                else:
                    told = posterior(
                        fewer, given, KEY, method=way, particles=particles, runs=32 // particles
                    )
                    left = told.effective
                seconds = time.perf_counter() - start
            print(f"| {way} | {steps} | {particles} | {seconds:.2f} | {left / seconds:.2f} |")


def main() -> None:
    """One part of the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("part", choices=("halves", "hole", "denoising", "certificate", "cost"))
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--ways", nargs="+", default=["path", "smc", "gibbs"])
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--simulations", type=int, default=8)
    parser.add_argument("--particles", type=int, default=256)
    parser.add_argument("--out", type=Path, default=Path("image_posteriors.png"))
    asked = parser.parse_args()
    run, start = saved_run.load(asked.run), time.perf_counter()
    process = skip.fewer(run.process, asked.steps)
    print(f"{run.problem.name}, {process.schedule.steps} steps, seed 0\n")
    if asked.part == "certificate":
        certificate(process, asked.simulations, asked.particles)
    else:
        config: Any = run.config
        if asked.part == "hole":
            images = run.from_data(windows(asked.data_dir, config.patch)[: asked.images])
        else:
            heldout = run.problem.build(replace(config, data_dir=asked.data_dir)).data.heldout
            images = heldout[evenly(len(heldout), asked.images)]
        scale = run.facts["range"]

        def grey(x: np.ndarray) -> np.ndarray:
            return figures.brightness(Units(*run.units), scale, x)

        if asked.part == "cost":
            cost(process, images[0])
        else:
            part = {"halves": halves, "hole": hole, "denoising": denoising}[asked.part]
            part(process, images, grey, asked.out, asked.ways)
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
