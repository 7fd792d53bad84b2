"""The command line as a configuration, by tyro; what it refuses, told in one line."""

import contextlib
import dataclasses
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

from dpm_jax.hosts import HostFlags

Config = TypeVar("Config")


@dataclass(frozen=True, kw_only=True)
class Start(HostFlags):
    """The flags that decide what the others change: they are read first."""

    preset: str | None = None
    evaluate: Path | None = None


def start(words: Sequence[str]) -> Start:
    """What the command line says of its starting point, whatever else it says.

    Raises:
        ValueError: in one line.
    """
    import tyro

    with _one_line():
        return tyro.cli(Start, args=list(words), return_unknown_args=True, add_help=False)[0]


def parse(doc: str, default: Config, words: Sequence[str], *, prog: str | None = None) -> Config:
    """``default`` changed by flags.

    Raises:
        ValueError: in one line, on an unknown flag and on a value that a config refuses.
    """
    import tyro

    with _one_line(type(default).__name__):
        return tyro.cli(
            type(default), default=default, description=doc, args=list(words), prog=prog
        )


def flags(kind: type[Config], words: Sequence[str], *, prog: str) -> Config:
    """A configuration without presets.

    Raises:
        ValueError: in one line, on bad flags.
    """
    import tyro

    with _one_line(kind.__name__):
        return tyro.cli(kind, args=list(words), prog=prog)


def from_json(default: Config, saved: Mapping[str, Any]) -> Config:
    """A configuration that was saved as JSON, read as if its values had been given as flags.

    Keys that are no fields are passed over, and fields that were not saved keep their default.

    Raises:
        ValueError: in one line, on a value that a config refuses or would not have been saved.
    """
    fields = {field.name for field in dataclasses.fields(default)}  # type: ignore[arg-type]
    known = {name: value for name, value in saved.items() if name in fields}
    words = (word for name, value in known.items() for word in _flag(name, value))
    config = parse("", default, list(words))
    # A flag is a text: the saved value must be the very one that this text has made.
    made = json.loads(json.dumps(vars(config), default=str))
    for name, value in known.items():
        if made[name] != value:
            raise ValueError(f"{_name(name)} cannot be {value!r}")
    return config


def preset(
    presets: Mapping[str, Config], name: str | None, accelerator: Callable[[], bool]
) -> Config:
    """The named preset, or the first that suits the machine: "cpu" where ``accelerator()`` is not.

    Raises:
        ValueError: if there is no such preset.
    """
    if name is None:
        first, *others = presets
        name = others[0] if first == "cpu" and accelerator() else first
    if name not in presets:
        raise ValueError(f"preset must be one of {', '.join(presets)}, got {name}")
    return presets[name]


def _flag(name: str, value: Any) -> list[str]:
    flag = _name(name)
    if isinstance(value, bool):
        return [flag if value else f"--no-{flag[2:]}"]
    if isinstance(value, list):
        # A text could be another flag.
        if not all(isinstance(item, int | float) for item in value):
            raise ValueError(f"{flag} must be numbers, got {value!r}")
        return [flag, *map(str, value)]
    return [f"{flag}={value}"]


def _name(field: str) -> str:
    return f"--{field.replace('_', '-')}"


@contextlib.contextmanager
def _one_line(config: str = "") -> Iterator[None]:
    """Tyro's answer to bad input, a framed text and an exit, as a ValueError.

    It has no other: the hook that would give the message itself is private and may go.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            yield
    except SystemExit as stop:
        if not stop.code:  # --help
            raise
        raise ValueError(_headline(said.getvalue(), config)) from None


def _headline(box: str, config: str) -> str:
    """What tyro's framed message says below its title and above its next ruler, as one line."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)
    _title, *rows = (row.strip("│| ") for row in plain.splitlines())
    sections = groupby(rows, lambda row: bool(row.strip("─-╰╯")))
    message = " ".join(next(text for is_text, text in sections if is_text))
    refused = f"Error parsing {config}: "  # by __post_init__, in our own words
    if message.startswith(refused):
        return message.removeprefix(refused)
    return f"{message.removeprefix('Error parsing ').rstrip('.')}; see --help"
