"""Cutting out what patches replace, and pasting them.

x' = (1 - s) x + pad(x_negative, s) with a binary mask s (Grcic et al., NFlowJS, equation 2).
Images are on the scale 0..255, patches in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from open_set_seg.label_spaces import UNLABELLED
from training.mixed_content.places import Place


def cut(images: Tensor, places: Sequence[Sequence[Place]]) -> Tensor:
    """What patches replace: (n, C, h, w) floats, image by image.

    Args:
        images: (B, C, H, W).
        places: of one size, one list an image.

    Raises:
        ValueError: no places, places of several sizes, or another number of lists than images.
    """
    pairs = [(image, place) for image, row in zip(images, places, strict=True) for place in row]
    sizes = {(place.height, place.width) for _, place in pairs}
    if len(sizes) != 1:
        raise ValueError(f"expected places of one size, found {sorted(sizes)}")
    crops = torch.stack([image[:, place.rows, place.columns] for image, place in pairs])
    return crops if crops.is_floating_point() else crops.float()


def paste(
    images: Tensor,
    patches: Tensor,
    places: Sequence[Sequence[Place]],
    masks: Tensor | None = None,
) -> Tensor:
    """Images with 255 times the patches pasted hard; differentiable with respect to both.

    Args:
        images: (B, C, H, W) on the scale 0..255.
        patches: (n, C, h, w) in [0, 1], image by image.
        places: one list an image, n in all; where they overlap the last one wins.
        masks: (n, 1, h, w) bool, narrows the shapes of the places further; None for no more.

    Raises:
        ValueError: another number of patches, masks or lists, or a patch of another size.
    """
    windows = _windows(places, images.shape[-2:], images.device, masks)
    count = sum(map(len, windows))
    if len(patches) != count or len(places) != len(images):
        raise ValueError(
            f"{len(patches)} patches and {len(images)} images for {count} places in {len(places)}"
        )
    scaled = iter(patches.to(images.dtype) * 255.0)
    mixed = []
    for image, row, row_masks in zip(images, places, windows, strict=True):
        for place, mask in zip(row, row_masks, strict=True):
            patch = next(scaled)
            if patch.shape[-2:] != (place.height, place.width):
                raise ValueError(
                    f"a patch of {tuple(patch.shape[-2:])} pixels does not fit {place}"
                )
            padding = _padding(place, image.shape[-2:])
            image = torch.where(
                functional.pad(mask, padding), functional.pad(patch, padding), image
            )
        mixed.append(image)
    return torch.stack(mixed)


def outlier_mask(
    labels: Tensor,
    places: Sequence[Sequence[Place]],
    masks: Tensor | None = None,
    ignore_border: int = 0,
) -> tuple[Tensor, Tensor]:
    """Labels of mixed-content images, and which pixels are pasted.

    A pasted pixel has no class any more. It is an outlier also where it covers an unlabelled one,
    as in published code.

    Args:
        labels: (B, H, W) ids, 255 = unlabelled.
        places: one list an image.
        masks: as for ``paste``.
        ignore_border: pixels around the pasted ones, also diagonally, that lose their class.

    Returns:
        labels with 255 there, and (B, H, W) bool, true on pasted pixels.
    """
    pasted = torch.zeros(labels.shape, dtype=torch.bool, device=labels.device)
    windows = _windows(places, labels.shape[-2:], labels.device, masks)
    for image, row, row_masks in zip(pasted, places, windows, strict=True):
        for place, mask in zip(row, row_masks, strict=True):
            image[place.rows, place.columns] |= mask
    lost = pasted
    if ignore_border > 0:
        size = 2 * ignore_border + 1
        grown = functional.max_pool2d(pasted.unsqueeze(1).float(), size, 1, ignore_border)
        lost = grown.squeeze(1) > 0
    return labels.masked_fill(lost, UNLABELLED), pasted


def _windows(
    places: Sequence[Sequence[Place]],
    size: Sequence[int],
    device: torch.device,
    masks: Tensor | None,
) -> list[list[Tensor]]:
    """The mask of every place, (h, w) bool."""
    count = sum(map(len, places))
    if masks is not None and len(masks) != count:
        raise ValueError(f"expected {count} masks, found {len(masks)}")
    narrower = iter(masks) if masks is not None else None
    windows: list[list[Tensor]] = []
    for row in places:
        windows.append([])
        for place in row:
            if min(_padding(place, size)) < 0:
                raise ValueError(f"{place} is outside an image of {tuple(size)} pixels")
            mask = place.mask().to(device)
            windows[-1].append(mask if narrower is None else mask & next(narrower)[0].to(device))
    return windows


def _padding(place: Place, size: Sequence[int]) -> tuple[int, int, int, int]:
    right = size[1] - place.left - place.width
    return place.left, right, place.top, size[0] - place.top - place.height
