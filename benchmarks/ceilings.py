"""What the machine can do at best: a matrix product, a 3×3 convolution, a copy of memory.

Each is measured by jax and, where it is installed, by PyTorch; the higher is the machine's.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

SIDE = 2048  # of the matrices
IMAGES, PIXELS, CHANNELS = 128, 28, 20  # of the convolution, as in the MNIST network
NUMBERS = 2**26  # copied: 256 MiB, far more than a cache holds
FLOPS = {
    "product": 2.0 * SIDE**3,
    "convolution": 2.0 * 9 * IMAGES * PIXELS**2 * CHANNELS**2,
    "memory": 2.0 * 4 * NUMBERS,
}
"""FLOPs of a call; of memory, the bytes that are read and written."""


def _jax() -> dict[str, Callable[[], Any]]:
    import jax
    import jax.numpy as jnp

    @jax.jit
    def convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=numbers)

    square = jnp.ones((SIDE, SIDE))
    image = jnp.ones((IMAGES, PIXELS, PIXELS, CHANNELS))
    kernel, long = jnp.ones((3, 3, CHANNELS, CHANNELS)), jnp.ones(NUMBERS)
    calls = {
        "product": partial(jax.jit(jnp.matmul), square, square),
        "convolution": partial(convolve, image, kernel),
        "memory": partial(jax.jit(lambda x: x + 1), long),
    }
    return {
        name: lambda call=call: jax.block_until_ready(call())  # type: ignore[misc]
        for name, call in calls.items()
    }


def _torch() -> dict[str, Callable[[], Any]]:
    import torch

    square, long = torch.ones(SIDE, SIDE), torch.ones(NUMBERS)
    image = torch.ones(IMAGES, CHANNELS, PIXELS, PIXELS).to(memory_format=torch.channels_last)
    kernel = torch.ones(CHANNELS, CHANNELS, 3, 3).to(memory_format=torch.channels_last)
    out = torch.empty_like(long)
    return {
        "product": partial(torch.matmul, square, square),
        "convolution": partial(torch.nn.functional.conv2d, image, kernel, padding=1),
        "memory": partial(torch.add, long, 1, out=out),
    }


LIBRARIES = {"jax": _jax, "torch": _torch}


def make(library: str, name: str) -> tuple[Callable[[int], None], float, dict[str, float]]:
    """The work of one ceiling by one library, for ``timing.Worker``."""
    call = LIBRARIES[library]()[name]
    begin = time.perf_counter()
    call()
    seconds = time.perf_counter() - begin

    def run(count: int) -> None:
        for _ in range(count):
            call()

    return run, FLOPS[name], {"seconds": seconds}
