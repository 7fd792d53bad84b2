"""The networks and losses of ``tasks`` in PyTorch, as one would write them there.

Parameters are ours, by their names, so that ``check`` can hold the two to the same numbers before
anything is timed. Batched tensors, and no Python loop over t but in sampling.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

Parameters = dict[str, Tensor]
"""Ours, nested names joined by "/"; convolutions as PyTorch lays them out."""


class Step(NamedTuple):
    """What the kernel needs to know of steps t, each broadcast against [times, n, *event]."""

    t: Tensor
    beta: Tensor
    log_bar: Tensor
    log_bar_prev: Tensor


class Twin(NamedTuple):
    """A model in PyTorch.

    Attributes:
        steps: T.
        shape: of one example.
        schedule: ``schedule(parameters)`` is β and log ᾱ, [T] each.
        read_out: ``read_out(parameters, x, t)`` of x [times, n, *event] is z [times, n, *event, c].
        kl: ``kl(x0, noise, step, read_out)`` [times, n] of a step, ``noise`` that makes x_t.
        prior_kl: ``prior_kl(x0, log_bar_T)`` [...]; of bits it is 0.
        draw: ``draw(xt, step, z, noise)`` is x_{t-1}, and x_T where ``z`` is None.
        uniform: whether ``draw`` and ``kl`` take uniform noise, not normal.
    """

    steps: int
    shape: tuple[int, ...]
    schedule: Callable[[Parameters], tuple[Tensor, Tensor]]
    read_out: Callable[[Parameters, Tensor, Tensor], Tensor]
    kl: Callable[[Tensor, Tensor, Step, Callable[[Tensor], Tensor]], Tensor]
    prior_kl: Callable[[Tensor, Tensor], Tensor]
    draw: Callable[[Tensor, Step, Tensor, Tensor], Tensor]
    uniform: bool


def steps_at(schedule: tuple[Tensor, Tensor], t: Tensor, axes: int) -> Step:
    """Coefficients of the steps t [times], with ``axes`` axes of 1 behind."""
    beta, log_bar = schedule
    before = torch.cat([log_bar.new_zeros(1), log_bar])
    wide = (-1,) + (1,) * axes
    return Step(t, beta[t - 1].view(wide), log_bar[t - 1].view(wide), before[t - 1].view(wide))


def learned(steps: int, beta_1: float, knots: int | None) -> Callable[[Parameters], Any]:
    """The schedule of ``dpm_jax.schedule.learned``."""
    every = np.arange(1.0, steps)
    free = every if knots is None else np.linspace(1.0, steps - 1, knots)
    columns = [np.interp(every, free, row) for row in np.eye(len(free))]
    straight = torch.from_numpy(np.stack(columns, 1).astype(np.float32))
    start = math.log1p(-beta_1) - math.log(beta_1)

    def apply(parameters: Parameters) -> tuple[Tensor, Tensor]:
        gaps, end = parameters["schedule/gaps"], parameters["schedule/end"]
        logits = gaps if knots is None else straight @ gaps
        shares = torch.softmax(logits, 0) + 1e-12
        falls = (start + 8) * shares * (torch.sigmoid(end) + 1e-12)
        log_snr = start - torch.cat([falls.new_zeros(1), torch.cumsum(falls, 0)])
        kept = torch.cat([falls.new_full((1,), -torch.inf), -falls])
        beta = torch.sigmoid(-log_snr) * -torch.expm1(kept)
        return beta, torch.cumsum(torch.log1p(-beta), 0)

    return apply


def _normal(xt: Tensor, step: Step, z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Guess of x_0, variance of p(x_{t-1} | x_t), and of q its weight of x_0 and variance."""
    open_, kept = -torch.expm1(step.log_bar_prev), torch.exp(step.log_bar_prev)
    total = open_ + kept * step.beta
    weight, variance = torch.sqrt(kept) * step.beta / total, step.beta * open_ / total
    noise = -torch.expm1(step.log_bar)
    guess = torch.exp(0.5 * step.log_bar) * xt + torch.sqrt(noise) * z[..., 0]
    belief = (noise * torch.exp(z[..., 1].clamp(max=40.0))).clamp(min=1e-14)
    return guess, variance + weight**2 * belief, weight, variance


