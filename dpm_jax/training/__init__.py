"""Training: one compiled program, its checkpoints and its record."""
