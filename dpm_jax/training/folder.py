"""The run folder: where one run keeps everything, and the checks at its door."""

import io
import itertools
import json
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dpm_jax.errors import reason

SCRATCH = "config.tmp"  # all that a crash before the first config.json can leave
OWN = (
    SCRATCH,
    "metrics.jsonl",
    "metrics.tmp",
    "result.json",
    "result.tmp",
    "model.npz",
    "model.tmp",
    "samples.npz",
    "samples.tmp",
    "checkpoints",
    "unreadable_checkpoints",
    "unreadable_metrics",
    "tensorboard",
    "figures",
    "evaluation",
    "config.json",  # last: a crash while clearing still leaves a run's folder
)

Config = dict[str, Any]


class RunFolder(NamedTuple):
    """Paths inside a run's folder."""

    path: Path

    @property
    def config(self) -> Path:
        """The configuration that made the run, as JSON."""
        return self.path / "config.json"

    @property
    def metrics(self) -> Path:
        """One JSON line per dispatch."""
        return self.path / "metrics.jsonl"

    @property
    def result(self) -> Path:
        """The numbers of a finished run."""
        return self.path / "result.json"

    @property
    def model(self) -> Path:
        """The trained model (``training.model_file``)."""
        return self.path / "model.npz"

    @property
    def samples(self) -> Path:
        """Samples of a finished run in data units, under "samples"."""
        return self.path / "samples.npz"

    @property
    def checkpoints(self) -> Path:
        """Orbax's directory."""
        return self.path / "checkpoints"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's directory."""
        return self.path / "tensorboard"

    @property
    def figures(self) -> Path:
        """Pictures."""
        return self.path / "figures"


def open_folder(path: Path, config: Config, *, resume: bool, overwrite: bool) -> RunFolder:
    """Make the folder ready for a run with this configuration.

    Raises:
        ValueError: if it is not writable, or ``check_folder`` refuses.
    """
    check_folder(path, config, resume=resume, overwrite=overwrite)
    folder = RunFolder(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        if overwrite:
            _clear(path)
        if not folder.config.exists():
            write_whole(folder.config, json.dumps(config, indent=2) + "\n")
        folder.figures.mkdir(exist_ok=True)
    except OSError as error:
        raise ValueError(f"workdir {path} cannot be written: {reason(error)}") from None
    return folder


def check_folder(path: Path, config: Config, *, resume: bool, overwrite: bool) -> None:
    """Look, but touch nothing.

    Raises:
        ValueError: if the folder is in use without ``resume`` or ``overwrite``, is not a run's
            folder at all, is resumed with another configuration, or has a name that is no text.
    """
    whole = str(path.absolute())
    try:
        whole.encode()
    except UnicodeEncodeError:  # orbax's writers would meet it hours later
        raise ValueError(f"workdir must be a path in UTF-8, got {whole!r}") from None
    if resume and overwrite:
        raise ValueError("resume and overwrite exclude each other; give one of them")
    try:
        names = {entry.name for entry in path.iterdir()}
    except FileNotFoundError:
        return
    except OSError as error:
        raise ValueError(f"workdir {path} cannot be read: {reason(error)}") from None
    if not names - {SCRATCH}:
        return
    try:
        saved = read_config(path)
    except ValueError:
        raise ValueError(
            f"workdir {path} is not empty and not a run's folder; give another --workdir"
        ) from None
    if not (resume or overwrite):
        raise ValueError(
            f"workdir {path} already holds a run; "
            "use --resume to go on, --overwrite to start anew, or another --workdir"
        )
    if resume:
        check_same(config, saved, path, "resume with the same value, or use another --workdir")


def read_config(path: Path) -> Config:
    """The configuration of the run in a folder.

    Raises:
        ValueError: if the folder is not a run's.
    """
    try:
        config: Config = json.loads(RunFolder(path).config.read_text())
        config["experiment"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(f"{path} is not a run's folder: it has no readable config.json") from None
    return config


def write_whole(path: Path, content: str | bytes) -> None:
    """Replace a file's content in one step: a crash leaves the old one or the new."""
    scratch = path.with_suffix(".tmp")
    scratch.write_bytes(content if isinstance(content, bytes) else content.encode())
    scratch.replace(path)


def spare(path: Path) -> Path:
    """The first of path, path.2, path.3 and so on that is not there."""
    copies = (path.with_name(f"{path.name}.{i}") for i in itertools.count(2))
    return next(place for place in itertools.chain([path], copies) if not place.exists())


def write_samples(path: Path, samples: np.ndarray) -> None:
    """A compressed archive with one array, "samples"."""
    archive = io.BytesIO()
    np.savez_compressed(archive, samples=samples)
    write_whole(path, archive.getvalue())


def check_same(
    config: Config, saved: Config, path: Path, remedy: str, *, but: Collection[str] = ()
) -> None:
    """Raise ValueError if a setting, ``but`` for some, is not the one that a run was made with."""
    for name, value in config.items():
        if name not in but and saved.get(name) != value:
            raise ValueError(
                f"{name} is {value!r}, but the run in {path} was made with "
                f"{saved.get(name)!r}; {remedy}"
            )


def _clear(path: Path) -> None:
    # Only what a run makes: a person's own files beside it stay.
    for name in OWN:
        entry = path / name
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)
