"""Sphinx: pages in Markdown, and the API from the docstrings."""

import re
import sys
import typing
from itertools import pairwise
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
typing.GENERATING_DOCUMENTATION = "dpm_jax"  # jaxtyping then names Float[Array, "*event"] briefly

import api_pages  # noqa: E402
from docutils.nodes import SkipNode, math_block  # noqa: E402
from latex2mathml.converter import convert  # noqa: E402
from sphinx.util.math import get_node_equation_number  # noqa: E402

import dpm_jax  # noqa: E402

api_pages.write(HERE / "api")

COLON = "\ue000"  # a character that no docstring has
SECTION = re.compile("(Args|Attributes|Raises|Returns|Yields):")

project = "dpm_jax"
author = "The dpm_jax authors"
release = dpm_jax.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
html_theme = "furo"
html_math_renderer = "mathml"  # MathJax would be asked of the network
html_static_path = ["static"]
html_css_files = ["equations.css"]
html_title = f"dpm_jax {release}"
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]
autodoc_typehints_format = "short"
napoleon_use_ivar = True
napoleon_attr_annotations = False  # the signature has the types
maximum_signature_line_length = 80
smartquotes = False  # --flags keep both dashes
suppress_warnings = ["ref.python"]  # every experiment has a Config, and a type says just that


def before_napoleon(
    app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Indented text that is no Google section is a formula: it keeps its lines."""
    kept, unindented = [], ""
    for previous, line in pairwise(["", *lines]):
        starts = line.startswith("    ") and not previous and not SECTION.fullmatch(unindented)
        kept += ["::", "", line] if starts else [line]
        unindented = line if line[:1].strip() else unindented
    if what in ("attribute", "property"):  # where napoleon takes "This: that" for a type
        kept = [line.replace(":", COLON) for line in kept]
    lines[:] = kept


def after_napoleon(
    app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """The star of ``[n, *event]`` is no emphasis."""
    star = re.compile(r"(``.*?``|[*]{1,2}\w[\w ]*[*]{1,2})|[*](?=\w)")
    lines[:] = [star.sub(lambda m: m[1] or r"\*", line.replace(COLON, ":")) for line in lines]


def tidy(
    app: Any, what: str, name: str, obj: Any, options: Any, signature: str | None, returns: str
) -> tuple[str | None, str]:
    """Without the fields that flax adds to its modules; defaults by their names."""
    if signature:
        signature = re.sub(r", parent: .*, name: .*\)", ")", signature)
        signature = re.sub(r"<(?:class|function) '?([\w.]+)'?>", r"\1", signature)
    return signature, returns


def skipped(app: Any, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Fields that say nothing of themselves, and what other libraries put into our classes."""
    foreign = not getattr(obj, "__module__", "dpm_jax").startswith("dpm_jax")
    unsaid = (getattr(obj, "__doc__", None) or "").startswith("Alias for field number")
    return True if foreign or unsaid else None


def named(app: Any, doctree: Any) -> None:
    """Equations go by their names, as tests do; a number would look like one of the paper's."""
    equations = app.env.domains["math"].equations
    for node in doctree.findall(math_block):
        if label := node.get("label"):
            node["number"] = label
            equations[label] = (app.env.docname, label)


def mathml(source: str, display: str) -> str:
    """MathML of TeX; functions get the space, and script letters the signs, that TeX gives them."""
    source = re.sub(r"\\(log|mathrm E)(?![a-z])", r"\\,\\\1\\,", source)
    source = source.replace(r"\mathcal N", "𝒩").replace(r"\mathcal B", "ℬ")
    return convert(source, display=display)


def inline_equation(translator: Any, node: Any) -> None:
    """As MathML, which browsers typeset without scripts."""
    translator.body.append(mathml(node.astext(), "inline"))
    raise SkipNode


def displayed_equation(translator: Any, node: Any) -> None:
    """The same on a line of its own, with its name and a link to it."""
    translator.body.append(translator.starttag(node, "div", CLASS="math"))
    translator.body.append(f"<div>{mathml(node.astext(), 'block')}</div>")
    if node["number"]:
        number = get_node_equation_number(translator, node)
        translator.body.append(f'<span class="eqno">({number})')
        translator.add_permalink_ref(node, "Link to this equation")
        translator.body.append("</span>")
    translator.body.append("</div>")
    raise SkipNode


def setup(app: Any) -> None:
    """Connect what is above; napoleon's own priority is 500."""
    app.add_html_math_renderer("mathml", (inline_equation, None), (displayed_equation, None))
    app.connect("doctree-read", named)
    app.connect("autodoc-process-docstring", before_napoleon, priority=400)
    app.connect("autodoc-process-docstring", after_napoleon, priority=600)
    app.connect("autodoc-process-signature", tidy)
    app.connect("autodoc-skip-member", skipped)
