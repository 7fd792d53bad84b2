"""The posterior transform as a step of a Markov chain (chapter 7): q(x | z), and x taken for z.

The forward kernel is reversible for π, so q(x | z) = q(x) S(x, z) π(z)/q(z) with a symmetric S,
and the posterior transform is a reversible chain too, for the law w = q · q_Z/π: that is where
it comes to rest, and its eigenvalues are real. With the kernels here none is negative.
"""

import numpy as np
from jaxtyping import Float, Int

from dpm_jax.laboratory.distances import Distances, distances
from dpm_jax.laboratory.law import law
from dpm_jax.laboratory.space import Space
from dpm_jax.laboratory.transform import transform


def contraction(
    matrix: Float[np.ndarray, "n n"], a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]
) -> tuple[Distances, Distances]:
    """How far two laws are apart before a step, and after it: no further (7.2)."""
    return distances(a, b), distances(matrix @ a, matrix @ b)


def iterated(
    matrix: Float[np.ndarray, "n n"], start: Float[np.ndarray, " n"], count: int
) -> Float[np.ndarray, "times n"]:
    """The laws after 0 to ``count`` steps (7.3 to 7.6)."""
    laws = [start]
    for _ in range(count):
        laws.append(matrix @ laws[-1])
    return np.stack(laws)


def power(matrix: Float[np.ndarray, "n n"], count: int) -> Float[np.ndarray, "n n"]:
    """``count`` steps as one; columns lose no mass, however many there are."""
    found = np.linalg.matrix_power(matrix, count)
    # Each product rounds: 10,000 steps would lose 1e-12.
    return np.asarray(found / found.sum(0))


def stationary(space: Space, q: Float[np.ndarray, " n"], alpha: float) -> Float[np.ndarray, " n"]:
    """The law that the posterior transform leaves as it is: in proportion to q(x) q_Z(x)/π(x).

    It is q where the transformed law is π already, as it nearly is for a small α.

    Raises:
        ValueError: if q is no law, or α does not suit the space.
    """
    return law(space, q * (transform(space, q, alpha) / space.prior))


def eigenvalues(matrix: Float[np.ndarray, "n n"]) -> Float[np.ndarray, " n"]:
    """Of a posterior transform, the largest first, which is 1.

    It is reversible, so that √(P ∘ Pᵀ) is symmetric and has the same eigenvalues.
    """
    # States without mass, to which no step leads, only add zeros.
    held = matrix.max(1) > 0
    among = matrix[np.ix_(held, held)]
    found = np.linalg.eigvalsh(np.sqrt(among * among.T))[::-1]
    return np.concatenate([found, np.zeros(len(matrix) - len(found))])


def second_eigenvalue(matrix: Float[np.ndarray, "n n"]) -> float:
    """λ₂ of a posterior transform: by this factor a step brings laws closer in the end."""
    return float(eigenvalues(matrix)[1])


def walk(
    matrix: Float[np.ndarray, "n n"],
    start: Int[np.ndarray, " count"],
    steps: int,
    rng: np.random.Generator,
) -> Int[np.ndarray, "times count"]:
    """``count`` walkers: the numbers of their states after 0 to ``steps`` steps (Figure 7.1)."""
    below = np.cumsum(matrix, 0)[:-1]  # the last state is what is left
    places = [start]
    for _ in range(steps):
        u = rng.uniform(size=len(start))
        places.append((below[:, places[-1]] <= u).sum(0))
    return np.stack(places)


def draw(
    q: Float[np.ndarray, " n"], count: int, rng: np.random.Generator
) -> Int[np.ndarray, " count"]:
    """``count`` independent states of a law, by their numbers."""
    return np.searchsorted(np.cumsum(q)[:-1], rng.uniform(size=count), side="right")