def _normal_kl(
    x0: Tensor, noise: Tensor, step: Step, read_out: Callable[[Tensor], Tensor]
) -> Tensor:
    xt = torch.exp(0.5 * step.log_bar) * x0 + torch.sqrt(-torch.expm1(step.log_bar)) * noise
    guess, var_p, weight, var_q = _normal(xt, step, read_out(xt))
    ratio = torch.log(var_q) - torch.log(var_p)
    # The means differ by their weight of x_0 alone.
    kl = torch.expm1(ratio) - ratio + (weight * (x0 - guess)) ** 2 / var_p
    return 0.5 * kl.flatten(2).sum(-1)


def _normal_prior_kl(x0: Tensor, log_bar: Tensor) -> Tensor:
    variance = -torch.expm1(log_bar)
    each = torch.exp(log_bar) * x0**2 + variance - 1 - torch.log(variance)
    return 0.5 * each.flatten(1).sum(-1)


def _normal_draw(xt: Tensor, step: Step, z: Tensor, noise: Tensor) -> Tensor:
    guess, variance, weight, _ = _normal(xt, step, z)
    total = -torch.expm1(step.log_bar_prev) + torch.exp(step.log_bar_prev) * step.beta
    own = torch.sqrt(1 - step.beta) * -torch.expm1(step.log_bar_prev) / total
    return weight * guess + own * xt + torch.sqrt(variance) * noise


def _dense(p: Parameters, name: str, h: Tensor) -> Tensor:
    return F.linear(h, p[f"{name}/kernel"].mT, p[f"{name}/bias"])


def roll() -> Twin:
    """Fourier features, two SiLU layers, a read-out for each t."""
    steps, octaves = 40, 0.5 * math.pi * 2.0 ** torch.arange(3)

    def read_out(p: Parameters, x: Tensor, t: Tensor) -> Tensor:
        angles = (x[..., None, :] * octaves[:, None]).flatten(-2)
        h = torch.cat([x, torch.sin(angles), torch.cos(angles)], -1)
        for layer in ("Dense_0", "Dense_1"):
            h = F.silu(_dense(p, f"network/{layer}", h))
        # All t in order are a view, whose gradient is no scatter.
        mine = slice(1, None) if len(t) == steps - 1 else t - 1
        kernel, bias = p["network/readout/kernel"][mine], p["network/readout/bias"][mine]
        return torch.baddbmm(bias[:, None], h, kernel).unflatten(-1, (2, 2))

    family = learned(steps, 1e-6, None)
    return Twin(steps, (2,), family, read_out, _normal_kl, _normal_prior_kl, _normal_draw, False)


def bumps(t: Tensor, steps: int, count: int = 10) -> Tensor:
    """[times, count], eq. 62-63."""
    spacing = steps / count
    centres = spacing * (torch.arange(count) + 0.5)
    return torch.softmax(-((t[:, None] - centres) ** 2) / (2 * spacing**2), -1)


def _blended(p: Parameters, name: str, g: Tensor, h: Tensor) -> Tensor:
    """A layer [times, rows, features] whose weights are a blend for each t."""
    kernel, bias = p[f"{name}/kernel"], p[f"{name}/bias"]
    return torch.baddbmm((g @ bias)[:, None], h, torch.einsum("tj,jhf->thf", g, kernel))


