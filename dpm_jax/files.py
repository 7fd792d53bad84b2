"""Files that a person may have edited or mistaken for others: regular ones, of bounded size.

Nothing else is even opened: a pipe without a writer would wait for ever, and a device never ends.
JSON is one object, its keys different, nested no deeper than any that this project writes.
"""

import json
import stat
from pathlib import Path
from typing import Any

MOST = 2**20  # bytes of JSON; the largest that is written has some thousands
DEEPEST = 16  # objects and lists inside one another


def regular_size(path: Path) -> int:
    """The size of a regular file, bytes.

    Raises:
        OSError: if it is not there, or is a folder, a pipe, a socket or a device.
    """
    try:
        status = path.stat()
    except ValueError as error:  # a name that no file can have, such as one with a null byte
        raise OSError(str(error)) from None
    if not stat.S_ISREG(status.st_mode):
        raise OSError("not a regular file")
    return status.st_size


def read_bytes(path: Path, *, most: int) -> bytes:
    """What a regular file of at most ``most`` bytes holds.

    Raises:
        OSError: as in ``regular_size``, or if it cannot be read.
        ValueError: if it is larger.
    """
    regular_size(path)
    with path.open("rb") as file:
        content = file.read(most + 1)  # what the system says is larger, or grows, is not read
    if len(content) > most:
        raise ValueError(f"larger than {most} bytes")
    return content


def read_object(path: Path, *, most: int = MOST) -> dict[str, Any]:
    """The JSON object in a regular file.

    Raises:
        OSError: as in ``regular_size``, or if it cannot be read.
        ValueError: if it holds anything else than one such object.
    """
    return parse_object(read_bytes(path, most=most))


def parse_object(content: bytes) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ValueError: in one line, if it is anything else, has a key twice, or is nested too deep.
    """
    try:
        found = json.loads(content, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError(f"nested deeper than {DEEPEST}") from None
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")
    _check_depth(found, DEEPEST)
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has a key twice")
    return found


def _check_depth(value: Any, left: int) -> None:
    if not isinstance(value, dict | list):
        return
    if left == 0:
        raise ValueError(f"nested deeper than {DEEPEST}")
    for inner in value.values() if isinstance(value, dict) else value:
        _check_depth(inner, left - 1)
