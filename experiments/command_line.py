"""The command line as a config, with tyro's framed messages told in one line."""

import contextlib
import io
import re
import sys
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TypeVar

Config = TypeVar("Config")


def value_of(flag: str, words: Sequence[str]) -> str | None:
    """The last value that the command line gives a flag, before anything else is read."""
    value = None
    for i, word in enumerate(words):
        if word == f"--{flag}" and i + 1 < len(words):
            value = words[i + 1]
        elif word.startswith(f"--{flag}="):
            value = word.removeprefix(f"--{flag}=")
    return value


def parse(
    doc: str,
    presets: Mapping[str, Config],
    args: list[str] | None = None,
    *,
    start: Config | None = None,
) -> Config:
    """The config that the command line asks for: ``start`` or a preset, changed by flags.

    Without a --preset it is the first one that suits the machine: "cpu" is left to machines
    without an accelerator.

    Raises:
        ValueError: in one line, on an unknown flag and on a value that a config refuses.
    """
    import tyro

    words = sys.argv[1:] if args is None else args
    name = value_of("preset", words) or _default(presets, words)
    if name not in presets:
        raise ValueError(f"preset must be one of {', '.join(presets)}, got {name}")
    start = presets[name] if start is None else start
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(type(start), default=start, description=doc, args=words)
    except SystemExit as stop:
        if not stop.code:  # --help
            raise
        raise ValueError(_headline(said.getvalue(), type(start).__name__)) from None


def _default(presets: Mapping[str, Config], words: Sequence[str]) -> str:
    first, *others = presets
    if first != "cpu" or "--help" in words:  # which answers without starting jax
        return first
    import jax

    return first if jax.default_backend() == "cpu" else others[0]


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
