"""Flags and presets that the image experiments share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from dpm_jax.experiments.base import RunConfig, require_beta_1
from dpm_jax.training.config import (
    MOST_BUMPS,
    MOST_OCTAVES,
    require,
    require_layers,
)

MOST_SCALES = 16  # of which the coarsest has a pixel for 2^30
MOST_SIDE = 63  # pixels: of a neighbourhood
MOST_MAPS = 1024  # numbers per pixel: the layer that makes them is of a size that XLA can count
DDPM = ("epsilon", "x0", "v")  # reverse forms that take a variance
LARGEST_SIDE = 8192  # pixels: no image is larger
BeliefName = Literal["normal", "wiener", "mixture"]
NetworkName = Literal["multiscale", "neighbourhood", "residual", "unet"]


@dataclass(frozen=True, kw_only=True)
class ImageConfig(RunConfig):
    """Flags of the image experiments.

    Attributes:
        data_dir: where the data are; see the script's own text for what and for its default.
        timesteps: T.
        schedule: "learned", "fixed" (1/(T−t+1)), DDPM's "linear" or "cosine", or a text file of T
            rates, one per line.
        beta_1: rate of the first step, which is not learned; by default its noise has a standard
            deviation of 0.15 grey levels, or 0.029 where the last step is fixed.
        last_step: "levels", the posterior over the 256 grey levels; "binned", DDPM's integral over
            each level's interval; "fixed" to the forward kernel as in the paper, for dequantised
            images. By default levels, or fixed for real numbers.
        reverse: "bridge", a belief about x_0 that the read-out shifts; "paper", eq. 64-65;
            "direct", the mean and the variance themselves; DDPM's "epsilon", "x0" or "v".
        variance: of DDPM's reverse: "beta", "beta_tilde" (the default), or learned "between" them.
        network: "unet", a small U-Net, or "residual", a network at full resolution with one
            attention, for an accelerator, both told the log-SNR; "multiscale", the paper's;
            "neighbourhood", small images of one size, of whole levels, on a CPU.
        belief: of "bridge", about a pixel: "normal", shifted from what x_t says of it by itself;
            "wiener", a normal shifted from what second moments make of a square around it; or a
            "mixture" over grey levels. By default mixture where network is neighbourhood, normal
            where it is multiscale or reverse not bridge; else wiener, of MNIST's levels mixture.
        convolutions: features of each 3×3 convolution ("multiscale"), of each block of two
            ("residual"), or of each resolution, every one half of the last ("unet").
        scales: of "multiscale", resolutions of each convolution.
        dense: widths of the dense path; none for images of any size.
        dense_maps: numbers per pixel that the dense path ends in.
        upper: widths of the layers per pixel.
        bumps: bump functions of t (eq. 62), or of the log-SNR.
        side: pixels along the square around a pixel, of "neighbourhood" and of belief "wiener",
            where it is no larger than the image.
        components: of the mixtures.
        octaves: wavelengths at which a pixel is seen where the belief is normal, from one grey
            level upwards.
        precision: of activations; parameters, read-out and bound are float32.
        heldout_examples: how many held-out images are measured; 0 for all.
        times_per_example: diffusion steps drawn for each in the bound, stratified; 0 for all.
        parzen_samples: samples for the Parzen estimate of the paper's Table 2; 0 for none.
        mcgsm_steps: steps of fitting an MCGSM, of Theis et al. 2012, to compare with; 0 for none.
        fewer_steps: numbers of the steps, at each of which K and the samples are measured too, and
            a figure drawn; none by default.
        first_noises: standard deviations of x_1's noise in grey levels: how much more the bound is
            there than at the run's own, by last step, and a figure; none by default.
        denoising: "entered" takes the noisy image for the state of the chain that it is;
            "constant" multiplies by r(x_0) at every t, as in the paper, "observed" by what y says
            of x_t. By default entered, or constant where reverse is paper or direct.
    """

    EVALUATION: ClassVar[tuple[str, ...]] = (
        *RunConfig.EVALUATION,
        "heldout_examples",
        "times_per_example",
        "parzen_samples",
        "mcgsm_steps",
        "fewer_steps",
        "first_noises",
        "denoising",
    )
    NOT_THE_RUN: ClassVar[tuple[str, ...]] = (*RunConfig.NOT_THE_RUN, "data_dir")
    DRAWN: ClassVar[tuple[str, ...]] = ("samples", "parzen_samples")
    SIZES: ClassVar[tuple[str, ...]] = (
        *("batch_size", "convolutions", "dense", "dense_maps", "upper", "bumps", "octaves"),
        *("side", "components"),
    )

    READS: ClassVar[tuple[str, ...]] = (*RunConfig.READS, "data_dir")
    USUAL: ClassVar[BeliefName] = "wiener"  # of grey levels, by "unet" and "residual"

    preset: str = "cpu"
    data_dir: Path | None = None
    learning_rate: float = 4e-3
    warmup_steps: int = 100
    batch_size: int = 128
    times_per_batch: int = 16
    steps_per_dispatch: int = 50
    checkpoint_every: int = 500
    timesteps: int = 1000
    schedule: str = "learned"
    beta_1: float | None = None
    last_step: Literal["levels", "binned", "fixed"] | None = None
    reverse: Literal["bridge", "paper", "direct", "epsilon", "x0", "v"] = "bridge"
    variance: Literal["beta", "beta_tilde", "between"] | None = None
    network: NetworkName = "unet"
    belief: BeliefName | None = None
    convolutions: tuple[int, ...] = (16, 32, 64)
    scales: int = 4
    dense: tuple[int, ...] = ()
    dense_maps: int = 4
    upper: tuple[int, ...] = (48, 48)
    bumps: int = 24
    side: int = 7
    components: int = 10
    octaves: int = 9
    precision: Literal["float32", "bfloat16"] = "float32"
    samples: int = 64
    heldout_examples: int = 0
    times_per_example: int = 16
    parzen_samples: int = 0
    mcgsm_steps: int = 0
    fewer_steps: tuple[int, ...] = ()
    first_noises: tuple[float, ...] = ()
    denoising: Literal["entered", "constant", "observed"] | None = None

    def __post_init__(self) -> None:
        """Check what images have, before any image is read; the schedule checks its own."""
        super().__post_init__()
        require("octaves", self.octaves, at_least=1, at_most=MOST_OCTAVES)
        require("scales", self.scales, at_least=1, at_most=MOST_SCALES)
        require("bumps", self.bumps, at_least=1, at_most=MOST_BUMPS)
        require("dense_maps", self.dense_maps, at_least=1, at_most=MOST_MAPS)
        for name in ("heldout_examples", "times_per_example", "parzen_samples", "mcgsm_steps"):
            require(name, getattr(self, name), at_least=0)
        for name, least in (("convolutions", 1), ("dense", 0), ("upper", 1)):
            require_layers(name, getattr(self, name), at_least=least)
        most = self.sample_steps or self.timesteps
        for name, low, high in (("fewer_steps", 2, most), ("first_noises", 0.01, 10)):
            for asked in getattr(self, name):
                require(name, asked, at_least=low, at_most=high)
            if getattr(self, name) and not self.believes:
                raise ValueError(
                    f"{name} must be left out where reverse is {self.reverse}: "
                    "a longer step needs a belief about x_0"
                )
        require_beta_1(self.beta_1)
        if self.variance is not None and self.reverse not in DDPM:
            raise ValueError(
                f"variance must be left out where reverse is not {', '.join(DDPM)}, "
                f"got {self.variance}"
            )
        require("side", self.side, at_least=1, at_most=MOST_SIDE)
        require("components", self.components, at_least=2, at_most=MOST_MAPS)
        if self.side % 2 == 0:
            raise ValueError(f"side must be odd, got {self.side}")
        if not self.believes:
            for name, value in (("denoising", "entered"), ("objective", "simple")):
                if getattr(self, name) == value:
                    raise ValueError(
                        f"{name} cannot be {value} where reverse is {self.reverse}: "
                        "it needs a belief about x_0"
                    )
        if self.heldout_examples == 1:
            raise ValueError("heldout_examples must be at least 2, or 0 for all, got 1")
        if self.times_per_example >= self.timesteps:
            raise ValueError(
                f"times_per_example must be less than timesteps, {self.timesteps}, or 0 for all, "
                f"got {self.times_per_example}"
            )
        if self.believed == "mixture":
            where = "belief is mixture" if self.belief else f"network is {self.network}"
            allowed: dict[str, tuple[Any, ...]] = {"last_step": (None, "levels", "binned")}
            self._check_allowed(where, allowed | {"reverse": ("bridge",)})
        if self.belief == "wiener":
            allowed = {"network": ("residual", "unet"), "reverse": ("bridge",)}
            self._check_allowed("belief is wiener", allowed)
        if self.network == "neighbourhood":
            allowed = {"belief": (None, "mixture"), "precision": ("float32",)}
            self._check_allowed("network is neighbourhood", allowed)
            if not self.dense:
                raise ValueError(
                    "dense must have at least one width where network is neighbourhood"
                )

    @property
    def believed(self) -> BeliefName:
        """What is believed about a pixel: if it is not said, as the network wants it."""
        usual: dict[NetworkName, BeliefName] = {"multiscale": "normal", "neighbourhood": "mixture"}
        of_levels = "wiener" if self.last_step == "fixed" else self.USUAL
        by_network = usual.get(self.network, of_levels if self.reverse == "bridge" else "normal")
        return self.belief or by_network

    @property
    def any_size(self) -> bool:
        """Whether the network can be asked of a scene larger than what it was trained on.

        A dense path fits one size, and an attention over every pixel of a scene does not fit in
        memory.
        """
        return self.network == "unet" or (self.network == "multiscale" and not self.dense)

    def _check_allowed(self, where: str, allowed: dict[str, tuple[Any, ...]]) -> None:
        """Raise ValueError on a flag whose value is not one of those that go with another's."""
        for name, values in allowed.items():
            value = getattr(self, name)
            if value not in values:
                said = " or ".join(str(each) for each in values if each is not None)
                raise ValueError(f"{name} must be {said} where {where}, got {value}")


