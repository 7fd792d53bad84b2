"""MCGSMs against quadrature, sums by hand in float64, joint Gaussians, and laws that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from dpm_jax.data.dataset import Dataset
from dpm_jax.evaluation import baselines, mcgsm, mcgsm_fit
from dpm_jax.evaluation.baselines import Moments
from dpm_jax.evaluation.likelihood import estimate
from dpm_jax.evaluation.mcgsm import Mcgsm, Parameters
from dpm_jax.training import minimise

conditionals = jax.jit(mcgsm.conditionals)


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def some_model(height, width, channels, *, reach=2, components=3, scales=2):
    """Numbers that nobody fitted: every part of the model matters."""
    where = mcgsm.layout(height, width, reach)
    inputs = where.neighbours.shape[-1] * channels + channels
    draw = iter(np.random.default_rng(0).spawn(5))

    def values(*shape):
        return jnp.asarray(next(draw).standard_normal((channels, *shape)), jnp.float32)

    return Mcgsm(
        where,
        Parameters(
            prior=values(int(where.cut.max()) + 1, components, scales),
            log_precision=values(components, scales),
            predictors=0.3 * values(inputs, components),
            features=0.3 * values(inputs, 4),
            loadings=values(components, 4),
        ),
    )


def neighbours(row, column, shape, reach):
    """Where the neighbours of a pixel lie, or stand in for those outside; None where none does."""
    places = [(-up, side) for up in range(reach, 0, -1) for side in range(-reach, reach + 1)]
    places += [(0, -left) for left in range(reach, 0, -1)]
    at = [(row + down, column + right) for down, right in places]
    inside = [p for p in at if 0 <= p[0] < shape[0] and 0 <= p[1] < shape[1]]
    if not inside:
        return [None] * len(at)
    return [p if p in inside else min(inside, key=lambda q: gap(p, q)) for p in at]


def gap(p, q):
    return (p[0] - q[0]) ** 2 + (p[1] - q[1]) ** 2


def by_hand(model, image, reach):
    """Every conditional from the formula of the docstring, one number at a time, float64."""
    shape, p = image.shape, jax.tree.map(lambda a: np.asarray(a, np.float64), model.parameters)
    logs = np.zeros(shape)
    for row, column, channel in np.ndindex(shape):
        at = neighbours(row, column, shape, reach)
        x = np.array([np.zeros(shape[2]) if q is None else image[q] for q in at]).ravel()
        own = np.where(np.arange(shape[2]) < channel, image[row, column], 0)[:-1]
        x = np.concatenate([x, own, [1.0]])
        eta = p.prior[channel, model.layout.cut[row, column]]
        precision = np.exp(p.log_precision[channel])
        energy = p.loadings[channel] ** 2 @ (x @ p.features[channel]) ** 2
        gate = np.exp(eta - 0.5 * precision * energy[:, None])
        mean = (x @ p.predictors[channel])[:, None]
        density = stats.norm(mean, precision**-0.5).pdf(image[row, column, channel])
        logs[row, column, channel] = np.log((gate / gate.sum() * density).sum())
    return logs


@pytest.mark.parametrize("shape", [(4, 5, 1), (3, 3, 3), (1, 4, 1), (5, 1, 2)])
@pytest.mark.parametrize("reach", [1, 2])
def test_every_conditional_is_the_one_of_the_formula(shape, reach):
    model = some_model(*shape, reach=reach)
    images = normal(1, 2, *shape)
    found = conditionals(model, jnp.asarray(images))
    for image, logs in zip(images, found, strict=True):
        np.testing.assert_allclose(logs, by_hand(model, image, reach), rtol=1e-4, atol=1e-4)
    bits = mcgsm.bits(model, images)
    assert bits.dtype == np.float64
    np.testing.assert_allclose(bits * np.log(2), found.sum((1, 2, 3)), rtol=1e-5)


GRID = np.linspace(-40, 40, 8001)


@pytest.mark.parametrize("at", [(0, 0, 0), (0, 2, 1), (1, 0, 0), (2, 1, 1), (2, 2, 0)])
def test_every_number_given_the_earlier_ones_has_a_density_that_integrates_to_1(at):
    model = some_model(3, 3, 2)
    images = np.repeat(normal(2, 1, 3, 3, 2), len(GRID), 0)
    images[:, *at] = GRID
    density = np.exp(np.asarray(conditionals(model, jnp.asarray(images)))[:, *at])
    assert np.trapezoid(density, GRID) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("shape", [(1, 2, 1), (2, 1, 1), (1, 1, 2)])
def test_the_density_of_images_of_two_numbers_integrates_to_1(shape):
    model = some_model(*shape)
    line = np.linspace(-30, 30, 601, dtype=np.float32)
    images = np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, *shape)
    density = np.exp2(mcgsm.bits(model, images)).reshape(601, 601)
    assert np.trapezoid(np.trapezoid(density, line), line) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("shape", [(4, 4, 1), (2, 3, 3)])
def test_one_component_of_one_scale_is_a_joint_gaussian(shape):
    model = some_model(*shape, components=1, scales=1)
    p = jax.tree.map(lambda a: np.asarray(a, np.float64), model.parameters)
    # y = A y + b + e with e independent: C = (I - A)⁻¹ Λ⁻¹ (I - A)⁻ᵀ.
    size = np.prod(shape)
    regression, constant, noise = np.zeros((size, size)), np.zeros(size), np.zeros(size)
    number = np.arange(size).reshape(shape)
    for row, column, channel in np.ndindex(shape):
        here, a = number[row, column, channel], p.predictors[channel, :, 0]
        at = neighbours(row, column, shape, 2)
        for i, q in enumerate(at):
            for c in range(shape[2]) if q else ():
                regression[here, number[q][c]] += a[i * shape[2] + c]
        for c in range(channel):
            regression[here, number[row, column, c]] += a[len(at) * shape[2] + c]
        constant[here], noise[here] = a[-1], np.exp(-p.log_precision[channel, 0, 0])
    spread = np.linalg.inv(np.eye(size) - regression)
    law = Moments((spread @ constant).reshape(shape), spread * noise @ spread.T)
    images = normal(3, 5, *shape)
    expected = baselines.gaussian_bits(law, images)
    np.testing.assert_allclose(mcgsm.bits(model, images), expected, rtol=1e-4)


@pytest.mark.parametrize("shape", [(6, 7, 1), (4, 4, 3)])
def test_a_later_number_changes_no_earlier_conditional_and_most_of_its_neighbours(shape):
    model, (image,) = some_model(*shape, reach=1), normal(4, 1, *shape)
    order = np.arange(image.size).reshape(shape)
    each = np.eye(image.size, dtype=np.float32).reshape(-1, *shape)
    before, *after = conditionals(model, jnp.asarray(image + np.stack([0 * each[0], *each])))
    for number, changed in enumerate(after):
        differs = np.asarray(changed != before)
        assert not differs[order < number].any()
        assert differs[order == number].all()
        row, column, _ = np.unravel_index(number, shape)
        near = np.abs(np.indices(shape)[:2] - np.array([row, column])[:, None, None, None]).max(0)
        inner = (near <= 1) & (order > number)
        if inner.any():
            assert differs[inner].mean() > 0.9


def field(count, side, rho, seed):
    """A separable Gaussian field, covariance ρ^(|Δrow| + |Δcolumn|), and its law."""
    gaps = np.abs(np.arange(side)[:, None] - np.arange(side))
    law = Moments(np.zeros((side, side, 1)), np.kron(rho**gaps, rho**gaps))
    factor = np.linalg.cholesky(law.covariance)
    x = np.random.default_rng(seed).standard_normal((count, side**2)) @ factor.T
    return x.reshape(count, side, side, 1).astype(np.float32), law


def lost(x, truth, *, steps, **sizes):
    """True bits of held-out images minus the model's, per image, after a short fit."""
    cut = len(truth)
    dataset = Dataset(x[:-cut], x[-cut:])
    model = mcgsm_fit.fit(dataset, steps=steps, finest=0.3, **sizes)
    return truth - mcgsm.bits(model, x[-cut:])


