"""How fast it is, beside PyTorch and beside the machine: a table, and the same as JSON.

    pip install torch
    python benchmarks/run.py

Training steps, samples and whole bounds a second, with the seconds to compile, peak memory, and
the seconds from a command to its first step. PyTorch has the same network, loss, batch, optimiser
and precision, which is checked in the same run, and takes turns with ours: eagerly, compiled, and
with channels last where there are convolutions. Without PyTorch, ours are timed alone. The default
network of MNIST has no twin: its belief and its last step would be a library of their own.

Of every row: which of the machine's ceilings binds, and how near it is. FLOPs are XLA's count.
Bytes are after fusion, as if nothing stayed in a cache: where these bind, a row may be over 100%.
A row is marked where others took more than 5% of the machine while it was timed.
"""

import argparse
import importlib.util
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ceilings
import numpy as np
import startup
from timing import OTHERS, Row, Worker, in_turns

PROBLEMS = ("roll", "heartbeat", "mnist_paper", "mnist_default")
WITH_TWIN = PROBLEMS[:3]
KINDS = ("train", "sample", "bound")
ROWS = tuple(f"{kind}/{problem}" for kind in KINDS for problem in PROBLEMS)
ROUNDS, SECONDS = 5, 2.0
CONVOLUTIONS = "mnist_paper"  # its FLOPs are those of convolutions


def make_ours(kind: str, problem: str) -> tuple[Callable[[int], None], int, dict[str, float]]:
    """Our side of a row, for ``Worker``."""
    import tasks

    work = tasks.KINDS[kind](tasks.TASKS[problem]())
    facts = {"flops": work.flops, "bytes": work.size, "seconds": work.seconds}
    return (
        work.run,
        work.units,
        {name: value / work.units for name, value in facts.items()} | {"seconds": work.seconds},
    )


def make_check(problem: str) -> tuple[Callable[[int], None], int, dict[str, Any]]:
    """No work: facts that a twin is the same, and what it is given."""
    import check
    import peers
    import tasks

    task = tasks.TASKS[problem]()
    difference = check.same(task, peers.twin(problem))
    config = task.config
    sizes = peers.Sizes(config.batch_size, config.times_per_batch, task.draws, task.bounds)
    given = check.flat(tasks.parameters(task.model)), task.data, sizes
    return lambda count: None, 1, {"difference": difference, "given": given}


def make_peer(
    kind: str, problem: str, side: str, given: tuple[Mapping[str, np.ndarray], np.ndarray, Any]
) -> tuple[Callable[[int], None], int, dict[str, float]]:
    """PyTorch's side of a row."""
    import peers

    ours, data, sizes = given
    twin = peers.twin(problem, channels_last=side == "channels_last")
    run, seconds = peers.work(kind, side, twin, ours, data, sizes)
    units = {"train": 1, "sample": sizes.draws, "bound": sizes.bounds}[kind]
    return run, units, {"seconds": seconds}


def sides_of(problem: str, *, torch: bool) -> tuple[str, ...]:
    """Who takes part in a row."""
    if not (torch and problem in WITH_TWIN):
        return ("ours",)
    last = ("channels_last",) if problem == CONVOLUTIONS else ()
    return ("ours", "eager", "compiled", *last)


def measure_ceilings(libraries: Sequence[str], rounds: int, seconds: float) -> dict[str, float]:
    """FLOP/s of a product and of a convolution, bytes/s of memory: the best library's median."""
    best = {}
    for name in ceilings.FLOPS:
        workers = {library: Worker(ceilings.make, library, name) for library in libraries}
        best[name] = max(row.rate for row in in_turns(workers, rounds, seconds).values())
    return best


def limit(row: Row, problem: str, best: Mapping[str, float]) -> tuple[str, float]:
    """The ceiling that allows least, and the share of it that a row reaches."""
    compute = "convolution" if problem == CONVOLUTIONS else "product"
    least = {
        compute: row.facts["flops"] / best[compute],
        "memory": row.facts["bytes"] / best["memory"],
    }
    binding = max(least, key=lambda name: least[name])
    return binding, least[binding] * row.rate


