"""What is known of a trained model, part by part: one that fails leaves the others."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import jax

from dpm_jax import hosts
from dpm_jax.errors import reason

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

Value = TypeVar("Value")
Found = tuple[dict[str, Any], dict[str, Any]]
"""Numbers for ``result.json``, and figures by the name of their file."""

FAILURES = (MemoryError, jax.errors.JaxRuntimeError, ArithmeticError, ValueError)
"""What a model that learned nothing, or a machine that is too small, may end in."""


@dataclass
class Measurement:
    """What is known of a trained model. Nothing is written by who measures.

    Attributes:
        numbers: for ``result.json``.
        figures: by the name of their file.
        failed: the parts that failed, and why; their numbers and figures are missing.
        samples: draws in the model's units [n, *event].
    """

    numbers: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    samples: np.ndarray | None = None

    def value(
        self, part: str, function: Callable[..., Value], *needed: Any, **options: Any
    ) -> Value | None:
        """``function(*needed, **options)``; None if it fails, or if one of ``needed`` is None."""
        if any(value is None for value in needed):
            return None  # what failed before it is on record
        try:
            return function(*needed, **options)
        except FAILURES as error:
            # What a machine refuses, it refuses one host; the others would wait for it.
            if hosts.several() and not isinstance(error, ArithmeticError | ValueError):
                raise
            self.failed[part] = reason(error)
            return None

    def add(self, part: str, function: Callable[..., dict[str, Any]], *needed: Any) -> bool:
        """Add the numbers of ``function(*needed)``, if it finds them and all are finite."""
        numbers = self.value(part, _finite, self.value(part, function, *needed))
        self.numbers |= numbers or {}
        return numbers is not None

    def extend(self, part: str, function: Callable[..., Found], *needed: Any) -> None:
        """The numbers and figures that ``function(*needed)`` finds."""
        numbers, figures = self.value(part, function, *needed) or ({}, {})
        self.add(part, lambda: numbers)
        self.figures |= figures

    def draw(self, name: str, function: Callable[..., Figure], *needed: Any) -> None:
        """The figure that ``function(*needed)`` draws, if it can."""
        figure = self.value(f"figure {name}", function, *needed)
        if figure is not None:
            self.figures[name] = figure


def _finite(numbers: dict[str, Any]) -> dict[str, Any]:
    try:
        json.dumps(numbers, allow_nan=False)
    except ValueError:
        raise ValueError("not all of its numbers are finite") from None
    return numbers
