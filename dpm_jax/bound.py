"""K, the lower bound on log p(x_0) (eq. 13-14, App. B), and the path weights behind it (eq. 9).

Reported bounds are true bounds. With the forward kernel as the fixed last reverse step,
detailed balance makes the t = 1 term analytic,

    E_q log T_π(x_0 | x_1; β_1) = log π(x_0) + KL(q(x_1 | x_0) ‖ π),

and the whole bound, for one example and in nats, is

    K = -Σ_{t=2..T} E_q KL(q(x_{t-1} | x_t, x_0) ‖ p(x_{t-1} | x_t))
        - KL(q(x_T | x_0) ‖ π) + E_q log p(x_0 | x_1)  ≤  log p(x_0).

Eq. 14 replaces the example's own -E_q log π(x_t) by H_p(X_T); the two agree in the mean
over data whose second moment (activity, for bits) is that of π.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dpm_jax.array_types import Array, Event, Float, Int, PRNGKey, Scalar, Step
from dpm_jax.kernels.base import log_prob_of_each
from dpm_jax.process import Process
from dpm_jax.schedule import at, times

AT_ONCE = 16
"""Steps of one example that ``stratified_steps`` and ``every_step`` work on at a time."""

PATHS_AT_ONCE = 64
"""Paths of one example that ``importance_weighted`` works on at a time."""


class Bound(NamedTuple):
    """The terms of one example's bound, nats; every field gains the axes of a ``vmap``."""

    step_kl: Float[Array, " T-1"]  # t = 2..T; a sampled-t estimate has one entry, for the sum
    prior_kl: Scalar  # KL(q(x_T | x_0) ‖ π)
    last_step: Scalar  # E_q log p(x_0 | x_1)
    null: Scalar  # log π(x_0), of which L_null is the mean
    entropy_first: Scalar  # H_q(X_1 | X_0)
    entropy_last: Scalar  # H_q(X_T | X_0)
    entropy_prior: Scalar  # H_p(X_T)

    @property
    def K(self) -> Array:
        """The true bound: K ≤ log p(x_0)."""
        return self.last_step - self.prior_kl - self.step_kl.sum(-1)

    @property
    def K_eq14(self) -> Array:
        """Eq. 14 with the paper's fixed last step, whatever this process's last step is."""
        return self.entropy_last - self.entropy_first - self.entropy_prior - self.step_kl.sum(-1)


def step_kl(process: Process, x0: Event, t: Step, noise: Event) -> Scalar:
    """KL(q(x_{t-1} | x_t, x_0) ‖ p(x_{t-1} | x_t)) at x_t = transport(q(x_t | x_0), noise), nats.

    t = 2..T. Only x_t is sampled; averaged over noise it is a term of eq. 14.
    """
    kernel, c = process.kernel, at(process.schedule, t)
    xt = kernel.transport(kernel.marginal(x0, c.log_alpha_bar), noise)
    q = kernel.posterior(x0, xt, c.beta, c.log_alpha_bar_prev)
    return kernel.kl(q, process.reverse(xt, t, c))


def noise_error(process: Process, x0: Event, t: Step, noise: Event) -> Scalar:
    """‖ε - ε̂(x_t, t)‖² at x_t = √ᾱ_t x_0 + √(1-ᾱ_t) ε: L_simple's (Ho et al. 2020, eq. 14).

    ε̂ is what is left of x_t once √ᾱ_t x̂_0 is taken away, whatever the network predicts; x̂_0 is
    the mean of the one step from x_t to the data. For Gaussian processes whose steps follow from
    a belief about x_0.
    """
    c = at(process.schedule, t)
    xt = process.kernel.transport(process.kernel.marginal(x0, c.log_alpha_bar), noise)
    guess = process.reverse(xt, t, c.to_data).mean
    left = (xt - jnp.exp(0.5 * c.log_alpha_bar) * guess) / jnp.sqrt(-jnp.expm1(c.log_alpha_bar))
    return jnp.sum((noise - left) ** 2)


