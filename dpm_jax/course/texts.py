"""The words of the pages: one file for each language, with the same keys."""

import re
import tomllib
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from typing import Any

from dpm_jax.course.mathml import mathml

LANGUAGES = {"en": "English", "zh": "中文"}
"""The first is shown at first."""


def read(language: str) -> dict[str, str]:
    """All texts of a language by dotted keys."""
    return flat(
        tomllib.loads((files(__package__) / "text" / f"{language}.toml").read_text("utf-8"))
    )


def flat(tree: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """``{"a": {"b": text}}`` as ``{"a.b": text}``."""
    found: dict[str, str] = {}
    for key, value in tree.items():
        found |= flat(value, f"{above}{key}.") if isinstance(value, dict) else {above + key: value}
    return found


def marked_up(text: str) -> str:
    """HTML of a text with $equations$, in a line of their own as $$equations$$."""
    found = []
    for i, part in enumerate(re.split(r"(\$\$?)(.*?)\1", text)):
        match i % 3:
            case 0:
                found.append(escape(part, quote=False))
            case 1:
                display = part == "$$"
            case 2:
                found.append(mathml(part, display=display))
    return "".join(found)


class Texts:
    """Texts in all languages at once; ``used`` has the keys that were asked for."""

    def __init__(self) -> None:
        self.by_language = {language: read(language) for language in LANGUAGES}
        self.used: set[str] = set()

    def html(self, key: str, tag: str = "span") -> str:
        """An element in each language; style.css shows one.

        Raises:
            KeyError: if a language has no such text.
        """
        self.used.add(key)
        return "".join(
            f'<{tag} lang="{language}">{marked_up(texts[key].strip())}</{tag}>'
            for language, texts in self.by_language.items()
        )

    def paragraphs(self, key: str) -> str:
        """A text of several paragraphs, with blank lines between them."""
        self.used.add(key)
        return "".join(
            f'<p lang="{language}">{marked_up(part)}</p>'
            for language, texts in self.by_language.items()
            for part in texts[key].strip().split("\n\n")
        )
