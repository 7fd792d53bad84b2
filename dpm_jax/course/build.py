"""All pages of the course, and the folder that holds them."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from dpm_jax.course.page import chapter_page, index_page
from dpm_jax.course.texts import Texts

CHAPTERS = (
    "transform",
    "posterior",
    "forward",
    "restore",
    "gaussian",
    "contraction",
    "convergence",
    "sampling",
    "deconvolution",
    "cost",
    "steps",
    "product",
    "learned",
    "bits",
    "bits_chain",
    "bits_walk",
)
"""Modules of ``dpm_jax.course.chapters`` in the order of the course, which are pages too."""


def pages() -> Iterator[tuple[str, str]]:
    """Name and HTML of each page, the index first."""
    texts = Texts()
    yield "index.html", index_page(texts, CHAPTERS)
    for name in CHAPTERS:
        chapter = import_module(f"dpm_jax.course.chapters.{name}").chapter()
        yield f"{name}.html", chapter_page(texts, chapter, CHAPTERS)


def check_folder(folder: Path) -> None:
    """Refuse a place where the pages cannot go.

    Raises:
        ValueError: unless it is empty, or new in a folder that there is.
    """
    empty = folder.is_dir() and not any(folder.iterdir())
    if not (empty or (not folder.exists() and folder.parent.is_dir())):
        raise ValueError(f"out must be an empty folder, or new in one that there is, got {folder}")


def write(folder: Path) -> list[Path]:
    """Write all pages; returns their paths, the index first.

    Raises:
        ValueError: from ``check_folder``.
        OSError: if they cannot be written.
    """
    check_folder(folder)
    folder.mkdir(exist_ok=True)
    written = []
    for name, html in pages():
        (folder / name).write_text(html, "utf-8")
        written.append(folder / name)
    return written