def all_steps(process: Process, x0: Event, noise: Float[Array, "T *event"]) -> Bound:
    """The bound of one example with every step summed; ``noise[t-1]`` makes x_t."""
    of_one = all_steps_of_batch(process, x0[None], noise[:, None])
    return jax.tree.map(lambda term: term[0], of_one)


def all_steps_of_batch(
    process: Process, x0: Float[Array, "batch *event"], noise: Float[Array, "T batch *event"]
) -> Bound:
    """``all_steps`` of every example, laid out step by step: ``noise[t-1, i]`` makes x_t of x0[i].

    With t outside, each step's read-out is one product for the whole batch; examples outside
    would make the gradient a third slower on CPU.
    """

    def at_step(t: Step, noise: Float[Array, "batch *event"]) -> Float[Array, " batch"]:
        return jax.vmap(lambda x, eps: step_kl(process, x, t, eps))(x0, noise)

    kls = jax.vmap(at_step)(times(process.schedule), noise[1:])
    return jax.vmap(lambda x, eps, kl: _with_boundary(process, x, eps, kl))(x0, noise[0], kls.T)


def every_step(
    process: Process, x0: Float[Array, "batch *event"], keys: Array
) -> Float[Array, "batch steps"]:
    """KL of the steps t = 2..T of every example, by noise of its own key, nats.

    Memory does not grow with T, but for what is returned.
    """

    def at_step(t: Step) -> Float[Array, " batch"]:
        def one(x: Event, key: PRNGKey) -> Scalar:
            noise = process.kernel.noise(jax.random.fold_in(key, t), x.shape)
            return step_kl(process, x, t, noise)

        return jax.vmap(one)(x0, keys)

    return jax.lax.map(at_step, times(process.schedule), batch_size=AT_ONCE).T


def whole_bound(process: Process, x0: Float[Array, "batch *event"], keys: Array) -> Bound:
    """The bound of every example with every step summed, in the memory of ``every_step``."""

    def boundary(x: Event, key: PRNGKey, kl: Float[Array, " steps"]) -> Bound:
        noise = process.kernel.noise(jax.random.fold_in(key, 1), x.shape)
        return _with_boundary(process, x, noise, kl)

    return jax.vmap(boundary)(x0, keys, every_step(process, x0, keys))


def sampled_step(
    process: Process,
    x0: Event,
    t: Step,
    noise: Float[Array, "2 *event"],
    probability: Scalar | None = None,
) -> Bound:
    """An unbiased estimate of the bound from one step t of 2..T, drawn with this probability.

    ``step_kl`` is KL_t / probability; without one, t is uniform, and that is (T-1) KL_t.
    ``noise[0]`` makes x_1, ``noise[1]`` makes x_t.
    """
    kl = step_kl(process, x0, t, noise[1])
    kl = (process.schedule.steps - 1) * kl if probability is None else kl / probability
    return _with_boundary(process, x0, noise[0], kl[None])


def stratified_steps(process: Process, x0: Event, key: PRNGKey, times: int) -> Bound:
    """The mean of ``sampled_step`` over stratified steps; with T-1 of them, every step once.

    Memory does not grow with ``times``.
    """
    times_key, noise_key = jax.random.split(key)
    t = stratified_times(times_key, times, process.schedule.steps)

    def at_step(draw: Array, t: Step) -> Bound:
        # By the draw and not by t: a step that is drawn again has noise of its own.
        noise = process.kernel.noise(jax.random.fold_in(noise_key, draw), (2, *x0.shape))
        return sampled_step(process, x0, t, noise)

    terms = jax.lax.map(lambda a: at_step(*a), (jnp.arange(times), t), batch_size=AT_ONCE)
    return jax.tree.map(lambda term: term.mean(0), terms)


