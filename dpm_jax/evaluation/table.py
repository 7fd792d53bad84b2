"""The paper's Table 1 with our columns, from finished runs: text and Markdown.

dpm table RUN...
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dpm_jax import files
from dpm_jax.errors import printable, reason
from dpm_jax.evaluation.paper import TABLE_1

NONE = "–"
COLUMNS = (
    "",
    "K (ours)",
    "K − L_null (ours)",
    "weighted paths (ours)",
    "limit",
    "Gaussian − L_null",
    "bits/dim (ours)",
    "K (paper)",
    "K − L_null (paper)",
)


def row(result: Mapping[str, Any]) -> tuple[str, ...]:
    """One line of the table from one ``result.json``.

    Raises:
        ValueError: naming the key, if something is missing or cannot be shown.
    """
    if (name := _text(result, "experiment")) not in TABLE_1:
        raise ValueError(f"experiment is {name!r}")
    paper = TABLE_1[name]
    # Laws have a limit and weighted paths; images a baseline and a code length.
    weighted = f" (N = {_number(result, 'iw_samples'):.0f})" if "iw_bound_bits" in result else ""
    limit = f"{_number(result, 'true_limit_bits'):.3f}" if "true_limit_bits" in result else ""
    cells = (
        f"{paper.title}{_text(result, 'variant')}",
        f"{_measured(result, f'K_{paper.key}') or NONE} {paper.unit}",
        _measured(result, f"K_minus_L_null_{paper.key}"),
        _optional(result, "iw_bound_bits") + weighted,
        limit,
        _optional(result, f"gaussian_minus_L_null_{paper.key}"),
        _optional(result, "bits_per_dimension"),
        paper.K,
        paper.K_minus_null,
    )
    return tuple(cell or NONE for cell in cells)


def _text(result: Mapping[str, Any], key: str) -> str:
    if not isinstance(value := result.get(key), str):
        raise ValueError(f"{key} is {value!r}, not a text")
    return printable(value)


def _number(result: Mapping[str, Any], key: str) -> float:
    value = result.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{key} is {value!r}, not a number")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{key} is a number of too many digits") from None


def _measured(result: Mapping[str, Any], key: str) -> str:
    if key not in result and "failed" in result:
        return ""
    return f"{_number(result, key):.3f} ± {_number(result, key + '_se'):.3f}"


def _optional(result: Mapping[str, Any], key: str) -> str:
    return _measured(result, key) if key in result else ""


def text(results: Sequence[Mapping[str, Any]]) -> str:
    """Columns aligned by spaces."""
    rows = [COLUMNS, *map(row, results)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)) for r in rows)
    return "\n".join(line.rstrip() for line in lines)


def lines(result: Mapping[str, Any]) -> list[str]:
    """One run's row, a line for each column that it has."""
    title, *cells = row(result)
    named = zip(COLUMNS[1:], cells, strict=True)
    return [title, *(f"  {name:24s}  {cell}" for name, cell in named if cell != NONE)]


def markdown(results: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table."""
    rows = [COLUMNS, ("---",) * len(COLUMNS), *map(row, results)]
    return "\n".join("| " + " | ".join(c.replace("|", r"\|") for c in r) + " |" for r in rows)


def read(folder: Path) -> Mapping[str, Any]:
    """The result of a finished run.

    Raises:
        ValueError: if the folder has no readable ``result.json`` of a known experiment.
    """
    path = folder / "result.json"
    try:
        result = files.read_object(path)
        row(result)
    except OSError as error:
        raise ValueError(
            f"{path} cannot be read ({reason(error)}); is it a finished run's folder?"
        ) from None
    except ValueError as error:
        raise ValueError(
            f"{path} does not hold a whole result of {' or '.join(TABLE_1)}: {reason(error)}"
        ) from None
    return result


def main(folders: Sequence[str]) -> int:
    """Print both forms of all that can be read; 2 if any cannot, each named in one line."""
    if not folders or folders[0] in ("-h", "--help"):
        print("usage: dpm table RUN...", file=sys.stdout if folders else sys.stderr)
        return 0 if folders else 2
    results = []
    for folder in folders:
        try:
            results.append(read(Path(folder)))
        except ValueError as error:
            print(f"error: {printable(str(error))}", file=sys.stderr)
    if results:
        print(text(results), markdown(results), sep="\n\n")
    return 0 if len(results) == len(folders) else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
