"""A page: the texts, the first frame as it stands without scripts, and all frames as data."""

import json
from html import escape
from importlib.resources import files
from typing import Any

from dpm_jax.course import drawing, packing
from dpm_jax.course.parts import Chapter, Curve, Demo, Picture, Plot, check, start_frame
from dpm_jax.course.texts import LANGUAGES, Texts


def chapter_page(texts: Texts, chapter: Chapter, names: tuple[str, ...]) -> str:
    """The page of a chapter; ``names`` are all chapters in their order, for the links."""
    sections, data = [], []
    for demo in chapter.demos:
        check(demo)
        html, packed = _demo(texts, chapter.name, demo)
        sections.append(html)
        data.append(packed)
    at = names.index(chapter.name)
    turn = [
        f'<a href="{name}.html" data-page="{name}.html">'
        f"{before}{texts.html(f'{name}.title')}{after}</a>"
        for before, name, after in (
            ("← ", names[at - 1] if at else "", ""),
            ("", (*names, "")[at + 1], " →"),
        )
        if name
    ]
    body = (
        f"<main>{texts.html(f'{chapter.name}.title', 'h1')}"
        f"{texts.paragraphs(f'{chapter.name}.text')}"
        f"<noscript><p>{texts.html('page.noscript')}</p></noscript>"
        f'{"".join(sections)}<nav class="steps">{"".join(turn)}</nav></main>'
    )
    return _shell(texts, f"{chapter.name}.title", body, data)


def index_page(texts: Texts, names: tuple[str, ...]) -> str:
    """The page that lists the chapters."""
    items = "".join(
        f'<li><a href="{name}.html" data-page="{name}.html">{texts.html(f"{name}.title")}</a>'
        f"<br/>{texts.html(f'{name}.summary')}</li>"
        for name in names
    )
    body = (
        f"<main>{texts.html('index.title', 'h1')}{texts.paragraphs('index.text')}"
        f"<ol>{items}</ol></main>"
    )
    return _shell(texts, "index.title", body, [])


def _shell(texts: Texts, title: str, body: str, demos: list[dict[str, Any]]) -> str:
    first = next(iter(LANGUAGES))
    here = files(__package__)
    choices = "".join(
        f'<label><input type="radio" name="language" id="lang-{code}" value="{code}"'
        f"{' checked' if code == first else ''}/> {name}</label>"
        for code, name in LANGUAGES.items()
    )
    frame = {
        "left": drawing.LEFT,
        "top": drawing.TOP,
        "width": drawing.INNER_WIDTH,
        "height": drawing.INNER_HEIGHT,
    }
    content = {"frame": frame, "demos": demos}
    data = json.dumps(content, separators=(",", ":"), ensure_ascii=False).replace("</", "<\\/")
    return (
        f'<!doctype html>\n<html lang="{first}"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f"<title>{escape(texts.by_language[first][title])}</title>"
        f"<style>{(here / 'style.css').read_text('utf-8')}</style></head><body>"
        f'<header><a href="index.html" data-page="index.html">{texts.html("page.home")}</a>'
        f'<fieldset class="languages"><legend hidden="hidden">Language · 语言</legend>{choices}'
        f"</fieldset></header>{body}"
        f'<script type="application/json" id="data">{data}</script>'
        f"<script>{(here / 'script.js').read_text('utf-8')}</script></body></html>\n"
    )


def _demo(texts: Texts, chapter: str, demo: Demo) -> tuple[str, dict[str, Any]]:
    """A demonstration's HTML, and what script.js needs of it."""
    data: dict[str, Any] = {
        "name": demo.name,
        "controls": [control.name for control in demo.controls],
        "values": {control.name: list(control.values) for control in demo.controls},
        "curves": {},
        "pictures": {},
        "readings": {},
    }
    figures = "".join(_figure(texts, demo, plot, data) for plot in demo.plots)
    key = f"{chapter}.{demo.name}"
    html = (
        f'<section class="demo" aria-labelledby="{demo.name}-title">'
        f'<h2 id="{demo.name}-title">{texts.html(f"{key}.title")}</h2>'
        f'<div class="ask">{texts.paragraphs(f"{key}.ask")}</div>'
        f'<div class="controls">{_controls(texts, demo)}</div>'
        f'<div class="plots">{figures}</div>{_readings(texts, demo, data)}'
        f"<details><summary>{texts.html('page.answer')}</summary>"
        f"{texts.paragraphs(f'{key}.answer')}</details></section>"
    )
    return html, data


