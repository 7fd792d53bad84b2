r"""Equations from a little of TeX to MathML, which browsers typeset themselves.

Known are ``^``, ``_``, ``{}``, ``\frac``, ``\sqrt``, ``\bar`` and ``\text``; every other sign
stands for itself, so that Greek letters and ∑ are written as such.
"""

import re
from html import escape

TOKEN = re.compile(r"\\[a-z]+|\d+(?:\.\d+)?|\s+|.", re.DOTALL)
BIG = "∑∏∫"
SIGNS = "()[]{}|‖=+-−·,;:<>≤≥≈∝→∘/∼′" + BIG


def mathml(source: str, *, display: bool = False) -> str:
    r"""``x_t = \sqrt{α}x`` as a <math> element.

    Raises:
        ValueError: if a brace is left open, or a command is unknown.
    """
    tokens = [token for token in TOKEN.findall(source) if not token.isspace()]
    body = _row(tokens, source)
    if tokens:
        raise ValueError(f"equation has a brace too many: {source!r}")
    style = ' display="block"' if display else ""
    return f"<math{style}>{body}</math>"


def _row(tokens: list[str], source: str) -> str:
    found = []
    while tokens and tokens[0] != "}":
        base = tokens[0]
        item, scripts = _item(tokens, source), {}
        while tokens and tokens[0] in "_^":
            sign = tokens.pop(0)
            scripts[sign] = _item(tokens, source)
        found.append(_scripted(item, scripts, base in BIG))
    return "".join(found)


def _scripted(item: str, scripts: dict[str, str], limits: bool) -> str:
    names = {"_": "munder", "^": "mover"} if limits else {"_": "msub", "^": "msup"}
    if len(scripts) == 2:
        name = "munderover" if limits else "msubsup"
        return f"<{name}>{item}{scripts['_']}{scripts['^']}</{name}>"
    for sign, script in scripts.items():
        return f"<{names[sign]}>{item}{script}</{names[sign]}>"
    return item


def _item(tokens: list[str], source: str) -> str:
    if not tokens:
        raise ValueError(f"equation ends too early: {source!r}")
    token = tokens.pop(0)
    match token:
        case "{":
            body = _row(tokens, source)
            if not tokens:
                raise ValueError(f"equation has an open brace: {source!r}")
            tokens.pop(0)
            return f"<mrow>{body}</mrow>"
        case "\\frac":
            return f"<mfrac>{_item(tokens, source)}{_item(tokens, source)}</mfrac>"
        case "\\sqrt":
            return f"<msqrt>{_item(tokens, source)}</msqrt>"
        case "\\bar":
            return f'<mover accent="true">{_item(tokens, source)}<mo>¯</mo></mover>'
        case "\\text":
            letters = re.sub("<[^>]*>", "", _item(tokens, source))
            return f"<mtext>{letters}</mtext>"
        case _ if token.startswith("\\"):
            raise ValueError(f"equation has an unknown command {token}: {source!r}")
        case _ if token[0].isdigit():
            return f"<mn>{token}</mn>"
        case _ if token in SIGNS:
            stretchy = ' stretchy="false"' if token in "()[]{}|‖" else ""
            return f"<mo{stretchy}>{escape('−' if token == '-' else token)}</mo>"
        case _:
            return f"<mi>{escape(token)}</mi>"
