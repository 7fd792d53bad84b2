"""Your own images: a folder of PNG or JPEG files, one image, or a .npy array.

Size, channels and units are found, not configured: --data is all it needs. Images of one size are
learned whole, one in ten held out; with --patch, square patches of images of any sizes. An array
is [n, height, width] or [n, height, width, channels], uint8 or floats.

Presets: "cpu", 15 minutes on two cores for 32×32; "paper", for an accelerator: five convolutions
of 96 features over 4 scales, batches of 128, 100,000 steps. The default is "cpu" where there is no
accelerator.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import harness
import image_problem

from dpm_jax.training.config import require


@dataclass(frozen=True, kw_only=True)
class Config(image_problem.ImageConfig):
    """Flags of your own images.

    Attributes:
        data: a folder, an image or a .npy array.
        patch: side of square patches, pixels; by default images are learned whole.
    """

    workdir: Path = Path("runs/images")
    steps: int = 2_000
    data: Path | None = None
    patch: int | None = None

    def __post_init__(self) -> None:
        """Check what only these have."""
        super().__post_init__()
        if self.patch is not None:
            require("patch", self.patch, at_least=2)


PRESETS = image_problem.presets(
    Config(),
    times_per_batch=32,
)


def build(config: Config) -> harness.Experiment:
    """The experiment that ``config`` describes; raises ValueError on a bad value."""
    from dpm_jax.data import images

    if config.data is None:
        raise ValueError("data must be given: a folder of PNG or JPEG images, or a .npy array")
    parts = images.split(
        images.read(config.data, any_size=config.patch is not None), patch=config.patch
    )
    return image_problem.experiment(
        config, parts, name="images", variant=f", {config.data.name}", patch=config.patch
    )


if __name__ == "__main__":
    harness.main(__doc__, PRESETS, build)
