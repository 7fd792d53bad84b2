"""Whatever text a flag is given: a configuration, or one line that says what is wrong."""

import dataclasses

import pytest
from hostile import cases, outcome, words
from hypothesis import given
from hypothesis import strategies as st

from dpm_jax.experiments import command_line, registry
from dpm_jax.experiments.commands import SampleConfig

pytestmark = pytest.mark.slow
FIELDS = [
    (name, field.name.replace("_", "-"))
    for name in registry.HOMES
    for field in dataclasses.fields(next(iter(registry.problem(name).presets.values())))
]


def parsed(name: str, given: list[str]):
    problem = registry.problem(name)
    start = command_line.start(given)
    default = command_line.preset(problem.presets, start.preset, lambda: False)
    return command_line.parse(problem.doc, default, given)


@pytest.mark.parametrize("name", registry.HOMES)
def test_every_flag_of_an_experiment(capsys, name):
    flags = sorted(flag for experiment, flag in FIELDS if experiment == name)
    assert len(flags) > 20

    @cases(70)
    @given(
        st.lists(st.tuples(st.sampled_from(flags), words, st.booleans()), min_size=1, max_size=3)
    )
    def check(chosen):
        given = []
        for flag, word, joined in chosen:
            given += [f"--{flag}={word}"] if joined else [f"--{flag}", word]
        outcome(lambda: parsed(name, given))
        assert capsys.readouterr().err == ""

    check()


@pytest.mark.parametrize(("name", "flag"), FIELDS)
def test_every_flag_once_with_each_of_some_words(name, flag):
    @cases(3)
    @given(words)
    def check(word):
        outcome(lambda: parsed(name, [f"--{flag}={word}"]))

    check()


@cases(60)
@given(st.lists(words, max_size=4))
def test_words_that_are_no_flags(given):
    outcome(lambda: parsed("swiss_roll", given))


@cases(60)
@given(st.sampled_from(["out", "count", "seed"]), words)
def test_the_flags_of_sampling(tmp_path, flag, word):
    words_of = {"out": str(tmp_path / "a.npz")} | {flag: word}
    given = [f"--{name}={value}" for name, value in words_of.items()]
    outcome(lambda: command_line.flags(SampleConfig, given, prog="dpm sample RUN"))
    assert not list(tmp_path.iterdir())
