"""A run is made of what its files held, not of their names."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_saved_run import edited, snapshot
from untrained import FLAGS, untrained

import dpm_jax
from dpm_jax.data import prepared
from dpm_jax.data.dataset import Images
from dpm_jax.experiments import command_line, registry, run

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 6, 5, 3), np.uint8)
RATES = [0.1, 0.2, 0.3, 0.5]
SHA256 = r"[0-9a-f]{64}"


def array(path: Path, changed: bool) -> Path:
    """An array file; changed in one grey level of a held-out image."""
    images = IMAGES.copy()
    images[9, 0, 0, 0] ^= changed
    np.save(path.with_suffix(".npy"), images)
    return path.with_suffix(".npy")


def folder(path: Path, changed: bool) -> Path:
    """A folder of images; changed in their order."""
    path.mkdir(exist_ok=True)
    for i, image in enumerate(IMAGES[::-1] if changed else IMAGES):
        Image.fromarray(image).save(path / f"{i:02}.png")
    return path


def schedule(path: Path, changed: bool) -> Path:
    """A schedule file; changed by less than float32 can tell."""
    path.write_text("\n".join(map(str, [RATES[0] + 1e-12 * changed, *RATES[1:]])))
    return path


MAKERS = {
    "array": (array, "images", "--data {}"),
    "folder": (folder, "images", "--data {}"),
    "schedule": (schedule, "swiss_roll", "--schedule {}"),
}


@pytest.fixture(params=MAKERS)
def made(request, tmp_path):
    """How its input is made, its place, the experiment, the flags, and the run's folder."""
    make, name, flag = MAKERS[request.param]
    place = make(tmp_path / "mine", False)
    path = untrained(tmp_path / "run", name, flag.format(place))
    return make, place, name, flag, path


@pytest.fixture
def begun(monkeypatch):
    """Runs a command up to where it would train or measure; returns the settings of the run."""
    settings = []
    for step in ("_train", "measure"):
        monkeypatch.setattr(run, step, lambda config, found, *_: settings.append(found))

    def begin(words: str, name: str) -> dict:
        run.main(registry.problem(name), words.split())
        return settings.pop()

    return begin


def commands(name: str, path: Path, flags: str) -> list[str]:
    resume = f"{FLAGS[name]} {flags} --resume --workdir {path}"
    return [resume, f"--evaluate {path} {flags}", f"--evaluate {path}"]


def test_an_input_that_holds_something_else_is_named_and_nothing_is_written(refuse, made):
    make, place, name, flag, path = made
    make(place.with_suffix(""), True)
    before = snapshot(path)
    for words in commands(name, path, flag.format(place)):
        said = refuse(words, name, workdir=None)
        assert said.startswith(f"{place} holds something else now than when the run in {path} was")
        assert said.endswith(f"give by {flag.split()[0]} where it is")
    assert snapshot(path) == before


def test_the_same_input_elsewhere_is_taken_by_its_flag(begun, made, tmp_path):
    _, place, name, flag, path = made
    config = (path / "config.json").read_bytes()
    (tmp_path / "elsewhere").mkdir()
    moved = Path(shutil.move(place, tmp_path / "elsewhere"))
    for words in commands(name, path, flag.format(moved))[:2]:
        flag_name = flag.split()[0].removeprefix("--")
        assert begun(words, name)["inputs"][flag_name]["path"] == str(moved)
    assert (path / "config.json").read_bytes() == config


def test_a_schedule_written_in_other_words_is_the_same(begun, tmp_path):
    file = schedule(tmp_path / "rates.txt", False)
    path = untrained(tmp_path / "run", "swiss_roll", f"--schedule {file}")
    file.write_text("1e-1 2e-1\n\n.3 0.50\n")
    for words in commands("swiss_roll", path, f"--schedule {file}"):
        begun(words, "swiss_roll")


def test_runs_of_earlier_versions_go_on_as_they_did(begun, refuse, made):
    make, place, name, flag, path = made

    def forget(settings):
        del settings["inputs"]
        return settings

    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(forget(config)))
    edited(path / "model.npz", path / "model.npz", lambda about: forget(about["settings"]))
    make(place.with_suffix(""), True)
    for words in commands(name, path, flag.format(place)):
        begun(words, name)
    dpm_jax.load(path)
    moved = Path(shutil.copy(place, path.parent / "other.npy")) if place.is_file() else path
    said = refuse(commands(name, path, flag.format(moved))[0], name, workdir=None)
    assert f"is '{moved}', but the run in {path} was made with '{place}'" in said


