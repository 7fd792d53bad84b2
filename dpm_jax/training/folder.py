"""The run folder: where one run keeps everything, and the checks at its door."""

import io
import itertools
import json
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dpm_jax import files
from dpm_jax.errors import reason
from dpm_jax.training import lock
from dpm_jax.training.clearing import check_clearable, clear
from dpm_jax.training.lock import Lock

BEFORE = {"config.tmp", lock.NAME}  # all that a crash before the first config.json can leave

Config = dict[str, Any]


class RunFolder(NamedTuple):
    """Paths inside a run's folder.

    Attributes:
        path: of the folder.
        lock: what keeps other processes out; None where nothing is written.
        content: of its ``config.json``, when it was opened to be written into.
    """

    path: Path
    lock: Lock | None = None
    content: bytes = b""

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

    def is_ours(self) -> bool:
        """Whether it is still the folder that was opened, with the ``config.json`` that it had."""
        try:
            same = files.read_bytes(self.config, most=len(self.content)) == self.content
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return False
        except OSError:  # a disk that fails is no folder that is gone
            same = self.config.is_file()
        return same and self.lock is not None and self.lock.is_there()

    def close(self) -> None:
        """Let other processes in."""
        if self.lock is not None:
            self.lock.close()


def open_folder(path: Path, config: Config, *, resume: bool, overwrite: bool) -> RunFolder:
    """Make the folder ready for a run with this configuration, and keep other processes out.

    They are let in by ``RunFolder.close``, by ``Journal.close``, or when this process ends.

    Raises:
        ValueError: if it is not writable, or ``check_folder`` refuses.
    """
    check_folder(path, config, resume=resume, overwrite=overwrite)
    with _writing(path), ExitStack() as undo:
        path.mkdir(parents=True, exist_ok=True)
        folder = RunFolder(path, Lock(path))
        undo.callback(folder.close)
        # Again: another process may have come and gone before the lock was ours.
        _check_inside(path, config, resume=resume, overwrite=overwrite)
        if overwrite:
            clear(path)
        if not folder.config.exists():
            write_whole(folder.config, json.dumps(config, indent=2) + "\n")
        folder.figures.mkdir(exist_ok=True)
        opened = folder._replace(content=folder.config.read_bytes())
        undo.pop_all()
    return opened


def make_numbered(place: Callable[[int], Path]) -> Path:
    """Make the first of the folders ``place(1)``, ``place(2)``, … that is not there yet.

    Of two processes that ask at once, each gets its own.

    Raises:
        ValueError: if it cannot be made.
    """
    number = 1
    while True:
        with _writing(place(number)), suppress(FileExistsError):
            place(number).mkdir(parents=True)
            return place(number)
        number += 1


def check_folder(path: Path, config: Config, *, resume: bool, overwrite: bool) -> None:
    """Look, but touch nothing.

    Raises:
        ValueError: if another process holds the folder; if it holds a run, without ``resume`` or
            ``overwrite``; if it is not a run's folder at all, cannot be cleared, is resumed with
            another configuration, or has a name that is no text.
    """
    whole = str(path.absolute())
    try:
        whole.encode()
    except UnicodeEncodeError:  # orbax's writers would meet it hours later
        raise ValueError(f"workdir must be a path in UTF-8, got {whole!r}") from None
    if resume and overwrite:
        raise ValueError("resume and overwrite exclude each other; give one of them")
    lock.check_free(path)
    _check_inside(path, config, resume=resume, overwrite=overwrite)


def _check_inside(path: Path, config: Config, *, resume: bool, overwrite: bool) -> None:
    try:
        names = {entry.name for entry in path.iterdir()}
    except FileNotFoundError:
        return
    except OSError as error:
        raise ValueError(f"workdir {path} cannot be read: {reason(error)}") from None
    if not names - BEFORE:
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
    if overwrite:
        check_clearable(path)


def read_config(path: Path) -> Config:
    """The configuration of the run in a folder.

    Raises:
        ValueError: if the folder is not a run's.
    """
    try:
        config: Config = files.read_object(RunFolder(path).config)
        config["experiment"]
    except (OSError, ValueError, KeyError):
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
    """Raise ValueError if a setting, ``but`` for some, is not the one that a run was made with.

    What was read from files is the same where it holds the same, wherever it lies: "inputs" has,
    by flag, its path and its sha256, None as long as it is not read. Runs of versions before this
    have no "inputs": of them the path must be the same.
    """
    now, then = config.get("inputs", {}), saved.get("inputs", {})
    read = now.keys() & then.keys()
    for flag in sorted(read):
        if now[flag]["sha256"] not in (None, then[flag]["sha256"]):
            raise ValueError(
                f"{now[flag]['path']} holds something else now than when the run in {path} was "
                f"made; put that back, or give by --{flag.replace('_', '-')} where it is"
            )
    for name, value in config.items():
        if name not in ("inputs", *read, *but) and saved.get(name) != value:
            raise ValueError(
                f"{name} is {value!r}, but the run in {path} was made with "
                f"{saved.get(name)!r}; {remedy}"
            )


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ValueError(f"workdir {path} cannot be written: {reason(error)}") from None
