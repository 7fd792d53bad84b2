"""Eq. 1-9: the two processes, and the probability that the model gives to data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from chains import along, chained, close, column, table
from reference import draws_of, standard_errors

from dpm_jax import bound
from dpm_jax.sampling.draw import draw

pytestmark = pytest.mark.usefixtures("float64")


def steps_of_the_kernel(chain, step):
    """log T_π(x | y; β_t) of the library, [y, x], for t = 1..T."""
    kernel = chain.kernel
    return [
        table(chain, lambda y, x, t=t: kernel.log_prob(step(y, chain.at(t).beta), x))
        for t in range(1, chain.T + 1)
    ]


def test_equilibrium(chain):
    kernel = chain.kernel
    prior = column(chain, lambda y: kernel.log_prob(kernel.prior(y.shape), y))
    for step in steps_of_the_kernel(chain, kernel.step):
        close(chain.integral(np.exp(step + prior[:, None]), (1,)), np.exp(chain.prior))


def test_detailed_balance(chain):
    for step in steps_of_the_kernel(chain, chain.kernel.step):
        flow = step + chain.prior[:, None]
        close(flow, flow.T)
        assert np.abs(step - step.T).max() > 0.1


def test_forward_step(chain):
    close(steps_of_the_kernel(chain, chain.kernel.step), chain.forward)


def test_forward_path(chain):
    paths = chained(steps_of_the_kernel(chain, chain.kernel.step))
    close(np.exp(paths + along(chain.data, 0, chain.T)), chain.q)
    close(chain.integral(chain.q), 1)


def test_marginal(chain):
    kernel = chain.kernel
    for t in range(1, chain.T + 1):
        c = chain.at(t)
        log_q = table(
            chain, lambda x0, x, c=c: kernel.log_prob(kernel.marginal(x0, c.log_alpha_bar), x)
        )
        close(np.exp(log_q + chain.data[:, None]), chain.law(0, t))


def test_reverse_end(chain):
    kernel = chain.kernel
    close(column(chain, lambda x: kernel.log_prob(kernel.prior(x.shape), x)), chain.prior)


def test_reverse_path(chain):
    process, kernel = chain.process, chain.kernel

    def first(x0, x1):
        return kernel.log_prob(process.last_step.distribution(process, x1), x0)

    def later(t):
        def log_prob(x, xt):
            return kernel.log_prob(process.reverse(xt, jnp.asarray(t), chain.at(t)), x)

        return log_prob

    paths = chained([table(chain, first), *(table(chain, later(t)) for t in chain.steps)])
    close(np.exp(paths + along(chain.prior, chain.T, chain.T)), np.exp(chain.log_p))
    close(chain.integral(np.exp(chain.log_p)), 1)


def test_model_probability(chain):
    # Matrix products from x_T down are the same sum over paths.
    p = np.exp(chain.prior)
    for reverse in reversed(chain.reverse):
        p = np.exp(reverse) @ p * chain.weight
    close(p, np.exp(chain.log_probability))
    count = 20_000
    drawn = np.asarray(draw(chain.process, count, jax.random.key(0), progress=False))[:, 0]
    for function in (lambda x: x, np.square, np.sin):
        expected = chain.integral(p * function(chain.points[:, 0]))
        assert standard_errors(function(drawn), expected) < 5


def test_path_weights(chain):
    forward = np.exp(chain.log_q - along(chain.data, 0, chain.T))
    weighted = chain.integral(forward * np.exp(chain.log_weight), (0,))
    close(weighted, np.exp(chain.log_probability))
    likely = np.argsort(chain.data)[-3:]
    x0 = jnp.asarray(chain.points[likely])

    def draw(key):
        return jax.vmap(lambda x: bound.path_log_weight(chain.process, x, key))(x0)

    assert (standard_errors(np.exp(draws_of(draw, 1, 4_000)), weighted[likely]) < 5).all()
