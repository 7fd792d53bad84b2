"""Whatever text a flag is given: a run that can begin, or one line that says what is wrong.

All that comes before the training is done: the data read, the model built, its sizes known.
"""

import dataclasses
import functools
import itertools
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args, get_origin, get_type_hints

import jax
import numpy as np
import pytest
from hostile import cases, contents, outcome, words
from hypothesis import given
from hypothesis import strategies as st
from untrained import untrained

from dpm_jax import memory
from dpm_jax.data import prepared
from dpm_jax.data.dataset import Images
from dpm_jax.errors import printable
from dpm_jax.experiments import command_line, registry, run
from dpm_jax.experiments.commands import SampleConfig
from dpm_jax.experiments.exits import Refused
from dpm_jax.experiments.images import dead_leaves
from dpm_jax.training import journal, program
from dpm_jax.training.program import lowered

INTS = ("-1", "0", "1", str(10**9), str(2**31 - 1), str(2**31), str(2**63), "9" * 400, "1.5", "")
FLOATS = ("nan", "inf", "-inf", "-1", "0", "1e-300", "1e-12", "1", "1e6", "1e300", "1e400", "a")
PATHS = ("", "~nosuchuser/x", "/dev/null", "x" * 5000, "a\nb", "\udcff", "{saved}", "{saved}/x")
WIDTHS = ("", "0", "1", "1 " * 65, f"{2**20} {2**20}", str(10**9), str(2**63), f"-1 {'9' * 400}")
CHOICES = ("", "no such choice", "None")
VALUES = {int: INTS, float: FLOATS, Path: PATHS, str: PATHS, tuple: WIDTHS, None: CHOICES, bool: ()}

SMALL = "--timesteps 4 --batch-size 4 --samples 5"
LAW = f"{SMALL} --train-examples 20 --heldout-examples 20 --iw-examples 5 --hidden 4"
NETWORK = (
    f"{SMALL} --times-per-batch 2 --times-per-example 2 --convolutions 2 --scales 2 --upper 3 "
    "--bumps 2 --octaves 2 --heldout-examples 0"
)
BASE = {
    "swiss_roll": LAW,
    "heartbeat": f"{LAW} --times-per-batch 2 --bumps 2",
    "mnist": NETWORK,
    "cifar10": NETWORK,
    "bark": f"{NETWORK} --patch 4 --data-dir {{data}}",
    "dead_leaves": f"{NETWORK} --size 8 --train-examples 20 --heldout-examples 10",
    "images": f"{NETWORK} --data {{data}}",
}

FAST = ("heartbeat", "dead_leaves")  # the others share their flags and their code


def fields(name: str) -> dict[str, type | None]:
    """What each flag is made of; None where it is a choice."""
    default = next(iter(registry.problem(name).presets.values()))
    hints = get_type_hints(type(default))
    return {field.name: kind(hints[field.name]) for field in dataclasses.fields(default)}


def kind(hint: Any) -> type | None:
    if get_origin(hint) is tuple:
        return tuple
    (of,) = {t for t in get_args(hint) or (hint,) if t is not type(None)} & set(VALUES) or {None}
    return of


class Untraced:
    """Steps that are neither traced nor compiled: the sizes of the parameters are all there is."""

    def compile(self):
        return self

    def memory_analysis(self):
        return None


