"""Prepared datasets: real ones where they are at hand, small ones written here, broken ones."""

import importlib.util
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from real_data import PREPARED, needs_cifar10, needs_mnist

from dpm_jax.data import prepared

array_record = pytest.importorskip("array_record.python.array_record_module")
tfds = pytest.importorskip("tensorflow_datasets")


def encoded(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image.squeeze()).save(file, "PNG")
    return file.getvalue()


def varint(number: int) -> bytes:
    return bytes([number & 127 | 128]) + varint(number >> 7) if number > 127 else bytes([number])


def field(number: int, body: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(body)) + body


def example(image: bytes, label: int) -> bytes:
    """A tf.train.Example with this image and label, by hand: protocol buffers are simple."""
    entries = {
        b"image": field(1, field(1, image)),  # a bytes_list
        b"label": field(3, field(1, varint(label))),  # an int64_list
    }
    features = b"".join(field(1, field(1, key) + field(2, value)) for key, value in entries.items())
    return field(1, features)


def write(folder: Path, records: dict[str, list[bytes]], name="mnist", version="3.0.1") -> Path:
    """A prepared dataset; its folder NAME/VERSION."""
    where = folder / name / version
    where.mkdir(parents=True)
    splits = []
    for split, images in records.items():
        file = where / f"{name}-{split}.array_record-00000-of-00001"
        writer = array_record.ArrayRecordWriter(str(file), "group_size:1")
        for number, image in enumerate(images, 3):
            writer.write(example(image, number))
        writer.close()
        size = str(sum(map(len, images)))
        splits.append({"name": split, "shardLengths": [str(len(images))], "numBytes": size})
    info = {
        "name": name,
        "version": version,
        "fileFormat": "array_record",
        "moduleName": "tests",
        "splits": [
            {**split, "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"}
            for split in splits
        ],
    }
    (where / "dataset_info.json").write_text(json.dumps(info))
    return where


def pictures(count, *shape) -> np.ndarray:
    return np.random.default_rng(0).integers(256, size=(count, *shape), dtype=np.uint8)


def small(folder, shape=(28, 28, 1), **options) -> tuple[np.ndarray, Path]:
    pixels = pictures(7, *shape)
    parts = {"train": pixels[:4], "test": pixels[4:]}
    records = {split: list(map(encoded, part)) for split, part in parts.items()}
    return pixels, write(folder, records, **options)