def line(name: str, rows: Mapping[str, Row], best: Mapping[str, float]) -> list[str]:
    """A row of the table."""
    problem = name.split("/")[1]
    ours = rows["ours"]
    cells = [name, *(quoted(rows.get(side)) for side in ("ours", "eager", "compiled"))]
    cells += [quoted(rows.get("channels_last"))]
    peers = {side: row for side, row in rows.items() if side != "ours"}
    cells += [f"{ours.rate / max(row.rate for row in peers.values()):.2f}" if peers else "–"]
    binding, share = limit(ours, problem, best)
    cells += [f"{binding} {share:.0%}"]
    cells += [" / ".join(f"{row.facts['seconds']:.1f}" for row in rows.values())]
    cells += [" / ".join(f"{row.memory / 2**20:.0f}" for row in rows.values())]
    others = max(row.others for row in rows.values())
    return [*cells, f"others {others:.0%}" if others > OTHERS else ""]


def quoted(row: Row | None) -> str:
    """A rate with its spread."""
    return "–" if row is None else f"{row.rate:,.4g} ± {row.spread / 2:.0%}"


HEADS = (
    *("row", "ours, 1/s", "eager", "compiled", "channels last", "ours / best of them", "limit"),
    *("compile and first call, s", "peak MiB", "load"),
)


def measure_row(name: str, rounds: int, seconds: float, *, torch: bool) -> dict[str, Row]:
    """All sides of a row, after a check that they are the same."""
    kind, problem = name.split("/")
    sides = sides_of(problem, torch=torch)
    workers = {"ours": Worker(make_ours, kind, problem)}
    if len(sides) > 1:
        check = Worker(make_check, problem)
        given = check.facts["given"]
        check.stop()
        workers |= {side: Worker(make_peer, kind, problem, side, given) for side in sides[1:]}
    return in_turns(workers, rounds, seconds)


def first_steps(rounds: int) -> dict[str, dict[str, float]]:
    """Seconds from the command to the first step, medians over rounds; and what others took."""
    found = startup.cold_and_cached(rounds)
    return {
        name: {
            "seconds": statistics.median(seconds for seconds, _ in times),
            "fastest": min(seconds for seconds, _ in times),
            "others": max(others for _, others in times),
        }
        for name, times in found.items()
    }


def main() -> None:
    """Print the table, row by row, and write it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=(*ROWS, "startup"), default=None)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of one side's turn")
    parser.add_argument("--out", type=Path, default=Path("benchmarks.json"))
    given = parser.parse_args()
    torch = importlib.util.find_spec("torch") is not None
    wanted = given.only or (*ROWS, "startup")
    found: dict[str, Any] = {"rounds": given.rounds, "rows": {}}
    rows = [name for name in ROWS if name in wanted]
    if rows:
        libraries = ("jax", "torch") if torch else ("jax",)
        best = found["ceilings"] = measure_ceilings(libraries, given.rounds, given.seconds / 4)
        product, convolution, memory = (value / 1e9 for value in best.values())
        print(f"product {product:.0f} GFLOP/s, convolution {convolution:.0f} GFLOP/s,", end=" ")
        print(f"memory {memory:.1f} GB/s; medians of {given.rounds} rounds ± half their range\n")
        print(f"| {' | '.join(HEADS)} |\n{'|---' * len(HEADS)}|", flush=True)
    for name in rows:
        row = measure_row(name, given.rounds, given.seconds, torch=torch)
        found["rows"][name] = {side: each._asdict() for side, each in row.items()}
        print(f"| {' | '.join(line(name, row, best))} |", flush=True)
        given.out.write_text(json.dumps(found, indent=1) + "\n")
    if "startup" in wanted:
        found["startup"] = first_steps(given.rounds)
        for name, times in found["startup"].items():
            mark = f", others {times['others']:.0%}" if times["others"] > OTHERS else ""
            print(f"first step of the roll, {name}: {times['seconds']:.2f} s{mark}", flush=True)
        given.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
