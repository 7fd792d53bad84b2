"""The model file: the same bits back, in this version and later ones, or one line."""

import hashlib
import json
import warnings
from functools import cache
from pathlib import Path

import jax
import numpy as np
import pytest
import toys
from hypothesis import given, settings
from hypothesis import strategies as st

from dpm_jax.process import Process, bind
from dpm_jax.training import model_file
from dpm_jax.training.model_file import load, save

V1 = Path(__file__).parent / "model_v1.npz"
ABOUT = {"settings": {"experiment": "toy", "width": 3}, "note": "β, ᾱ"}


def contents(held) -> dict[str, np.ndarray]:
    """Every array by its path, network and schedule."""
    leaves = jax.tree_util.tree_flatten_with_path((held.schedule._asdict(), held.network))[0]
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def digest(arrays: dict[str, np.ndarray]) -> str:
    found = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        found.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return found.hexdigest()


def nested() -> Process:
    """A process with branches in its tree of parameters, and every kind of leaf."""
    process = toys.random_process(toys.bits())
    tree = {"a": {"b": {"kernel": np.float32([[1.5, -0.0], [np.inf, np.nan]])}, "c": np.float32(2)}}
    return Process(
        process.kernel,
        process.schedule,
        process.step,
        process.event_shape,
        tree | {"counts": np.arange(3), "empty": np.zeros((0, 2), np.float32)},
    )


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.npz"
    save(path, toys.random_process(toys.reals()), ABOUT)
    return path


@pytest.mark.parametrize("make", [nested, lambda: toys.random_process(toys.reals())])
def test_a_process_comes_back_bit_for_bit(tmp_path, make):
    process = make()
    save(tmp_path / "model.npz", process, ABOUT)
    held = load(tmp_path / "model.npz")
    assert held.about == {"format": 1, **ABOUT}
    assert jax.tree.structure(held.network) == jax.tree.structure(process.params)
    pairs = zip(
        jax.tree.leaves((held.schedule, held.network)),
        jax.tree.leaves((process.schedule, process.params)),
        strict=True,
    )
    for found, expected in pairs:
        expected = np.asarray(expected)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        assert found.tobytes() == expected.tobytes()
    assert {path.name for path in tmp_path.iterdir()} == {"model.npz"}


def test_the_archive_is_plain_numpy(saved):
    with np.load(saved, allow_pickle=False) as archive:
        assert set(archive.files) == {
            "about",
            "schedule/beta",
            "schedule/log_alpha_bar",
            "network/slope",
            "network/offset",
            "sha256",
        }
        assert json.loads(archive["about"].tobytes())["note"] == "β, ᾱ"


def test_saving_again_replaces_the_file(saved):
    other = toys.random_process(toys.reals(), seed=1)
    save(saved, other, ABOUT)
    np.testing.assert_array_equal(load(saved).network["slope"], other.params["slope"])


def test_a_file_of_format_1_reads_to_the_same_bits():
    """Written when the format was made; never to be written again."""
    assert V1.stat().st_size < 20_000
    held = load(V1)
    assert (
        digest(contents(held)) == "25e4737755070d7342ac78c6ad60c6a005bd7d0f41516877c344f0412063d4ac"
    )
    assert held.about["settings"] == {"experiment": "toy", "activity": 0.3}
    model = toys.small_mlp()
    process = bind(model, {"network": held.network, "schedule": {}})
    x = np.float32([1, 0, 1])
    z = model.network.apply(process.params, jax.numpy.asarray(x), jax.numpy.asarray(2))
    np.testing.assert_allclose(z[:, 0], [0.567834, 0.562864, 0.994727], rtol=1e-5)


def refusal(path) -> str:
    with pytest.raises(ValueError) as said:  # noqa: PT011
        load(path)
    message = str(said.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message.removeprefix(f"{path} ")


@cache
def whole() -> bytes:
    return V1.read_bytes()


@settings(max_examples=400)
@given(st.integers(0, V1.stat().st_size - 1), st.integers(1, 255))
def test_any_changed_byte_is_refused_or_changes_nothing(tmp_path_factory, place, flip):
    damaged = bytearray(whole())
    damaged[place] ^= flip
    path = tmp_path_factory.getbasetemp() / "flipped.npz"
    path.write_bytes(damaged)
    try:
        held = load(path)
    except ValueError:
        assert refusal(path).startswith("is damaged")
    else:  # a date, say
        assert digest(contents(held)) == digest(contents(load(V1)))
        assert held.about == load(V1).about


@settings(max_examples=60)
@given(st.integers(0, V1.stat().st_size - 1))
def test_a_file_cut_anywhere_is_refused(tmp_path_factory, length):
    path = tmp_path_factory.getbasetemp() / "cut.npz"
    path.write_bytes(whole()[:length])
    assert refusal(path).startswith("is damaged or no model file (")


def with_arrays(path, change) -> Path:
    """The archive with its arrays changed, and a checksum that fits them."""
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files if name != "sha256"}
    arrays = change(arrays)
    np.savez(path, **arrays, sha256=model_file._digest(arrays))
    return path


def without(*names):
    return lambda arrays: {k: v for k, v in arrays.items() if k not in names}


@pytest.mark.parametrize(
    "change",
    [
        without("about"),
        without("schedule/beta"),
        without("schedule/log_alpha_bar"),
        lambda arrays: arrays | {"about": np.frombuffer(b"[1]", np.uint8)},
        lambda arrays: arrays | {"about": np.frombuffer(b"{}", np.uint8)},
        lambda arrays: arrays | {"about": np.frombuffer(b"{half", np.uint8)},
    ],
    ids=["no about", "no beta", "no log_alpha_bar", "a list", "no format", "no JSON"],
)
def test_an_archive_without_what_it_must_hold_is_refused(saved, change):
    assert refusal(with_arrays(saved, change)).startswith("is damaged or no model file (")


def test_a_changed_number_is_refused(saved):
    with np.load(saved) as archive:
        arrays = dict(archive)
    arrays["network/slope"] = np.nextafter(arrays["network/slope"], np.float32(9))
    np.savez(saved, **arrays)
    assert refusal(saved) == "is damaged: its checksum does not match"


def test_a_pickled_array_is_refused_and_not_run(saved):
    trap = np.array([{"a": 1}, None], dtype=object)
    with np.load(saved) as archive:
        arrays = dict(archive)
    np.savez(saved, **(arrays | {"network/slope": trap}))
    assert refusal(saved) == "is damaged or no model file (ValueError)"


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", b"\x93NUMPY\x01\x00"])
def test_what_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / "model.npz").write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert refusal(tmp_path / "model.npz").startswith("is damaged or no model file (")


def test_other_archives_and_folders_are_refused(tmp_path):
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    np.save(tmp_path / "plain.npy", np.zeros(3))
    for path in (tmp_path / "other.npz", tmp_path / "plain.npy", tmp_path):
        assert refusal(path).startswith("is damaged or no model file (")


def test_a_file_that_is_not_there_is_said(tmp_path):
    assert refusal(tmp_path / "model.npz") == "does not exist: has its training ended?"


def test_a_later_format_names_itself_and_the_remedy(saved, monkeypatch):
    monkeypatch.setattr(model_file, "FORMAT", 2)
    save(saved, toys.random_process(toys.reals()), ABOUT)
    monkeypatch.undo()
    assert refusal(saved) == (
        "has format 2, but this version of dpm_jax reads 1; install a newer one"
    )
