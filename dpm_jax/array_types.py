"""Names for the arrays of this project, so that signatures read like the paper.

``*event`` is the shape of one example: ``(2,)`` for the swiss roll, ``(20,)`` for a
heartbeat. Functions see one example; callers ``vmap`` over batches and steps.
"""

from jaxtyping import Array, Bool, Float, Int, Key, Num

Scalar = Float[Array, ""]
Step = Int[Array, ""]  # t = 1..T, as in the paper
Time = Num[Array, ""]  # what a network is told: t, or the log-SNR of x_t
Event = Float[Array, "*event"]
PerStep = Float[Array, " T"]  # step t is at index t-1
PRNGKey = Key[Array, ""]
ReadOut = Float[Array, "*event channels"]

__all__ = [
    "Array",
    "Bool",
    "Event",
    "Float",
    "Int",
    "PRNGKey",
    "PerStep",
    "ReadOut",
    "Scalar",
    "Step",
    "Time",
]