@pytest.mark.slow
def test_a_gaussian_field_is_learned_to_its_entropy():
    x, law = field(4000, 8, 0.8, 0)
    truth = baselines.gaussian_bits(law, x[-1000:])
    # Independent of the covariance matrix: innovations of 1 - ρ², once for each direction.
    row = 2 * np.pi * np.e * 0.36 ** (2 - 1 / 8 - 1 / 8)
    found = estimate(truth / 64)
    assert abs(found.mean + 0.5 * np.log2(row)) < 5 * found.se
    gap = estimate(lost(x, truth, steps=400, reach=1, components=4, scales=2, features=4) / 64)
    assert -3 * gap.se < gap.mean < 0.03


@pytest.mark.slow
def test_scales_that_a_neighbour_tells_are_learned():
    # Every image has noise of its own strength, so the neighbours tell that of the next pixel.
    shape, stds = (5, 5, 1), np.array([0.1, 1.0])
    which = np.random.default_rng(1).integers(0, 2, 4000)
    x = normal(2, 4000, *shape) * stds[which].astype(np.float32)[:, None, None, None]
    by_std = stats.norm.logpdf(x[-1000:, None], scale=stds[:, None, None, None]).sum((2, 3, 4))
    truth = special.logsumexp(by_std, axis=1, b=0.5) / np.log(2)
    gap = estimate(lost(x, truth, steps=400, components=4, scales=3) / 25)
    assert -3 * gap.se < gap.mean < 0.06
    single = estimate(lost(x, truth, steps=400, components=1, scales=1) / 25)
    assert single.mean > 0.5


@pytest.mark.slow
def test_a_channel_is_predicted_from_those_before_it():
    covariance = np.array([[1.0, 0.9, 0.5], [0.9, 1.0, 0.7], [0.5, 0.7, 1.0]])
    rng = np.random.default_rng(0)
    x = rng.multivariate_normal([0, 0.5, -1], covariance, (4000, 4, 4)).astype(np.float32)
    law = stats.multivariate_normal([0, 0.5, -1], covariance)
    truth = law.logpdf(x[-1000:]).sum((1, 2)) / np.log(2)
    gap = estimate(lost(x, truth, steps=400, reach=1, components=2, scales=2) / 48)
    assert -3 * gap.se < gap.mean < 0.03


@pytest.mark.slow
def test_a_seed_fits_one_model_however_its_steps_are_dispatched(monkeypatch):
    x = normal(0, 20, 4, 4, 1)

    def fitted(seed, dispatch):
        monkeypatch.setattr(minimise, "DISPATCH", dispatch)
        sizes = {"components": 2, "scales": 2, "features": 2}
        return mcgsm_fit.fit(Dataset(x, x), steps=5, finest=0.1, seed=seed, **sizes).parameters

    first, again, other = fitted(0, 5), fitted(0, 3), fitted(1, 5)
    assert all(map(np.array_equal, first, again))
    assert not np.array_equal(first.predictors, other.predictors)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"examples must be of shape \(4, 5, 1\), got \(5, 4, 1\)"):
        mcgsm.bits(some_model(4, 5, 1), normal(0, 2, 5, 4, 1))
    x = normal(0, 20, 4, 4, 1)
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        mcgsm_fit.fit(Dataset(x, x), steps=0, finest=0.1)
