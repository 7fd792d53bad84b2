"""Several hosts as processes on one machine: the same numbers, and no host waits for a lost one."""

import shutil
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
import toys

from dpm_jax import hosts
from dpm_jax.training import metrics

SMALL = {"steps": 20, "steps_per_dispatch": 5, "checkpoint_every": 10, "batch_size": 64}

TRAIN = """
import sys
from dpm_jax import hosts
from dpm_jax.experiments import command_line, registry
from dpm_jax.training.folder import RunFolder, open_folder
from dpm_jax.training.journal import Journal
from dpm_jax.training.loop import fit

hosts.start(command_line.start(sys.argv[1:]))
problem = registry.problem("swiss_roll")
config = command_line.parse("", problem.presets["default"], sys.argv[1:])
experiment, settings = problem.build(config), {"experiment": problem.name}
opened = lambda: open_folder(config.workdir, settings, resume=True, overwrite=False)
folder = hosts.by_first(opened, RunFolder(config.workdir))
fit(experiment.model, experiment.data.train, config, journal=Journal(folder), progress=False)
"""


def joined():
    """The flags of two processes that meet at a free port."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    flags = "--coordinator 127.0.0.1:{} --processes 2 --process {}"
    return [flags.format(port, number).split() for number in range(2)]


@pytest.fixture
def begin():
    """Starts processes that do not outlive the test."""
    begun = []

    def start(command, script, devices):
        count = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
        environment, pipe = script.environment | count, subprocess.PIPE
        process = subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)
        begun.append(process)
        return process

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def ended(process, seconds=300):
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


def trained(begin, script, run, devices, *several):
    words = script.command(run, **SMALL)[2:]
    commands = [[sys.executable, "-c", TRAIN, *words, *flags] for flags in several or [[]]]
    processes = [begin(command, script, devices) for command in commands]
    for process in processes:
        code, _, err = ended(process)
        assert code == 0, err
    records = metrics.read(run / "metrics.jsonl")
    assert [record["step"] for record in records] == [5, 10, 15, 20]
    return toys.checkpoint(run, 20), records


def same(found, expected):
    (state, records), (state_, records_) = found, expected
    for one, other in zip(records, records_, strict=True):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-5)
    for key in ("params", "ema"):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), state[key], state_[key]
        )


@pytest.mark.slow
def test_two_hosts_learn_what_one_learns_and_one_goes_on(swiss_roll, tmp_path, begin):
    two = trained(begin, swiss_roll, tmp_path / "two", 2, *joined())
    shutil.rmtree(tmp_path / "two" / "checkpoints" / "20")
    for devices in (4, 1):
        run = tmp_path / f"then_{devices}"
        shutil.copytree(tmp_path / "two", run)
        same(trained(begin, swiss_roll, run, devices), two)
    same(trained(begin, swiss_roll, tmp_path / "one", 1), two)


@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_host_ends_the_other_and_both_go_on(swiss_roll, tmp_path, begin, lost):
    run = tmp_path / "run"

    def both():
        flags = SMALL | {"steps": 100_000}
        command = swiss_roll.command(run, "--resume", **flags)
        return [begin([*command, *several], swiss_roll, 1) for several in joined()]

    def saved(after):
        whole = (run / "checkpoints").glob("*/checksums.json")
        return max((step for path in whole if (step := int(path.parent.name)) > after), default=0)

    def until_saved(processes, after):
        end = time.monotonic() + 300
        while not saved(after) and time.monotonic() < end:
            assert all(process.poll() is None for process in processes), ended(processes[0])
            time.sleep(0.1)
        return saved(after)

    processes = both()
    step = until_saved(processes, 0)
    processes[lost].kill()
    then = time.monotonic()
    code, _, err = ended(processes[1 - lost], seconds=60)
    assert time.monotonic() - then < 60
    assert code == 2
    lines = err.replace("\r", "\n").splitlines()
    bar = ("steps/s]", "K = ", "going on at step 0")
    (said,) = [line for line in lines if line and not any(word in line for word in bar)]
    assert said.startswith("error: ")
    assert "another host was lost" in said

    # What a launcher does: the same command again. And a signal to one ends both.
    processes = both()
    assert until_saved(processes, step) > step
    processes[1].send_signal(signal.SIGTERM)
    (code, _, err), (code_, _, err_) = map(ended, processes)
    assert (code, code_) == (130, 130)
    assert "going on from step" in err
    assert "going on from step" not in err_
    assert "asked on another host: stopped after step" in err
    assert "SIGTERM: stopped after step" in err_


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--coordinator here", "coordinator must be HOST:PORT or auto, got here"),
        ("--coordinator a:99999", "coordinator must be HOST:PORT or auto, got a:99999"),
        ("--coordinator a:1", "coordinator HOST:PORT needs processes and process beside it"),
        ("--coordinator a:1 --processes 2 --process 2", "process must lie in 0 to 1, got 2"),
        (
            "--processes 2",
            "processes and process must be given with coordinator HOST:PORT, got coordinator None",
        ),
    ],
)
def test_flags_of_hosts_that_do_not_fit(swiss_roll, tmp_path, flags, said):
    done = subprocess.run(
        swiss_roll.command(tmp_path / "run", flags),
        env=swiss_roll.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.strip() == f"error: {said}"


def test_no_launcher_is_one_line(swiss_roll, tmp_path):
    environment = {k: v for k, v in swiss_roll.environment.items() if "SLURM" not in k}
    command = swiss_roll.command(tmp_path / "run", "--coordinator auto")
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: coordinator auto: no hosts could be joined by the launcher's environment "
        "(coordinator_address should be defined.)"
    ]


def test_one_host_that_a_command_starts_twice_is_started_once(swiss_roll):
    # ``dpm evaluate`` reads the run, and the experiment's own command line starts again.
    (flags, _) = joined()
    script = f"""
from dpm_jax import hosts
flags = hosts.HostFlags(coordinator="{flags[1]}", processes=1, process=0)
hosts.start(flags)
hosts.start(flags)
print(hosts.several())
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=swiss_roll.environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr


def test_alone_every_question_is_answered_by_this_host():
    assert hosts.first()
    assert not hosts.several()
    assert hosts.tell("word") == "word"
    assert hosts.least(2**40) == 2**40
    assert hosts.any_of(True)
    assert not hosts.any_of(False)
    assert hosts.by_first(lambda: 1, 2) == 1
