"""Particles against sums over all states and normals' algebra: draws, evidence, and any number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import jit
from small_chains import STATES, entangled, law_of_bits, linear_gaussian, random_bits

from dpm_jax import reverse
from dpm_jax.sampling import gibbs, observation
from dpm_jax.sampling.certificate import sandwich
from dpm_jax.sampling.estimates import Posterior
from dpm_jax.sampling.log_weights import alive, effective_size
from dpm_jax.sampling.particles import FREE, along, filtered, line

BITS, MASK, F = np.array([1.0, 0.0, 1.0]), np.array([True, False, True]), 0.2
IN_BITS = {
    "flipped": (
        observation.flipped(BITS, F, MASK),
        np.where(MASK, np.where(STATES == BITS, 1 - F, F), 1).prod(-1),
    ),
    "known": (observation.known(BITS, MASK), (STATES == BITS)[:, MASK].all(-1)),
    "likelihood": (observation.likelihood(entangled), np.exp([entangled(s) for s in STATES])),
}
KNOWN = observation.known(np.array([1.1, np.nan]), np.array([True, False]))


def is_state(x):
    return (x[:, None] == STATES).all(-1)


def assert_near(found, expected):
    mean, error = found
    assert (np.abs(mean - expected) < 5 * error + 1e-7).all(), (mean, error, expected)


def runs(process, given, particles, count, seed=0, lineage=FREE):
    """``count`` independent runs as one posterior."""
    keys = jax.random.split(jax.random.key(seed), count)
    found = jit(jax.vmap(lambda key: filtered(process, given, key, particles, lineage=lineage)))(
        keys
    )
    x, log_weight = np.asarray(found.x), np.asarray(found.log_weight)
    draws = Posterior(x.reshape(-1, *process.event_shape), log_weight.ravel(), count)
    return draws, np.asarray(found.effective)


@pytest.mark.parametrize(
    ("name", "drawn_anew"),  # at how many of the states some run is resampled: r may say little
    [
        ("flipped", 2),
        pytest.param("known", 3, marks=pytest.mark.slow),
        pytest.param("likelihood", 1, marks=pytest.mark.slow),
    ],
)
def test_few_particles_of_many_runs_have_the_law_and_the_evidence(name, drawn_anew):
    given, r = IN_BITS[name]
    joint = np.linalg.multi_dot(law_of_bits()) * r
    # Runs of 8 are resampled often, and their weights are unbiased all the same.
    draws, effective = runs(random_bits(), given, 8, 4_000)
    assert_near(draws.mean(is_state(draws.x)), joint / joint.sum())
    assert_near(draws.log_evidence, np.log(joint.sum()))
    assert draws.log_evidence[1] < 0.01
    assert effective.shape == (4_000, 5)
    assert (effective < 4).any(0).sum() >= drawn_anew
    assert ((effective > 1 - 1e-3) & (effective < 8 + 1e-3)).all()


def test_one_known_bit_has_its_evidence_where_no_signal_is_left():
    # β_T = 1: ᾱ_T = 0, and one component is widened by nothing even there.
    one = np.array([False, True, False])
    r = STATES[:, 1] == 0
    joint = np.linalg.multi_dot(law_of_bits()) * r
    draws, _ = runs(random_bits(), observation.known(np.zeros(3), one), 8, 1_000)
    assert_near(draws.mean(is_state(draws.x)), joint / joint.sum())
    assert_near(draws.log_evidence, np.log(joint.sum()))


# Two are never drawn anew on the way; three are, and the held one finds its ancestor.
@pytest.mark.parametrize("particles", [3, pytest.param(2, marks=pytest.mark.slow)])
def test_few_particles_are_enough_for_sweeps(particles):
    given, r = IN_BITS["known"]
    joint = np.linalg.multi_dot(law_of_bits()) * r
    chains, sweeps = 300, 60

    def chain(key):
        return gibbs.chain(random_bits(), given, key, particles, sweeps)

    found = jit(jax.vmap(chain))(jax.random.split(jax.random.key(1), chains))
    x, log_z = (np.asarray(a)[:, 10:] for a in found)
    draws = Posterior(x.reshape(-1, 3), np.zeros(x.shape[0] * x.shape[1]), chains)
    assert (draws.x[:, MASK] == BITS[MASK]).all()
    assert_near(draws.mean(is_state(draws.x)), joint / joint.sum())
    inverse, error = Posterior(draws.x, -log_z.ravel(), chains).log_evidence
    assert_near((-inverse, error), np.log(joint.sum()))
    assert error < 0.03


def conditional(value, mask, mean, cov):
    """Mean, covariance and log density of known components, float64."""
    known, other = np.flatnonzero(mask), np.flatnonzero(~mask)
    inner, cross = cov[np.ix_(known, known)], cov[np.ix_(other, known)]
    away, gain = value[known] - mean[known], cross @ np.linalg.inv(inner)
    log_density = -0.5 * (away @ np.linalg.solve(inner, away) + np.linalg.slogdet(inner)[1])
    log_density -= 0.5 * len(known) * np.log(2 * np.pi)
    return mean[other] + gain @ away, cov[np.ix_(other, other)] - gain @ cross.T, log_density


def test_known_normals_are_the_conditional():
    process, mean, cov = linear_gaussian()
    draws, _ = runs(process, KNOWN, 64, 300)
    centre, variance, evidence = conditional(KNOWN.value, KNOWN.mask, mean, cov)
    y = draws.x[:, 1:].astype(np.float64)
    assert (draws.x[:, 0] == np.float32(1.1)).all()
    assert_near(draws.mean(np.concatenate([y, (y - centre) ** 2], -1)), [*centre, *variance[0]])
    assert_near(draws.log_evidence, evidence)
    assert draws.log_evidence[1] < 0.02


def test_runs_on_one_path_of_what_is_known_are_the_conditional_by_their_weights():
    process, mean, cov = linear_gaussian()
    draws, _ = runs(process, KNOWN, 8, 3_000, lineage=along(process, KNOWN))
    centre, variance, evidence = conditional(KNOWN.value, KNOWN.mask, mean, cov)
    y = draws.x[:, 1:].astype(np.float64)
    assert_near(draws.mean(np.concatenate([y, (y - centre) ** 2], -1)), [*centre, *variance[0]])
    assert_near(draws.log_evidence, evidence)
    assert draws.log_evidence[1] < 0.03


WIDE = np.linalg.inv(np.eye(4) + np.tri(4, k=0) @ np.tri(4, k=0).T / 4) * 1.6


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["known", "noisy", "linear"])
def test_any_observation_of_normals_is_the_closed_form(kind):
    """Any mask, noise on some components, and one linear observation, of four numbers."""
    process, mean, cov = linear_gaussian(variance=WIDE)
    y, mask = np.array([0.9, -0.4, 0.3, 1.2]), np.array([False, True, True, False])
    if kind == "known":
        given = observation.known(y, mask)
        centre, spread, evidence = conditional(y, mask, mean, cov)
        columns, rows = np.flatnonzero(~mask), None
    else:
        seen = np.eye(4)[mask] if kind == "noisy" else np.array([[1.0, -1.0, 0.5, 0.0]])
        s2 = 0.3
        rows = seen @ y
        given = observation.noisy(y, s2**0.5, mask)
        if kind == "linear":
            a = jnp.asarray(seen[0], jnp.float32)
            log_scale = 0.5 * np.log(2 * np.pi * s2)
            given = observation.likelihood(
                lambda x: -((a @ x - rows[0]) ** 2) / (2 * s2) - log_scale
            )
        joint = np.block([[cov, cov @ seen.T], [seen @ cov, seen @ cov @ seen.T]])
        joint[4:, 4:] += s2 * np.eye(len(seen))
        both = np.append(mean, seen @ mean)
        where = np.arange(4 + len(seen)) >= 4
        centre, spread, evidence = conditional(np.append(y, rows), where, both, joint)
        columns = np.arange(4)
    # The twist of any r is only r at the mean: its evidence takes more runs.
    draws, _ = runs(process, given, 64, 900 if kind == "linear" else 300, seed=3)
    x = draws.x[:, columns].astype(np.float64) - centre
    values = np.concatenate([x, x**2, x[:, :1] * x[:, 1:2]], -1)
    expected = [*np.zeros(len(columns)), *np.diag(spread), spread[0, 1]]
    assert_near(draws.mean(values), expected)
    assert_near(draws.log_evidence, evidence)
    assert draws.log_evidence[1] < 0.05


@pytest.mark.slow
def test_forms_without_a_belief_are_judged_under_the_prior():
    """Eq. 64-65 of the paper: right whatever it says, and the same p(value) as by weights."""
    import toys

    model = toys.reals()
    model = model.__class__(
        model.kernel, model.schedule, model.network, reverse.paper, model.event_shape
    )
    process = toys.random_process(model)
    draws, _ = runs(process, KNOWN, 128, 200)
    x, _ = runs(process, observation.likelihood(lambda x: 0.0 * x.sum()), 256, 100)
    near = np.abs(x.x[:, 0] - 1.1) < 0.1
    density = near.mean() / 0.2
    error = np.sqrt(density / 0.2 / len(near))
    assert abs(np.exp(draws.log_evidence[0]) - density) < 5 * error + 0.02 * density
    y = x.x[near, 1]
    mean, own = draws.mean(draws.x[:, 1:])
    assert abs(mean[0] - y.mean()) < 5 * np.hypot(y.std() / np.sqrt(len(y)), own[0])


def test_the_two_sides_of_the_evidence_meet():
    process = linear_gaussian()[0]

    def observe(x0, rng):
        return observation.known(x0, KNOWN.mask)

    found = sandwich(process, observe, jax.random.key(0), simulations=100, particles=64)
    gap, error = found.gap
    assert abs(gap) < 0.1
    assert error < 0.02
    assert gap > -5 * error
    few = found.below.std()
    assert few > 0.3  # the observations do differ


def test_a_line_of_descent_is_followed_to_its_beginning():
    parents = jnp.array([[2, 0, 1], [1, 1, 0], [0, 2, 2]])  # of x_0, x_1, x_2
    np.testing.assert_array_equal(line(parents, jnp.asarray(0)), [0, 2, 0, 0])
    np.testing.assert_array_equal(line(parents, jnp.asarray(2)), [2, 1, 1, 2])


def test_weights_that_are_nothing_count_for_nothing():
    dead = jnp.full(3, -jnp.inf)
    np.testing.assert_allclose(effective_size(jnp.array([5.0, 5.0, -jnp.inf])), 2)
    np.testing.assert_allclose(effective_size(jnp.array([-1e4, 0.0, -1e4])), 1)
    assert effective_size(dead) == 0
    np.testing.assert_array_equal(alive(dead + jnp.array([jnp.inf, 0.0, jnp.nan])), dead)
