"""The numbers of the paper's Table 1, beside which ours are printed."""

from typing import NamedTuple


class PaperRow(NamedTuple):
    """One row of Table 1, in the row's own unit.

    Attributes:
        title: of the row.
        K: the paper's bound, with its error where it gives one; empty where it gives none.
        K_minus_null: above the bound of the equilibrium distribution.
        unit: of both.
        key: how the names of such numbers end in ``result.json``.
    """

    title: str
    K: str
    K_minus_null: str
    unit: str
    key: str


PER_PIXEL = ("bits/pixel", "bits_per_pixel")

TABLE_1 = {
    "swiss_roll": PaperRow("swiss roll", "2.35", "6.45", "bits", "bits"),
    "heartbeat": PaperRow("binary heartbeat", "-2.414", "12.024", "bits/seq", "bits"),
    "bark": PaperRow("bark", "-0.55", "1.5", *PER_PIXEL),
    "dead_leaves": PaperRow("dead leaves", "1.489", "3.536", *PER_PIXEL),
    "cifar10": PaperRow("CIFAR-10", "5.4 ± 0.2", "11.5 ± 0.2", *PER_PIXEL),
    "mnist": PaperRow("MNIST", "", "", *PER_PIXEL),  # only in Table 2, by Parzen windows
    "images": PaperRow("own images", "", "", *PER_PIXEL),
}
