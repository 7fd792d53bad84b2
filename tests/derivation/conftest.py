"""The chains on which every equation of ``docs/derivation.md`` is evaluated."""

import chains
import pytest

AGAIN = ("one bit", "a real number, learned")  # what the others show, too


def each(names):
    """Those that show the same as others are slow."""
    return [pytest.param(n, marks=[pytest.mark.slow] if n in AGAIN else []) for n in names]


@pytest.fixture(params=each(chains.CHAINS))
def chain(request):
    return chains.CHAINS[request.param]


@pytest.fixture(params=each(chains.FIXED_LAST))
def fixed(request):
    return chains.FIXED_LAST[request.param]


@pytest.fixture(params=chains.SCALED)
def scaled(request):
    return chains.SCALED[request.param]


@pytest.fixture
def unscaled(scaled):
    """The same diffusion of other data."""
    return next(c for c in chains.CHAINS.values() if c.process is scaled.process)


@pytest.fixture
def wide(scaled):
    """Data that are wider than π."""
    name = next(name for name, c in chains.SCALED.items() if c is scaled)
    return chains.with_data(scaled, chains.WIDE[name])


@pytest.fixture
def equilibrium(scaled):
    """Data that are those of π."""
    return chains.with_data(scaled, scaled.prior)
