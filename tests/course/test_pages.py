"""The pages: whole, labelled, without anything from outside, and true to the laboratory."""

import re
import time

import numpy as np
import pytest
from page_reader import Page

from dpm_jax.course import build, packing, page
from dpm_jax.course.chapters import bits, contraction, deconvolution
from dpm_jax.course.chapters.common import random, shown
from dpm_jax.course.texts import LANGUAGES, Texts
from dpm_jax.laboratory import law, space, transform

QUICK = {"bits": bits, "contraction": contraction, "deconvolution": deconvolution}
MOST = 4_000_000  # bytes of a page


@pytest.fixture(scope="module", params=QUICK)
def made(request):
    chapter = QUICK[request.param].chapter()
    html = page.chapter_page(Texts(), chapter, build.CHAPTERS)
    return chapter, html, Page(html)


@pytest.fixture(scope="module")
def index():
    return Page(page.index_page(Texts(), build.CHAPTERS))


def check_whole(html: str, read: Page) -> None:
    """No page may ask for anything outside itself, or have a control without a label."""
    assert len(html.encode()) < MOST
    assert html.startswith("<!doctype html>")
    names = [found["id"] for _, found in read.elements if "id" in found]
    assert len(names) == len(set(names))
    assert not [tag for tag, _ in read.elements if tag in ("link", "iframe", "img", "object")]
    for tag, found in read.elements:
        for name in ("src", "href", "srcset", "action", "poster"):
            target = found.get(name, "")
            inner = re.fullmatch(r"data:image/png;base64,[\w+/=]+|\w+\.html|", target)
            assert inner, (tag, target[:60])
            assert not target.endswith(".html") or target[:-5] in ("index", *build.CHAPTERS)
        if tag == "svg" and found.get("aria-hidden") != "true":
            assert found["role"] == "img"
            read.by_id(found["aria-labelledby"])
    outside = html.replace("http://www.w3.org", "")
    assert "http" not in outside.split('id="data"')[0]
    assert not re.search(r"url\((?!#)|@import|fetch\(|XMLHttpRequest|import\(", html)
    labelled = {found.get("for") for found in read.all("label")}
    controls = [found for found in read.all("input") if found["type"] == "range"]
    assert {found["id"] for found in controls} <= labelled
    for toggle in (found for found in read.all("input") if found["type"] == "checkbox"):
        read.by_id(toggle["data-curve"])
    for control in controls:
        read.by_id(f"{control['id']}-value")
        assert control["aria-valuetext"]
    for language in LANGUAGES:
        assert sum(found.get("lang") == language for _, found in read.elements) > 5


def test_pages_are_whole_and_keep_to_themselves(made):
    _, html, read = made
    check_whole(html, read)
    assert read.all("details")


def test_the_index_leads_to_every_chapter(index):
    leads = {found["href"] for found in index.all("a")}
    assert leads == {"index.html", *(f"{name}.html" for name in build.CHAPTERS)}


def test_data_of_a_page_are_the_chapters(made):
    chapter, _, read = made
    for demo in chapter.demos:
        found = read.demos[demo.name]
        assert found["controls"] == [control.name for control in demo.controls]
        for plot in demo.plots:
            for i, mark in enumerate(plot.marks):
                name = f"{demo.name}-{plot.name}-{i}"
                if name not in found["curves"]:
                    files = found["pictures"][name]
                    assert len(files["index"]) == np.prod(mark.values.shape[:-2])
                    continue
                y = packing.unpacked(found["curves"][name]).reshape(mark.y.shape)
                step = (mark.y.max() - mark.y.min()) / packing.LEVELS
                np.testing.assert_allclose(y, mark.y, atol=0.51 * step)
        for reading in demo.readings:
            shown_numbers = found["readings"][f"{demo.name}-reading-{reading.name}"]["values"]
            assert len(shown_numbers) == reading.values.size


def test_the_first_frame_stands_there_without_scripts(made):
    chapter, _, read = made
    for demo in chapter.demos:
        at = {c.name: c.start for c in demo.controls}
        for name, curve in read.demos[demo.name]["curves"].items():
            sizes = [len(read.demos[demo.name]["values"][axis]) for axis in curve["axes"]]
            frame = np.ravel_multi_index([at[a] for a in curve["axes"]], sizes) if sizes else 0
            y = packing.unpacked(curve)[frame]
            drawn = re.findall(r"[ V](-?[\d.]+)", read.by_id(name)["d"])
            drawn = drawn[1::2] if curve["kind"] == "bars" else drawn
            lo, hi = curve["range"]
            frame_ = read.data["frame"]
            wanted = frame_["top"] + frame_["height"] * (hi - y) / (hi - lo)
            step = frame_["height"] / (hi - lo) * (curve["hi"] - curve["lo"]) / packing.LEVELS
            np.testing.assert_allclose(np.array(drawn, float), wanted, atol=0.006 + step)


@pytest.mark.parametrize(("seed", "alpha"), [(0, "0.1"), (2, "0.7"), (3, "0.98")])
def test_a_curve_of_a_page_is_the_laboratorys_function(seed, alpha):
    html = page.chapter_page(Texts(), contraction.chapter(), build.CHAPTERS)
    demo = Page(html).demos["closer"]
    curve = demo["curves"]["closer-data_and_noisy-1"]
    frame = seed * len(demo["values"]["alpha"]) + demo["values"]["alpha"].index(alpha)
    line = space.line(257)
    wanted = law.density(line, transform.transform(line, random(line, seed), float(alpha)))
    found = packing.unpacked(curve)[frame]
    np.testing.assert_allclose(found, wanted[shown(line)], atol=2e-5)


def test_a_folder_that_holds_something_is_refused(tmp_path):
    (tmp_path / "kept.txt").write_text("mine")
    for place in (tmp_path, tmp_path / "kept.txt", tmp_path / "no" / "pages"):
        with pytest.raises(ValueError, match="out must be an empty folder, or new in one"):
            build.write(place)
    assert [p.name for p in tmp_path.iterdir()] == ["kept.txt"]


@pytest.mark.slow
def test_the_whole_course_is_built_in_time_and_says_all_that_it_has(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(build, "Texts", lambda: asked.append(Texts()) or asked[-1])
    start = time.process_time()
    written = build.write(tmp_path / "pages")
    assert time.process_time() - start < 60
    assert [p.name for p in written] == ["index.html", *(f"{n}.html" for n in build.CHAPTERS)]
    for path in written:
        html = path.read_text("utf-8")
        check_whole(html, Page(html))
    (texts,) = asked
    assert texts.used == texts.by_language["en"].keys()
