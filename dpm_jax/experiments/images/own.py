"""Your own images: a folder of PNG, JPEG or WebP files, one image, or a .npy or .npz array.

Size, channels and units are found, not configured: --data is all it needs. Subfolders are looked
into. Images of one size are learned whole, one in ten held out; --resize or --crop make squares of
images of any sizes; with --patch, patches of them are learned. An array is [n, height, width] or
[n, height, width, channels], uint8 or floats. Of floats the bound is one on their density: no code
length.

Presets: "cpu", 15 minutes on two cores for 32×32; "paper", for an accelerator: five convolutions
of 96 features over 4 scales, batches of 128, 100,000 steps. The default is "cpu" where there is no
accelerator.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dpm_jax.experiments.base import Experiment, RunConfig
from dpm_jax.experiments.images.config import LARGEST_SIDE, ImageConfig, presets
from dpm_jax.experiments.images.problem import experiment, problem
from dpm_jax.training.config import require


@dataclass(frozen=True, kw_only=True)
class Config(ImageConfig):
    """Flags of your own images.

    Attributes:
        data: a folder, an image, or a .npy or .npz array.
        patch: side of square patches, pixels; by default images are learned whole.
        resize: side to which the central square of every image is scaled, pixels.
        crop: side of the central square that is cut out of every image, pixels.
    """

    READS: ClassVar[tuple[str, ...]] = (*RunConfig.READS, "data")

    workdir: Path = Path("runs/images")
    steps: int = 2_000
    data: Path | None = None
    patch: int | None = None
    resize: int | None = None
    crop: int | None = None

    def __post_init__(self) -> None:
        """Check what only these have."""
        super().__post_init__()
        for name in ("patch", "resize", "crop"):
            side = getattr(self, name)
            if side is not None:
                require(name, side, at_least=2, at_most=LARGEST_SIDE)


PRESETS = presets(
    Config(),
    times_per_batch=32,
)


def build(config: Config) -> Experiment:
    """The experiment that ``config`` describes; raises ValueError on a bad value."""
    from dpm_jax.data import image_files, split

    if config.data is None:
        raise ValueError("data must be given: a folder of PNG, JPEG or WebP images, or an array")
    parts = split.split(
        # Not held here: as they were read, they can go once they are split.
        image_files.read(
            config.data, any_size=config.patch is not None, resize=config.resize, crop=config.crop
        ),
        patch=config.patch,
    )
    variant = f", {config.data.name}"
    return experiment(config, parts, flag="data", variant=variant, patch=config.patch)


PROBLEM = problem("images", __doc__, PRESETS, build)
