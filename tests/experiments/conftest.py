"""The scripts as a person runs them, and their modules without a process of their own."""

import importlib
import logging
import signal
import sys
from pathlib import Path

import pytest
from scripts import ROOT, Script

sys.path.insert(0, str(ROOT / "experiments"))


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
    sigterm = signal.getsignal(signal.SIGTERM)

    def refused(flags: str, name: str = "swiss_roll", workdir: Path = tmp_path / "run") -> str:
        import harness

        script = importlib.import_module(name)
        words = ["experiments/script.py", *flags.split(), "--workdir", str(workdir)]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as stop:
            harness.main(script.__doc__, script.PRESETS, script.build)
        out, err = capsys.readouterr()
        assert stop.value.code == 2
        assert out == ""
        assert err.startswith("error: ")
        assert err.count("\n") == 1, err
        return err.removeprefix("error: ").rstrip("\n")

    yield refused
    signal.signal(signal.SIGTERM, sigterm)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
