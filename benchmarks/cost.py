"""How training, K and sampling cost more as work grows, and what devices tell each other.

    python benchmarks/cost.py --out build/cost

Seconds and memory against T, batch, image side and network width, one at a time around a small
network of App. D.2, each with the exponent p of a fit by size^p; a picture of them; the bytes of
the all-reduces in the compiled training step on 1, 2, 4 and 8 CPU devices; and from these what 8,
64 and 512 devices are predicted to reach. Seconds are medians of five runs; memory is what the
compiled program needs (``memory_analysis``), which is known without running it.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import presets
from matplotlib.figure import Figure

from dpm_jax import memory
from dpm_jax.evaluation import figures
from dpm_jax.experiments import registry
from dpm_jax.process import init
from dpm_jax.training import program

AXES: dict[str, tuple[int, ...]] = {
    "T": (100, 200, 500, 1000, 2000, 4000),
    "batch": (32, 64, 128, 256, 512),
    "side": (8, 16, 24, 32),
    "width": (8, 16, 32, 64),
}
BASE = {"T": 100, "batch": 64, "side": 16, "width": 16}
DEVICES = (1, 2, 4, 8)
PREDICTED = (8, 64, 512)
RUNS = 5
BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s32": 4, "u32": 4, "f32": 4, "f64": 8}


class Link(NamedTuple):
    """Bytes/s that a chip sends to the next, within a host of 8 and between hosts, and its use."""

    within: float
    between: float
    used: float  # of the peak FLOP/s, an assumption


LINKS = {
    "H100": Link(450e9, 50e9, 0.4),  # NVLink 4; 400 Gb/s InfiniBand for each
    "TPU v5e": Link(100e9, 100e9, 0.4),  # two of a torus's four links; one pod has 256
}


def config_of(T: int, batch: int, side: int, width: int) -> Any:
    """A small preset of these sizes, all in float32."""
    base = registry.problem("bark").presets["paper"]
    return replace(
        base,
        timesteps=T,
        batch_size=batch,
        patch=side,
        convolutions=(width,) * 3,
        upper=(48, 48),
        precision="float32",
    )


def training(config: Any) -> tuple[Any, Callable[[], object]]:
    """The compiled step, and a call that runs it once."""
    model = presets.model_of("bark", config)
    made = program.prepare(model, presets.images(1024, model.event_shape), config)
    held = [made.start()]

    def run() -> object:
        state, data = held.pop()
        state, report = made.train_steps(state, data, np.int32(1))
        held.append((state, data))
        return jax.block_until_ready(report)

    return made.train_steps, run


def measuring(config: Any, name: str) -> tuple[Any, Callable[[], object]]:
    """K by one step of each image, or samples, of ``presets.AT_ONCE`` images."""
    model = presets.model_of("bark", config)
    compute, (_, x0, numbers) = presets.measuring(model, name, config.batch_size)
    params = init(model, jax.random.key(0))
    arguments = params, np.zeros(x0.shape, np.float32), np.arange(len(numbers), dtype=np.int32)
    compiled = compute.lower(*arguments).compile()
    return compiled, lambda: jax.block_until_ready(compiled(*arguments))


PROGRAMS = ("training", "K", "sampling")


def measured(name: str, sizes: dict[str, int]) -> tuple[float, int]:
    """Seconds of one run, and bytes of the program."""
    config = config_of(**sizes)
    compiled, run = training(config) if name == "training" else measuring(config, name)
    run()
    seconds = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin)
    return float(np.median(seconds)), memory.of_program(compiled)


def exponent(sizes: np.ndarray, values: np.ndarray) -> float:
    """The p of the least-squares fit of log values by p log sizes + c."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def all_reduced(module: str) -> int:
    """Bytes of all all-reduces in a compiled module's text, each once."""
    total = 0
    for shapes in re.findall(r"= (.*?) all-reduce(?:-start)?\(", module):
        for kind, sides in re.findall(r"(\w+)\[([\d,]*)\]", shapes):
            total += BYTES[kind] * int(np.prod([int(n) for n in sides.split(",") if n] or [1]))
    return total


def communicated() -> int:
    """Bytes that the training step sums over this process's devices."""
    config = config_of(**BASE)
    model = presets.model_of("bark", config)
    examples = jax.ShapeDtypeStruct((1024, *model.event_shape), np.float32)
    return all_reduced(program.lowered(model, examples, config).compile().as_text() or "")


