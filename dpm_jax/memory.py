"""How much memory there is, and how much a program takes: asked before any of it is taken."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax

GIB = 2**30


def require(host: Mapping[str, int], device: Mapping[str, int] | None = None) -> None:
    """Raise ValueError unless there is room for all that is named.

    Args:
        host: bytes of the machine's memory, by the fields that decide how many.
        device: the same of each device; on CPU, their memory is the machine's.
    """
    device = device or {}
    if jax.default_backend() == "cpu":
        of_all = {name: size * jax.local_device_count() for name, size in device.items()}
        _require({**host, **of_all}, free_on_host())
    else:
        _require(host, free_on_host())
        _require(device, free())


def free() -> int | None:
    """Bytes that a program may still take on each device; None where nobody knows."""
    if jax.default_backend() == "cpu":
        room = free_on_host()
        return None if room is None else room // jax.local_device_count()
    stats = [device.memory_stats() or {} for device in jax.local_devices()]
    if not all({"bytes_limit", "bytes_in_use"} <= of_one.keys() for of_one in stats):
        return None
    return min(of_one["bytes_limit"] - of_one["bytes_in_use"] for of_one in stats)


def free_on_host(root: Path = Path("/")) -> int | None:
    """Bytes that this process may still take: of the machine, and of every group that it is in."""
    rooms = [*_of_machine(root / "proc/meminfo"), *_of_groups(root)]
    return max(0, min(rooms)) if rooms else None


def of_program(compiled: Any) -> int:
    """Bytes on each device while a compiled program runs, its arguments and results included."""
    known = compiled.memory_analysis()
    if known is None:
        return 0
    return int(
        known.argument_size_in_bytes
        + known.temp_size_in_bytes
        + known.output_size_in_bytes
        - known.alias_size_in_bytes
    )


def of_tree(tree: Any) -> int:
    """Bytes of all arrays of a tree, or of what has their shapes."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def gib(size: int) -> str:
    """Bytes for a person."""
    return f"{size / GIB:,.2f} GiB"


def _require(needed: Mapping[str, int], room: int | None) -> None:
    if room is None or sum(needed.values()) <= room:
        return
    parts = (f"{gib(size)} for {name}" for name, size in needed.items())
    raise ValueError(
        f"not enough memory: {', '.join(parts)} are needed, and {gib(room)} are free; "
        "make one of these smaller"
    )


def _of_machine(path: Path) -> Iterator[int]:
    try:
        lines = path.read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) * 1024


def _of_groups(root: Path) -> Iterator[int]:
    """What is left of the limits of cgroups, version 1 or 2, from this process's up to the root."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, kinds, group = line.split(":", 2)
        if kinds == "":
            tree, files = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in kinds.split(","):
            tree = root / "sys/fs/cgroup/memory"
            files = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        inner = tree / group.lstrip("/")
        # In a container the group's own path may not be there, and its root is the limit.
        for folder in (inner, *inner.parents):
            yield from _of_group(folder, *files)
            if folder == tree:
                break


def _of_group(folder: Path, limit: str, usage: str, reclaimable: str) -> Iterator[int]:
    try:
        most = int((folder / limit).read_text())  # "max" where there is none
        used = int((folder / usage).read_text())
        stat = (folder / "memory.stat").read_text().split()
    except (OSError, ValueError):
        return
    cached = dict(zip(stat[::2], map(int, stat[1::2]), strict=True))
    yield most - used + cached.get(reclaimable, 0)
