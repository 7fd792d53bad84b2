"""What training, K and sampling of every image preset cost, by the programs lowered for a chip.

    python benchmarks/presets.py

Nothing is compiled or run, and no such chip is needed. FLOPs are XLA's count of the lowered
program. So are bytes, but before fusion: every operation reads and writes memory, so that they
are an upper limit. A step takes no less than FLOPs over the chip's peak; it takes bytes over its
bandwidth at most as far as these are right.

The sampler's and K's loops over t are counted once by XLA, and multiplied here by T.

Peaks are the makers' figures, dense, bfloat16, of one chip; in float32 it is slower.
"""

import argparse
import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from dpm_jax import mixture, schedule, wiener
from dpm_jax.evaluation import likelihood
from dpm_jax.experiments import registry
from dpm_jax.process import Model, Process, bind, init
from dpm_jax.sampling import draw, trajectory
from dpm_jax.training.config import TrainConfig
from dpm_jax.training.program import lowered, traced

EXAMPLES = 60_000  # on the device: they are counted with the program's arguments


AT_ONCE = 64  # images, where K is measured and samples are drawn


class Chip(NamedTuple):
    """A chip's peak in FLOP/s, its memory's bandwidth in bytes/s, and what jax calls its kind."""

    peak: float
    bandwidth: float
    platform: str


CHIPS = {
    "A100": Chip(312e12, 2.039e12, "cuda"),
    "H100": Chip(989e12, 3.35e12, "cuda"),
    "H200": Chip(989e12, 4.8e12, "cuda"),
    "TPU v5e": Chip(197e12, 0.819e12, "tpu"),
    "TPU v5p": Chip(459e12, 2.765e12, "tpu"),
}


