"""What makes a run the one it is: its flags, and what the files hold that they name."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dpm_jax.experiments.base import Problem, RunConfig


def settings(
    problem: Problem, config: RunConfig, inputs: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What decides a run's numbers, as JSON gives it back.

    ``inputs`` are the digests of what is read from files (``Experiment.inputs``); None before it
    is read.
    """
    names = (f.name for f in dataclasses.fields(config) if f.name not in config.NOT_THE_RUN)
    flags: dict[str, Any] = json.loads(
        json.dumps({name: getattr(config, name) for name in names}, default=str)
    )
    places = config.reads()
    held = {
        flag: {"path": str(places.get(flag, "the default folder")), "sha256": digest}
        for flag, digest in (dict.fromkeys(places) if inputs is None else inputs).items()
    }
    return {"experiment": problem.name} | flags | {"inputs": held}


def check_apart(workdir: Path, read: Mapping[str, Path]) -> None:
    """Raise ValueError if the workdir, under any name, holds what is read: it may be cleared."""
    for what, place in read.items():
        inside = place.resolve()
        if workdir.resolve() in (inside, *inside.parents):
            raise ValueError(f"workdir {workdir} holds the {what}, {place}; give another --workdir")
