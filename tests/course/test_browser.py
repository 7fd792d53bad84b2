"""Every page in a real browser, opened from the file system with the network off.

Needs Chromium (Debian: ``apt-get install chromium``) and ``pip install playwright``; its own
downloaded browsers are not used.
"""

import io
import itertools
import re
import shutil
from base64 import b64decode

import numpy as np
import pytest
from page_reader import Page
from PIL import Image

from dpm_jax.course import build
from dpm_jax.course.packing import LEVELS, shades
from dpm_jax.course.parts import Curve

sync_api = pytest.importorskip("playwright.sync_api", reason="no browser: pip install playwright")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
WIDTHS = (360, 1280)
ANSWER_MS, PAINT_MS = 50, 1000
TRIES = 5  # of a time: other processes only lengthen it

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """The chapters, and the folder of their pages."""
    chapters, made = {}, build.import_module

    def keeping(name):
        module = made(name)
        chapter = module.chapter()
        chapters[chapter.name] = chapter
        return type("Kept", (), {"chapter": staticmethod(lambda: chapter)})

    folder = tmp_path_factory.mktemp("course") / "pages"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "import_module", keeping)
        build.write(folder)
    return chapters, folder


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def measured():
    """Milliseconds by what was measured and where; ``pytest -s`` prints the longest of each."""
    found = {}
    yield found
    for what in sorted({what for what, _ in found}):
        longest = max((k for k in found if k[0] == what), key=found.get)
        print(f"\n{what}: at most {found[longest]:.1f} ms, on the page {longest[1]}")


@pytest.fixture
def visit(browser):
    """Opens a page at a width; whatever it logs or asks of the network fails the test."""
    said, contexts = [], []

    def open_page(path, width=1280, fragment=""):
        context = browser.new_context(viewport={"width": width, "height": 800}, offline=True)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda r: r.url.startswith(("file:", "data:")) or said.append(r.url))
        page.goto(path.as_uri() + fragment)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not said


def move(page, name, place):
    """Move a slider as a person would; returns the milliseconds until the page has answered."""
    return page.evaluate(
        """([name, place]) => {
          const input = document.getElementById(name);
          const start = performance.now();
          input.value = place;
          input.dispatchEvent(new Event("input", { bubbles: true }));
          document.body.getBoundingClientRect();
          const taken = performance.now() - start;
          input.dispatchEvent(new Event("change", { bubbles: true }));
          return taken;
        }""",
        [name, place],
    )


def check_drawn(page, demo, at, frame):
    """What is drawn is what the chapter has for these settings."""
    drawn = page.evaluate(
        """(name) => Object.fromEntries(
          [...document.querySelectorAll(`[id^="${name}-"]`)].map((e) =>
            [e.id, e.getAttribute("d") ?? e.getAttribute("href") ?? e.textContent]))""",
        demo.name,
    )
    for plot, (i, mark) in ((p, m) for p in demo.plots for m in enumerate(p.marks)):
        found = drawn[f"{demo.name}-{plot.name}-{i}"]
        place = tuple(at[axis] for axis in mark.axes)
        if not isinstance(mark, Curve):
            with Image.open(io.BytesIO(b64decode(found.split(",")[1]))) as image:
                np.testing.assert_array_equal(np.asarray(image), shades(mark.values[place]))
            continue
        rows = np.array(re.findall(r"[ V](-?[\d.]+)", found), float)
        rows = rows[1::2] if mark.kind == "bars" else rows
        _, lo, hi = plot.y
        values = hi - (rows - frame["top"]) * (hi - lo) / frame["height"]
        rounding = 0.0051 * (hi - lo) / frame["height"]
        step = (mark.y.max() - mark.y.min()) / LEVELS
        np.testing.assert_allclose(values, mark.y[place], atol=rounding + step)
    for reading in demo.readings:
        value = reading.values[tuple(at[axis] for axis in reading.axes)]
        text = drawn[f"{demo.name}-reading-{reading.name}"]
        mantissa, _, power = text.partition("·10")
        power = power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
        shown = float(mantissa) * 10.0 ** int(power or 0)
        assert shown == pytest.approx(value, rel=6e-4, abs=1e-12), reading.name


