"""A trained model as one durable file: plain arrays and JSON, readable without orbax or Flax.

``model.npz`` is an archive of NumPy arrays, none pickled:

    about                  UTF-8 bytes of a JSON object: "format", and what the writer adds
    schedule/beta          β_1..β_T
    schedule/log_alpha_bar log ᾱ_1..log ᾱ_T
    network/A/B/…          a parameter, by its path in the tree of parameters
    sha256                 of all the others: names, types, shapes, bytes

The schedule is kept as numbers, not as what they were learned from: a later version computes
nothing that could differ in its last bit. Versions of this project read every earlier format.
"""

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dpm_jax import files
from dpm_jax.process import Process
from dpm_jax.schedule import Schedule
from dpm_jax.training.folder import write_whole

FORMAT = 1


class ModelFile(NamedTuple):
    """What a model file holds.

    Attributes:
        schedule: β_t and log ᾱ_t, float32.
        network: the tree of the network's parameters, NumPy.
        about: what the writer said of it, and "format".
    """

    schedule: Schedule
    network: dict[str, Any]
    about: dict[str, Any]


def save(path: Path, process: Process, about: Mapping[str, Any]) -> None:
    """Write the numbers of a process, and ``about`` as JSON, in one step.

    ``process.params`` must be nested dictionaries of arrays.
    """
    arrays = {f"schedule/{k}": np.asarray(v) for k, v in process.schedule._asdict().items()}
    arrays |= _flat(process.params)
    text = json.dumps({"format": FORMAT, **about})
    arrays["about"] = np.frombuffer(text.encode(), np.uint8)
    arrays["sha256"] = _digest(arrays)
    archive = io.BytesIO()
    np.savez(archive, allow_pickle=False, **arrays)
    write_whole(path, archive.getvalue())


def load(path: Path) -> ModelFile:
    """Read a model file.

    Raises:
        ValueError: if it is missing, damaged, or of a format that this version does not know.
    """
    try:
        arrays = _arrays(path)
        whole = np.array_equal(arrays.pop("sha256"), _digest(arrays))
        about = files.parse_object(arrays.pop("about").tobytes())
        number = about["format"]
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist: has its training ended?") from None
    except Exception as error:  # a damaged archive shows as almost any type
        raise ValueError(f"{path} is damaged or no model file ({type(error).__name__})") from None
    if not whole:
        raise ValueError(f"{path} is damaged: its checksum does not match")
    if number != FORMAT:
        raise ValueError(
            f"{path} has format {number!r}, but this version of dpm_jax reads {FORMAT}; "
            "install a newer one"
        )
    try:
        schedule = Schedule(*(arrays.pop(f"schedule/{name}") for name in Schedule._fields))
        return ModelFile(schedule, _tree(arrays), about)
    except KeyError as error:
        raise ValueError(f"{path} is damaged or no model file (it has no {error})") from None
    except Exception as error:  # as above: one parameter lies inside another, say
        raise ValueError(f"{path} is damaged or no model file ({type(error).__name__})") from None


def _arrays(path: Path) -> dict[str, Any]:
    size = files.regular_size(path)
    with np.load(path, allow_pickle=False) as archive:
        # It is written without compression: what unpacks to more than itself is another's.
        if sum(member.file_size for member in archive.zip.infolist()) > size:
            raise ValueError("compressed")
        return {name: archive[name] for name in archive.files}


def _digest(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return np.frombuffer(digest.digest(), np.uint8)


def _flat(tree: Any, prefix: str = "network") -> dict[str, np.ndarray]:
    if not isinstance(tree, Mapping):
        return {prefix: np.asarray(tree)}
    parts = (_flat(branch, f"{prefix}/{name}") for name, branch in tree.items())
    return {name: leaf for part in parts for name, leaf in part.items()}


def _tree(flat: Mapping[str, np.ndarray]) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for name, leaf in flat.items():
        room, *path, last = name.split("/")
        if room != "network" or len(path) > files.DEEPEST:
            raise ValueError(f"{name} is no parameter")
        branch = root
        for part in path:
            branch = branch.setdefault(part, {})
        branch[last] = leaf
    return root
