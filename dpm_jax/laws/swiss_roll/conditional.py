"""The exact law of one coordinate of the swiss roll given the other, by quadrature."""

from typing import NamedTuple

import numpy as np

from dpm_jax.laws.swiss_roll import limits
from dpm_jax.laws.swiss_roll.roll import Roll

PER_DEVIATION = 8  # points of the grid per standard deviation of the noise
REACH = 9.0  # standard deviations of the noise by which the grid outreaches the curve
VALLEY = 1e-4  # of the highest peak: where the density is lower, an arm of the roll ends


class Conditional(NamedTuple):
    """q(x_b | x_a = value) on an even grid, and log q(x_a = value)."""

    grid: np.ndarray  # [G], values of x_b
    density: np.ndarray  # [G]
    log_evidence: float  # nats

    @property
    def cdf(self) -> np.ndarray:
        """P(x_b ≤ grid | x_a) [G]."""
        # The trapezium rule, which is exact to rounding for a density this smooth.
        between = 0.5 * (self.density[1:] + self.density[:-1]) * np.diff(self.grid)
        return np.concatenate([[0.0], between.cumsum()])

    @property
    def mean(self) -> float:
        """E[x_b | x_a]."""
        return float(np.trapezoid(self.density * self.grid, self.grid))

    @property
    def arms(self) -> np.ndarray:
        """Edges [A + 1] between the A arms of the roll that the known value crosses."""
        high = self.density > VALLEY * self.density.max()
        starts = np.flatnonzero(high[1:] & ~high[:-1])[1:] + 1
        ends = np.flatnonzero(high[:-1] & ~high[1:])[:-1]
        between = 0.5 * (self.grid[ends] + self.grid[starts])
        return np.array([self.grid[0], *between, self.grid[-1]])

    def mass(self, edges: np.ndarray) -> np.ndarray:
        """P(edges[i] < x_b ≤ edges[i+1] | x_a) [A] for edges [A + 1]."""
        return np.diff(np.interp(edges, self.grid, self.cdf))


def conditional(roll: Roll, coordinate: int, value: float) -> Conditional:
    """The law of the other coordinate where x[``coordinate``] = ``value``, scaled units.

    Raises:
        ValueError: if ``coordinate`` is not 0 or 1, or ``value`` is off the roll, where the
            quadrature has no relative precision.
    """
    if coordinate not in (0, 1):
        raise ValueError(f"coordinate must be 0 or 1, got {coordinate}")
    deviation, curve = roll.variance**0.5, roll.curve(np.linspace(0, 1, 10_001))
    reach = REACH * deviation
    low, high = curve.min(0) - reach, curve.max(0) + reach
    if not low[coordinate] < value < high[coordinate]:
        raise ValueError(
            f"value must lie between {low[coordinate]:.3g} and {high[coordinate]:.3g}, got {value}"
        )
    other = 1 - coordinate
    points = int((high[other] - low[other]) / deviation * PER_DEVIATION) + 2
    grid = np.linspace(low[other], high[other], points)
    x = np.full((points, 2), value)
    x[:, other] = grid
    log_density = limits.log_density(roll, x)
    peak = log_density.max()
    density = np.exp(log_density - peak)
    evidence = float(np.trapezoid(density, grid))
    return Conditional(grid, density / evidence, float(peak + np.log(evidence)))
