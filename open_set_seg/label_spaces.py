"""Class names, colours and ids.

A label image is uint8: ``0 .. K-1`` are the known classes of a label space, ``K`` is *unknown* and
255 is *unlabelled* (vision_msgs reserves it), so a label space holds at most 254 classes.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

UNLABELLED = 255
MAX_CLASSES = 254
UNKNOWN_NAME = "unknown"
UNKNOWN_COLOUR = (255, 64, 0)

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class LabelSpace:
    """The known classes of a network, in the order of its logits.

    Args:
        name: key in ``LABEL_SPACES``; stored in checkpoints.
        classes: K class names, lower case.
        colours: K RGB triples for pictures.
        ground: the classes whose convex hull is the drivable region (ground focus).

    Raises:
        ValueError: more than 254 classes, lengths that differ, repeated names, or a ground class
            that is not a class.
    """

    name: str
    classes: tuple[str, ...]
    colours: tuple[Colour, ...]
    ground: tuple[str, ...]

    def __post_init__(self) -> None:
        if not 2 <= len(self.classes) <= MAX_CLASSES:
            raise ValueError(
                f"a label space has 2 to {MAX_CLASSES} classes, not {len(self.classes)}"
            )
        if len(self.colours) != len(self.classes):
            raise ValueError(f"{len(self.classes)} classes but {len(self.colours)} colours")
        if len(set(self.classes)) != len(self.classes) or UNKNOWN_NAME in self.classes:
            raise ValueError(f"class names must be unique and differ from {UNKNOWN_NAME!r}")
        missing = set(self.ground) - set(self.classes)
        if missing:
            raise ValueError(f"ground classes {sorted(missing)} are not classes of {self.name!r}")

    @classmethod
    def of_classes(
        cls, name: str, classes: Sequence[str], ground: Sequence[str] = ()
    ) -> LabelSpace:
        """A label space whose colours nobody has chosen; ``ValueError`` as the constructor."""
        return cls(name, tuple(classes), choose_colours(len(classes)), tuple(ground))

    @property
    def num_classes(self) -> int:
        """K, the number of known classes."""
        return len(self.classes)

    @property
    def unknown_id(self) -> int:
        """The id of *unknown* in label images: K."""
        return len(self.classes)

    @property
    def ground_ids(self) -> tuple[int, ...]:
        """Ids of the ground classes."""
        return tuple(self.id_of(name) for name in self.ground)

    def id_of(self, class_name: str) -> int:
        """Id of a class by name; ``KeyError`` with the known names if there is none."""
        try:
            return self.classes.index(class_name)
        except ValueError:
            raise KeyError(f"{class_name!r} is not one of {', '.join(self.classes)}") from None

    def name_of(self, label: int) -> str:
        """Name of a label id, *unknown* and *unlabelled* included."""
        if label == self.unknown_id:
            return UNKNOWN_NAME
        if label == UNLABELLED:
            return "unlabelled"
        return self.classes[label]


def choose_colours(count: int) -> tuple[Colour, ...]:
    """Colours that are told apart, the first ones best; none is that of *unknown*.

    Hues go around the circle by the golden section, brightness and saturation in cycles of their
    own.
    """
    values = [
        colorsys.hsv_to_rgb((0.3 + 0.618034 * i) % 1.0, (0.75, 0.5)[i % 2], (0.9, 0.6, 0.75)[i % 3])
        for i in range(count)
    ]
    return tuple((round(255 * r), round(255 * g), round(255 * b)) for r, g, b in values)


# The 12 classes of StreetHazards in the order that DenseHybrid trains on: raw ids minus one with
# "other" removed; its background class is the sky.
STREETHAZARDS = LabelSpace(
    name="streethazards_12",
    classes=(
        "sky", "building", "fence", "pedestrian", "pole", "road line",
        "road", "sidewalk", "vegetation", "car", "wall", "traffic sign",
    ),
    colours=(
        (70, 130, 180), (70, 70, 70), (190, 153, 153), (220, 20, 60), (153, 153, 153),
        (220, 220, 220), (128, 64, 128), (244, 35, 232), (107, 142, 35), (0, 0, 142),
        (102, 102, 156), (220, 220, 0),
    ),
    ground=("road", "road line", "sidewalk"),
)  # fmt: skip

# The 19 evaluation classes of Cityscapes in train-id order.
CITYSCAPES = LabelSpace(
    name="cityscapes_19",
    classes=(
        "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign",
        "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "train",
        "motorcycle", "bicycle",
    ),
    colours=(
        (128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153),
        (153, 153, 153), (250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152),
        (70, 130, 180), (220, 20, 60), (255, 0, 0), (0, 0, 142), (0, 0, 70), (0, 60, 100),
        (0, 80, 100), (0, 0, 230), (119, 11, 32),
    ),
    ground=("road", "sidewalk"),
)  # fmt: skip

# The 13 classes of StreetHazards as published: raw ids minus one, "other" included.
STREETHAZARDS_13 = LabelSpace(
    name="streethazards_13",
    classes=(*STREETHAZARDS.classes[:3], "other", *STREETHAZARDS.classes[3:]),
    colours=(*STREETHAZARDS.colours[:3], (250, 170, 160), *STREETHAZARDS.colours[3:]),
    ground=STREETHAZARDS.ground,
)

# The 14 categories of BSB-aerial in the order of their ids.
BSB = LabelSpace(
    name="bsb_14",
    classes=(
        "street", "permeable area", "lake", "swimming pool", "harbor", "vehicle", "boat",
        "sports court", "soccer field", "commercial building", "commercial building block",
        "residential building", "house", "small construction",
    ),
    colours=(
        (128, 128, 128), (0, 128, 0), (30, 80, 200), (0, 220, 220), (120, 60, 20), (0, 0, 142),
        (150, 0, 255), (200, 120, 60), (120, 220, 60), (190, 40, 60), (240, 130, 150),
        (230, 180, 60), (240, 230, 140), (150, 150, 90),
    ),
    ground=("street",),
)  # fmt: skip

# The 12 inlier classes of BSB-OOD: boat and harbor are the outliers.
BSB_OOD = LabelSpace(
    name="bsb_ood_12",
    classes=tuple(name for name in BSB.classes if name not in ("harbor", "boat")),
    colours=tuple(
        colour
        for name, colour in zip(BSB.classes, BSB.colours, strict=True)
        if name not in ("harbor", "boat")
    ),
    ground=BSB.ground,
)

LABEL_SPACES = {
    space.name: space for space in (STREETHAZARDS, STREETHAZARDS_13, CITYSCAPES, BSB, BSB_OOD)
}
