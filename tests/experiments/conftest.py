"""The scripts as a person runs them, and their modules without a process of their own."""

import sys

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
