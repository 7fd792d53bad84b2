"""The swiss roll: its law, the quadrature along its curve, and its limits."""