def model_of(name: str, config: Any) -> Model:
    """The model of a preset, for images of the size that the paper has, and no data."""
    sides = {"mnist": (28, 1), "cifar10": (32, 3), "bark": (getattr(config, "patch", 0), 1)}
    side, channels = sides.get(name, (32, 1))
    counts = np.arange(1, 257)
    parts = mixture.components(counts, config.components, config.components // 2)
    facts = {
        "event_shape": [side, side, channels],
        "finest": 1 / 64,
        "range": [0.0, 255.0],
        "last_step": config.last_step or "levels",
        "lowest": [-2.0] * channels,
        "autocovariance": wiener.autocovariance(
            np.random.default_rng(0).normal(size=(1, side, side, channels)), config.side
        ).tolist(),
        "components": {key: list(values) for key, values in parts._asdict().items()},
        "level_counts": counts.tolist(),
    }
    family = schedule.learned(config.timesteps, 1e-6, spacing=0.0, knots=16)
    return registry.problem(name).model(config, facts, family)


def images(count: int, shape: tuple[int, ...]) -> np.ndarray:
    """Random grey levels, in the units in which ``model_of`` has them."""
    levels = np.random.default_rng(0).integers(0, 256, (count, *shape))
    return (levels / 64 - 2).astype(np.float32)


def cost(model: Model, config: TrainConfig, platform: str) -> tuple[float, float]:
    """FLOPs and bytes of one training step."""
    examples = jax.ShapeDtypeStruct((EXAMPLES, *model.event_shape), np.float32)
    counted: Any = lowered(model, examples, config, platform=platform).cost_analysis()
    return counted["flops"], counted["bytes accessed"]


def abstract_parameters(model: Model) -> Any:
    """Shapes and types of what is learned."""
    return jax.eval_shape(partial(init, model), jax.random.key(0))


def parameters(model: Model) -> int:
    """How many numbers are learned."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(abstract_parameters(model)))


def _bound(process: Process, x0: jax.Array, numbers: jax.Array) -> dict[str, jax.Array]:
    return likelihood._bounds(process, jax.random.key(0), x0, numbers, times=1)


def _sampled(process: Process, x0: jax.Array, numbers: jax.Array) -> trajectory.Trajectory:
    nothing = jnp.zeros((len(numbers), 0))
    freely = draw._freely
    return draw._trajectories(process, jax.random.key(0), nothing, numbers, perturb=freely, keep=())


MEASURED = {"K": _bound, "sampling": _sampled}
"""Of several images: K by one step t each, and samples."""


def measuring(model: Model, name: str, count: int = AT_ONCE) -> tuple[Any, tuple[Any, ...]]:
    """A program of ``MEASURED`` of so many images, and the shapes of its arguments."""
    measure = MEASURED[name]
    x0 = jax.ShapeDtypeStruct((count, *model.event_shape), np.float32)
    numbers = jax.ShapeDtypeStruct((count,), np.int32)
    program = jax.jit(lambda params, x0, numbers: measure(bind(model, params), x0, numbers))
    return program, (abstract_parameters(model), x0, numbers)


def exported(model: Model, config: TrainConfig, platform: str) -> dict[str, str]:
    """StableHLO of training, K and sampling as ``jax.export`` makes it for a platform."""
    examples = jax.ShapeDtypeStruct((EXAMPLES, *model.event_shape), np.float32)
    programs = {"training": traced(model, examples, config)}
    programs |= {name: measuring(model, name) for name in MEASURED}
    return {
        name: export.export(program, platforms=(platform,))(*arguments).mlir_module()
        for name, (program, arguments) in programs.items()
    }


def measuring_flops(model: Model, name: str, steps: int) -> float:
    """FLOPs of K with all T steps, or of sampling, of one image; lowered for "cuda"."""
    program, arguments = measuring(model, name)
    counted: Any = program.trace(*arguments).lower(lowering_platforms=("cuda",)).cost_analysis()
    return counted["flops"] * steps / AT_ONCE


def measuring_row(name: str, config: Any) -> list[str]:
    """A preset, and what K and a sample of one image cost by FLOPs at peak."""
    model = model_of(name, config)
    cells = [f"{name} `{config.preset}`", f"{config.timesteps}"]
    for measure in MEASURED:
        flops = measuring_flops(model, measure, config.timesteps)
        at_peak = " / ".join(f"{1e3 * flops / chip.peak:.2f}" for chip in CHIPS.values())
        cells += [f"{flops / 1e12:.3f}", at_peak]
    return cells


def row(name: str, config: Any) -> list[str]:
    """A preset, its sizes, and what its step costs on each chip."""
    model = model_of(name, config)
    costs = {platform: cost(model, config, platform) for platform in ("cuda", "tpu")}
    sizes = [f"{name} `{config.preset}`, {config.network}", f"{parameters(model):,}"]
    sizes += [f"{config.batch_size}", f"{config.steps:,}"]
    sizes += [" / ".join(f"{flops / 1e12:.3f}" for flops, _ in costs.values())]
    sizes += [" / ".join(f"{size / 1e9:.1f}" for _, size in costs.values())]
    for peak, bandwidth, platform in CHIPS.values():
        flops, size = costs[platform]
        at_peak, by_bytes = 1e3 * flops / peak, 1e3 * size / bandwidth
        sizes.append(f"{at_peak:.2f} / {by_bytes:.1f} / {at_peak * config.steps / 60e3:.1f}")
    return sizes


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    every = ["mnist", "cifar10", "dead_leaves", "bark", "images"]
    parser.add_argument("--experiments", nargs="+", default=every)
    names = parser.parse_args().experiments
    for name, (peak, bandwidth, _) in CHIPS.items():
        print(f"{name}: {peak / 1e12:g} TFLOP/s, {bandwidth / 1e12:g} TB/s")
    print("FLOP and bytes of one step, lowered for cuda / tpu. Of each chip: ms of a step by FLOPs")
    print("at peak / by unfused bytes at bandwidth / minutes of all steps by FLOPs at peak.\n")
    columns = ["preset, network", "parameters", "batch", "steps", "TFLOP", "GB, unfused", *CHIPS]
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for name in names:
        for config in registry.problem(name).presets.values():
            print(f"| {' | '.join(row(name, config))} |", flush=True)
    print("\nK with all T steps, and sampling, of one image of many: TFLOP, and ms at peak of each")
    print(f"chip in turn: {', '.join(CHIPS)}.\n")
    print("| preset | T | TFLOP of K | ms | TFLOP of a sample | ms |\n|---|---|---|---|---|---|")
    for name in names:
        for config in registry.problem(name).presets.values():
            print(f"| {' | '.join(measuring_row(name, config))} |", flush=True)


if __name__ == "__main__":
    main()
