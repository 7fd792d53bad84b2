"""Which wrong lines the fast tests see: every mutant of a module against the tests that guard it.

    python tests/mutation/run.py                  # all modules, hours on two cores
    python tests/mutation/run.py bound --sample 40

A mutant runs in a fork of this process, which has imported all but ``dpm_jax``; nothing on disk
is changed, and several mutants may run beside each other. Survivors that mean the same as the
original are listed with the reason in ``equivalent.toml``; all others are printed.
"""

import argparse
import importlib
import json
import os
import random
import signal
import sys
import tempfile
import time
import tomllib
from importlib.machinery import SourceFileLoader
from pathlib import Path

from mutants import Mutant, mutants

TESTS = Path(__file__).parents[1]
PACKAGE = TESTS.parent / "dpm_jax"
GUARDS = {
    "kernels/gaussian": "kernels test_reverse.py test_bound.py sampling/test_perturb.py",
    "kernels/binomial": "kernels test_reverse.py test_bound.py sampling/test_perturb.py",
    "bound": "test_bound.py test_last_step.py training/test_step.py evaluation/test_likelihood.py",
    "entropy": "test_entropy.py evaluation/test_entropies.py",
    "reverse": "test_reverse.py kernels/test_bridge.py test_last_step.py",
    "schedule": "test_schedule.py test_bound.py experiments/test_command_line.py",
    "sampling/perturb": "sampling laws/test_conditional.py",
    "sampling/trajectory": "sampling",
    "sampling/posterior": "sampling",
    "sampling/draw": "sampling",
    "evaluation/likelihood": "evaluation/test_likelihood.py experiments/known_law",
    "evaluation/entropies": "evaluation/test_entropies.py",
    "evaluation/parzen": "evaluation/test_parzen.py experiments/test_commands.py",
    "evaluation/baselines": "evaluation/test_baselines.py",
    "evaluation/codecs": "evaluation/test_codecs.py",
    "evaluation/mcgsm": "evaluation/test_mcgsm.py",
    "scaling": "test_scaling.py",
    "training/objective": "training/test_step.py",
    "networks/temporal": "networks",
}
"""Tests by module, the quickest and keenest first: the first that fails ends a mutant."""

PATIENCE = 300.0
"""Seconds until a mutant that does not end counts as seen."""


def main() -> None:
    """Run what the command line asks for; print the survivors and the score."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", help=f"of {', '.join(GUARDS)}; all by default")
    parser.add_argument("--sample", type=int, default=0, help="mutants a module; 0 for all")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at once")
    parser.add_argument("--out", type=Path, help="a JSON line for every mutant is added here")
    options = parser.parse_args()
    known = tomllib.loads(Path(__file__).with_name("equivalent.toml").read_text())
    _import_the_rest()
    total = seen = 0
    for module in options.modules or GUARDS:
        found = list(mutants((PACKAGE / f"{module}.py").read_text()))
        same = {str(entry["mutant"]) for entry in known.get(module, [])}
        if stray := same - set(map(str, found)):
            sys.exit(f"equivalent.toml: {module} has no mutant {min(stray)}")
        different = [mutant for mutant in found if str(mutant) not in same]
        if options.sample and options.sample < len(different):
            different = random.Random(options.seed).sample(different, options.sample)
        source = (PACKAGE / f"{module}.py").read_text()
        if not _survivors(module, [Mutant("", "", "", 0, source)], 1, None):
            sys.exit(f"{module}: its tests fail as it is: {GUARDS[module]}")
        survivors = _survivors(module, different, options.jobs, options.out)
        total, seen = total + len(different), seen + len(different) - len(survivors)
        print(
            f"{module}: {len(different) - len(survivors)} of {len(different)} seen; "
            f"{len(found)} mutants, {len(same)} argued equivalent",
            flush=True,
        )
        for mutant in survivors:
            print(f"  {mutant}", flush=True)
    print(f"{seen} of {total} seen, {100 * seen / total:.1f}%")
    sys.exit(seen < total)


def _import_the_rest() -> None:
    cache = os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", tempfile.mkdtemp())
    os.environ |= {
        "JAX_PLATFORMS": "cpu",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    print(f"compiled programs are kept in {cache}")
    # jax imported is not jax started: threads do not survive a fork, so no backend may be up.
    for name in (
        "beartype",
        "flax.linen",
        "hypothesis",
        "jax",
        "jaxtyping",
        "matplotlib.pyplot",
        "optax",
        "pytest",
        "tyro",
    ):
        importlib.import_module(name)
    sys.path.insert(0, str(PACKAGE.parent))
    assert not any(name.split(".")[0] == "dpm_jax" for name in sys.modules)


def _survivors(module: str, found: list[Mutant], jobs: int, out: Path | None) -> list[Mutant]:
    waiting, running, survivors = list(found), {}, []
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop(0)
            running[_start(module, mutant)] = mutant, time.monotonic()
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            for child, (_, since) in running.items():
                if time.monotonic() - since > PATIENCE:
                    os.killpg(child, signal.SIGKILL)
            time.sleep(0.05)
            continue
        mutant, since = running.pop(pid)
        if status == 0:
            survivors.append(mutant)
        if out is not None:
            record = {
                "module": module,
                "mutant": str(mutant),
                "status": status,
                "seconds": round(time.monotonic() - since, 1),
            }
            with out.open("a") as file:
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
    return survivors


def _start(module: str, mutant: Mutant) -> int:
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    status = 1
    try:
        status = _tests_fail(module, mutant)
    finally:
        os._exit(status)


def _tests_fail(module: str, mutant: Mutant) -> int:
    import pytest

    path = str(PACKAGE / f"{module}.py")
    of_the_disk = SourceFileLoader.get_data

    def get_data(loader: SourceFileLoader, name: str) -> bytes:
        stem = Path(path).stem
        if name.endswith(".pyc") and Path(name).name.startswith(f"{stem}."):
            raise OSError("compiled from another source")
        return mutant.source.encode() if name == path else of_the_disk(loader, name)

    SourceFileLoader.get_data = get_data  # type: ignore[method-assign]
    guards = [str(TESTS / name) for name in GUARDS[module].split()]
    return pytest.main(
        ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--rootdir", str(TESTS.parent), *guards]
    )


if __name__ == "__main__":
    main()
