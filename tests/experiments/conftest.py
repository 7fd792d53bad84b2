"""The scripts as a person runs them, and their modules without a process of their own."""

import logging
import signal
import sys
from pathlib import Path

import pytest
from scripts import Script

from dpm_jax.experiments import exits, registry, run
from dpm_jax.experiments.base import Problem


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="session")
def swiss_roll(compiled) -> Script:
    return Script("swiss_roll", compiled)


@pytest.fixture(scope="session")
def heartbeat(compiled) -> Script:
    return Script("heartbeat", compiled)


@pytest.fixture(scope="session")
def dead_leaves(compiled) -> Script:
    return Script("dead_leaves", compiled)


@pytest.fixture(scope="session")
def mnist(compiled) -> Script:
    return Script("mnist", compiled)


@pytest.fixture
def refuse(monkeypatch, capsys, tmp_path):
    """Runs a script in this process; returns what it says when it refuses."""
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    levels = {name: logging.getLogger(name).level for name in ("absl", "asyncio")}
    handlers = {number: signal.getsignal(number) for number in exits.SIGNALS}

    def refused(
        flags: str, name: str | Problem = "swiss_roll", workdir: Path | None = tmp_path / "run"
    ) -> str:
        problem = registry.problem(name) if isinstance(name, str) else name
        place = [] if workdir is None else ["--workdir", str(workdir)]
        with pytest.raises(SystemExit) as stop:
            run.main(problem, [*flags.split(), *place])
        out, err = capsys.readouterr()
        assert stop.value.code == 2
        assert out == ""
        assert err.startswith("error: ")
        assert err.count("\n") == 1, err
        return err.removeprefix("error: ").rstrip("\n")

    yield refused
    for number, handler in handlers.items():
        signal.signal(number, handler)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
