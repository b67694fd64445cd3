"""Where negative patches go, and their shapes.

Every choice is a function of (seed, step, slot of the image in the whole batch), so it depends
neither on how a batch is split over processes nor on earlier steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.randomness import draw_normal, draw_uniform, make_generator

Shape: TypeAlias = Literal["rectangle", "ellipse", "blob"]
Placement: TypeAlias = Literal["uniform", "perspective", "alternating"]

MULTIPLE = 8  # of sides: what flows with three squeezes can sample
HORIZON = 0.42  # of the image's height, where "perspective" lets the smallest patches stand
_SIZE, _POSITION, _MASK, _CONTENT = 11, 12, 13, 14  # uses of random numbers


@dataclass(frozen=True)
class Place:
    """Where one patch goes, in whole pixels of its image.

    Attributes:
        shape: of the pasted part of the rectangle.
        key: (seed, step, slot, index in the image), of what is random about the patch.
    """

    top: int
    left: int
    height: int
    width: int
    shape: Shape = "rectangle"
    key: tuple[int, ...] = ()

    @property
    def rows(self) -> slice:
        return slice(self.top, self.top + self.height)

    @property
    def columns(self) -> slice:
        return slice(self.left, self.left + self.width)

    def mask(self) -> Tensor:
        """(height, width) bool, never empty: which pixels of the rectangle are pasted."""
        return SHAPES[self.shape](self)


def _rectangle(place: Place) -> Tensor:
    return torch.ones(place.height, place.width, dtype=torch.bool)


def _radius(place: Place) -> Tensor:
    # Squared, and 1 on the ellipse that touches the rectangle's four sides.
    rows = (2.0 * torch.arange(place.height) + 1.0) / place.height - 1.0
    columns = (2.0 * torch.arange(place.width) + 1.0) / place.width - 1.0
    return rows.square().unsqueeze(1) + columns.square()


def _ellipse(place: Place) -> Tensor:
    return _radius(place) <= 1.0


def _blob(place: Place) -> Tensor:
    # Noise of 4 x 4 cells over the rectangle, higher in the middle; the highest 30 to 70 % of it.
    generators = [_generator(_MASK, place)]
    noise = draw_normal(generators, (1, 5, 5), torch.empty(0))
    size = (place.height, place.width)
    smooth = functional.interpolate(noise, size, mode="bicubic", align_corners=True)[0, 0]
    field = 0.5 * smooth - _radius(place)
    share = 0.3 + 0.4 * draw_uniform(generators, (), torch.empty(0)).item()
    count = max(1, round(share * field.numel()))
    return field >= field.flatten().topk(count).values[-1]


SHAPES: dict[Shape, Callable[[Place], Tensor]] = {
    "rectangle": _rectangle,
    "ellipse": _ellipse,
    "blob": _blob,
}


def choose_places(
    height: int,
    width: int,
    slots: Sequence[int],
    *,
    seed: int,
    step: int,
    sizes: tuple[int, int] = (16, 216),
    one_size: Literal["batch", "image"] = "batch",
    per_image: int = 1,
    placement: Placement = "uniform",
    shape: Shape = "rectangle",
) -> list[list[Place]]:
    """Places of ``per_image`` patches in every image; they may overlap, later ones win.

    Both sides are multiples of 8 in ``sizes``; the largest that fits where the image is smaller.
    With ``one_size="batch"`` all patches of a step have one size, with "image" each its own.

    ``uniform``: sides are independent and uniform, positions uniform inside the image.
    ``perspective`` (ours): as if the patches stood on a flat road. The height grows linearly with
    the row of the foot, from the smallest at the horizon (42 % from the top) to the largest at the
    lower border. The foot's depth t in [0, 1] below the horizon has density 2 t, so that most
    stand in the lower part; the width is the height times a log-uniform number in [1/2, 2]. With
    one size a batch, all feet of a step lie in the band of rows that this height belongs to.
    ``alternating`` (ours): uniform in every other image, perspective in the ones between; each of
    the two has its own size a batch.

    Args:
        slots: place of each image in the whole batch.

    Returns:
        One list an image.

    Raises:
        ValueError: an unknown placement, shape or ``one_size``, sizes without a multiple of 8, or
            an image that is smaller than 8 pixels.
    """
    tall, wide = _sides(sizes, height), _sides(sizes, width)
    if placement not in get_args(Placement) or shape not in SHAPES:
        raise ValueError(f"unknown placement {placement!r} or shape {shape!r}")
    if one_size not in ("batch", "image"):
        raise ValueError(f"one size a batch or an image, found {one_size!r}")
    places = []
    for slot in slots:
        row = []
        on_road = placement == "perspective" or (placement == "alternating" and slot % 2 == 1)
        draw_size = _perspective_size if on_road else _uniform_size
        for index in range(per_image):
            owner = () if one_size == "batch" else (slot, index)
            size = draw_size(np.random.default_rng([seed, _SIZE, step, *owner]), tall, wide)
            random = np.random.default_rng([seed, _POSITION, step, slot, index])
            if on_road:
                top = _perspective_top(random, size[0], tall, height)
            else:
                top = int(random.integers(height - size[0] + 1))
            left = int(random.integers(width - size[1] + 1))
            row.append(Place(top, left, *size, shape, (seed, step, slot, index)))
        places.append(row)
    return places


def _sides(sizes: tuple[int, int], available: int) -> range:
    """Multiples of 8 in ``sizes`` that fit, or the largest that does."""
    low = -(-sizes[0] // MULTIPLE) * MULTIPLE
    high = sizes[1] // MULTIPLE * MULTIPLE
    fitting = available // MULTIPLE * MULTIPLE
    if not 0 < low <= high:
        raise ValueError(f"no side that is a multiple of {MULTIPLE} lies in {sizes}")
    if fitting == 0:
        raise ValueError(f"patches need images of {MULTIPLE} pixels, found {available}")
    return range(min(low, fitting), min(high, fitting) + 1, MULTIPLE)


def _uniform_size(random: np.random.Generator, tall: range, wide: range) -> tuple[int, int]:
    return tall[random.integers(len(tall))], wide[random.integers(len(wide))]


def _perspective_size(random: np.random.Generator, tall: range, wide: range) -> tuple[int, int]:
    depth = math.sqrt(random.random())
    height = _nearest(tall, tall[0] + depth * (tall[-1] - tall[0]))
    return height, _nearest(wide, height * 2.0 ** random.uniform(-1.0, 1.0))


def _nearest(sides: range, wanted: float) -> int:
    index = round((wanted - sides[0]) / MULTIPLE)
    return sides[min(max(index, 0), len(sides) - 1)]


def _perspective_top(random: np.random.Generator, size: int, tall: range, height: int) -> int:
    spread = tall[-1] - tall[0]
    # The depths whose height is rounded to this size; any where there is one size only.
    low, high = 0.0, 1.0
    if spread:
        low = max(0.0, (size - tall[0] - MULTIPLE / 2) / spread)
        high = min(1.0, (size - tall[0] + MULTIPLE / 2) / spread)
    depth = math.sqrt(random.uniform(low * low, high * high))
    foot = round(height * (HORIZON + (1.0 - HORIZON) * depth))
    return min(max(foot - size, 0), height - size)


def split_by_size(places: Sequence[Sequence[Place]]) -> list[list[list[Place]]]:
    """Places of one size each, again a list an image; the tallest, then the widest come first.

    A source draws patches of one size at a time; paste the groups one after the other. Their order
    depends on nothing else, so an image looks the same whatever other images are beside it.
    """
    found = {(place.height, place.width) for row in places for place in row}
    return [
        [[place for place in row if (place.height, place.width) == size] for row in places]
        for size in sorted(found, reverse=True)
    ]


def patch_generators(places: Sequence[Sequence[Place]]) -> list[torch.Generator]:
    """A generator a patch for the content of it, image by image; a function of the key alone."""
    return [_generator(_CONTENT, place) for row in places for place in row]


def _generator(use: int, place: Place) -> torch.Generator:
    seed, *others = place.key or (0,)
    return make_generator(seed, use, *others)
