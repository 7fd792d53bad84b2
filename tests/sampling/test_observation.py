"""The door to posteriors: what it refuses, in one line, and which way it takes."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_chains import linear_gaussian, random_bits
from test_enter import MEAN, NOISES, VARIANCE, normal_process

import dpm_jax
from dpm_jax import levels
from dpm_jax.kernels import binomial, gaussian
from dpm_jax.levels import Grid
from dpm_jax.sampling import enter
from dpm_jax.sampling.observation import flipped, known, likelihood, noisy
from dpm_jax.sampling.posterior import posterior

Y, SOME = np.array([0.3, -0.2]), np.array([True, False])
NAN = np.array([np.nan, 1.0])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: noisy(Y, 0.0), "s must be positive and finite, got 0.0"),
        (lambda: noisy(Y, -1.0), "s must be positive and finite, got -1.0"),
        (lambda: noisy(Y, np.nan), "s must be positive and finite, got nan"),
        (lambda: noisy(Y, np.ones(3)), r"s must be one number or of the shape \(2,\), got \(3,\)"),
        (lambda: noisy(NAN, 1.0), "y must be finite, got nan"),
        (lambda: flipped(np.ones(2), 0.0), r"f must lie in \(0, 1/2\), got 0.0"),
        (lambda: flipped(np.ones(2), 0.5), r"f must lie in \(0, 1/2\), got 0.5"),
        (lambda: flipped(np.ones(2), np.nan), r"f must lie in \(0, 1/2\), got nan"),
        (lambda: flipped(Y, 0.1), "bits must be 0 or 1, got 0.3"),
        (lambda: flipped(NAN, 0.1), "bits must be finite, got nan"),
        (lambda: known(Y, np.ones(2, bool)), "mask must leave a component unknown"),
        (lambda: known(Y, np.zeros(2, bool)), "mask must know a component"),
        (lambda: noisy(Y, 1.0, np.zeros(2, bool)), "mask must know a component"),
        (lambda: known(Y, np.ones(3, bool)), r"mask must have the shape .*\(2,\), got \(3,\)"),
        (lambda: known(Y, np.ones(2)), "mask must be of true and false, got float64"),
        (lambda: known(NAN, SOME), "known .*|value must be finite, got nan"),
    ],
)
def test_what_says_nothing_of_an_example_is_refused(make, said):
    with pytest.raises(ValueError, match=f"^{said}") as refused:
        make()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "options", "said"),
    [
        (known(Y, SOME), {"particles": 1}, "particles must be at least 2, got 1"),
        (known(Y, SOME), {"runs": 0}, "runs must be at least 1, got 0"),
        (known(Y, SOME), {"sweeps": 0}, "sweeps must be at least 1, got 0"),
        (known(Y, SOME), {"method": "best"}, "method must be auto, enter, .*, got best"),
        (known(Y, SOME), {"method": "enter"}, "method enter is not open .*: only what noisy makes"),
        (noisy(Y, 1.0, SOME), {"method": "enter"}, "method enter .*: all components must be seen"),
        (noisy(Y, 99.0), {"method": "enter"}, "method enter .*: std must be more than .*, got 99"),
        (noisy(Y, 1.0), {"method": "replace"}, "method replace is for components that are known"),
        (noisy(np.ones(3), 1.0), {}, r"observation must have .* event shape \(2,\), got \(3,\)"),
        (known(np.ones(3), np.arange(3) > 1), {}, r"observation must have .* event shape"),
        (flipped(np.ones(2), 0.1), {}, "observation must be noisy where the process is Gaussian"),
        (likelihood(lambda x: x), {}, r"log_r must be one number of an event \(2,\)"),
    ],
)
def test_what_cannot_be_asked_is_refused(given, options, said):
    with pytest.raises(ValueError, match=f"^{said}") as refused:
        posterior(linear_gaussian()[0], given, jax.random.key(0), **options)
    assert "\n" not in str(refused.value)


def test_values_that_are_no_bits_are_refused():
    with pytest.raises(ValueError, match=r"must be bits, 0 or 1, got 0\.3"):
        posterior(random_bits(), known(np.full(3, 0.3), np.arange(3) > 1), jax.random.key(0))


@pytest.mark.parametrize("last_step", [levels.posterior, levels.binned])
def test_known_pixels_that_are_no_grey_levels_are_refused(last_step):
    grid, mask = Grid(np.array([-1.3, 0.2]), 0.8, 4), np.array([True, False])
    process = replace(linear_gaussian()[0], last_step=last_step(grid))
    for value, level in ((-0.9, "0.5"), (-2.1, "-1"), (1.9, "4")):
        said = f"^examples must be grey levels, whole numbers from 0 to 3, got one at {level}$"
        with pytest.raises(ValueError, match=said):
            posterior(process, known(np.array([value, 0.0]), mask), jax.random.key(0))
    known(np.array([-0.5, 0.0]), mask).check(process)  # 0 is no level either, but is not read


@pytest.mark.parametrize("method", ["smc", pytest.param("gibbs", marks=pytest.mark.slow)])
def test_what_cannot_be_leaves_no_particle(method):
    given = likelihood(lambda x: -jnp.inf * (1 + x[0]))
    sizes = {"particles": 4, "runs": 2, "sweeps": 2}
    with pytest.raises(ValueError, match=r"^no particle is left: .* or take more particles$"):
        posterior(random_bits(), given, jax.random.key(0), method=method, **sizes)


def test_the_exact_way_is_taken_where_there_is_one():
    process = normal_process()
    for s, reason in ((0.5, None), (float(NOISES[40]), None), (99.0, "std must be"), (1e-3, "std")):
        found = enter.why_not(process, noisy(np.zeros(3), s))
        assert found is None if reason is None else found.startswith(reason), s
    uneven = noisy(np.zeros(3), np.array([1.0, 1.0, 2.0]))
    assert "same noise" in enter.why_not(process, uneven)


@pytest.mark.parametrize("std", [0.5, float(NOISES[40])])
def test_what_is_entered_has_the_posterior_and_the_evidence(std):
    y, key = np.array([-1.0, 0.4, 2.5]), jax.random.key(0)
    found = dpm_jax.posterior(normal_process(), noisy(y, std), key, particles=500)
    gain = VARIANCE / (VARIANCE + std**2)
    mean, error = found.mean(found.x)
    assert (found.method, found.exact, len(found.x)) == ("enter", True, 4_000)
    assert (np.abs(mean - MEAN - gain * (y - MEAN)) < 5 * error).all()
    total = VARIANCE + std**2
    exact = -0.5 * (np.log(2 * np.pi * total) + (y - MEAN) ** 2 / total).sum()
    evidence, error = found.log_evidence
    assert abs(evidence - exact) < 5 * error
    assert error < 0.02


@pytest.mark.parametrize("kernel", [gaussian.KERNEL, binomial.kernel(0.3)], ids=["reals", "bits"])
def test_a_slope_moves_normals_alone_and_not_far(kernel):
    p = kernel.marginal(jnp.array([1.0, 0.0]), jnp.log(0.5))
    slope = jnp.array([0.4, -1e9])
    moved = kernel.lean(p, lambda x: slope @ x, jnp.ones(2))
    if kernel.channels == 1:
        np.testing.assert_array_equal(moved.logits, p.logits)
        return
    std = np.sqrt(0.5)
    np.testing.assert_allclose(moved.mean - p.mean, [0.4 * 0.5, -std], rtol=1e-6)
    np.testing.assert_array_equal(moved.variance, p.variance)
    lost = kernel.lean(p, lambda x: jnp.nan * x.sum(), jnp.ones(2))
    np.testing.assert_array_equal(lost.mean, p.mean)
