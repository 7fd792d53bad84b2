"""Bark (paper, §3.2, Figure 5): textures learned from patches, a hole filled in a large image.

--data-dir is a folder of PNG, JPEG or WebP images, grey or colour, such as T01 to T04 of the
textures of Lazebnik et al. 2005. One image in ten is held out; of fewer than ten, the last quarter
of each. Trains a Gaussian diffusion of T = 500 steps, and reports K on held-out patches. The
network is a small U-Net that starts from what second moments tell; --network multiscale is that of
App. D.2, purely convolutional.

Presets: "cpu", 15 minutes on two cores; "paper", for an accelerator: patches of 64×64, five
convolutions of 96 features over 4 scales, batches of 128, 100,000 steps. The default is "cpu"
where there is no accelerator.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dpm_jax.experiments.base import Experiment
from dpm_jax.experiments.images.config import LARGEST_SIDE, ImageConfig, presets
from dpm_jax.experiments.images.problem import experiment, problem
from dpm_jax.training.config import require


@dataclass(frozen=True, kw_only=True)
class Config(ImageConfig):
    """Bark's flags.

    Attributes:
        patch: side of the square patches, pixels.
    """

    workdir: Path = Path("runs/bark")
    steps: int = 1_600
    timesteps: int = 500
    patch: int = 32

    def __post_init__(self) -> None:
        """Check what only bark has."""
        super().__post_init__()
        require("patch", self.patch, at_least=2, at_most=LARGEST_SIDE)


PRESETS = presets(
    Config(),
    times_per_batch=32,
    patch=64,
)


def build(config: Config) -> Experiment:
    """The experiment that ``config`` describes; raises ValueError on a bad value."""
    from dpm_jax.data import image_files, split

    if config.data_dir is None:
        raise ValueError("data_dir must be given: a folder of images of bark")
    parts = split.split(image_files.read(config.data_dir, any_size=True), patch=config.patch)
    variant = f", patches of {config.patch}×{config.patch}"
    return experiment(config, parts, flag="data_dir", variant=variant, patch=config.patch)


PROBLEM = problem("bark", __doc__, PRESETS, build)
