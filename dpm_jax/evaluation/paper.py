"""The numbers of the paper's Table 1, beside which ours are printed."""

from typing import NamedTuple


class PaperRow(NamedTuple):
    """One row of Table 1, in the row's own unit."""

    title: str
    K: float
    K_minus_null: float
    unit: str


TABLE_1 = {
    "swiss_roll": PaperRow("swiss roll", 2.35, 6.45, "bits"),
    "heartbeat": PaperRow("binary heartbeat", -2.414, 12.024, "bits/seq"),
}
