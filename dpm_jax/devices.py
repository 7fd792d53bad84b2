"""Work spread over all devices: one mesh axis, "data"; one device is a mesh of one.

Parameters are replicated and examples are split; XLA inserts the gradient's all-reduce. A number
is the same on any number of devices, because randomness belongs to the example or is drawn for
the whole batch before it is split.
"""

import math
from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from tqdm.auto import tqdm

from dpm_jax import hosts, memory
from dpm_jax.array_types import Array, PRNGKey

Tree = TypeVar("Tree")


def data_mesh() -> Mesh:
    """All devices, those of other hosts too, along the axis "data"."""
    return jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))


def check_divides(batch_size: int, mesh: Mesh) -> None:
    """Raise ValueError unless every device gets the same number of examples."""
    if batch_size % mesh.size:
        raise ValueError(
            f"batch_size must be a multiple of the number of devices, {mesh.size}, got {batch_size}"
        )


def replicated(mesh: Mesh) -> NamedSharding:
    """A copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def replicate(tree: Tree, mesh: Mesh) -> Tree:
    """A copy of every leaf on every device; the originals may be donated or deleted."""
    if not hosts.several():
        return jax.device_put(tree, replicated(mesh), may_alias=False)
    return jax.tree.map(lambda leaf: place(leaf, replicated(mesh)), tree)


def place(rows: Any, sharding: NamedSharding) -> Array:
    """Rows [n, ...], the same on all hosts, on the devices; each host reads only its own."""
    if sharding.is_fully_addressable:
        return jax.device_put(rows, sharding)
    ours = sharding.addressable_devices_indices_map(rows.shape)
    if sharding.is_fully_replicated:
        local = np.asarray(rows)
    else:
        starts = {index[0].indices(len(rows))[:2] for index in ours.values() if index is not None}
        local = np.concatenate([rows[slice(*part)] for part in sorted(starts)])
    return jax.make_array_from_process_local_data(sharding, local, rows.shape)


def check_particles(particles: int, runs: int, mesh: Mesh) -> bool:
    """Whether the particles of each run are split over the devices, since runs are too few.

    Raises:
        ValueError: if they are, and do not divide.
    """
    if runs >= mesh.size:
        return False
    if particles % mesh.size:
        raise ValueError(
            f"particles must be a multiple of the number of devices, {mesh.size}, where runs are "
            f"fewer, got {particles} particles and {runs} runs"
        )
    return True


def split_batch(mesh: Mesh) -> Callable[[Array], Array]:
    """A constraint for traced code: split the leading axis over the devices."""
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    return lambda batch: jax.lax.with_sharding_constraint(batch, sharding)


def fold_in_each(key: PRNGKey, numbers: Array) -> Array:
    """A key for each row: that of its number [k], whatever the chunk."""
    return jax.vmap(lambda number: jax.random.fold_in(key, number))(numbers)


def in_chunks(
    function: Callable[..., Any],
    *arrays: Any,
    chunk: int,
    label: str,
    progress: bool,
    split: bool = True,
) -> Iterator[Any]:
    """``function(*parts)`` over the rows of ``arrays``, a chunk at a time; its results as NumPy.

    All chunks have one shape, so that ``function`` is compiled once: the last one is filled up by
    repeating rows, which are cut off again. Every chunk is split over the devices, and is no larger
    than half of the free memory allows.

    Args:
        function: of parts [k, ...] of the arrays, to a pytree with k on every leading axis.
        arrays: [n, ...] each, NumPy or jax, keys too.
        chunk: k at most, rounded up to a multiple of the number of devices.
        label: of the progress bar.
        progress: whether to show it.
        split: False where the function itself splits what it makes of a row: each device then
            has all rows of a chunk, and ``chunk`` is not rounded.

    Raises:
        ValueError: if there are no rows, or ``chunk`` < 1.
        MemoryError: if there is no room for one row on every device.
    """
    mesh, count = data_mesh(), len(arrays[0])
    if min(chunk, count) < 1:
        raise ValueError(f"{label}: rows and chunk must be at least 1, got {count} and {chunk}")
    sharding = NamedSharding(mesh, PartitionSpec("data") if split else PartitionSpec())
    step = mesh.size if split else 1

    def parts(start: int, size: int) -> list[Any]:
        rows = np.arange(start, start + size) % count
        return [place(array[rows], sharding) for array in arrays]

    wanted = step * math.ceil(min(chunk, count) / step)
    chunk = _fitting(function, lambda size: parts(0, size), wanted, step, label)
    for start in shown(range(0, count, chunk), label, progress):
        values = hosts.fetch(function(*parts(start, chunk)))
        yield jax.tree.map(itemgetter(slice(count - start)), values)


def shown(numbers: range, label: str, progress: bool) -> Iterator[int]:
    """The numbers, behind a progress bar that the first host shows."""
    hidden = not (progress and hosts.first())
    yield from tqdm(numbers, desc=label, disable=hidden, leave=False)


def _fitting(
    function: Callable[..., Any],
    parts: Callable[[int], list[Any]],
    size: int,
    step: int,
    label: str,
) -> int:
    """``size``, or a multiple of ``step`` below it of which there is room for the program."""
    program = getattr(function, "func", function)  # of a partial
    room = memory.free()
    if room is None or not isinstance(program, jax.stages.Wrapped):
        return size
    room = hosts.least(room)  # all hosts take chunks of one size
    args, named = getattr(function, "args", ()), getattr(function, "keywords", {})
    while True:
        # Nothing is compiled twice: the call that follows finds this program.
        compiled = program.lower(*args, *parts(size), **named).compile()
        share = room / 2 / max(1, memory.of_program(compiled))
        if share >= 1:
            return size
        if size == step:
            raise MemoryError(
                f"{label} needs {memory.gib(memory.of_program(compiled))} for one row, and half of "
                f"{memory.gib(room)} is free"
            )
        size = max(step, int(size * share) // step * step)
