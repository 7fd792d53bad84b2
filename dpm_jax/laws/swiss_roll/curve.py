"""Quadrature along the swiss roll's curve, the base of everything exact about it.

Blurred by isotropic noise of any variance v, the roll is a mixture over its curve,

    q_v(y) = ∫_0^1 N(y; curve(u), v I) du,

and x_t/√ᾱ_t is the roll blurred to v = noise² + (1-ᾱ_t)/ᾱ_t. The curve is cut into panels
about 8√v long, with Gauss-Legendre nodes on each; a point needs only the panels near it,
so the cost per point hardly depends on v. Float64 NumPy.
"""

from typing import NamedTuple

import numpy as np

from dpm_jax.laws.swiss_roll.roll import Roll

ARC_LENGTH = 89.373  # of the curve, in units before scaling
PANEL_WIDTHS = 8.0  # length of a panel in units of √v
PANEL_NODES = 16
NEGLIGIBLE = 40.0  # nats below the nearest panel at which a panel is left out
CHUNK = 1024  # points at a time: bounds the memory


class Curve(NamedTuple):
    """The curve in P panels of equal arc length, with m nodes on each; scaled units."""

    nodes: np.ndarray  # [P, m, 2]
    log_weights: np.ndarray  # [P, m], the log of du
    centres: np.ndarray  # [P, 2]
    radius: float  # no node is farther from its panel's centre
    variance: float  # v, the blur that the panels were made for


class _Nearby(NamedTuple):
    """Pairs of a point and a panel near it, sorted by point."""

    point: np.ndarray  # [pairs]
    panel: np.ndarray  # [pairs]
    first: np.ndarray  # [points], where each point's pairs begin
    weights: np.ndarray  # [pairs, m], q(y, u) du up to a factor of each point
    log_factor: np.ndarray  # [points]

    def total(self, terms: np.ndarray) -> np.ndarray:
        """Sum of [pairs, ...] over each point's pairs."""
        return np.asarray(np.add.reduceat(terms, self.first))


def panels(roll: Roll, variance: float) -> Curve:
    """Panels fine enough for the roll blurred to ``variance`` = v, scaled units squared."""
    width = PANEL_WIDTHS * np.sqrt(variance) * roll.scale
    count = max(4, int(np.ceil(ARC_LENGTH / width)))
    # Arc length grows as s²/2, near enough, and s as 1 + 2u.
    edges = (np.sqrt(np.linspace(1, 9, count + 1)) - 1) / 2
    nodes, weights = np.polynomial.legendre.leggauss(PANEL_NODES)
    length = np.diff(edges)[:, None]
    centres = roll.curve((edges[1:] + edges[:-1]) / 2)
    ends = roll.curve(np.stack([edges[:-1], edges[1:]], axis=-1))
    return Curve(
        nodes=roll.curve(edges[:-1, None] + length * (nodes + 1) / 2),
        log_weights=np.log(length * weights / 2),
        centres=centres,
        radius=float(np.linalg.norm(ends - centres[:, None], axis=-1).max()),
        variance=variance,
    )


def log_density(curve: Curve, y: np.ndarray) -> np.ndarray:
    """Log q_v(y) of points [N, 2], nats; [N]."""
    parts = [_log_density(curve, chunk) for chunk in _chunks(y)]
    return np.concatenate(parts) - np.log(2 * np.pi * curve.variance)


def variance_along_curve(curve: Curve, y: np.ndarray) -> np.ndarray:
    """Var_d(curve(u) | y) of points [N, 2] of the blurred roll; [N, 2]."""
    return np.concatenate([_variance(curve, chunk) for chunk in _chunks(y)])


def rule(roll: Roll, variance: float, *, along: int, across: int) -> tuple[np.ndarray, np.ndarray]:
    """Points [N, 2] and weights [N] such that weights @ f(points) is E f(y), y ~ q_v.

    Gauss-Legendre over u (its nodes crowd towards the ends of the curve, where f bends
    most) times Gauss-Hermite over both components of the noise; N = along · across².
    """
    u, u_weights = np.polynomial.legendre.leggauss(along)
    z, z_weights = np.polynomial.hermite_e.hermegauss(across)
    z_weights = z_weights / z_weights.sum()
    noise = np.stack(np.meshgrid(z, z, indexing="ij"), axis=-1).reshape(-1, 2)
    noise_weights = np.outer(z_weights, z_weights).ravel()
    points = roll.curve((u + 1) / 2)[:, None] + np.sqrt(variance) * noise
    return points.reshape(-1, 2), np.outer(u_weights / 2, noise_weights).ravel()


def _chunks(y: np.ndarray) -> list[np.ndarray]:
    y = np.asarray(y, np.float64)
    return [y[start : start + CHUNK] for start in range(0, len(y), CHUNK)]


def _nearby(curve: Curve, y: np.ndarray) -> _Nearby:
    squared = _squared_distance(y[:, None], curve.centres)
    # A panel farther than this holds e^-40 of what the nearest one does.
    reach = np.sqrt(squared.min(-1) + 2 * curve.variance * NEGLIGIBLE) + curve.radius
    point, panel = np.nonzero(squared <= (reach**2)[:, None])
    first = np.searchsorted(point, np.arange(len(y)))
    distance = _squared_distance(y[point, None], curve.nodes[panel])
    log_weights = curve.log_weights[panel] - distance / (2 * curve.variance)
    log_factor = np.maximum.reduceat(log_weights.max(-1), first)
    weights = np.exp(log_weights - log_factor[point, None])
    return _Nearby(point, panel, first, weights, log_factor)


def _squared_distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    # Not ((a - b) ** 2).sum(-1): a sum over an axis of two is slow.
    return np.asarray((a[..., 0] - b[..., 0]) ** 2 + (a[..., 1] - b[..., 1]) ** 2)


def _log_density(curve: Curve, y: np.ndarray) -> np.ndarray:
    near = _nearby(curve, y)
    return near.log_factor + np.log(near.total(near.weights.sum(-1)))


def _variance(curve: Curve, y: np.ndarray) -> np.ndarray:
    near = _nearby(curve, y)
    weights = near.weights / near.total(near.weights.sum(-1))[near.point, None]

    def of_coordinate(d: int) -> np.ndarray:
        nodes = curve.nodes[..., d][near.panel]
        mean = near.total((weights * nodes).sum(-1))
        # Around the mean, not E c² - (E c)²: the variance may be 1e-6 of the square.
        return near.total((weights * (nodes - mean[near.point, None]) ** 2).sum(-1))

    return np.stack([of_coordinate(0), of_coordinate(1)], axis=-1)