@pytest.mark.parametrize("name", build.CHAPTERS)
def test_every_control_moves_the_page_to_what_the_laboratory_found(course, visit, measured, name):
    chapters, folder = course
    page = visit(folder / f"{name}.html")
    frame = Page((folder / f"{name}.html").read_text("utf-8")).data["frame"]
    for demo in chapters[name].demos:
        at = {control.name: control.start for control in demo.controls}
        check_drawn(page, demo, at, frame)
        for control in demo.controls:
            for place in (0, len(control.values) - 1, control.start):
                at[control.name] = place
                slider = f"{demo.name}-{control.name}"
                taken = min(move(page, slider, place) for _ in range(TRIES))
                assert taken < ANSWER_MS, slider
                key = "a slider's answer", name
                measured[key] = max(taken, measured.get(key, 0.0))
                check_drawn(page, demo, at, frame)
                assert page.locator(f"#{slider}-value").text_content() == control.values[place]


@pytest.mark.parametrize("name", ["index", *build.CHAPTERS])
def test_a_page_is_painted_at_once_and_fits_its_window(course, visit, measured, name):
    _, folder = course
    paints = []
    for width, _ in itertools.product(WIDTHS, range(2)):
        page = visit(folder / f"{name}.html", width)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
        script = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
        paints.append(page.evaluate(script))
    measured["first paint", name] = min(paints)
    assert min(paints) < PAINT_MS


def test_a_link_keeps_the_settings_and_the_language(course, visit):
    _, folder = course
    page = visit(folder / "forward.html")
    move(page, "chain-seed", 2)
    page.locator("#lang-zh").check()
    link = page.url.split("#")[1]
    assert {"lang=zh", "chain-seed=2"} <= set(link.split("&"))
    again = visit(folder / "forward.html", fragment=f"#{link}")
    assert again.locator("#chain-seed").input_value() == "2"
    assert again.locator('h1[lang="zh"]').is_visible()
    assert not again.locator('h1[lang="en"]').is_visible()
    again.locator("a[data-page='posterior.html']").click()
    assert again.locator('h1[lang="zh"]').is_visible()


def test_a_curve_is_hidden_on_request_and_the_link_keeps_it_so(course, visit):
    _, folder = course
    page = visit(folder / "restore.html")
    assert page.locator("#back-restored-1").is_visible()
    page.locator("#back-restored-1-shown").uncheck()
    assert not page.locator("#back-restored-1").is_visible()
    again = visit(folder / "restore.html", fragment=f"#{page.url.split('#')[1]}")
    assert not again.locator("#back-restored-1").is_visible()
    assert again.locator("#back-restored-2").is_visible()
    again.locator("#back-restored-1-shown").check()
    assert again.locator("#back-restored-1").is_visible()


def test_a_slider_follows_the_keyboard(course, visit):
    _, folder = course
    page = visit(folder / "transform.html")
    before = page.locator("#one-transformed-1").get_attribute("d")
    page.locator("#one-alpha").focus()
    page.keyboard.press("End")
    assert page.locator("#one-alpha-value").text_content() == "0.998"
    assert page.locator("#one-alpha").get_attribute("aria-valuetext") == "0.998"
    assert page.locator("#one-transformed-1").get_attribute("d") != before


def test_a_page_reads_without_scripts(course, browser):
    _, folder = course
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto((folder / "posterior.html").as_uri())
    assert page.locator("noscript").first.is_visible()
    assert page.locator("#two-product-2").is_visible()
    assert page.locator("#two-z").is_disabled()
    page.locator("#lang-zh").check()
    assert page.locator('h1[lang="zh"]').is_visible()
    assert not page.locator('h1[lang="en"]').is_visible()
    context.close()
