"""The command line as a config, with tyro's framed messages told in one line."""

import contextlib
import io
import re
import sys
from collections.abc import Mapping
from itertools import groupby
from typing import TypeVar

Config = TypeVar("Config")


def parse(doc: str, presets: Mapping[str, Config], args: list[str] | None = None) -> Config:
    """The config that the command line asks for: a preset, changed by flags.

    Raises:
        ValueError: in one line, on an unknown flag and on a value that a config refuses.
    """
    import tyro

    words = sys.argv[1:] if args is None else args
    name = "default"
    for i, word in enumerate(words):
        if word == "--preset" and i + 1 < len(words):
            name = words[i + 1]
        elif word.startswith("--preset="):
            name = word.removeprefix("--preset=")
    if name not in presets:
        raise ValueError(f"preset must be one of {', '.join(presets)}, got {name}")
    start = presets[name]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(type(start), default=start, description=doc, args=words)
    except SystemExit as stop:
        if not stop.code:  # --help
            raise
        raise ValueError(_headline(said.getvalue(), type(start).__name__)) from None


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
