"""The work of ``tasks`` done by PyTorch, with the networks of ``twins``: eager or compiled."""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
import twins
from torch import Tensor
from twins import Parameters, Twin

Run = Callable[[int], None]


class Sizes(NamedTuple):
    """What ``tasks`` does at once: of the training batch, of one call's draws and bounds.

    ``times`` is 0 where every example is summed over all t, as in ``TrainConfig``.
    """

    batch: int
    times: int
    draws: int
    bounds: int


BITS, ACTIVITY = 20, 0.2  # of the heartbeat

STEPS_AT_ONCE = 16
"""Steps of a whole bound at a time, where the data are images."""


def twin(problem: str, *, channels_last: bool = False) -> Twin:
    """The twin of a problem, by the names of ``tasks``."""
    if problem == "mnist_paper":
        return twins.mnist_paper(channels_last)
    return twins.roll() if problem == "roll" else twins.heartbeat(BITS, ACTIVITY)


def parameters(ours: Mapping[str, np.ndarray], channels_last: bool) -> Parameters:
    """Our parameters, convolutions turned from HWIO to OIHW, all to be learned."""
    order = torch.channels_last if channels_last else torch.contiguous_format

    def turned(value: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(np.array(value, np.float32))
        if tensor.ndim == 4:
            tensor = tensor.permute(3, 2, 0, 1).contiguous(memory_format=order)
        return tensor.requires_grad_()

    return {name: turned(value) for name, value in ours.items()}


def value(twin: Twin, p: Parameters, x0: Tensor, noise: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """KL of the steps t [times], [times, n]; KL of x_T, [times · n].

    Of x0 [times or 1, n, *event] and noise [times, n, *event].
    """
    schedule = twin.schedule(p)
    step = twins.steps_at(schedule, t, noise.ndim - 1)
    kl = twin.kl(x0, noise, step, lambda xt: twin.read_out(p, xt, t))
    return kl, twin.prior_kl(x0.flatten(0, 1), schedule[1][-1])


def noise_of(twin: Twin, shape: tuple[int, ...]) -> Tensor:
    """What ``kl`` and ``draw`` take."""
    return torch.rand(shape) if twin.uniform else torch.randn(shape)


def loss(twin: Twin, p: Parameters, data: Tensor, sizes: Sizes) -> Tensor:
    """-K of a batch in nats, but for what has no gradient."""
    x0 = data[torch.randint(len(data), (sizes.batch,))]
    if sizes.times == 0:
        t = torch.arange(2, twin.steps + 1)
        x0 = x0[None]
        weight = float(len(t))
    else:
        strata = (torch.arange(sizes.times) + torch.rand(1)) / sizes.times
        t = 2 + (strata * (twin.steps - 1)).long()
        x0 = x0.unflatten(0, (sizes.times, -1))
        weight = float(twin.steps - 1)
    noise = noise_of(twin, (len(t), *x0.shape[1:]))
    kl, prior_kl = value(twin, p, x0, noise, t)
    return weight * kl.mean() + prior_kl.mean()


def train(twin: Twin, p: Parameters, data: Tensor, sizes: Sizes, wrap: Callable[..., Any]) -> Run:
    """Optimiser steps, with the average of the parameters that ours keeps too."""
    learned = list(p.values())
    average = [each.detach().clone() for each in learned]
    optimizer = torch.optim.Adam(learned, lr=1e-4, betas=(0.9, 0.99), fused=True)
    compute = wrap(lambda: loss(twin, p, data, sizes))

    def run(count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            compute().backward()
            torch.nn.utils.clip_grad_norm_(learned, 1.0)
            optimizer.step()
            torch._foreach_lerp_(average, [each.detach() for each in learned], 1e-3)

    return run


def sample(twin: Twin, p: Parameters, data: Tensor, sizes: Sizes, wrap: Callable[..., Any]) -> Run:
    """Ancestral samples, a Python loop over t."""

    def move(xt: Tensor, t: Tensor, schedule: tuple[Tensor, Tensor]) -> Tensor:
        step = twins.steps_at(schedule, t, xt.ndim - 1)
        z = twin.read_out(p, xt, t)
        return twin.draw(xt, step, z, noise_of(twin, tuple(xt.shape)))

    move = wrap(move)

    def run(count: int) -> None:
        with torch.no_grad():
            for _ in range(count):
                schedule = twin.schedule(p)
                x = noise_of(twin, (1, sizes.draws, *twin.shape))
                x = (x < 0.1).float() if twin.uniform else x
                for t in torch.arange(twin.steps, 0, -1).split(1):
                    x = move(x, t.clamp(min=2), schedule)

    return run


def bound(twin: Twin, p: Parameters, data: Tensor, sizes: Sizes, wrap: Callable[..., Any]) -> Run:
    """K of examples, all steps summed, some of them at a time."""
    examples = data[: sizes.bounds][None]
    at_once = twin.steps - 1 if len(twin.shape) == 1 else STEPS_AT_ONCE
    compute = wrap(lambda noise, t: value(twin, p, examples, noise, t)[0].sum(0))

    def run(count: int) -> None:
        with torch.no_grad():
            for _ in range(count):
                for t in torch.arange(2, twin.steps + 1).split(at_once):
                    compute(noise_of(twin, (len(t), *examples.shape[1:])), t)

    return run


KINDS: dict[str, Callable[..., Run]] = {"train": train, "sample": sample, "bound": bound}
SIDES = ("eager", "compiled", "channels_last")


def work(
    kind: str, side: str, twin: Twin, ours: Mapping[str, np.ndarray], data: np.ndarray, sizes: Sizes
) -> tuple[Run, float]:
    """Timed work, warmed up, and the seconds that it took to be."""
    begin = time.perf_counter()
    wrap = torch.compile if side == "compiled" else lambda function: function
    p = parameters(ours, side == "channels_last")
    run = KINDS[kind](twin, p, torch.from_numpy(data), sizes, wrap)
    run(1)
    return run, time.perf_counter() - begin
