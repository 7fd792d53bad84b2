"""Training and held-out parts of images that come as one."""

import numpy as np

from dpm_jax.data.dataset import Images, Pixels, check_varied

HOLD_OUT = 10  # one image in so many, or images too few to be split by image


def split(pixels: Pixels, *, patch: int | None = None) -> Images:
    """Training and held-out images, or regions of images where there are few.

    From 20 images on, every tenth is held out, beginning with the tenth: names often sort
    images by class or time, and so both parts have some of each. Of 10 to 19, two are, the last
    of each half, because one has no standard error. Fewer are cut across their longer side: the
    last quarter (at least one patch) of each, bottom or right, is held out.

    Args:
        pixels: images [height, width, channels].
        patch: side of the square patches that are the examples; None if whole images are.

    Raises:
        ValueError: if images, or the parts of too few images, are smaller than a patch, or
            whole images are too few, or all pixels of the training part are equal.
    """
    if patch is not None:
        for image in pixels[:1] if isinstance(pixels, np.ndarray) else pixels:
            _check_patch(image, patch)
    if len(pixels) >= HOLD_OUT:
        parts = _by_image(pixels, min(HOLD_OUT, len(pixels) // 2))
    elif patch is None:
        raise ValueError(
            f"{len(pixels)} whole images are too few to hold some out, {HOLD_OUT} are needed; "
            "use --patch to train on patches, or give more images"
        )
    else:
        regions = [_cut(image, patch) for image in pixels]
        parts = Images([train for train, _ in regions], [heldout for _, heldout in regions])
    check_varied(parts.train, "the training part")
    return parts


def _by_image(pixels: Pixels, every: int) -> Images:
    if isinstance(pixels, np.ndarray):  # stays one: images may be millions
        train = pixels[np.arange(1, len(pixels) + 1) % every > 0]
        # A copy, so that the whole can go.
        return Images(train, pixels[every - 1 :: every].copy())
    return Images(
        [image for i, image in enumerate(pixels) if (i + 1) % every],
        list(pixels[every - 1 :: every]),
    )


def _cut(image: np.ndarray, patch: int) -> tuple[np.ndarray, np.ndarray]:
    height, width, _ = image.shape
    side = max(height, width)
    if side < 2 * patch:
        raise ValueError(
            f"patch is {patch}, but images of {width}x{height} cannot be cut into a training "
            f"and a held-out part that large; use a --patch of at most {side // 2}, "
            f"or give {HOLD_OUT} images or more"
        )
    cut = side - max(side // 4, patch)
    if height >= width:
        return image[:cut], image[cut:]
    return image[:, :cut], image[:, cut:]


def heldout_patches(image: np.ndarray, patch: int) -> np.ndarray:
    """The grid of patches of an image that do not overlap, [m, patch, patch, channels].

    Row by row from the top left; what is left over at the right and at the bottom is dropped.

    Args:
        image: [height, width, channels], or an array of such images, taken one after the other.
        patch: side of the patches.

    Raises:
        ValueError: if the image is smaller than a patch.
    """
    _check_patch(image, patch)
    *count, height, width, channels = image.shape
    rows, columns = height // patch, width // patch
    whole = image[..., : rows * patch, : columns * patch, :]
    grid = whole.reshape(*count, rows, patch, columns, patch, channels).swapaxes(-4, -3)
    return grid.reshape(-1, patch, patch, channels)


def _check_patch(image: np.ndarray, patch: int) -> None:
    *_, height, width, _ = image.shape
    if patch < 1:
        raise ValueError(f"patch must be at least 1, got {patch}")
    if patch > min(height, width):
        raise ValueError(
            f"patch is {patch}, but an image is only {width}x{height}; "
            f"use a --patch of at most {min(height, width)}"
        )