def heartbeat(bits: int, p0: float) -> Twin:
    """Three SiLU layers, and a read-out through ten bumps: the log-odds of x_0."""
    steps = 2000
    one_half = 0.5

    def flip(x: Tensor, rate: Tensor) -> Tensor:
        one = torch.log1p(-rate * (1 - p0)) - torch.log(rate * (1 - p0))
        return torch.where(x > one_half, one, torch.log(rate * p0) - torch.log1p(-rate * p0))

    def evidence(x: Tensor, rate: Tensor) -> Tensor:
        one = torch.log1p(-rate * (1 - p0)) - torch.log(rate * p0)
        zero = torch.log(rate * (1 - p0)) - torch.log1p(-rate * p0)
        return torch.where(x > one_half, one, zero)

    def fallen(log_bar: Tensor) -> Tensor:
        return -torch.expm1(log_bar)

    def read_out(p: Parameters, x: Tensor, t: Tensor) -> Tensor:
        h = 2 * x - 1
        for layer in ("Dense_0", "Dense_1", "Dense_2"):
            h = F.silu(_dense(p, f"network/{layer}", h))
        return _blended(p, "network/readout", bumps(t, steps), h)[..., None]

    def believed(xt: Tensor, step: Step, z: Tensor) -> tuple[Tensor, Tensor]:
        """Log of the probability that x_{t-1} is one, and that it is zero."""
        odds = math.log(p0 / (1 - p0)) + evidence(xt, fallen(step.log_bar)) + z[..., 0]
        seen, before = evidence(xt, step.beta), fallen(step.log_bar_prev)
        one = flip(torch.ones_like(xt), before) + seen
        zero = flip(torch.zeros_like(xt), before) + seen
        sure, unsure = F.logsigmoid(odds), F.logsigmoid(-odds)
        log_p = torch.logaddexp(sure + F.logsigmoid(one), unsure + F.logsigmoid(zero))
        log_not = torch.logaddexp(sure + F.logsigmoid(-one), unsure + F.logsigmoid(-zero))
        return log_p, log_not

    def kl(x0: Tensor, noise: Tensor, step: Step, read: Callable[[Tensor], Tensor]) -> Tensor:
        xt = (noise < torch.sigmoid(flip(x0, fallen(step.log_bar)))).float()
        q = flip(x0, fallen(step.log_bar_prev)) + evidence(xt, step.beta)
        log_p, log_not = believed(xt, step, read(xt))
        ones = torch.sigmoid(q) * (F.logsigmoid(q) - log_p)
        return (ones + torch.sigmoid(-q) * (F.logsigmoid(-q) - log_not)).sum(-1)

    def draw(xt: Tensor, step: Step, z: Tensor, noise: Tensor) -> Tensor:
        log_p, log_not = believed(xt, step, z)
        return (noise < torch.sigmoid(log_p - log_not)).float()

    rates = 1.0 / torch.arange(steps, 0, -1)
    fixed = rates, torch.log1p(-torch.arange(1, steps + 1) / steps)
    no_kl = lambda x0, log_bar: x0.new_zeros(len(x0))  # noqa: E731
    return Twin(steps, (bits,), lambda p: fixed, read_out, kl, no_kl, draw, True)


def mnist_paper(channels_last: bool = False) -> Twin:
    """Multi-scale convolutions beside a dense path, and layers per pixel on top (App. D.2)."""
    steps, octaves, scales = 1000, 9, 3
    shorter = 2 * math.pi * 64 * 0.5 ** torch.arange(octaves)
    order = torch.channels_last if channels_last else torch.contiguous_format

    def convolved(p: Parameters, layer: int, h: Tensor) -> Tensor:
        name = f"network/MultiScaleConvolution_{layer}"
        pyramid = [h]
        for _ in range(scales - 1):
            pyramid.append(F.avg_pool2d(pyramid[-1], 2))
        total: Any = None
        for scale in reversed(range(scales)):
            here = F.conv2d(pyramid[scale], p[f"{name}/scale_{scale}"], padding=1)
            total = here if total is None else here + F.interpolate(total, scale_factor=2.0)
        return total + p[f"{name}/bias"][:, None, None]

    def read_out(p: Parameters, x: Tensor, t: Tensor) -> Tensor:
        times, n = x.shape[:2]
        images = x.reshape(times * n, 1, 28, 28)
        h = images.contiguous(memory_format=order)
        for layer in range(4):
            h = F.softplus(convolved(p, layer, h))
        pixels = images.reshape(times * n, 784, 1)
        angles = pixels * shorter
        whole = images.flatten(1)
        for i in range(3):
            whole = torch.tanh(_dense(p, f"network/Dense_{i}", whole))
        maps = _dense(p, "network/Dense_3", whole)
        features = h.permute(0, 2, 3, 1).reshape(times * n, 784, 20)
        paths = [features, pixels, torch.sin(angles), torch.cos(angles), maps.view(-1, 784, 2)]
        rows = torch.cat(paths, -1).view(times, n * 784, -1)
        g = bumps(t, steps)
        rows = F.silu(_blended(p, "network/Bumps_0", g, rows))
        return _blended(p, "network/Bumps_1", g, rows).view(times, n, 28, 28, 1, 2)

    family = learned(steps, 1e-6, 16)
    shape = (28, 28, 1)
    return Twin(steps, shape, family, read_out, _normal_kl, _normal_prior_kl, _normal_draw, False)
