"""The chains on which every equation of ``docs/derivation.md`` is evaluated."""

import cases
import chains
import pytest

AGAIN = ("one bit", "a real number, learned")  # what the others show, too


def each(names):
    """Those that show the same as others are slow."""
    return [pytest.param(n, marks=[pytest.mark.slow] if n in AGAIN else []) for n in names]


@pytest.fixture(params=each(cases.CHAINS))
def chain(request):
    return cases.CHAINS[request.param]


@pytest.fixture(params=each(cases.FIXED_LAST))
def fixed(request):
    return cases.FIXED_LAST[request.param]


@pytest.fixture(params=cases.SCALED)
def scaled(request):
    return cases.SCALED[request.param]


@pytest.fixture
def unscaled(scaled):
    """The same diffusion of other data."""
    return next(c for c in cases.CHAINS.values() if c.process is scaled.process)


@pytest.fixture
def wide(scaled):
    """Data that are wider than π."""
    name = next(name for name, c in cases.SCALED.items() if c is scaled)
    return chains.with_data(scaled, cases.WIDE[name])


@pytest.fixture
def equilibrium(scaled):
    """Data that are those of π."""
    return chains.with_data(scaled, scaled.prior)
