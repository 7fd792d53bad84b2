"""A laboratory: laws on few states, of which every answer is a sum. NumPy in float64, no jax."""
