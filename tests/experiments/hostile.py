"""Bytes and values that nobody meant, and what must hold whatever they are."""

import contextlib
import io
import json
import os
import re
import resource
import signal
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from dpm_jax.experiments.exits import Refused, exits, refusing

SECONDS = 5  # of the processor, of one case
PATIENCE = 60  # seconds of the clock: the machine may be busy, but a pipe is waited for for ever
DEEP = json.loads("[" * 300 + "]" * 300)
MEMORY = 2 * 2**30  # bytes that a case may take beyond what the process had
ADDRESSES = 2 * MEMORY  # bytes that it may ask for, so that no case takes the machine's all


class Hang(BaseException):  # so that no reader takes it for damage
    """A case that takes too long."""


def cases(count: int) -> settings:
    """The settings of a test of so many cases, the same ones every time."""
    slow = [
        HealthCheck.too_slow,
        HealthCheck.function_scoped_fixture,
        HealthCheck.large_base_example,
    ]
    return settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=slow,
    )


def outcome(call: Callable[[], Any]) -> Any:
    """What the call returns, or what it says in one line when it refuses; nothing else may be."""
    said = io.StringIO()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with contextlib.redirect_stderr(said), exits(str), refusing(), _in_time(), _in_memory():
            return call()
    except SystemExit as stop:
        code = stop.code
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if not code:  # --help
        return None
    line = said.getvalue()
    assert code == 2
    assert re.fullmatch("error: .+\n", line)
    assert line[:-1].isprintable()
    return Refused(line)


@contextlib.contextmanager
def _in_time() -> Iterator[None]:
    def ring(*_):
        raise Hang

    before = {number: signal.signal(number, ring) for number in (signal.SIGPROF, signal.SIGALRM)}
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _in_memory() -> Iterator[None]:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ADDRESSES, hard))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - most
        assert grown * 1024 < MEMORY, f"it took {grown / 2**20:.1f} GiB"


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# As a command line brings them: without null bytes, and bytes that are no UTF-8 as surrogates.
words = st.one_of(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    st.binary(max_size=20).map(lambda b: os.fsdecode(b.replace(b"\0", b""))),
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(["-1", "--", "--help", "-h", "None", "True", "nan", "-inf", "1e400", "1_0"]),
    st.sampled_from(["~nobody", "/", "/dev/null", "0x10", "[1]", "a=b", "{0}", "%s"]),
    st.sampled_from(["", " ", "\n", "9" * 400, "9" * 5_000, "x" * 5_000, "\x1b[2J", "\u2028"]),
    st.sampled_from(["─" * 200, "│", "╭", "[bold]", "[/]"]),
)

values = st.one_of(
    st.sampled_from([None, True, 0, -1, 10**400, -(10**400), 2**63, 1e308, -0.0, 5e-324]),
    st.sampled_from([float("nan"), float("inf"), "", "\0", "\n", "\ud800", "../../etc", "--help"]),
    # A copy of each: what is edited again must not hold itself.
    st.sampled_from(["x" * 5_000, [], {}, [[]], ["--help"], {"a": 1}, [0] * 1_000, DEEP]).map(copy),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(st.characters(exclude_categories=[])),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=8,
    ),
)


@st.composite
def edited(draw: st.DrawFn, document: dict[str, Any], more: Sequence[str] = ()) -> dict[str, Any]:
    """A JSON object with other values, without some, or with others, under any name or ``more``."""
    found = json.loads(json.dumps(document))
    for _ in range(draw(st.integers(1, 3))):
        inner = found
        key = draw(st.sampled_from(sorted(inner)))
        while isinstance(inner[key], dict) and inner[key] and draw(st.booleans()):
            inner = inner[key]
            key = draw(st.sampled_from(sorted(inner)))
        if draw(st.integers(0, 5)) == 0 and len(inner) > 1:
            del inner[key]
        else:
            names = [st.just(key), st.text(), *([st.sampled_from(more)] if more else [])]
            inner[draw(st.one_of(names))] = draw(values)
    return found


@st.composite
def mutated(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds with bytes changed, cut, put in or repeated."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["change", "cut", "insert", "remove", "repeat"])):
            case "change" if at < len(data):
                data[at] = draw(st.integers(0, 255))
            case "cut":
                del data[at:]
            case "insert":
                data[at:at] = draw(st.binary(max_size=8) | st.just(b"[" * 2_000))
            case "remove":
                del data[at : at + draw(st.integers(1, 64))]
            case "repeat":
                data[at:at] = data[at : at + 64] * draw(st.integers(1, 50))
    return bytes(data)


def texts(document: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """What the JSON file of a document may have become."""
    written = json.dumps(document, indent=2).encode()
    return st.one_of(
        st.one_of(edited(document), values).map(lambda found: json.dumps(found).encode()),
        mutated([written]),
        st.binary(max_size=100),
    )
