"""Evaluation: bounds with their standard errors, the paper's table, figures."""
