"""How much memory there is, from the files of a machine, and what does not fit into it."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dpm_jax import memory
from dpm_jax.devices import in_chunks

GIB = 2**30
ALONE = "0::/"
SECOND = {"memory.max": 2 * GIB, "memory.current": GIB, "memory.stat": f"inactive_file {GIB // 2}"}
FIRST = {
    "memory.limit_in_bytes": 2 * GIB,
    "memory.usage_in_bytes": GIB,
    "memory.stat": f"cache 5\ntotal_inactive_file {GIB // 4}",
}
NO_LIMIT = SECOND | {"memory.max": "max"}


def machine(root, group: str, folders: dict[str, dict], available: int = 8):
    """The files of a machine with so many free GiB, of cgroups with these files."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(f"MemTotal: 9\nMemAvailable:  {available * 2**20} kB\n")
    (root / "proc/self/cgroup").write_text(f"3:cpuset:/\n{group}\n")
    for name, files in folders.items():
        folder = root / "sys/fs/cgroup" / name
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            (folder / file).write_text(f"{text}\n")
    return root


@pytest.mark.parametrize(
    ("group", "folders", "expected"),
    [
        (ALONE, {}, 8.0),
        ("0::/a/b", {"a/b": SECOND}, 1.5),
        ("0::/a/b", {"a": SECOND, "a/b": NO_LIMIT}, 1.5),
        ("0::/elsewhere", {"": SECOND}, 1.5),  # a container's own group is not to be seen
        ("4:cpu,memory:/a", {"memory/a": FIRST}, 1.25),
        ("4:memory:/a", {"memory": FIRST}, 1.25),
        ("0::/a", {"a": SECOND | {"memory.current": 3 * GIB}}, 0.0),
        ("0::/a", {"a": {"memory.max": "?"}}, 8.0),
    ],
)
def test_free_is_the_least_of_the_machine_and_its_groups(tmp_path, group, folders, expected):
    assert memory.free_on_host(machine(tmp_path, group, folders)) == expected * GIB


def test_where_there_are_no_such_files_nobody_knows(tmp_path):
    assert memory.free_on_host(tmp_path) is None


def test_this_machine_has_some_free():
    assert 2**20 < memory.free_on_host() < 2**50


@pytest.fixture
def three_gib(monkeypatch):
    monkeypatch.setattr(memory, "free_on_host", lambda: 3 * GIB)


def test_what_does_not_fit_is_told_by_its_fields_with_what_is_free(three_gib):
    memory.require({"samples": GIB}, {"training (hidden)": 2 * GIB})
    said = (
        "not enough memory: 1.00 GiB for samples, 2.50 GiB for training (hidden) are needed, and "
        "3.00 GiB are free; make one of these smaller"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        memory.require({"samples": GIB}, {"training (hidden)": 5 * GIB // 2})


def test_where_nobody_knows_nothing_is_refused(monkeypatch):
    monkeypatch.setattr(memory, "free_on_host", lambda: None)
    memory.require({"samples": 2**60})


def test_a_program_takes_its_arguments_results_and_what_is_between():
    numbers = jnp.zeros((1000, 1000))
    taken = memory.of_program(jax.jit(lambda x: (x @ x) @ x).lower(numbers).compile())
    assert taken == pytest.approx(3 * 4e6, rel=0.01)


def rows_at_once(monkeypatch, free: int, chunk: int = 100):
    """The sizes of the chunks of 100 rows that take 2 MB each, with so many bytes free."""
    monkeypatch.setattr(memory, "free_on_host", lambda: free)
    sizes = []

    @jax.jit
    def program(x):
        return jnp.fft.fft(jnp.ones((len(x), 250_000)) + x[:, None]).real.sum(1)

    def counted(*parts):
        sizes.append(len(parts[0]))
        return program(*parts)

    counted.func, counted.args, counted.keywords = program, (), {}
    x = np.arange(100, dtype=np.float32)
    found = np.concatenate(list(in_chunks(counted, x, chunk=chunk, label="K", progress=False)))
    return sizes, found


def test_a_chunk_is_no_larger_than_half_of_what_is_free(monkeypatch):
    whole, expected = rows_at_once(monkeypatch, 100 * GIB, chunk=50)
    assert whole == [50, 50]
    sizes, found = rows_at_once(monkeypatch, 100_000_000, chunk=50)
    assert 1 <= max(sizes) < 50
    assert sum(sizes) >= 100
    np.testing.assert_allclose(found, expected)


def test_one_row_that_does_not_fit_is_said(monkeypatch):
    with pytest.raises(MemoryError, match=r"^K needs 0\.00 GiB for one row"):
        rows_at_once(monkeypatch, 1_000_000)
