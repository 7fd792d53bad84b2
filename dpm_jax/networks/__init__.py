"""Networks: the only rooms that import flax. Everyone else sees ``apply(params, x, t)``."""
