"""Data parallelism over all devices: one mesh axis, "data"; one device is a mesh of one.

Parameters are replicated and the batch is split; XLA inserts the gradient's all-reduce.
The loss is the same number on any number of devices, because random numbers are drawn for
the whole batch before it is split.
"""

from collections.abc import Callable
from typing import TypeVar

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from dpm_jax.array_types import Array

Tree = TypeVar("Tree")


def data_mesh() -> Mesh:
    """All devices along the axis "data"."""
    return jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))


def check_divides(batch_size: int, mesh: Mesh) -> None:
    """Raise ValueError unless every device gets the same number of examples."""
    if batch_size % mesh.size:
        raise ValueError(
            f"batch_size must be a multiple of the number of devices, {mesh.size}, got {batch_size}"
        )


def replicate(tree: Tree, mesh: Mesh) -> Tree:
    """A copy of every leaf on every device; the originals may be donated or deleted."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()), may_alias=False)


def split_batch(mesh: Mesh) -> Callable[[Array], Array]:
    """A constraint for traced code: split the leading axis over the devices."""
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    return lambda batch: jax.lax.with_sharding_constraint(batch, sharding)
