"""Whether our networks and PyTorch's are the same: KLs, gradients and draws, of equal parameters.

Both are given the same x_0, t and noise, so that nothing is left to chance.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import peers
import torch
import twins
from tasks import Task, parameters
from twins import Twin

from dpm_jax import bound
from dpm_jax.kernels import gaussian
from dpm_jax.process import bind
from dpm_jax.schedule import at
from dpm_jax.training import times

EXAMPLES, TIMES = 4, 3


def flat(tree: Any) -> dict[str, np.ndarray]:
    """A tree of ours with names joined by "/"."""
    named = jax.tree_util.tree_leaves_with_path(tree)
    return {"/".join(key.key for key in path): np.asarray(leaf) for path, leaf in named}


def same(task: Task, twin: Twin) -> float:
    """The largest difference, of step KLs, of draws or a gradient, relative to its largest entry.

    Raises:
        ValueError: if it is more than float32 accounts for.
    """
    params, steps = parameters(task.model), task.model.schedule.steps
    # Not the first: where almost no noise is added, float32 rounds what is left of x_0's variance.
    t = np.linspace(steps // 4, steps, TIMES).astype(np.int32)
    shape = (TIMES, EXAMPLES, *task.model.event_shape)
    x0 = task.data[: TIMES * EXAMPLES].reshape(shape)
    gaussian_noise = task.model.kernel is gaussian.KERNEL
    rng = np.random.default_rng(0)
    uniform = rng.uniform(0.02, 0.98, shape).astype(np.float32)
    noise = rng.normal(size=shape).astype(np.float32) if gaussian_noise else uniform
    ours_noise = noise if gaussian_noise else np.log(uniform) - np.log1p(-uniform)

    def ours(params: Any) -> tuple[jax.Array, jax.Array]:
        process = bind(task.model, params)
        probability = times.probabilities(times.start(steps), steps)

        def of_one(t: Any, x: Any, eps: Any) -> Any:
            terms = bound.sampled_step(process, x, t, jnp.stack([eps, eps]), probability[t - 2])
            return terms.step_kl[0] * probability[t - 2], terms.prior_kl

        at_step = jax.vmap(of_one, in_axes=(None, 0, 0))
        kl, prior_kl = jax.vmap(at_step)(jnp.asarray(t), jnp.asarray(x0), jnp.asarray(ours_noise))
        return kl.mean() + prior_kl.mean(), kl

    def ours_drawn(params: Any) -> jax.Array:
        process = bind(task.model, params)

        def of_one(t: Any, xt: Any, eps: Any) -> Any:
            return process.kernel.transport(process.reverse(xt, t, at(process.schedule, t)), eps)

        at_step = jax.vmap(of_one, in_axes=(None, 0, 0))
        return jax.vmap(at_step)(jnp.asarray(t), jnp.asarray(x0), jnp.asarray(ours_noise))

    (_, kl), grads = jax.jit(jax.value_and_grad(ours, has_aux=True))(params)
    p = peers.parameters(flat(params), channels_last=False)
    theirs, prior_kl = peers.value(
        twin, p, torch.from_numpy(x0), torch.from_numpy(noise), torch.from_numpy(t).long()
    )
    (theirs.mean() + prior_kl.mean()).backward()
    xt, their_t = torch.from_numpy(x0), torch.from_numpy(t).long()
    step = twins.steps_at(twin.schedule(p), their_t, x0.ndim - 1)
    drawn = twin.draw(xt, step, twin.read_out(p, xt, their_t), torch.from_numpy(noise))
    pairs = [(np.asarray(kl), theirs.detach())]
    pairs += [(np.asarray(jax.jit(ours_drawn)(params)), drawn.detach())]
    for name, grad in flat(grads).items():
        peer = p[name].grad
        if peer is not None:
            pairs.append((grad, peer.permute(2, 3, 1, 0) if peer.ndim == 4 else peer))
    largest = max(float(np.abs(a - b.numpy()).max() / np.abs(a).max()) for a, b in pairs)
    if not largest < 1e-3:
        raise ValueError(f"the networks are not the same: they differ by {largest:.2g}")
    return largest
