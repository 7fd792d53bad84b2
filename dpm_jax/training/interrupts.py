"""Ctrl-C and SIGTERM as a flag that the training loop reads between dispatches."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Flag:
    """False until a signal comes."""

    def __init__(self) -> None:
        self.name = ""

    def __bool__(self) -> bool:
        return bool(self.name)


@contextmanager
def interrupts() -> Iterator[Flag]:
    """Inside, the first SIGINT or SIGTERM only sets the flag; a second one acts as usual."""
    flag = Flag()
    previous: dict[int, Any] = {}

    def note(number: int, frame: FrameType | None) -> None:
        flag.name = signal.Signals(number).name
        for number_, handler in previous.items():
            signal.signal(number_, handler)

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.signal(number, note)
    except ValueError:
        # Not the main thread (a notebook's executor, say): Python delivers no signals here.
        previous = {}
    try:
        yield flag
    finally:
        for number_, handler in previous.items():
            signal.signal(number_, handler)
