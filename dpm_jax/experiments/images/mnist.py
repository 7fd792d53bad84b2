"""MNIST (paper, §3.2, Figure App.1 and Table 2): 28×28 digits.

Trains a Gaussian diffusion of T = 1000 steps, and reports K in bits per pixel and in bits per
dimension of the 8-bit images, on the test set. Samples are graded by a classifier of digits that is
trained at the end (--grade-steps). The network is a small U-Net, which says a mixture over grey
levels for each pixel; --network multiscale is that of App. D.2, with its dense path.

--data-dir is a folder of TensorFlow Datasets that holds "mnist"; by default ~/tensorflow_datasets.
Where it is not prepared yet, it is downloaded (needs the extra: pip install 'dpm_jax[prepare]').

Presets: "cpu", 25 minutes on two cores; "residual", for an accelerator, twelve residual blocks of
128 features at full resolution with the same mixture, batches of 256, 60,000 steps, and the Parzen
estimate from 10,000 samples; "paper", for an accelerator too, with the network of App. D.2: four
convolutions of 64 features over 3 scales, a dense path of 2 × 1024 units, batches of 512, 100,000
steps. The default is "cpu" where there is no accelerator, and "residual" where there is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from dpm_jax.experiments.base import Experiment
from dpm_jax.experiments.images.config import (
    BeliefName,
    ImageConfig,
    presets,
    with_residual,
)
from dpm_jax.experiments.images.problem import experiment, problem
from dpm_jax.training.config import require


@dataclass(frozen=True, kw_only=True)
class Config(ImageConfig):
    """MNIST's flags.

    Attributes:
        grade_steps: steps of training a classifier of digits, by which samples are graded; 0 for
            none.
    """

    EVALUATION: ClassVar[tuple[str, ...]] = (*ImageConfig.EVALUATION, "grade_steps")
    USUAL: ClassVar[BeliefName] = "mixture"  # most pixels are black or white

    workdir: Path = Path("runs/mnist")
    steps: int = 8_000
    batch_size: int = 64
    convolutions: tuple[int, ...] = (24, 48, 64)
    scales: int = 3
    # Upper, dense and side are what --network neighbourhood is good with.
    upper: tuple[int, ...] = (128, 96)
    dense: tuple[int, ...] = (1024, 1024)
    side: int = 9
    components: int = 12
    grade_steps: int = 3_000

    def __post_init__(self) -> None:
        """Check what only digits have."""
        super().__post_init__()
        require("grade_steps", self.grade_steps, at_least=0)


PRESETS = with_residual(
    presets(
        Config(),
        batch_size=512,
        times_per_batch=64,
        convolutions=(64, 64, 64, 64),
        dense=(1024, 1024),
        dense_maps=8,
        upper=(128, 128),
        samples=256,
        parzen_samples=10_000,
    ),
    components=10,
    steps=60_000,
)


def build(config: Config) -> Experiment:
    """The experiment that ``config`` describes; raises ValueError on a bad value."""
    from dpm_jax.data import prepared
    from dpm_jax.experiments.images.grade import Lesson

    images = prepared.load("mnist", config.data_dir)
    labels = partial(prepared.labels, "mnist", config.data_dir)
    lesson = Lesson(images, labels, config.grade_steps) if config.grade_steps else None
    return experiment(config, images, flag="data_dir", lesson=lesson)


PROBLEM = problem("mnist", __doc__, PRESETS, build)
