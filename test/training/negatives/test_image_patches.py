"""Negatives cut out of other images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_trees import save

from training.datasets.frames import CorruptFileError, DatasetError
from training.negatives import build_source
from training.randomness import make_generator


class Pictures:
    """Pictures that say of every pixel where it lies: red the row, green the column."""

    def __init__(self, *sizes):
        self.sizes = sizes

    def __len__(self):
        return len(self.sizes)

    def load(self, index):
        return picture(*self.sizes[index], index)


def picture(height, width, blue):
    rows, columns = np.indices((height, width))
    return np.dstack([rows, columns, np.full_like(rows, 40 * blue)]).astype(np.uint8)


def crops(count=6, height=16, width=24):
    return torch.zeros(count, 3, height, width)


def generators(*slots):
    return [make_generator(9, slot) for slot in slots]


def integers(patches):
    values = 255.0 * patches
    torch.testing.assert_close(values, values.round(), rtol=0, atol=1e-4)
    return values.round().int().numpy()


def test_patches_are_crops_of_the_images():
    sizes = [(30, 40), (16, 24), (50, 60)]
    source = build_source("image_patches", images=Pictures(*sizes))
    count = 200
    patches = integers(source.draw(crops(count), generators(*range(count))).patches)
    seen = set()
    for patch in patches:
        index = patch[2, 0, 0] // 40
        mirrored = patch[1, 0, 0] > patch[1, 0, 1]
        straight = patch[:, :, ::-1] if mirrored else patch
        top, left = straight[:2, 0, 0]
        whole = picture(*sizes[index], index)
        expected = whole[top : top + 16, left : left + 24].transpose(2, 0, 1)
        assert (straight == expected).all()
        seen.add((index, bool(mirrored), top, left))
    assert {index for index, *_ in seen} == {0, 1, 2}
    # Every row of the first image begins a patch, from the first to the last.
    for axis, last in ((2, 14), (3, 16)):
        starts = {place[axis] for place in seen if place[0] == 0}
        assert min(starts) <= 2
        assert max(starts) >= last - 2
    share = np.mean([np.diff(patch[1, 0, :2])[0] < 0 for patch in patches])
    assert share == pytest.approx(0.5, abs=0.14)  # four deviations of 200 draws


@pytest.mark.parametrize("mirror", [0.0, 1.0])
def test_mirroring_is_as_frequent_as_asked_for(mirror):
    source = build_source("image_patches", images=Pictures((30, 40)), mirror=mirror)
    patches = integers(source.draw(crops(20), generators(*range(20))).patches)
    assert ((np.diff(patches[:, 1], axis=-1) < 0) == bool(mirror)).all()


def test_small_images_are_enlarged_no_more_than_needed():
    # 8 x 30 pixels must become 16 x 60: a column step of a half.
    source = build_source("image_patches", images=Pictures((8, 30)), mirror=0.0)
    patch = integers(source.draw(crops(1), generators(0)).patches)[0]
    assert patch[0, 0].max() == 0
    assert patch[0, -1].min() == 7
    assert np.diff(patch[1], axis=-1).sum(axis=-1) == pytest.approx(23 / 2, abs=1)
    whole = build_source("image_patches", images=Pictures((7, 11)), mirror=0.0)
    assert whole.draw(crops(1, 8, 8), generators(0)).patches.shape == (1, 3, 8, 8)


def test_patches_depend_on_their_generator_alone(tmp_path):
    for number in range(4):
        save(tmp_path / f"{number}.png", picture(40, 50, number))
    source = build_source("image_patches", images=str(tmp_path))
    whole = source.draw(crops(), generators(*range(6))).patches
    part = source.draw(crops(2), generators(4, 1)).patches
    assert torch.equal(part, whole[[4, 1]])
    of_pictures = build_source("image_patches", images=Pictures(*[(40, 50)] * 4))
    assert torch.equal(of_pictures.draw(crops(), generators(*range(6))).patches, whole)


def test_images_that_cannot_be_used(tmp_path):
    with pytest.raises(DatasetError, match="no such folder"):
        build_source("image_patches", images=tmp_path / "none")
    with pytest.raises(DatasetError, match="no file matches"):
        build_source("image_patches", images=tmp_path)
    (tmp_path / "a.png").write_bytes(b"nothing")
    with pytest.raises(CorruptFileError, match=r"a\.png"):
        build_source("image_patches", images=tmp_path).draw(crops(1), generators(0))
    with pytest.raises(ValueError, match=r"found 0 and 0\.5"):
        build_source("image_patches", images=Pictures())
    with pytest.raises(ValueError, match=r"found 1 and 1\.5"):
        build_source("image_patches", images=Pictures((9, 9)), mirror=1.5)


def write_ade20k(root, scenes=3, height=64, width=90):
    """Scenes whose classes are stripes of eight columns, code 0 to 4."""
    for number in range(scenes):
        name = f"ADE_train_0000000{number}"
        columns = np.indices((height, width))[1]
        save(root / "images/training" / f"{name}.png", picture(height, width, number))
        save(root / "annotations/training" / f"{name}.png", (columns // 8 % 5).astype(np.uint8))
    return root


def test_ade20k_gives_rectangles_and_objects(tmp_path):
    source = build_source("ade20k", root=write_ade20k(tmp_path), side=64)
    count = 200
    drawn = source.draw(crops(count), generators(*range(count)))
    patches = integers(drawn.patches)
    assert drawn.masks.shape == (count, 1, 16, 24)
    assert drawn.masks.dtype == torch.bool
    rectangles, alone = 0, 0
    for patch, mask in zip(patches, drawn.masks[:, 0].numpy(), strict=True):
        top, left = patch[:2, 0, 0]
        whole = picture(64, 90, patch[2, 0, 0] // 40)
        expected = whole[top : top + 16, left : left + 24]
        assert (patch == expected.transpose(2, 0, 1)).all()
        classes = np.broadcast_to((np.arange(left, left + 24) // 8 % 5), (16, 24))
        assert mask.any()
        inside, outside = set(classes[mask]), set(classes[~mask])
        assert not inside & outside
        rectangles += mask.all()
        alone += len(inside) == 1
        assert mask.all() or len(inside) <= 2
    # Three or four classes are in a window: two draws never take all of it, and are equal in a
    # third to a quarter of the cases.
    assert rectangles / count == pytest.approx(0.5, abs=0.15)
    assert alone / (count - rectangles) == pytest.approx(0.29, abs=0.18)
    assert drawn.measures["covered"] == pytest.approx(drawn.masks.float().mean().item())
    part = source.draw(crops(2), generators(5, 3))
    assert torch.equal(part.patches, drawn.patches[[5, 3]])
    assert torch.equal(part.masks, drawn.masks[[5, 3]])


def test_ade20k_scenes_are_resized_to_the_short_side(tmp_path):
    root = write_ade20k(tmp_path, scenes=1, height=64, width=90)
    for side, step in ((128, 0.5), (32, 2.0)):
        source = build_source("ade20k", root=root, side=side, rectangles=1.0)
        drawn = source.draw(crops(4), generators(*range(4)))
        assert drawn.masks.all()
        steps = np.diff(255.0 * drawn.patches.numpy()[:, 0, 2:-2], axis=1).mean()
        assert steps == pytest.approx(step, abs=0.05)
    # A patch of the whole crop, and one that is larger than the crop.
    source = build_source("ade20k", root=root, side=32, rectangles=0.0)
    assert source.draw(crops(2, 32, 32), generators(0, 1)).masks.any()
    assert source.draw(crops(2, 72, 120), generators(0, 1)).patches.shape == (2, 3, 72, 120)


def test_ade20k_masks_follow_the_picture_when_both_are_resized(tmp_path):
    root = write_ade20k(tmp_path, scenes=1)
    source = build_source("ade20k", root=root, side=128, rectangles=0.0)
    drawn = source.draw(crops(30, 32, 48), generators(*range(30)))
    columns = 255.0 * drawn.patches[:, 1].numpy()
    for original, mask in zip(columns, drawn.masks[:, 0].numpy(), strict=True):
        # Away from the borders of stripes the class follows from the column.
        clear = np.abs((original + 0.5) % 8 - 4) < 3
        classes = (original + 0.5) // 8 % 5
        assert not set(classes[mask & clear]) & set(classes[~mask & clear])


def test_ade20k_refusals(tmp_path):
    root = write_ade20k(tmp_path, scenes=1)
    with pytest.raises(ValueError, match=r"found 0 and 0\.5"):
        build_source("ade20k", root=root, side=0)
    with pytest.raises(DatasetError, match="no such folder"):
        build_source("ade20k", root=root, split="val")
    with pytest.raises(ValueError, match="found 1 for 2"):
        build_source("ade20k", root=root, side=64).draw(crops(2), generators(0))
