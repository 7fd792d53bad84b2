"""The experiments by name; none is imported before it is asked for."""

from importlib import import_module

from dpm_jax.experiments.base import Problem

HOMES = {
    "swiss_roll": "swiss_roll.problem",
    "heartbeat": "heartbeat.problem",
    "mnist": "images.mnist",
    "cifar10": "images.cifar10",
    "bark": "images.bark",
    "dead_leaves": "images.dead_leaves",
    "images": "images.own",
}
"""Modules of ``dpm_jax.experiments`` that hold a ``PROBLEM``."""


def problem(name: str) -> Problem:
    """The experiment of this name.

    Raises:
        ValueError: if there is none.
    """
    if name not in HOMES:
        raise ValueError(f"experiment must be one of {', '.join(HOMES)}, got {name!r}")
    found: Problem = import_module(f"dpm_jax.experiments.{HOMES[name]}").PROBLEM
    return found
