"""The run folder: where one run keeps everything, and the checks at its door."""

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

OWN = (
    "config.json",
    "config.tmp",
    "metrics.jsonl",
    "metrics.tmp",
    "result.json",
    "checkpoints",
    "unreadable_checkpoints",
    "tensorboard",
    "figures",
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
        ValueError: if it is not writable, in use without ``resume`` or ``overwrite``, not a
            run's folder at all, or resumed with another configuration.
    """
    if resume and overwrite:
        raise ValueError("resume and overwrite exclude each other; give one of them")
    folder = RunFolder(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        _check_contents(folder, resume=resume, overwrite=overwrite)
        if resume and folder.config.exists():
            _check_same(json.loads(folder.config.read_text()), config, path)
        else:
            if overwrite:
                _clear(path)
            scratch = folder.config.with_suffix(".tmp")
            scratch.write_text(json.dumps(config, indent=2) + "\n")
            scratch.replace(folder.config)
        folder.figures.mkdir(exist_ok=True)
    except json.JSONDecodeError as error:
        raise ValueError(f"{folder.config} is not valid JSON ({error}); use --overwrite") from None
    except OSError as error:
        raise ValueError(f"workdir {path} cannot be written: {error.strerror}") from None
    return folder


def _check_contents(folder: RunFolder, *, resume: bool, overwrite: bool) -> None:
    names = {entry.name for entry in folder.path.iterdir()}
    if not names or resume or (overwrite and folder.config.exists()):
        return
    if folder.config.exists():
        raise ValueError(
            f"workdir {folder.path} already holds a run; "
            "use --resume to go on, --overwrite to start anew, or another --workdir"
        )
    if names - set(OWN):
        raise ValueError(
            f"workdir {folder.path} is not empty and not a run's folder; give another --workdir"
        )


def _check_same(saved: Config, config: Config, path: Path) -> None:
    for name in sorted(saved.keys() | config.keys()):
        if saved.get(name) != config.get(name):
            raise ValueError(
                f"{name} is {config.get(name)!r}, but the run in {path} was made with "
                f"{saved.get(name)!r}; resume with the same value, or use another --workdir"
            )


def _clear(path: Path) -> None:
    # Only what a run makes: a person's own files beside it stay.
    for name in OWN:
        entry = path / name
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)
