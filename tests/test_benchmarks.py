"""The benchmark's pieces, without PyTorch: they time, count, take turns and quote."""

import importlib
import json
import os
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from dpm_jax import models, schedule
from dpm_jax.training.config import TrainConfig

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def module(monkeypatch):
    """Imports one of the benchmark's files, as ``python benchmarks/run.py`` does."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


def test_a_round_counts_its_units_and_its_own_time(module):
    timing = module("timing")

    def run(count):
        begin = time.process_time()
        while time.process_time() - begin < 0.01 * count:
            pass

    found = timing.measured(run, units=3, seconds=0.1)
    assert 0.01 / 3 <= found.cpu < 0.02 / 3
    assert found.rate <= 3 / 0.01 + 1
    assert 0 <= found.others <= 1


def test_what_others_took_is_what_is_left_of_all_that_was_worked(module):
    share = module("timing").share_of_others
    assert share(3.0, 1.0, 2.0) == pytest.approx(min(1, 1 / (os.cpu_count() or 1)))
    assert share(1.0, 1.1, 2.0) == 0  # clocks tick


class Fake:
    """A side whose rounds are known."""

    def __init__(self, name, rates, log):
        timing = sys.modules["timing"]
        self.rounds = [timing.Round(rate, 1 / rate, 0.1) for rate in rates]
        self.name, self.log, self.facts = name, log, {"flops": 2e9, "bytes": 1e6, "seconds": 1.0}

    def round(self, seconds):
        self.log.append(self.name)
        return self.rounds.pop(0)

    def stop(self):
        return 2**20


def test_sides_take_turns_and_a_row_says_median_spread_limit_and_load(module):
    timing, run = module("timing"), module("run")
    log = []
    workers = {"ours": Fake("a", [9, 10, 12], log), "eager": Fake("b", [5, 5, 5], log)}
    rows = timing.in_turns(workers, 3, 1.0)
    assert log == list("ababab")
    assert (rows["ours"].rate, rows["ours"].spread) == (10, pytest.approx(0.3))
    best = {"product": 100e9, "convolution": 1e9, "memory": 1e9}
    assert run.limit(rows["ours"], "roll", best) == ("product", pytest.approx(0.2))
    cells = run.line("train/roll", rows, best)
    assert len(cells) == len(run.HEADS)
    assert "2.00" in cells
    assert cells[-1] == "others 10%"
    json.dumps([row._asdict() for row in rows.values()])


def test_without_pytorch_ours_are_alone_and_the_default_network_has_no_twin(module):
    sides_of = module("run").sides_of
    assert sides_of("roll", torch=False) == ("ours",)
    assert sides_of("mnist_default", torch=True) == ("ours",)
    assert sides_of("mnist_paper", torch=True) == ("ours", "eager", "compiled", "channels_last")


def test_our_work_is_done_and_counted(module):
    tasks = module("tasks")
    model = models.gaussian_mlp((2,), schedule.learned(4, 0.01), hidden=(16,), octaves=1)
    data = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
    task = tasks.Task(model, data, TrainConfig(batch_size=8, steps=10), 6, 5)
    for kind, make in tasks.KINDS.items():
        work = make(task)
        work.run(2)
        # Two products a step, of 6 or 16 and 4 numbers, for each example and step.
        least = {"train": 8 * 3, "sample": 6 * 4, "bound": 5 * 4}[kind] * 2 * 16 * (6 + 4)
        assert least < work.flops < 40 * least
        assert (work.units, work.size > 0) == ({"train": 1, "sample": 6, "bound": 5}[kind], True)


def test_parameters_of_the_check_are_nowhere_zero(module):
    task = module("tasks")
    model = models.gaussian_mlp((2,), schedule.learned(4, 0.01), hidden=(3,))
    assert all((leaf != 0).all() for leaf in jax.tree.leaves(task.parameters(model)))


def test_the_cost_of_work_is_measured_at_sizes_that_a_run_takes(module):
    cost = module("cost")
    for axis, sizes in cost.AXES.items():
        for size in sizes:
            cost.config_of(**cost.BASE | {axis: size})  # refuses what no run takes


def test_growth_and_what_devices_tell_each_other_are_fitted_and_counted(module):
    cost = module("cost")
    sizes = np.array([10, 20, 50])
    assert cost.exponent(sizes, 3.0 * sizes**1.5) == pytest.approx(1.5)
    text = """
      %sum = f32[10,2]{1,0} all-reduce(%a), to_apply=%add
      %two = (f32[3]{0}, bf16[4]{0}) all-reduce-start(%b, %c), to_apply=%add
      %one = f32[] all-reduce(%d), to_apply=%add
      %not = f32[100] add(%e, %f)"""
    assert cost.all_reduced(text) == 4 * (20 + 3 + 1) + 2 * 4
    # A ring of four sends 2 · 3/4 of the gradient: within a host, 1.5 s; on 16, over hosts, more.
    link = cost.Link(within=100.0, between=10.0, used=0.4)
    assert cost.efficiency(3.0, 100.0, 4, link) == pytest.approx(3 / 4.5)
    assert cost.efficiency(3.0, 16.0, 16, link) == pytest.approx(3 / 6)