ConfigT = TypeVar("ConfigT", bound=ImageConfig)


def presets(cpu: ConfigT, **paper: Any) -> dict[str, ConfigT]:
    """The presets of a script: ``cpu``, and "paper", what all share on an accelerator and more."""
    shared: dict[str, Any] = {
        "preset": "paper",
        "network": "multiscale",
        "bumps": 10,
        "steps": 100_000,
        "warmup_steps": 1_000,
        "learning_rate": 1e-3,
        "ema_decay": 0.9995,
        "convolutions": (96, 96, 96, 96, 96),
        "upper": (192, 192),
        "precision": "bfloat16",
    }
    return {"cpu": cpu, "paper": replace(cpu, **shared | paper)}


def with_residual(presets: dict[str, ConfigT], **sizes: Any) -> dict[str, ConfigT]:
    """These presets and "residual", before "paper": what an accelerator takes if none is named."""
    shared: dict[str, Any] = {
        "preset": "residual",
        "network": "residual",
        "convolutions": (128,) * 12,
        "dense": (),
        "bumps": 24,
        # The log-SNR blends only scales and shifts, so that a step of its own costs no image more.
        "batch_size": 256,
        "times_per_batch": 256,
        "learning_rate": 5e-4,
    }
    residual = replace(presets["paper"], **shared | sizes)
    return {"cpu": presets["cpu"], "residual": residual, "paper": presets["paper"]}
