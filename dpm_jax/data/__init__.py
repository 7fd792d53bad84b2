"""Data: NumPy only, one file per dataset, all returning the same ``Dataset``."""
