"""Real data, which tests use where they are at hand."""

import os
from pathlib import Path

import pytest

VARIABLE = "DPM_JAX_DATA"
DATA = Path(os.environ.get(VARIABLE) or Path(__file__).parents[2] / "shared" / "data")
PREPARED = DATA / "tensorflow_datasets"
BARK = DATA / "bark"


def needs(folder: Path) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        not folder.is_dir(),
        reason=f"{folder} is not there; set {VARIABLE} to the folder that holds "
        f"{folder.relative_to(DATA)}",
    )


needs_mnist = needs(PREPARED / "mnist")
needs_cifar10 = needs(PREPARED / "cifar10")
needs_bark = needs(BARK)