def _with_boundary(
    process: Process, x0: Event, noise: Event, step_kl: Float[Array, " steps"]
) -> Bound:
    kernel, schedule = process.kernel, process.schedule
    prior = kernel.prior(x0.shape)
    first = kernel.marginal(x0, schedule.log_alpha_bar[0])
    last = kernel.marginal(x0, schedule.log_alpha_bar[-1])
    return Bound(
        step_kl=step_kl,
        prior_kl=kernel.kl(last, prior),
        last_step=process.last_step.expected_log_prob(process, x0, noise),
        null=kernel.log_prob(prior, x0),
        entropy_first=kernel.entropy(first),
        entropy_last=kernel.entropy(last),
        entropy_prior=kernel.entropy(prior),
    )


def stratified_times(key: PRNGKey, count: int, steps: int) -> Int[Array, " count"]:
    """``count`` steps t = 2..T, each uniform, jointly spread evenly over the range.

    One shared offset, one point per stratum, in random order: averaged over a batch, the
    estimate of ``sampled_step`` has a smaller variance than with independent steps.
    """
    t = 2 + (stratified_points(key, count) * (steps - 1)).astype(int)  # rounded down
    # (count - 1 + u)/count can round up to 1 in float32.
    return jnp.minimum(t, steps)


def stratified_points(key: PRNGKey, count: int) -> Float[Array, " count"]:
    """Points of [0, 1], each uniform, one in every stratum, in random order."""
    offset_key, order_key = jax.random.split(key)
    points = (jnp.arange(count) + jax.random.uniform(offset_key)) / count
    return jax.random.permutation(order_key, points)


def path_log_weight(process: Process, x0: Event, key: PRNGKey) -> Scalar:
    """Log of p(x_T) ∏ p(x_{t-1} | x_t)/q(x_t | x_{t-1}) along one forward path (eq. 9), nats.

    Its mean over paths is K, its log-mean-exp tends to log p(x_0).
    """
    kernel, schedule = process.kernel, process.schedule
    # p and q meet component by component, and the event is summed once: log p of a whole image
    # is thousands of nats, of which float32 would round away as much as p and q differ by.
    log_prob = partial(log_prob_of_each, kernel)

    def forward(x: Event, t: Step) -> tuple[Event, Event]:
        q = kernel.step(x, at(schedule, t).beta)
        x_next = kernel.transport(q, kernel.noise(jax.random.fold_in(key, t), x.shape))
        return x_next, log_prob(q, x_next)

    def add_step(carry: tuple[Event, Event], t: Step) -> tuple[tuple[Event, Event], None]:
        x, log_weight = carry
        x_next, log_q = forward(x, t)
        log_p = log_prob(process.reverse(x_next, t, at(schedule, t)), x)
        return (x_next, log_weight + (log_p - log_q)), None

    x1, log_q = forward(x0, jnp.asarray(1))
    last = process.last_step
    log_p = log_prob_of_each(last.family(process), last.distribution(process, x1), x0)
    log_weight = log_p - log_q
    (xT, log_weight), _ = jax.lax.scan(add_step, (x1, log_weight), times(schedule))
    return jnp.sum(log_weight + log_prob(kernel.prior(x0.shape), xT))


def importance_weighted(process: Process, x0: Event, key: PRNGKey, paths: int) -> Scalar:
    """Log of the mean weight of ``paths`` paths: a bound between K and log p(x_0), nats.

    Its expectation rises to log p(x_0) with the number of paths. Memory does not grow with it.
    """
    together = min(paths, PATHS_AT_ONCE)

    def weigh(path: Array) -> Scalar:
        log_weight = path_log_weight(process, x0, jax.random.fold_in(key, path))
        # The last few may be none of those asked for.
        return jnp.where(path < paths, log_weight, -jnp.inf)

    def add(i: Array, total: Scalar) -> Scalar:
        log_weights = jax.vmap(weigh)(i * together + jnp.arange(together))
        return jnp.logaddexp(total, jax.nn.logsumexp(log_weights))

    total = jax.lax.fori_loop(0, -(-paths // together), add, jnp.full((), -jnp.inf))
    return total - jnp.log(paths)
