"""dpm: diffusion probabilistic models of Sohl-Dickstein et al. (2015).

    dpm EXPERIMENT [flags]   train and measure: swiss-roll, heartbeat, mnist, cifar10, bark,
                             dead-leaves, or images of your own
    dpm evaluate RUN [flags] measure a trained run again, by other flags
    dpm sample RUN --out F   draw from it: samples (.npz), a picture (.png), or time reversed (.gif)
    dpm table RUN...         the paper's table with these runs in it
    dpm parzen --data-dir D  the paper's Table 2: its "perfect model" on MNIST
    dpm course --out DIR     diffusion in one dimension: pages that move, to open in a browser

Every command answers --help.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dpm_jax import hosts
from dpm_jax.course import build
from dpm_jax.experiments import command_line, registry
from dpm_jax.experiments.base import HELD, check_sample_steps, check_samples, expanded
from dpm_jax.experiments.exits import again, exits, quiet_libraries, refusing
from dpm_jax.experiments.run import asks_for_help
from dpm_jax.experiments.run import main as run
from dpm_jax.hosts import HostFlags
from dpm_jax.training.config import require
from dpm_jax.training.folder import write_samples

FRAMES = 40  # of a GIF, in equal steps of t
SECONDS = 6.0  # that it takes


@dataclass(frozen=True, kw_only=True)
class SampleConfig(HostFlags):
    """Draw from a trained run.

    Attributes:
        out: a new file: .npz, samples in data units under "samples"; .png, a picture of them; or
            .gif, the reverse process from noise to data.
        count: how many to draw.
        seed: of the draws.
        sample_steps: how many of the model's steps are taken, evenly spread; 0 for all.
    """

    out: Path
    count: int = 64
    seed: int = 0
    sample_steps: int = 0

    def __post_init__(self) -> None:
        """Check every field."""
        self.check_hosts()
        require("count", self.count, at_least=1)
        require("sample_steps", self.sample_steps, at_least=0)
        require("seed", self.seed, at_least=0, at_most=2**32 - 1)
        object.__setattr__(self, "out", expanded("out", self.out))
        if self.out.suffix not in (".npz", ".png", ".gif"):
            raise ValueError(f"out must end in .npz, .png or .gif, got {self.out}")
        if self.out.exists() or not self.out.parent.is_dir():
            raise ValueError(f"out must be a new file in a folder that there is, got {self.out}")


@dataclass(frozen=True, kw_only=True)
class CourseConfig:
    """Write the course: pages that need no server and no network.

    Attributes:
        out: a new or empty folder; its index.html is the first page.
    """

    out: Path

    def __post_init__(self) -> None:
        """Check the folder."""
        object.__setattr__(self, "out", expanded("out", self.out))
        build.check_folder(self.out)


def main() -> None:
    """The command ``dpm``."""
    with exits(partial(again, sys.argv[1:], "dpm")):
        _run(sys.argv[1:])


def _run(words: Sequence[str]) -> None:
    match words:
        case [] | ["-h" | "--help", *_]:
            print(__doc__.strip())
        case [name, *words] if name.replace("-", "_") in registry.HOMES:
            run(registry.problem(name.replace("-", "_")), words, prog=f"dpm {name}")
        case ["evaluate", source, *words] if not source.startswith("-"):
            evaluate(source, words)
        case ["sample", source, *words] if not source.startswith("-"):
            sample(source, words)
        case ["sample", *_]:
            command_line.flags(SampleConfig, ["--help"], prog="dpm sample RUN")
        case ["evaluate", *_]:
            print("usage: dpm evaluate RUN [flags of its experiment]")
        case ["table", *words]:
            from dpm_jax.evaluation import table

            sys.exit(table.main(words))
        case ["parzen", *words]:
            from dpm_jax.evaluation import parzen

            sys.exit(parzen.main(words))
        case ["course", *words]:
            course(words)
        case [name, *_]:
            print(f"error: there is no command {name}; see dpm --help", file=sys.stderr)
            sys.exit(2)


def evaluate(source: str, words: Sequence[str]) -> None:
    """``--evaluate RUN`` of the experiment that the run is of."""
    from dpm_jax.experiments import saved_run

    with refusing():
        if not asks_for_help(words):
            hosts.start(command_line.start(words))
        problem = saved_run.load(source).problem
    name = problem.name.replace("_", "-")
    run(problem, ["--evaluate", source, *words], prog=f"dpm {name}")


def sample(source: str, words: Sequence[str]) -> None:
    """Draw from a trained run into a new file."""
    with refusing():
        config = command_line.flags(SampleConfig, words, prog="dpm sample RUN")
        hosts.start(config)
        quiet_libraries()
        _write_samples(source, config)
    print(f"{config.count:,} samples of {source} are in {config.out}")


def course(words: Sequence[str]) -> None:
    """Write the pages of the course into a folder."""
    with refusing():
        config = command_line.flags(CourseConfig, words, prog="dpm course")
        first, *others = build.write(config.out)
    print(f"{len(others)} chapters; open {first} in a browser")


def _write_samples(source: str, config: SampleConfig) -> None:
    import jax

    from dpm_jax.evaluation import figures
    from dpm_jax.experiments import saved_run
    from dpm_jax.sampling import skip
    from dpm_jax.sampling.draw import chunk_of, states

    saved = saved_run.load(source)
    check_sample_steps(saved.config, config.sample_steps)
    process = skip.fewer(saved.process, config.sample_steps)
    steps, count = process.schedule.steps, config.count
    shown = FRAMES if config.out.suffix == ".gif" else 1
    keep = sorted({steps * i // shown for i in range(shown + 1)}, reverse=True)
    check_samples(process.event_shape, {"count": count}, held=HELD + 3 * shown)
    key, chunk = jax.random.key(config.seed), chunk_of(count)
    drawn = states(process, count, key, keep, chunk=chunk, progress=True)
    if not hosts.first():
        return
    if config.out.suffix == ".npz":
        write_samples(config.out, saved.to_data(drawn[0]))
    elif config.out.suffix == ".png":
        (picture,) = saved.problem.frames({0: drawn[0]}, saved.units, saved.facts)
        figures.save_pixels(picture, config.out)
    else:
        frames = saved.problem.frames(drawn, saved.units, saved.facts)
        figures.save_gif(frames, config.out, seconds=SECONDS)
