"""Training steps per second of the toy problems, beside the same steps in eager PyTorch.

    pip install torch
    python benchmarks/toy_training.py

Same batch, network, bound, optimiser and precision; the peer is written as one would write it
in PyTorch, batched tensors and no Python loop over t. Both run in turns on the same machine,
and the ratio of the medians is what to read.
"""

import math
import statistics
import time
from collections.abc import Callable

import jax
import numpy as np
import torch

from dpm_jax import models, schedule
from dpm_jax.laws import heartbeat
from dpm_jax.laws.swiss_roll import roll as swiss_roll
from dpm_jax.process import Model
from dpm_jax.training.config import TrainConfig
from dpm_jax.training.program import prepare

BATCH, ROLL_STEPS, BEAT_STEPS, TIMES = 512, 40, 2000, 128
ROUNDS, STEPS = 7, 50
Run = Callable[[int], None]


def ours(model: Model, data: np.ndarray, times: int) -> Run:
    """``run(n)`` takes n training steps."""
    config = TrainConfig(batch_size=BATCH, times_per_batch=times)
    program = prepare(model, data, config)
    state, resident = program.start()

    def run(count: int) -> None:
        nonlocal state
        state, report = program.train_steps(state, resident, np.int32(count))
        jax.block_until_ready(report)

    return run