@pytest.fixture
def door(monkeypatch, tmp_path):
    """Begins a run by these words after those of debug size: None, or how it is refused."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 1), np.uint8)
    places = {"data": tmp_path / "mine.npy", "saved": untrained(tmp_path / "saved", "swiss_roll")}
    np.save(places["data"], pixels)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(prepared, "load", lambda name, data_dir: Images(pixels, pixels[:5]))
    monkeypatch.setattr(dead_leaves, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(memory, "free_on_host", lambda: memory.GIB)
    ended = SimpleNamespace(close=lambda: None)
    monkeypatch.setattr(journal, "Journal", lambda *args, **options: ended)
    # No step is traced, no batch drawn, and the law's quadrature is made once.
    monkeypatch.setattr(program, "lowered", lambda *args: Untraced())
    monkeypatch.setattr(program, "_check_values", lambda *args: None)
    legendre = np.polynomial.legendre
    monkeypatch.setattr(legendre, "leggauss", functools.cache(legendre.leggauss))
    before, number = contents(places["saved"]), itertools.count()

    def knock(name: str, given: list[str]) -> Refused | None:
        base = f"{BASE[name]} --workdir {tmp_path}/runs/{next(number)}".format(**places).split()
        given = [word.replace("{saved}", str(places["saved"])) for word in given]

        def begin():
            with ExitStack() as held:
                run._prepare(registry.problem(name), [*base, *given], None, held)

        said = outcome(begin)
        assert before.items() <= contents(places["saved"]).items()
        return said

    for name in BASE:
        assert knock(name, []) is None
    return knock


def knock_at(door, name: str, of: set[str]) -> list[str]:
    """Every value of some flags of an experiment; returns what is refused by another name."""
    wrong = []
    for field, made_of in fields(name).items():
        for value in VALUES[made_of] if field in of else ():
            flag = f"--{field.replace('_', '-')}"
            said = door(name, [flag, *value.split()] if made_of is tuple else [f"{flag}={value}"])
            names = (field, flag, printable(str(Path(value)).removeprefix("{saved}")))
            if said is not None and not any(n in str(said) for n in names):
                wrong.append(f"{flag} {value[:30]!r} is refused by another name: {said}")
    return wrong


@pytest.mark.parametrize(
    "name", [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in BASE]
)
def test_absurd_values_are_taken_or_refused_in_a_line_that_names_the_flag(door, name):
    assert knock_at(door, name, set(fields(name))) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["swiss_roll", "heartbeat", "dead_leaves"])
def test_absurd_sizes_that_are_taken_can_be_traced(door, monkeypatch, name):
    monkeypatch.setattr(program, "lowered", lowered)
    monkeypatch.setattr(jax.stages.Lowered, "compile", lambda self: Untraced())
    sizes = {"timesteps", "times_per_batch", "octaves", "scales", "size", "beta_1"}
    sizes |= set(next(iter(registry.problem(name).presets.values())).SIZES)
    assert knock_at(door, name, sizes) == []


def test_the_table_has_a_row_for_every_experiment_and_refuses_what_it_must(door):
    assert list(BASE) == list(registry.HOMES)
    assert door("swiss_roll", ["--steps", str(10**9)]) is None
    assert "steps must be at most 1000000000" in str(
        door("swiss_roll", ["--steps", f"{10**9 + 1}"])
    )
    assert "GiB for samples" in str(door("images", ["--samples", str(10**9)]))
    assert "GiB for train_examples" in str(door("heartbeat", ["--train-examples", str(10**9)]))


@st.composite
def command(draw: st.DrawFn) -> tuple[str, list[str]]:
    """An experiment, and some of its flags: with values of the table, or with any words."""
    name = draw(st.sampled_from(list(BASE)))
    made_of, given = fields(name), []
    for field in draw(st.lists(st.sampled_from(sorted(made_of)), min_size=1, max_size=3)):
        of_table = st.sampled_from(VALUES[made_of[field]] or CHOICES)
        # A folder of any name could be made anywhere.
        word = draw(of_table if made_of[field] is Path else of_table | words)
        flag = f"--{field.replace('_', '-')}"
        given += [f"{flag}={word}"] if draw(st.booleans()) else [flag, word]
    return name, given


@pytest.mark.slow
@cases(1_000)
@given(command())
def test_some_flags_at_once(door, command):
    door(*command)


@pytest.mark.slow
@cases(60)
@given(st.lists(words, max_size=4))
def test_words_that_are_no_flags(door, given):
    door("swiss_roll", given)


@pytest.mark.slow
@cases(60)
@given(st.sampled_from(["out", "count", "seed"]), words)
def test_the_flags_of_sampling(tmp_path, flag, word):
    words_of = {"out": str(tmp_path / "a.npz")} | {flag: word}
    given = [f"--{name}={value}" for name, value in words_of.items()]
    outcome(lambda: command_line.flags(SampleConfig, given, prog="dpm sample RUN"))
    assert not list(tmp_path.iterdir())
