"""Held-out bounds: the same number however the examples are cut, and its standard error."""

import json
from functools import partial

import jax
import numpy as np
import pytest
import toys
from hypothesis import given
from hypothesis import strategies as st

from dpm_jax.evaluation.likelihood import estimate, evaluate, importance_weighted

COUNT = 50
MODELS = {
    "reals": (toys.reals(), toys.real_data(COUNT)),
    "bits": (toys.bits(), toys.bit_data(COUNT)),
}
KEY = jax.random.key(3)


def process(name):
    return toys.random_process(MODELS[name][0])


def bounds(name, **options):
    return evaluate(process(name), MODELS[name][1], KEY, progress=False, **options)


@pytest.fixture(scope="module", params=MODELS)
def whole(request):
    return request.param, bounds(request.param)


@pytest.mark.parametrize("chunk", [7, 25])
def test_K_does_not_depend_on_the_chunk(whole, chunk):
    name, expected = whole
    found = bounds(name, chunk=chunk)  # 7 does not divide 50: the last chunk is filled up
    for field in ("K", "K_eq14", "null", "step_kl"):
        np.testing.assert_allclose(
            getattr(found, field), getattr(expected, field), rtol=1e-5, atol=1e-5
        )
    assert found.terms == pytest.approx(expected.terms, abs=1e-5)


def test_an_example_has_its_own_noise_whatever_comes_after_it(whole):
    name, expected = whole
    data = MODELS[name][1][:10]
    few = evaluate(process(name), data, KEY, chunk=COUNT, progress=False)
    np.testing.assert_allclose(few.K, expected.K[:10], rtol=1e-5, atol=1e-5)


def test_the_same_example_twice_has_two_draws_of_noise(whole):
    name, _ = whole
    data = np.repeat(MODELS[name][1][:1], 2, axis=0)
    K = evaluate(process(name), data, KEY, progress=False).K
    assert K[0] != K[1]


def test_the_terms_add_up_to_K(whole):
    _, found = whole
    terms = found.terms
    K = terms["last_step"] - terms["prior_kl"] - found.step_kl.sum()
    assert found.K.mean() == pytest.approx(K, abs=1e-5)
    eq14 = terms["entropy_last"] - terms["entropy_first"] - terms["entropy_prior"]
    assert found.K_eq14.mean() == pytest.approx(eq14 - found.step_kl.sum(), abs=1e-5)
    assert found.K.dtype == np.float64
    assert found.step_kl.shape == (toys.STEPS - 1,)
    assert all(type(value) is float for value in terms.values())  # as JSON has them


def test_more_paths_raise_the_bound_in_the_mean(whole):
    name, found = whole
    weigh = partial(importance_weighted, process(name), MODELS[name][1], KEY, progress=False)
    one, many = weigh(paths=1), weigh(paths=64)
    assert abs(estimate(one - found.K).mean) < 5 * estimate(one - found.K).se  # N = 1 is K
    assert estimate(many).mean > estimate(found.K).mean
    assert many.dtype == np.float64
    np.testing.assert_allclose(weigh(paths=64, chunk=9), many, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_drawn_steps_estimate_the_sum_over_all_of_them(name):
    model, data = MODELS[name]
    many = np.resize(data, (2_000, *data.shape[1:]))
    full = evaluate(toys.random_process(model), many, KEY, progress=False)
    drawn = evaluate(toys.random_process(model), many, KEY, times=2, progress=False)
    assert drawn.step_kl.shape == (1,)
    difference = estimate(drawn.K - full.K)
    assert difference.se > 0
    assert abs(difference.mean) < 5 * difference.se
    np.testing.assert_allclose(drawn.step_kl.sum(), full.step_kl.sum(), atol=5 * difference.se)


def test_many_examples_lose_no_digits_in_the_sum_of_their_steps():
    data = np.resize(MODELS["reals"][1], (20_000, 2))
    found = evaluate(process("reals"), data, KEY, chunk=20_000, progress=False)
    K = found.terms["last_step"] - found.terms["prior_kl"] - found.step_kl.sum()
    assert found.K.mean() == pytest.approx(K, abs=1e-7)


@pytest.mark.parametrize(("name", "bad"), [("reals", np.nan), ("bits", 0.5)])
def test_examples_that_the_kernel_cannot_diffuse_are_refused(name, bad):
    data = MODELS[name][1].copy()
    data[-1, -1] = bad
    with pytest.raises(ValueError, match=r"^examples must be"):
        evaluate(process(name), data, KEY, progress=False)
    with pytest.raises(ValueError, match=r"^examples must be"):
        importance_weighted(process(name), data, KEY, paths=2, progress=False)


def test_data_in_other_units_are_warned_of():
    with pytest.warns(UserWarning, match=r"dpm_jax\.scaling\.fit"):
        evaluate(process("reals"), 100 * MODELS["reals"][1], KEY, progress=False)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=30))
def test_the_standard_error_is_that_of_a_mean_of_independent_values(values):
    x = np.asarray(values)
    n = len(x)
    mean, se = estimate(x)
    assert mean == pytest.approx(sum(values) / n, abs=1e-9)
    assert se**2 * n * (n - 1) == pytest.approx(((x - mean) ** 2).sum(), abs=1e-6)


def test_an_estimate_can_be_written_as_json():
    assert json.loads(json.dumps(estimate(np.float32([1.0, 3.0])))) == [2.0, 1.0]
