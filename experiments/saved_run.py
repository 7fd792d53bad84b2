"""A finished run's settings, for measuring its model again without training."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from harness import RunConfig

ConfigT = TypeVar("ConfigT", bound="RunConfig")


def configuration(like: ConfigT, saved: dict[str, Any], folder: Path) -> ConfigT:
    """The configuration of the run in ``folder``; the workdir is "evaluation" in there.

    Raises:
        ValueError: if the settings are not those of a script with configurations ``like`` this.
    """

    def value(field: dataclasses.Field) -> Any:
        told = saved[field.name]
        if isinstance(told, list):
            return tuple(told)
        # JSON has no paths; annotations are text here.
        return Path(told) if isinstance(told, str) and "Path" in str(field.type) else told

    values = {f.name: value(f) for f in dataclasses.fields(like) if f.name in saved}
    values["workdir"] = folder / "evaluation"
    try:
        return dataclasses.replace(like, **values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"evaluate: {folder} is not a run of this script ({error})") from None


def check_unchanged(
    settings: dict[str, Any], saved: dict[str, Any], folder: Path, *, but: Collection[str]
) -> None:
    """Raise ValueError if a setting, ``but`` for those of evaluation, is not the saved one."""
    for name, value in settings.items():
        if name not in but and saved.get(name) != value:
            raise ValueError(
                f"{name} is {value!r}, but the run in {folder} was made with "
                f"{saved.get(name)!r}; with --evaluate only flags of evaluation can change"
            )
