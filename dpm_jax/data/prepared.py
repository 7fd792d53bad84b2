"""MNIST and CIFAR-10 as prepared by tensorflow-datasets, read without TensorFlow.

A prepared folder holds ``mnist/VERSION/`` with array_record files of encoded images. Only
preparing it, on first use, needs TensorFlow.
"""

import contextlib
import importlib.util
import io
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from dpm_jax.data import png
from dpm_jax.data.dataset import Images
from dpm_jax.data.image_files import decode
from dpm_jax.errors import reason

Name = Literal["mnist", "cifar10"]


class Labels(NamedTuple):
    """The class of every image of a dataset, counted from 0, int32 [n] each."""

    train: np.ndarray
    heldout: np.ndarray


SHAPES: dict[Name, tuple[int, int, int]] = {"mnist": (28, 28, 1), "cifar10": (32, 32, 3)}
CHUNK = 1000  # records read at once, and between two moves of the progress bar


def load(name: Name, data_dir: Path | None) -> Images:
    """All training and test images, uint8.

    ``data_dir`` is the folder that holds, or is to hold, ``NAME/VERSION``; None is the usual
    one of tensorflow-datasets. The dataset is prepared there if it is not yet.

    Raises:
        ValueError: if it is not prepared and cannot be, or its images have another shape, or a
            file is missing or corrupt.
    """
    with _quiet():
        builder = _prepared(name, data_dir)
        return Images(*(_read(builder, split, SHAPES[name], name) for split in ("train", "test")))


def labels(name: Name, data_dir: Path | None) -> Labels:
    """The classes of the images that ``load`` reads, in their order.

    Raises:
        ValueError: as ``load``.
    """
    with _quiet():
        builder, like = _prepared(name, data_dir), np.empty((), np.int32)
        of_split = partial(_each, value=itemgetter("label"), like=like, what="labels", name=name)
        return Labels(*(of_split(builder, split) for split in ("train", "test")))


def _prepared(name: Name, data_dir: Path | None) -> Any:
    # Imported here: it takes half a second, and most experiments do without it.
    import tensorflow_datasets as tfds

    where = None if data_dir is None else os.path.expanduser(data_dir)
    try:
        builder = tfds.builder(name, data_dir=where)
        ready = builder.is_prepared()
    except Exception as error:  # broken JSON, another version inside, another format
        raise ValueError(
            f"{name} in {data_dir or 'the default folder'} is damaged ({reason(error)}); "
            "delete it to prepare it anew, or give another --data-dir"
        ) from None
    if not ready:
        _prepare(builder, name)
        builder = tfds.builder(name, data_dir=where)  # which reads what has been prepared
    return builder


def _prepare(builder: Any, name: Name) -> None:
    # A folder that is there but no dataset (its description is missing) would only be reused.
    if Path(builder.data_dir).exists():
        raise ValueError(
            f"{name} in {builder.data_dir} is damaged (dataset_info.json is missing); "
            "delete it to prepare it anew, or give another --data-dir"
        )
    # tensorflow-datasets needs importlib_resources for this, but forgets to require it.
    for package in ("tensorflow", "importlib_resources"):
        if importlib.util.find_spec(package) is None:
            raise ValueError(
                f"{name} is not prepared in {builder.data_dir}, and preparing it needs {package}; "
                "pip install 'dpm_jax[prepare]', or give the --data-dir of a prepared folder"
            )
    try:
        builder.download_and_prepare(file_format="array_record")
    except Exception as error:  # no network, no space, no right to write, a wrong checksum
        raise ValueError(
            f"{name} cannot be prepared in {builder.data_dir} ({reason(error)}); "
            "give the --data-dir of a prepared folder"
        ) from None


def _read(builder: Any, split: str, shape: tuple[int, int, int], name: Name) -> np.ndarray:
    """The images of a split such as ``train`` or ``test[:100]``."""

    def pixels(record: Mapping[str, Any]) -> np.ndarray:
        image = _decode(record["image"])
        if image.shape != shape:
            raise _WrongShapeError(image.shape)
        return image

    try:
        return _each(builder, split, name, "images", pixels, np.empty(shape, np.uint8))
    except _WrongShapeError as error:
        raise ValueError(
            f"{name} in {builder.data_dir} has images of shape {error.args[0]}, not {shape}: "
            "it is another dataset; give another --data-dir"
        ) from None


def _each(
    builder: Any,
    split: str,
    name: Name,
    what: str,
    value: Callable[[Mapping[str, Any]], Any],
    like: np.ndarray,
) -> np.ndarray:
    """``value(record)`` of every record of a split, each an array ``like`` this one, as one."""
    import tensorflow_datasets as tfds

    try:
        source = builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
        values = np.empty((len(source), *like.shape), like.dtype)
        with tqdm(
            total=len(source), desc=f"{name} {split}", unit=f" {what}", leave=False, disable=None
        ) as bar:
            for start in range(0, len(source), CHUNK):
                part = range(start, min(start + CHUNK, len(source)))
                for i, record in zip(part, source.__getitems__(part), strict=True):
                    values[i] = value(record)
                bar.update(len(part))
    except _WrongShapeError:
        raise
    except Exception as error:  # a missing split or file, a failed checksum, no image
        raise ValueError(
            f"{name} in {builder.data_dir} cannot be read ({reason(error)}); "
            "delete it to prepare it anew, or give another --data-dir"
        ) from None
    if len(values) == 0:
        raise ValueError(f"{name} in {builder.data_dir} has no {split} {what}")
    return values


class _WrongShapeError(Exception):
    """The shape of an image that does not belong to the dataset."""


def _decode(encoded: bytes) -> np.ndarray:
    file = io.BytesIO(encoded)
    with Image.open(file, formats=("PNG", "JPEG")) as image:
        if image.format == "PNG":
            png.check_rows(file)
        return decode(image)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # tensorflow-datasets logs at length what is an error here anyway.
    from absl import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
