"""What an image experiment prints of ``result.json``."""

from collections.abc import Mapping
from typing import Any

from dpm_jax.evaluation import report, table


def summary(result: Mapping[str, Any]) -> list[str]:
    """What a command prints at its end: the bound, its baseline, and the table's row as lines."""
    dimension, what = "bits_per_dimension", "bits per dimension of the data as stored:"
    if dimension not in result:
        dimension = f"density_{dimension}"
        what = "bits per dimension of the density in data units, which is no code's length:"
    lines = {
        "K": "K_bits_per_pixel",
        "K − L_null": "K_minus_L_null_bits_per_pixel",
        "full-covariance Gaussian": "gaussian_bits_per_pixel",
        "K − Gaussian, same images": "K_minus_gaussian_bits_per_pixel",
        "MCGSM": "mcgsm_bits_per_pixel",
        "K − MCGSM, same images": "K_minus_mcgsm_bits_per_pixel",
        what: "",
        "bound −K": dimension,
        "Gaussian": f"gaussian_{dimension}",
        " MCGSM": f"mcgsm_{dimension}",
    }
    missing = result.get("gaussian_missing")
    return [
        "",
        f"{result['heldout_examples']:,} held-out images, bits per pixel of the scaled data:",
        *(
            report.line(result, label, key) if key else label
            for label, key in lines.items()
            if not key or key in result
        ),
        *([f"  no Gaussian: {missing}"] if missing else []),
        *_learned(result.get("learned_images"), dimension),
        *_codecs(result.get("codecs")),
        *_denoising(result.get("denoising")),
        *_grade(result.get("grade")),
        "",
        report.effort(result),
        "",
        *table.lines(result),
    ]


def _codecs(said: Mapping[str, Any] | None) -> list[str]:
    if said is None:  # of real numbers there are no files
        return []
    return [
        *(
            report.line(said, f"{name}, a file for each image", f"{codec}_bits_per_dimension")
            for codec, name in (("png", "PNG"), ("webp", "lossless WebP"))
        ),
        f"  {said['sheet_images']:,} images on one sheet: "
        f"PNG {said['png_sheet_bits_per_dimension']:.4f}, "
        f"lossless WebP {said['webp_sheet_bits_per_dimension']:.4f}",
    ]


def _learned(said: Mapping[str, Any] | None, dimension: str) -> list[str]:
    if said is None:
        return []
    return [report.line(said, f"−K of {said['images']} that were learned", dimension)]


def _grade(said: Mapping[str, Any] | None) -> list[str]:
    if said is None:  # most images have no labels
        return []
    drawn, real = said["of_samples"], said["of_test_images"]
    return [
        f"a classifier that is right on {said['test_accuracy']:.1%} of test images is sure of "
        f"{drawn['sure']:.1%} ± {drawn['sure_se']:.1%} of {drawn['images']:,} samples "
        f"(of test images {real['sure']:.1%}); entropy of their classes, bits: "
        f"{drawn['class_entropy_bits']:.2f} ({real['class_entropy_bits']:.2f})",
    ]


def _denoising(said: Mapping[str, Any] | None) -> list[str]:
    if said is None:
        return ["denoising: missing"]
    errors = (f"{said[name]['mse']:.4f}" for name in ("noisy", "wiener", "posterior_mean"))
    return [
        f"denoising at signal-to-noise 1, {said['images']} images, mean squared error:",
        "  noisy {}, Wiener filter {}, posterior mean {}".format(*errors),
    ]
