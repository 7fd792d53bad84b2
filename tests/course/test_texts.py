"""The words: the same keys and equations in every language; equations as MathML."""

import re

import pytest

from dpm_jax.course import texts
from dpm_jax.course.mathml import mathml

ALL = {language: texts.read(language) for language in texts.LANGUAGES}
EN, ZH = ALL["en"], ALL["zh"]


def test_every_language_has_every_text():
    assert EN.keys() == ZH.keys()
    assert len(EN) > 150
    for found in ALL.values():
        assert all(text.strip() for text in found.values())


def test_chinese_is_chinese_and_english_is_not():
    han = re.compile("[\u4e00-\u9fff]")
    assert not [key for key, text in EN.items() if han.search(text)]
    alike = {key for key in EN if EN[key] == ZH[key]}
    assert {key for key, text in ZH.items() if not han.search(text)} == alike


def test_a_chapter_has_the_same_equations_and_paragraphs_in_both():
    for key in (key for key in EN if key.endswith(".text")):
        shown = [re.findall(r"\$\$.*?\$\$", found[key]) for found in (EN, ZH)]
        assert shown[0] == shown[1], key
        assert EN[key].count("\n\n") == ZH[key].count("\n\n"), key


@pytest.mark.parametrize("language", texts.LANGUAGES)
def test_numbers_agree_between_the_languages(language):
    for key, text in EN.items():
        if not key.endswith((".answer", ".ask")):
            continue
        plain = [re.findall(r"\d+\.\d+", found[key]) for found in (EN, ZH)]
        assert sorted(plain[0]) == sorted(plain[1]), key
        assert text


def test_scripts_fractions_and_roots_become_mathml():
    assert mathml("x_t^2") == "<math><msubsup><mi>x</mi><mi>t</mi><mn>2</mn></msubsup></math>"
    assert mathml(r"\frac{1}{T}") == (
        "<math><mfrac><mrow><mn>1</mn></mrow><mrow><mi>T</mi></mrow></mfrac></math>"
    )
    assert "<msqrt><mi>α</mi></msqrt>" in mathml(r"\sqrt α")
    assert "<munderover><mo>∑</mo>" in mathml("∑_{t=1}^T")
    assert mathml("a<b", display=True).startswith('<math display="block"><mi>a</mi><mo>&lt;</mo>')


@pytest.mark.parametrize(
    ("source", "said"),
    [("{x", "open brace"), ("x}", "brace too many"), ("x_", "too early"), (r"\brew", r"\brew")],
)
def test_what_is_no_equation_is_refused(source, said):
    with pytest.raises(ValueError, match="equation") as refused:
        mathml(source)
    assert said in str(refused.value)


def test_text_is_escaped_and_equations_are_not():
    assert texts.marked_up("a < b & $x$.") == "a &lt; b &amp; <math><mi>x</mi></math>."