def _controls(texts: Texts, demo: Demo) -> str:
    found = []
    for control in demo.controls:
        name, value = f"{demo.name}-{control.name}", control.values[control.start]
        # Enabled by the script: without it, they would move and change nothing.
        found.append(
            f'<div class="control"><label for="{name}">{texts.html(f"control.{control.name}")}'
            f'</label><output id="{name}-value" for="{name}">{value}</output>'
            f'<input type="range" id="{name}" min="0" max="{len(control.values) - 1}" step="1" '
            f'value="{control.start}" aria-valuetext="{value}" disabled="disabled" '
            'autocomplete="off"/></div>'
        )
    return "".join(found)


def _readings(texts: Texts, demo: Demo, data: dict[str, Any]) -> str:
    rows = []
    for reading in demo.readings:
        name = f"{demo.name}-reading-{reading.name}"
        values = [packing.number(float(value)) for value in reading.values.ravel()]
        data["readings"][name] = {"axes": reading.axes, "values": values}
        shown = packing.number(float(reading.values[start_frame(demo, reading.axes)]))
        rows.append(
            f"<div><dt>{texts.html(f'reading.{reading.name}')}</dt>"
            f'<dd><output id="{name}">{shown}</output></dd></div>'
        )
    return f'<dl class="readings" aria-live="polite">{"".join(rows)}</dl>'


def _figure(texts: Texts, demo: Demo, plot: Plot, data: dict[str, Any]) -> str:
    name = f"{demo.name}-{plot.name}"
    marks, legend = [], []
    for i, mark in enumerate(plot.marks):
        if isinstance(mark, Curve):
            marks.append(_curve(f"{name}-{i}", demo, plot, mark, data))
            legend.append(_legend(texts, f"{name}-{i}", mark))
        else:
            marks.append(_picture(f"{name}-{i}", demo, mark, data))
    clip = (
        f'<clipPath id="{name}-clip"><rect x="{drawing.LEFT}" y="{drawing.TOP}" '
        f'width="{drawing.INNER_WIDTH}" height="{drawing.INNER_HEIGHT}"/></clipPath>'
    )
    return (
        f'<figure><figcaption id="{name}-caption">{texts.html(f"plot.{plot.name}")}</figcaption>'
        f'<svg viewBox="0 0 {drawing.WIDTH} {drawing.HEIGHT}" role="img" '
        f'aria-labelledby="{name}-caption">{clip}<g clip-path="url(#{name}-clip)">'
        f"{''.join(marks)}</g>{drawing.axes(plot)}</svg>"
        f'<div class="legend">{"".join(legend)}</div></figure>'
    )


def _curve(name: str, demo: Demo, plot: Plot, curve: Curve, data: dict[str, Any]) -> str:
    packed = packing.curves(curve.y)
    columns = [round(float(a), 2) for a in drawing.across(plot, curve.x)]
    extra = {"axes": curve.axes, "kind": curve.kind, "x": columns, "range": plot.y[1:]}
    data["curves"][name] = packed | extra
    shown = drawing.path(plot, curve, curve.y[start_frame(demo, curve.axes)])
    bars = curve.kind == "bars"
    width = f' style="stroke-width:{drawing.bar_width(plot, curve.x):.1f}px"' if bars else ""
    return f'<path id="{name}" class="{_style(curve)}"{width} d="{shown}"/>'


def _legend(texts: Texts, name: str, curve: Curve) -> str:
    # The box is enabled by the script, as the sliders are.
    return (
        f'<label><input type="checkbox" id="{name}-shown" data-curve="{name}" checked="checked" '
        'disabled="disabled" autocomplete="off"/>'
        '<svg class="swatch" viewBox="0 0 26 10" aria-hidden="true">'
        f'<path class="{_style(curve)}" d="M0 5H26"/></svg>'
        f"{texts.html(f'curve.{curve.label}')}</label>"
    )


def _style(curve: Curve) -> str:
    return f"curve {curve.style}{' bars' if curve.kind == 'bars' else ''}"


def _picture(name: str, demo: Demo, picture: Picture, data: dict[str, Any]) -> str:
    packed = packing.pictures(picture.values)
    data["pictures"][name] = packed | {"axes": picture.axes}
    shown = packing.pictures(picture.values[start_frame(demo, picture.axes)])["files"][0]
    box = (
        f'x="{drawing.LEFT}" y="{drawing.TOP}" width="{drawing.INNER_WIDTH}" '
        f'height="{drawing.INNER_HEIGHT}"'
    )
    return (
        f'<g class="picture"><image id="{name}" {box} preserveAspectRatio="none" '
        f'href="data:image/png;base64,{shown}"/><rect class="tint" {box}/></g>'
    )