@pytest.mark.parametrize("value", ["learned", "fixed"])
def test_another_kind_of_schedule_is_refused_before_anything_is_read(refuse, tmp_path, value):
    file = schedule(tmp_path / "rates.txt", False)
    path = untrained(tmp_path / "run", "swiss_roll", f"--schedule {file}")
    problem = registry.problem("swiss_roll")._replace(build=None)
    for words in commands("swiss_roll", path, f"--schedule {value}")[:2]:
        said = refuse(words, problem, workdir=None)
        assert f"schedule is '{value}', but the run in {path} was made with '{file}'" in said
    untrained(tmp_path / "other", "swiss_roll", f"--schedule {value}")
    words = commands("swiss_roll", tmp_path / "other", f"--schedule {file}")[0]
    assert f"schedule is '{file}', but the run in" in refuse(words, problem, workdir=None)


def test_quick_checks_come_before_the_data(refuse, made):
    _, _, name, flag, path = made
    words = commands(name, path, flag.format("nowhere"))[0]
    problem = registry.problem(name)._replace(build=None)
    assert refuse(f"{words} --steps 9", problem, workdir=None).startswith("steps is 9, but the run")


def inputs(name: str, flags: str) -> dict[str, str]:
    problem = registry.problem(name)
    config = command_line.parse("", next(iter(problem.presets.values())), flags.split())
    return problem.build(config).inputs


def test_what_a_seed_makes_has_no_digest(tmp_path):
    few = "--train-examples 50 --heldout-examples 50"
    assert inputs("swiss_roll", f"{few} --iw-examples 10") == {}
    assert inputs("heartbeat", f"{few} --iw-examples 10") == {}
    assert inputs("dead_leaves", f"{few} --size 8 --radius-max 6 --data-dir {tmp_path}") == {}


@pytest.mark.parametrize("name", ["mnist", "cifar10", "bark"])
def test_every_data_set_that_is_read_has_one(monkeypatch, tmp_path, name):
    flags = "--patch 4" if name == "bark" else "--heldout-examples 0"
    digests = []
    for changed in (False, True):
        images = IMAGES.copy()
        images[9] ^= changed
        monkeypatch.setattr(prepared, "load", lambda *_, i=images: Images(i[:10], i[10:]))
        place = folder(tmp_path / "bark", changed)
        digests.append(inputs(name, f"{flags} --data-dir {place}"))
    assert [digest.keys() for digest in digests] == [{"data_dir"}, {"data_dir"}]
    assert digests[0] != digests[1]


@pytest.mark.parametrize("mode", ["", "--overwrite"])
@pytest.mark.parametrize(
    ("name", "flag", "place"),
    [
        ("images", "data", "{run}/figures"),
        ("images", "data", "{run}/../run/samples.npz"),
        ("images", "data", "{link}"),
        ("images", "data", "{run}"),
        ("bark", "data-dir", "{run}/figures"),
        ("dead_leaves", "data-dir", "{run}/figures"),
        ("swiss_roll", "schedule", "{run}/rates.txt"),
        ("heartbeat", "schedule", "{link}"),
    ],
)
def test_nothing_clears_what_it_reads(refuse, tmp_path, name, flag, place, mode):
    run_folder = untrained(tmp_path / "run", "swiss_roll")
    (tmp_path / "link").symlink_to(run_folder / "figures")
    before = snapshot(run_folder)
    place = place.format(run=run_folder, link=tmp_path / "link")
    problem = registry.problem(name)._replace(build=None)
    said = refuse(f"--{flag} {place} {mode}", problem, workdir=run_folder)
    what = flag.replace("-", "_")
    assert said == f"workdir {run_folder} holds the {what}, {place}; give another --workdir"
    assert snapshot(run_folder) == before


def test_what_is_read_may_lie_in_the_workdir_of_a_run_that_goes_on(begun, tmp_path):
    file = schedule(tmp_path / "rates.txt", False)
    path = untrained(tmp_path / "run", "swiss_roll", f"--schedule {file}")
    words = commands("swiss_roll", path, f"--schedule {shutil.move(file, path)}")[0]
    begun(words, "swiss_roll")


def test_a_schedule_in_a_home_that_is_not_there_is_one_line(refuse):
    path = "~nobody_of_this_name/x"
    said = f"schedule must be learned, fixed, linear, cosine or a readable file, got {path}"
    assert refuse(f"--schedule={path}") == said
