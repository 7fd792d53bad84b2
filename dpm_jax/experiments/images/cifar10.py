"""CIFAR-10 (paper, §3.2, Figure 3): 32×32 photographs in colour.

Trains a Gaussian diffusion of T = 1000 steps, and reports K in bits per pixel and in bits per
dimension of the 8-bit images, on test images. The network is a small U-Net that starts from what
second moments tell; --network multiscale is that of App. D.2.

--data-dir is a folder of TensorFlow Datasets that holds "cifar10"; by default
~/tensorflow_datasets. Where it is not prepared yet, it is downloaded (needs the extra:
pip install 'dpm_jax[prepare]').

Presets: "cpu", 15 minutes on two cores; "residual", for an accelerator,
twelve residual blocks of 128 features at full resolution, batches of 256, 200,000 steps; "paper",
for an accelerator too, with the network of App. D.2: four convolutions of 96 features over 4
scales, a dense path of 2 × 1024 units, batches of 512, 200,000 steps. The default is "cpu" where
there is no accelerator, and "residual" where there is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dpm_jax.experiments.base import Experiment
from dpm_jax.experiments.images.config import ImageConfig, presets, with_residual
from dpm_jax.experiments.images.problem import experiment, problem

WHOLE = 50_000  # training images


@dataclass(frozen=True, kw_only=True)
class Config(ImageConfig):
    """CIFAR-10's flags."""

    workdir: Path = Path("runs/cifar10")
    steps: int = 1_000
    heldout_examples: int = 500


PRESETS = with_residual(
    presets(
        Config(),
        steps=200_000,
        batch_size=512,
        times_per_batch=64,
        convolutions=(96, 96, 96, 96),
        dense=(1024, 1024),
        dense_maps=8,
        samples=256,
        heldout_examples=0,
    ),
)


def build(config: Config) -> Experiment:
    """The experiment that ``config`` describes; raises ValueError on a bad value."""
    from dpm_jax.data import prepared

    images = prepared.load("cifar10", config.data_dir)
    # The row must say so when it is not the whole set that was learned from.
    variant = "" if len(images.train) == WHOLE else f" (subset of {len(images.train):,})"
    return experiment(config, images, flag="data_dir", variant=variant)


PROBLEM = problem("cifar10", __doc__, PRESETS, build)