def torch_run(parameters: list[torch.Tensor], loss: Callable[[], torch.Tensor]) -> Run:
    """The same, eagerly."""
    optimizer = torch.optim.Adam(parameters, lr=0.01, betas=(0.9, 0.99))

    def run(count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            loss().backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()

    return run


def torch_mlp(inputs: int, hidden: tuple[int, ...]) -> torch.nn.Sequential:
    """Linear and SiLU layers, without a read-out."""
    layers: list[torch.nn.Module] = []
    for width in hidden:
        layers += [torch.nn.Linear(inputs, width), torch.nn.SiLU()]
        inputs = width
    return torch.nn.Sequential(*layers)


def torch_roll(examples: np.ndarray, beta_1: float) -> Run:
    """The Gaussian bound with a learned schedule, all steps, read-out of a belief about x_0."""
    data, trunk = torch.from_numpy(examples), torch_mlp(14, (64, 64))
    kernel = torch.zeros(ROLL_STEPS - 1, 64, 4, requires_grad=True)
    bias = torch.zeros(ROLL_STEPS - 1, 1, 4, requires_grad=True)
    gaps = torch.zeros(ROLL_STEPS - 1, requires_grad=True)
    end = torch.tensor(2.0, requires_grad=True)
    start = math.log1p(-beta_1) - math.log(beta_1)
    octaves = 0.5 * math.pi * 2.0 ** torch.arange(3)

    def loss() -> torch.Tensor:
        fallen = torch.cumsum(torch.softmax(gaps, 0), 0) * torch.sigmoid(end)
        log_snr = torch.cat([torch.full((1,), start), start - (start + 8) * fallen])
        log_bar = torch.nn.functional.logsigmoid(log_snr)[:, None, None]
        before, now = log_bar[:-1], log_bar[1:]
        beta = -torch.expm1(now - before)
        x0 = data[torch.randint(len(data), (BATCH,))]
        noise = torch.randn(ROLL_STEPS - 1, BATCH, 2)
        xt = torch.exp(0.5 * now) * x0 + torch.sqrt(-torch.expm1(now)) * noise
        unexplained = -torch.expm1(before)
        total = unexplained + torch.exp(before) * beta
        weight_x0 = torch.exp(0.5 * before) * beta / total
        var_q = beta * unexplained / total
        angles = (xt[..., None, :] * octaves[:, None]).flatten(-2)
        h = trunk(torch.cat([xt, torch.sin(angles), torch.cos(angles)], -1))
        z = (torch.bmm(h, kernel) + bias).unflatten(-1, (2, 2))
        noise_var = -torch.expm1(now)
        guess = torch.exp(0.5 * now) * xt + torch.sqrt(noise_var) * z[..., 0]
        var_p = var_q + weight_x0**2 * noise_var * torch.exp(z[..., 1])
        ratio = torch.log(var_q) - torch.log(var_p)
        # The means differ by their weight of x_0 alone.
        kl = torch.expm1(ratio) - ratio + (weight_x0 * (x0 - guess)) ** 2 / var_p
        mean_T, var_T = torch.exp(0.5 * log_bar[-1]) * x0, -torch.expm1(log_bar[-1])
        prior_kl = mean_T**2 + var_T - 1 - torch.log(var_T)
        return 0.5 * (kl.sum(0) + prior_kl).sum(-1).mean()

    return torch_run([*trunk.parameters(), kernel, bias, gaps, end], loss)


def torch_heartbeat(examples: np.ndarray) -> Run:
    """The binomial bound, stratified steps, a belief about x_0 through ten bumps."""
    log_sigmoid = torch.nn.functional.logsigmoid
    data, trunk = torch.from_numpy(examples), torch_mlp(20, (50, 50, 50))
    kernel = torch.zeros(10, 50, 20, requires_grad=True)
    bias = torch.zeros(10, 20, requires_grad=True)
    centres, p0 = BEAT_STEPS / 10 * (torch.arange(10) + 0.5), heartbeat.ACTIVITY

    def flip(x: torch.Tensor, rate: torch.Tensor) -> torch.Tensor:
        one = torch.log1p(-rate * (1 - p0)) - torch.log(rate * (1 - p0))
        return torch.where(x > 0.5, one, torch.log(rate * p0) - torch.log1p(-rate * p0))

    def evidence(x: torch.Tensor, rate: torch.Tensor) -> torch.Tensor:
        one = torch.log1p(-rate * (1 - p0)) - torch.log(rate * p0)
        zero = torch.log(rate * (1 - p0)) - torch.log1p(-rate * p0)
        return torch.where(x > 0.5, one, zero)

    def loss() -> torch.Tensor:
        strata = (torch.arange(TIMES) + torch.rand(1)) / TIMES
        t = (2 + torch.floor(strata * (BEAT_STEPS - 1)))[:, None, None]
        beta, faded, faded_before = 1 / (BEAT_STEPS - t + 1), t / BEAT_STEPS, (t - 1) / BEAT_STEPS
        x0 = data[torch.randint(len(data), (BATCH,))].unflatten(0, (TIMES, -1))
        xt = (torch.rand(x0.shape) < torch.sigmoid(flip(x0, faded))).float()
        step = evidence(xt, beta)
        q = flip(x0, faded_before) + step
        bumps = torch.softmax(-((t[:, 0] - centres) ** 2) / (2 * (BEAT_STEPS / 10) ** 2), -1)
        h = trunk(2 * xt - 1)
        z = torch.bmm(h, torch.einsum("tj,jhf->thf", bumps, kernel)) + (bumps @ bias)[:, None]
        odds = math.log(p0 / (1 - p0)) + evidence(xt, faded) + z
        one = flip(torch.ones_like(xt), faded_before) + step
        zero = flip(torch.zeros_like(xt), faded_before) + step
        log_p = torch.logaddexp(
            log_sigmoid(odds) + log_sigmoid(one), log_sigmoid(-odds) + log_sigmoid(zero)
        )
        log_not = torch.logaddexp(
            log_sigmoid(odds) + log_sigmoid(-one), log_sigmoid(-odds) + log_sigmoid(-zero)
        )
        kl = torch.sigmoid(q) * (log_sigmoid(q) - log_p)
        kl = kl + torch.sigmoid(-q) * (log_sigmoid(-q) - log_not)
        return (BEAT_STEPS - 1) * kl.sum(-1).mean()

    return torch_run([*trunk.parameters(), kernel, bias], loss)


def rate(run: Run) -> float:
    """Steps per second."""
    begin = time.perf_counter()
    run(STEPS)
    return STEPS / (time.perf_counter() - begin)


def main() -> None:
    """Print a line per task: both rates, medians over rounds taken in turns, and their ratio."""
    rng = np.random.default_rng(0)
    roll, beta_1 = swiss_roll.sample(swiss_roll.law(0.25), 100_000, rng), 1e-6
    beats = heartbeat.sample(100_000, rng)
    gaussian = models.gaussian_mlp((2,), schedule.learned(ROLL_STEPS, beta_1))
    binomial = models.binomial_mlp(
        (heartbeat.BITS,), schedule.fixed(BEAT_STEPS), activity=heartbeat.ACTIVITY
    )
    tasks = {
        "swiss roll, T = 40, all t": (ours(gaussian, roll, 0), torch_roll(roll, beta_1)),
        "heartbeat, T = 2000": (ours(binomial, beats, TIMES), torch_heartbeat(beats)),
    }
    print(f"batch {BATCH}, {jax.devices()[0].device_kind}, median steps/s of {ROUNDS} rounds")
    for name, runs in tasks.items():
        for run in runs:
            run(2)  # compile, warm up
        rounds = [[rate(run) for run in runs] for _ in range(ROUNDS)]
        mine, peer = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(
            f"{name:28s} dpm_jax {mine:6.0f}   PyTorch eager {peer:6.0f}   ratio {mine / peer:.2f}"
        )


if __name__ == "__main__":
    main()
