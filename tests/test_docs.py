"""The pages: whole, linked, and naming only commands, scripts, flags and extras that there are."""

import dataclasses
import importlib
import importlib.util
import inspect
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from dpm_jax.experiments import commands, registry
from dpm_jax.experiments.run import main

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
TEXTS = {
    p.relative_to(ROOT).as_posix(): p.read_text() for p in [ROOT / "README.md", *DOCS.glob("*.md")]
}
MODULES = [
    ".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for p in sorted((ROOT / "dpm_jax").rglob("*.py"))
]


@pytest.fixture(scope="module")
def pages():
    spec = importlib.util.spec_from_file_location("api_pages", DOCS / "api_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.pages()


def said(text: str) -> list[list[str]]:
    """Commands in a text's blocks and between its backticks, as words."""
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    spans = re.findall(
        r"`((?:dpm|python|pip) [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    )
    lines = [line for block in blocks for line in block.splitlines()] + spans
    parts = [shlex.split(part, comments=True) for line in lines for part in line.split("&&")]
    unset = [[word for word in words if not re.match(r"[A-Z_]+=", word)] for words in parts]
    return [words for words in unset if words and "…" not in " ".join(words)]


def calls(program: str) -> list[list[str]]:
    return [words[1:] for text in TEXTS.values() for words in said(text) if words[0] == program]


def flags(words: list[str]) -> set[str]:
    return {word[2:].split("=")[0].replace("-", "_") for word in words if word.startswith("--")}


def fields(name: str) -> set[str]:
    (_, config), *_ = registry.problem(name).presets.items()
    return {field.name for field in dataclasses.fields(config)} | {"help"}


def test_every_module_is_on_one_page(pages):
    listed = re.findall(r"^\.\. automodule:: (\S+)$", "\n".join(pages.values()), re.MULTILINE)
    assert sorted(listed) == sorted(set(MODULES) - {"dpm_jax"})


def test_pages_come_in_the_order_of_the_rooms(pages):
    rooms = re.findall(
        r"^ {4}(\w+) {2,}\S", importlib.import_module("dpm_jax").__doc__, re.MULTILINE
    )
    assert list(pages) == ["index", *rooms]
    assert pages["index"].split(":hidden:")[1].split() == [*rooms, "```"]


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"dpm_jax"}))
def test_every_public_function_and_class_is_on_the_page_of_its_room(pages, name):
    module = importlib.import_module(name)
    own = {
        key
        for key, value in vars(module).items()
        if getattr(value, "__module__", None) == name
        and (inspect.isclass(value) or inspect.isroutine(value))
        and not key.startswith("_")
    }
    section = pages[name.split(".")[1]].split(f"automodule:: {name}\n")[1].split("```")[0]
    assert own <= set(re.findall(r"^\.\. auto(?:function|class):: (\w+)$", section, re.MULTILINE))


def test_a_constant_is_shown_with_its_value_and_what_is_said_of_it(pages):
    assert ".. py:data:: AT_ONCE\n   :value: 16\n\n   Steps of one example" in pages["bound"]
    assert ".. py:data:: Step\n   :value: Int[Array, '']\n\n   t = 1..T" in pages["array_types"]


@pytest.mark.parametrize("path", sorted(TEXTS))
def test_every_relative_link_leads_to_a_file(path, pages):
    made = {(DOCS / "api" / f"{name}.md") for name in pages}
    for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", TEXTS[path]):
        file = (ROOT / path).parent / target
        assert file.exists() or file in made, target


def test_every_command_that_is_named_exists_with_its_flags():
    others = set(re.findall(r"^ +dpm (\w+) ", commands.__doc__, re.MULTILINE)) - {"EXPERIMENT"}
    assert {"evaluate", "sample", "table", "parzen", "course"} == others
    named = calls("dpm")
    assert len(named) > 10
    for name, *words in (words for words in named if not words[0].startswith("-")):
        if name.replace("-", "_") in registry.HOMES:
            assert flags(words) <= fields(name.replace("-", "_")), words
        else:
            assert name in others, name
        if name == "sample":
            known = {field.name for field in dataclasses.fields(commands.SampleConfig)}
            assert flags(words) <= known, words


def test_every_script_that_is_named_exists_with_its_flags():
    named = calls("python")
    assert named
    for first, *words in named:
        if first == "-m":
            assert importlib.util.find_spec(words[0]), words
            continue
        assert (ROOT / first).is_file(), first
        if Path(first).parent.name == "experiments":
            assert flags(words) <= fields(Path(first).stem), words


def test_every_source_file_that_is_named_exists():
    named = set(re.findall(r"`([\w/]+/[\w/]+\.py)`", " ".join(TEXTS.values())))
    assert len(named) > 15
    assert not {
        n for n in named if not (ROOT / n).is_file() and not (ROOT / "dpm_jax" / n).is_file()
    }


def test_every_extra_that_is_named_exists():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    named = re.findall(r"(?:[.]|dpm_jax)\[(\w+)\]", " ".join(TEXTS.values()))
    assert {"test", "docs"} <= set(named) <= set(extras)


@pytest.mark.slow
def test_the_examples_of_the_guide_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = "--steps=20 --steps-per-dispatch=10 --train-examples=1000 --heldout-examples=100"
    less = "--iw-examples=10 --iw-samples=4 --samples=100"
    main(registry.problem("swiss_roll"), [*small.split(), *less.split()])
    examples = re.findall(r"```python\n(.*?)```", TEXTS["docs/guide.md"], re.DOTALL)
    assert len(examples) == 3
    for example in examples:
        names = {}
        exec(example.replace("steps=2_000", "steps=20"), names)
        assert not {"held_out", "draws"}.isdisjoint(names)


@pytest.mark.slow
def test_the_pages_are_built_without_a_warning(tmp_path):
    for tool in ("sphinx", "myst_parser", "furo", "latex2mathml"):
        pytest.importorskip(tool, reason="the pages are built with the extra docs")
    build = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    built = subprocess.run([*build, DOCS, tmp_path], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    derivation = (tmp_path / "derivation.html").read_text()
    assert derivation.count("<math ") > 30  # typeset without scripts, or anything from elsewhere
    scripts = re.findall("<script[^>]*>", derivation)
    assert scripts
    assert not [s for s in scripts if re.search("mathjax|src=.https?:", s, re.IGNORECASE)]
    assert "Float[Array, '*event']" in re.sub(
        "<[^>]*>", "", (tmp_path / "api/bound.html").read_text()
    )