def by_devices() -> Iterator[tuple[int, int]]:
    """Devices, and the bytes that a step sums over them; in a process each."""
    for devices in DEVICES:
        flags = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
        command = [sys.executable, __file__, "--communicated"]
        done = subprocess.run(
            command, env=os.environ | flags, capture_output=True, text=True, check=True
        )
        yield devices, int(done.stdout)


def efficiency(seconds: float, size: float, devices: int, link: Link) -> float:
    """Of the step's time on ``devices``, the part that computes: nothing is overlapped.

    A ring sends 2 (n - 1)/n · size bytes through the slowest link of each device.
    """
    bandwidth = link.within if devices <= 8 else link.between
    return seconds / (seconds + 2 * (devices - 1) / devices * size / bandwidth)


def predicted() -> Iterator[list[str]]:
    """A row for every accelerator's preset: the batch of the preset on each device."""
    for name in ("mnist", "cifar10", "dead_leaves", "bark"):
        for config in registry.problem(name).presets.values():
            if config.preset == "cpu":
                continue
            model = presets.model_of(name, config)
            size = 4 * presets.parameters(model)
            cells = [f"{name} `{config.preset}`", f"{size / 1e6:.1f}"]
            for chip, link in LINKS.items():
                peak, _, platform = presets.CHIPS[chip]
                seconds = presets.cost(model, config, platform)[0] / (peak * link.used)
                parts = (f"{efficiency(seconds, size, n, link):.3f}" for n in PREDICTED)
                cells += [f"{1e3 * seconds:.1f}", " / ".join(parts)]
            yield cells


def grown(axes: list[str], out: Path) -> None:
    """Measure, print and draw how each program grows along each axis."""
    figure = Figure(figsize=(2.6 * len(axes), 5.0), layout="constrained")
    panels = figure.subplots(2, len(axes), squeeze=False)
    print("| program | against | seconds: exponent | at each size | MB: exponent | at each size |")
    print("|---|---|---|---|---|---|")
    for column, axis in enumerate(axes):
        sizes = np.array(AXES[axis])
        for name in PROGRAMS:
            found = [measured(name, BASE | {axis: int(size)}) for size in sizes]
            seconds, size = np.array(found, np.float64).T
            for panel, values in zip(panels[:, column], (seconds, size / 1e6), strict=True):
                p = exponent(sizes, values)
                panel.loglog(sizes, values, "o-", label=f"{name}: {p:.2f}", markersize=3)
                panel.set_xlabel(axis)
                panel.set_xticks(sizes, [str(size) for size in sizes], fontsize=7)
                panel.minorticks_off()
            told = [" ".join(f"{value:.3g}" for value in each) for each in (seconds, size / 1e6)]
            fits = [f"{exponent(sizes, each):.2f}" for each in (seconds, size)]
            print(
                f"| {name} | {axis} | {fits[0]} | {told[0]} | {fits[1]} | {told[1]} |", flush=True
            )
    panels[0, 0].set_ylabel("seconds")
    panels[1, 0].set_ylabel("memory (MB)")
    for panel in panels.flat:
        panel.legend(fontsize=6, frameon=False)
    out.mkdir(parents=True, exist_ok=True)
    figures.save_pixels(figures.pixels(figure), out / "cost.png")
    print(f"\nThe picture is {out / 'cost.png'}.\n")


def main() -> None:
    """Print the tables and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--axes", nargs="*", default=list(AXES), choices=list(AXES))
    parser.add_argument("--out", type=Path, default=Path("build/cost"))
    parser.add_argument("--communicated", action="store_true", help="bytes on these devices only")
    arguments = parser.parse_args()
    if arguments.communicated:
        print(communicated())
        return
    if arguments.axes:
        grown(arguments.axes, arguments.out)
    size = 4 * presets.parameters(presets.model_of("bark", config_of(**BASE)))
    print("| CPU devices | bytes summed in a step | of the gradient alone |\n|---|---|---|")
    for devices, found in by_devices():
        print(f"| {devices} | {found:,} | {size if devices > 1 else 0:,} |", flush=True)
    print("\nPredicted: ms of a step at 40% of peak, and its part that computes on 8 / 64 / 512.\n")
    columns = ["preset", "MB of gradient", *(f"{c}: {w}" for c in LINKS for w in ("ms", "part"))]
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for cells in predicted():
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
