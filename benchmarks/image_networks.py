"""Bits per dimension of MNIST for about equal CPU time, by network: what a convolution costs here.

    python benchmarks/image_networks.py --data-dir DIR

Each row is `dpm mnist` with its flags, without what is measured after training: K on 500 test
images, 16 steps drawn for each. CPU time is that of all threads, so that other jobs on the machine
matter little; compiling is not counted.
"""

import argparse
import time
from pathlib import Path

import jax

from dpm_jax import estimate, evaluate, fit
from dpm_jax.experiments import command_line, registry
from dpm_jax.process import parameter_count
from dpm_jax.training.program import prepare

ROWS = (
    "--network neighbourhood --side 7 --upper 64 64 --components 10 --dense 512 512 --steps 450",
    "--network unet --convolutions 24 48 64 --belief mixture --components 10 --steps 180",
    "--network residual --convolutions 16 16 --belief mixture --components 10 --steps 70",
    "--network unet --convolutions 24 48 64 --belief normal --steps 180",
)


def measured(flags: str, data_dir: Path) -> str:
    """A row of the table: the flags, and what their training came to."""
    problem = registry.problem("mnist")
    shared = ["--batch-size", "128", "--grade-steps", "0", "--heldout-examples", "500"]
    words = [*flags.split(), *shared, "--data-dir", str(data_dir)]
    config = command_line.parse("", problem.presets["cpu"], words)
    experiment = problem.build(config)
    model, data = experiment.model, experiment.data
    program = prepare(model, data.train, config, data.batch)
    begin, wall = time.process_time(), time.perf_counter()
    fitted = fit(model, data.train, config, batch=data.batch, program=program, progress=False)
    seconds, wall = time.process_time() - begin, time.perf_counter() - wall
    key = jax.random.key(config.seed)
    found = evaluate(fitted.process, data.heldout, key, times=16, chunk=50, progress=False)
    bits = estimate(found.K / -data.heldout[0].size)
    size = parameter_count(fitted.params)
    return (
        f"| `{flags}` | {size:,} | {seconds:.0f} | {wall:.0f} | {bits.mean:.3f} ± {bits.se:.3f} |"
    )


def main() -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, default=None)
    parser.add_argument("--rows", nargs="+", default=ROWS, help="flags of `dpm mnist`, row by row")
    arguments = parser.parse_args()
    print("| `dpm mnist` | parameters | CPU seconds | seconds | bits/dim |\n|---|---|---|---|---|")
    for flags in arguments.rows:
        print(measured(flags, arguments.data_dir), flush=True)


if __name__ == "__main__":
    main()
