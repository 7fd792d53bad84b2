"""Dead leaves (paper, §3.2, Figure 4): opaque discs of all sizes, one upon the other.

The images are drawn here, by the law of --radius-min and --radius-max, and kept in --data-dir
(default ~/.cache/dpm_jax). Trains a Gaussian diffusion of T = 1000 steps, and
reports K on held-out images. The network is a small U-Net that starts from what second moments
tell; --network multiscale is that of App. D.2, purely convolutional. Beside K, as in the paper, is
an MCGSM fitted to the same images. The paper's numbers are of other dead leaves, those of Theis et
al. 2012.

Presets: "cpu", 15 minutes on two cores; "paper", for an accelerator: five convolutions of 96
features over 4 scales, batches of 256, 100,000 steps on 100,000 images. The default is "cpu"
where there is no accelerator.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dpm_jax.experiments.base import Experiment, expanded
from dpm_jax.experiments.images.config import ImageConfig, presets
from dpm_jax.experiments.images.problem import experiment, problem
from dpm_jax.training.config import require

CACHE = Path("~/.cache/dpm_jax")
LARGEST_RADIUS = 10_000.0  # pixels


@dataclass(frozen=True, kw_only=True)
class Config(ImageConfig):
    """The dead leaves' flags.

    Attributes:
        size: height and width in pixels.
        radius_min: least radius of a leaf, pixels.
        radius_max: greatest radius of a leaf, pixels.
        train_examples: images drawn for training.
    """

    workdir: Path = Path("runs/dead_leaves")
    steps: int = 1_600
    size: int = 32
    radius_min: float = 2.0
    radius_max: float = 32.0
    train_examples: int = 20_000
    heldout_examples: int = 2_000
    mcgsm_steps: int = 1_500

    def __post_init__(self) -> None:
        """Check what only dead leaves have; the law checks its own."""
        super().__post_init__()
        # Of a leaf that covers all images, only squares of its radius could be too large.
        require("radius_max", self.radius_max, at_least=0, at_most=LARGEST_RADIUS)
        require("train_examples", self.train_examples, at_least=1)
        require("heldout_examples", self.heldout_examples, at_least=2)


PRESETS = presets(
    Config(),
    batch_size=256,
    times_per_batch=64,
    train_examples=100_000,
)


def build(config: Config) -> Experiment:
    """The experiment that ``config`` describes; raises ValueError on a bad value."""
    from dpm_jax.data import dead_leaves

    law = dead_leaves.law(config.size, config.radius_min, config.radius_max)
    _check_memory(config)
    images = dead_leaves.load(
        law,
        train=config.train_examples,
        heldout=config.heldout_examples,
        seed=config.seed,
        cache=config.data_dir or expanded("data_dir", CACHE),
    )
    variant = f", {law.size}×{law.size}, radii {law.radius_min:g} to {law.radius_max:g}"
    return experiment(config, images, variant=variant)


def _check_memory(config: Config) -> None:
    """Raise ValueError if there is no room for the images, or there are too many to count."""
    from dpm_jax import memory
    from dpm_jax.data.patches import INDEX_LIMIT

    pixels = config.size**2
    require("train_examples", config.train_examples, at_least=1, at_most=INDEX_LIMIT // pixels - 1)
    memory.require(
        {
            "train_examples": 3 * config.train_examples * pixels,  # drawn, in a row, compared
            "heldout_examples": 24 * config.heldout_examples * pixels,  # in float64 while scaled
        }
    )


PROBLEM = problem("dead_leaves", __doc__, PRESETS, build)
