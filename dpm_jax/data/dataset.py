"""What every dataset returns."""

from typing import NamedTuple

import numpy as np


class Dataset(NamedTuple):
    """Examples on the leading axis, already in the units that the model sees.

    Attributes:
        train: [train_examples, *event], float32.
        heldout: [heldout_examples, *event], float32, never trained on.
    """

    train: np.ndarray
    heldout: np.ndarray
