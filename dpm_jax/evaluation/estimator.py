"""How much K of one example varies by which steps t are drawn for it."""

import numpy as np

from dpm_jax.array_types import Float


def variances(
    costs: Float[np.ndarray, "n steps"], probability: Float[np.ndarray, " steps"], draws: int
) -> Float[np.ndarray, " n"]:
    """Variance of each example's estimate of the sum of its ``costs``, exact; their unit squared.

    ``draws`` of the steps, stratified: t_i is where the running sum of the probabilities passes
    (i + u)/draws, one u uniform in [0, 1) for all i, and the estimate is the mean over i of t_i's
    cost over its probability. One draw is a plain one. The noise of the states is held fixed: its
    own variance adds to this.

    Args:
        costs: of every step of every example.
        probability: of the steps, each above 0; divided by their sum.
        draws: at least 1.
    """
    probability = probability / probability.sum()
    passes = np.cumsum(probability)
    # Between two of these u, every t_i stays what it is.
    corners = np.unique(np.concatenate([[0.0, 1.0], draws * passes % 1.0]))
    share, middle = np.diff(corners), (corners[:-1] + corners[1:]) / 2
    total, variance = costs.sum(1), np.zeros(len(costs))
    for weight, u in zip(share, middle, strict=True):
        t = np.searchsorted(passes, (np.arange(draws) + u) / draws, side="right")
        t = np.minimum(t, len(passes) - 1)  # a u that is as good as 1
        variance += weight * ((costs[:, t] / probability[t]).mean(1) - total) ** 2
    return variance
