"""The best schedule by dynamic programming, for any process whose steps have known costs."""

import numpy as np


def cheapest_path(cost: np.ndarray, end: np.ndarray, steps: int) -> tuple[np.ndarray, float]:
    """The cheapest strictly rising path 0 = i_0 < i_1 < … < i_steps over G levels.

    Minimises Σ cost[i_{k-1}, i_k] + end[i_steps], by Bellman's recursion over the steps.
    ``cost`` is [G, G], of which only the part above the diagonal is read; ``end`` is [G].
    Returns the path, int [steps + 1], and its cost.

    Raises:
        ValueError: unless 1 ≤ ``steps`` < G.
    """
    levels = len(end)
    if not 1 <= steps < levels:
        raise ValueError(f"steps must lie in 1..{levels - 1} for {levels} levels, got {steps}")
    rising = np.where(np.triu(np.ones_like(cost, dtype=bool), 1), cost, np.inf)
    best = np.full(levels, np.inf)
    best[0] = 0.0
    came_from = np.zeros((steps, levels), int)
    for k in range(steps):
        reached = best[:, None] + rising
        came_from[k] = reached.argmin(axis=0)
        best = reached.min(axis=0)
    path = [int((best + end).argmin())]
    for previous in came_from[::-1]:
        path.append(int(previous[path[-1]]))
    return np.array(path[::-1]), float((best + end).min())
