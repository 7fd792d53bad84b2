"""Sampling: trajectories, what multiplies them, and the draws that come of it."""
