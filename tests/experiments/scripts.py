"""An experiment as a person runs it."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

SMALL = {
    "steps": 40,
    "steps-per-dispatch": 10,
    "checkpoint-every": 10,
    "warmup-steps": 3,
    "timesteps": 6,
    "batch-size": 16,
    "samples": 50,
}
LAW = SMALL | {
    "train-examples": 1000,
    "heldout-examples": 200,
    "iw-examples": 20,
    "iw-samples": 2,
}
IMAGES = SMALL | {"heldout-examples": 20, "times-per-example": 0, "samples": 5}
NETWORK = "--times-per-batch 4 --convolutions 3 --scales 2 --upper 4 --bumps 2 --octaves 2"
FLAGS = {
    "swiss_roll": (LAW, "--hidden 8 8"),
    "heartbeat": (LAW, "--hidden 8 8 --bumps 2 --times-per-batch 4"),
    "dead_leaves": (
        IMAGES | {"train-examples": 50, "size": 8, "radius-max": 6.0, "mcgsm-steps": 4},
        NETWORK,
    ),
    "mnist": (IMAGES | {"grade-steps": 5}, f"{NETWORK} --dense 4 --dense-maps 1"),
    "bark": (IMAGES | {"patch": 8}, NETWORK),
    "images": (IMAGES, NETWORK),
}


class Script:
    """One experiment at debug size, in a process of its own."""

    def __init__(self, name: str, compiled: Path) -> None:
        self.name = name
        self.environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "JAX_PLATFORMS": "cpu",
            # Every process compiles the same programs: once is enough.
            "JAX_COMPILATION_CACHE_DIR": str(compiled),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }

    def command(self, workdir: Path, extra: str = "", **flags) -> list[str]:
        named = {name.replace("_", "-"): value for name, value in flags.items()}
        small, of_its_own = FLAGS[self.name]
        words = [f"--{name}={value}" for name, value in (small | named).items()]
        script = ROOT / "experiments" / f"{self.name}.py"
        more = [*of_its_own.split(), *extra.split()]
        return [sys.executable, str(script), *words, *more, "--workdir", str(workdir)]

    def start(self, command: list[str]) -> subprocess.Popen:
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=self.environment, stdout=pipe, stderr=pipe, text=True)

    def finish(self, process: subprocess.Popen) -> tuple[int, str, str]:
        """Exit code, standard output, and standard error without its progress bars."""
        out, err = process.communicate(timeout=300)
        lines = [line.rpartition("\r")[2].rstrip() for line in err.splitlines()]
        said = [line for line in lines if line and "%|" not in line]
        return process.returncode, out, "\n".join(said)

    def __call__(self, workdir: Path, extra: str = "", **flags) -> tuple[int, str, str]:
        return self.finish(self.start(self.command(workdir, extra, **flags)))
