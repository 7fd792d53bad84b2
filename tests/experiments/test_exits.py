"""How a command ends, whatever it is doing when a signal comes or its reader goes."""

import os
import shlex
import signal
import subprocess
import sys
import time

import pytest
from scripts import ROOT, Script

SAID = "\ninterrupted. Go on with:\n  dpm again\n"

COMMAND = """
import os, signal, sys, time, weakref
from dpm_jax.experiments.exits import exits
number = int(sys.argv[1])

def hit(*args):
    signal.raise_signal(number)
    return args[0]

def main():
    {body}
    return "went on"

with exits(lambda: "dpm again"):
    print(main())
"""

SWALLOWING = {
    "plain code": "hit(0)",
    "__del__": """
    class Holder:
        __del__ = hit
    Holder()""",
    "a weak reference's callback": """
    class Thing: pass
    thing = Thing()
    watched = weakref.ref(thing, hit)
    del thing""",
    "code that catches everything": """
    try: hit(0)
    except BaseException: pass""",
    "a callback of XLA's": """
    import jax
    jax.jit(lambda x: jax.pure_callback(hit, x, x))(1.0).block_until_ready()""",
    "a debugging callback of XLA's": """
    import jax
    jax.jit(lambda x: jax.debug.callback(hit, x))(1.0)
    jax.effects_barrier()""",
    "cleaning up": """
    import contextlib
    with contextlib.suppress(BaseException), contextlib.ExitStack() as stack:
        stack.callback(hit, 0)
        raise ValueError""",
}


def python(code, *words, stdout=subprocess.PIPE, unbuffered=""):
    environment = {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "PYTHONUNBUFFERED": unbuffered}
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.Popen(
        command, env=os.environ | environment, stdout=stdout, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("where", SWALLOWING)
def test_a_signal_ends_the_command_wherever_it_comes(where, number):
    process = python(COMMAND.format(body=SWALLOWING[where]), int(number))
    assert (*process.communicate(timeout=60), process.returncode) == ("", SAID, 130)


def test_a_second_signal_ends_it_where_the_first_cannot_say_its_line():
    """Nobody reads the pipe, and it is full."""
    full = "os.set_blocking(2, False)\n    try:\n        while os.write(2, bytes(4096)): pass"
    full += "\n    except BlockingIOError: os.set_blocking(2, True)"
    body = f"{full}\n    print('ready', flush=True)\n    time.sleep(60)"
    process = python(COMMAND.format(body=body), 0)
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    time.sleep(0.5)
    assert process.poll() is None
    process.terminate()
    assert process.wait(timeout=30) == -signal.SIGTERM
    process.stdout.close()
    process.stderr.close()


def test_a_command_with_bytes_that_are_no_text_is_said_as_it_was_given():
    code = COMMAND.replace('"dpm again"', "'dpm ' + sys.argv[2]").format(body="hit(0)")
    process = python(code, int(signal.SIGTERM), os.fsdecode(b"\xff"))
    process.stderr.reconfigure(errors="surrogateescape")
    assert process.communicate()[1].endswith(os.fsdecode(b"  dpm \xff\n"))
    assert process.returncode == 130


DPM = "from dpm_jax.experiments.commands import main; main()"
LONG = "from dpm_jax.experiments.exits import exits\nwith exits(str): print('x' * 1_000_000)"


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("code", "words"),
    [(DPM, "--help"), (DPM, "swiss-roll --help"), (DPM, "table --help"), (LONG, "")],
)
def test_a_reader_that_goes_away_is_no_traceback(code, words, unbuffered):
    reader, writer = os.pipe()
    os.close(reader)
    process = python(code, *words.split(), stdout=writer, unbuffered=unbuffered)
    os.close(writer)
    assert (process.communicate()[1], process.returncode) == ("", 141)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a disk that is always full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(("code", "words"), [(DPM, "--help"), (LONG, "")])
def test_output_that_cannot_be_written_is_one_line(code, words, unbuffered):
    with open("/dev/full", "w") as full:
        process = python(code, *words.split(), stdout=full, unbuffered=unbuffered)
    _, said = process.communicate()
    assert process.returncode == 2
    assert said.startswith("error: [Errno 28] No space left on device")
    assert said.count("\n") == 1


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_do_not_stop_a_command(closed):
    words = shlex.join([sys.executable, "-c", DPM, "--help"])
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(f"{words} {closed}", shell=True, env=environment, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


MEASURED = """
import os, signal, sys
import jax
from dpm_jax.experiments import run
from dpm_jax.experiments.heartbeat.problem import PROBLEM

def build(config):
    experiment = PROBLEM.build(config)

    def hit(x):
        signal.raise_signal(signal.SIGTERM)
        return x

    def measure(process):
        x = jax.numpy.float32(1)
        jax.jit(lambda x: jax.pure_callback(hit, x, x))(x)
        return experiment.measure(process)

    return experiment._replace(measure=measure)

run.main(PROBLEM._replace(build=build), sys.argv[1:], prog="dpm heartbeat")
"""


@pytest.mark.slow
def test_a_signal_in_a_callback_of_a_measurement_ends_the_run_and_it_can_go_on(
    heartbeat: Script, tmp_path
):
    run = tmp_path / "run"
    _, _, *words = heartbeat.command(run)
    code, out, err = heartbeat.finish(heartbeat.start([sys.executable, "-c", MEASURED, *words]))
    assert (code, out) == (130, "")
    *_, said, go_on = err.splitlines()
    assert said == "interrupted. Go on with:"
    assert go_on == f"  dpm heartbeat {shlex.join(words)} --resume"
    assert "Traceback" not in err
    assert (run / "model.npz").exists()
    assert not (run / "result.json").exists()
    code, _, err = heartbeat(run, "--resume")
    assert (code, err) == (0, f"{run}: going on from step 40, to step 40")
    assert (run / "result.json").exists()


def test_writes_that_another_failure_left_undone_say_nothing():
    """Orbax drops coroutines that it had ready when one of them fails."""
    code = """
from dpm_jax.experiments.exits import quiet_libraries

async def write(): pass

quiet_libraries()
write()
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