def refusal(name, folder) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # each test reads the message
        prepared.load(name, folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_a_prepared_folder_is_read(tmp_path, monkeypatch, capfd, name):
    monkeypatch.setattr(prepared, "CHUNK", 3)  # several, the last one short
    version = {"mnist": "3.0.1", "cifar10": "3.0.2"}[name]
    pixels, _ = small(tmp_path, prepared.SHAPES[name], name=name, version=version)
    data = prepared.load(name, tmp_path)
    assert data.train.dtype == data.heldout.dtype == np.uint8
    np.testing.assert_array_equal(data.train, pixels[:4])
    np.testing.assert_array_equal(data.heldout, pixels[4:])
    # Nothing of what the libraries have to say reaches the terminal.
    assert capfd.readouterr() == ("", "")


def test_labels_come_in_the_order_of_the_images(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(prepared, "CHUNK", 3)
    _, where = small(tmp_path)
    labels = prepared.labels("mnist", tmp_path)
    np.testing.assert_array_equal(labels.train, [3, 4, 5, 6])
    np.testing.assert_array_equal(labels.heldout, [3, 4, 5])
    assert labels.train.dtype == np.int32
    assert capfd.readouterr() == ("", "")
    truncate(where)
    with pytest.raises(ValueError, match=r"^mnist in .* cannot be read \("):
        prepared.labels("mnist", tmp_path)


@needs_mnist
def test_part_of_mnist():
    builder = prepared._prepared("mnist", PREPARED)
    assert {k: v.num_examples for k, v in builder.info.splits.items()} == {
        "train": 60_000,
        "test": 10_000,
    }
    images = prepared._read(builder, "test[:1500]", (28, 28, 1), "mnist")
    assert images.shape == (1500, 28, 28, 1)
    assert abs(images.mean() - 33) < 3
    assert not images[:, 0].any()  # digits lie in the middle of black frames
    assert images[:, 6:22, 6:22].max((1, 2, 3)).min() > 200


@needs_mnist
@pytest.mark.slow
def test_all_of_mnist():
    data = prepared.load("mnist", PREPARED)
    assert data.train.shape == (60_000, 28, 28, 1)
    assert data.heldout.shape == (10_000, 28, 28, 1)
    # Known of the training set: 0.1307 and 0.3081 of 255.
    assert data.train.mean() == pytest.approx(33.3184, abs=1e-3)
    assert data.train.std() == pytest.approx(78.5675, abs=1e-3)
    labels = prepared.labels("mnist", PREPARED)
    # Known too: how many there are of each digit.
    assert np.bincount(labels.heldout).tolist() == [
        *(980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009)
    ]
    assert np.bincount(labels.train).min() == 5421


@needs_cifar10
def test_part_of_cifar10():
    builder = prepared._prepared("cifar10", PREPARED)
    images = prepared._read(builder, "test[:300]", (32, 32, 3), "cifar10")
    assert images.shape == (300, 32, 32, 3)
    # Blue is the darkest channel on the average, and neighbours are alike.
    assert images[..., 2].mean() < images[..., :2].mean()
    near = np.diff(images.astype(int), axis=2).std()
    assert near < images.std() / 2


def test_not_prepared_without_tensorflow(tmp_path, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "tensorflow" else real(name)
    )
    message = refusal("mnist", tmp_path / "none")
    assert message.startswith(f"mnist is not prepared in {tmp_path / 'none'}")
    assert "needs tensorflow; pip install 'dpm_jax[prepare]', or give the --data-dir" in message
    assert not (tmp_path / "none").exists()
    assert "~nobody_of_this_name" in refusal("mnist", Path("~nobody_of_this_name"))


def prepare_with(monkeypatch, action):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", action)


def test_prepared_on_first_use(tmp_path, monkeypatch):
    def download_and_prepare(_, *, file_format):
        assert file_format == "array_record"
        small(tmp_path)

    prepare_with(monkeypatch, download_and_prepare)
    assert len(prepared.load("mnist", tmp_path).train) == 4
    prepare_with(monkeypatch, lambda *_, **__: pytest.fail("prepared twice"))
    assert len(prepared.load("mnist", tmp_path).heldout) == 3


def test_preparing_fails(tmp_path, monkeypatch):
    def download_and_prepare(*_, **__):
        raise ConnectionError("no route to host\nand a long story")

    prepare_with(monkeypatch, download_and_prepare)
    message = refusal("mnist", tmp_path)
    assert "cannot be prepared in" in message
    assert "(no route to host); give the --data-dir of a prepared folder" in message


@pytest.mark.parametrize("shape", [(32, 32, 3), (28, 28, 3), (29, 28, 1)])
def test_another_dataset_under_the_name(tmp_path, shape):
    small(tmp_path, shape)
    message = refusal("mnist", tmp_path)
    assert f"images of shape {shape}, not (28, 28, 1): it is another dataset" in message


def record(where, split="test") -> Path:
    (file,) = where.glob(f"*-{split}.array_record-*")
    return file


def lose(where):
    record(where).unlink()


def empty(where):
    record(where).write_bytes(b"")


def truncate(where):
    data = record(where).read_bytes()
    record(where).write_bytes(data[: len(data) // 2])


def scramble(where):
    record(where).write_bytes(bytes(range(256)) * 1000)


def flip(where):
    data = bytearray(record(where).read_bytes())
    data[400:450] = bytes(50)
    record(where).write_bytes(data)


def forget_split(where):
    path = where / "dataset_info.json"
    info = json.loads(path.read_text())
    info["splits"] = info["splits"][:1]
    path.write_text(json.dumps(info))


def promise_more(where):
    path = where / "dataset_info.json"
    path.write_text(path.read_text().replace('["3"]', '["5"]'))


@pytest.mark.parametrize(
    "damage", [lose, empty, truncate, scramble, flip, forget_split, promise_more]
)
def test_damaged_records(tmp_path, damage):
    _, where = small(tmp_path)
    damage(where)
    message = refusal("mnist", tmp_path)
    assert f"mnist in {where} cannot be read (" in message
    assert "delete it to prepare it anew, or give another --data-dir" in message


def bad_json(where):
    (where / "dataset_info.json").write_text("{")


def lose_json(where):
    (where / "dataset_info.json").unlink()


def other_version(where):
    path = where / "dataset_info.json"
    path.write_text(path.read_text().replace("3.0.1", "1.0.0"))


@pytest.mark.parametrize("damage", [bad_json, lose_json, other_version])
def test_damaged_descriptions(tmp_path, capfd, damage):
    _, where = small(tmp_path)
    damage(where)
    message = refusal("mnist", tmp_path)
    assert str(tmp_path) in message
    assert "is damaged (" in message
    assert capfd.readouterr() == ("", "")
    assert record(where).exists()  # nothing is deleted for the user


@pytest.mark.parametrize("image", [b"", b"no image", encoded(pictures(1, 28, 28, 1)[0])[:200]])
def test_records_that_are_no_images(tmp_path, image):
    whole = encoded(pictures(1, 28, 28, 1)[0])
    write(tmp_path, {"train": [whole, image], "test": [whole]})
    assert "cannot be read (" in refusal("mnist", tmp_path)


def test_another_format_is_refused(tmp_path):
    _, where = small(tmp_path)
    path = where / "dataset_info.json"
    path.write_text(path.read_text().replace('"array_record"', '"tfrecord"'))
    for file in where.glob("*array_record*"):
        file.rename(str(file).replace("array_record", "tfrecord"))
    message = refusal("mnist", tmp_path)
    assert "delete it to prepare it anew, or give another --data-dir" in message


def test_reading_needs_neither_tensorflow_nor_an_early_import(tmp_path):
    small(tmp_path)
    script = (
        "import sys; from pathlib import Path; from dpm_jax.data import prepared\n"
        "assert 'tensorflow_datasets' not in sys.modules\n"
        f"prepared.load('mnist', Path({str(tmp_path)!r}))\n"
        "assert 'tensorflow' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
