"""Writes small driving and aerial data sets in the layouts of their publishers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from anomaly_trees import codes, picture, save
from PIL import Image

# Every class of a version in the order of its configuration file: "name>Cityscapes class".
VISTAS_1 = """
animal--bird animal--ground-animal construction--barrier--curb>sidewalk
construction--barrier--fence>fence construction--barrier--guard-rail>fence
construction--barrier--other-barrier construction--barrier--wall>wall
construction--flat--bike-lane>road construction--flat--crosswalk-plain>road
construction--flat--curb-cut>sidewalk construction--flat--parking>road
construction--flat--pedestrian-area>sidewalk construction--flat--rail-track>road
construction--flat--road>road construction--flat--service-lane>road
construction--flat--sidewalk>sidewalk construction--structure--bridge>building
construction--structure--building>building construction--structure--tunnel>building
human--person>person human--rider--bicyclist>rider human--rider--motorcyclist>rider
human--rider--other-rider>rider marking--crosswalk-zebra>road marking--general>road
nature--mountain nature--sand>terrain nature--sky>sky nature--snow>terrain nature--terrain>terrain
nature--vegetation>vegetation nature--water object--banner object--bench object--bike-rack
object--billboard object--catch-basin object--cctv-camera object--fire-hydrant
object--junction-box object--mailbox object--manhole object--phone-booth object--pothole
object--street-light object--support--pole>pole object--support--traffic-sign-frame>traffic_sign
object--support--utility-pole>pole object--traffic-light>traffic_light
object--traffic-sign--back object--traffic-sign--front>traffic_sign object--trash-can
object--vehicle--bicycle>bicycle object--vehicle--boat object--vehicle--bus>bus
object--vehicle--car>car object--vehicle--caravan object--vehicle--motorcycle>motorcycle
object--vehicle--on-rails>train object--vehicle--other-vehicle object--vehicle--trailer
object--vehicle--truck>truck object--vehicle--wheeled-slow void--car-mount void--ego-vehicle
void--unlabeled
"""
VISTAS_2 = """
animal--bird animal--ground-animal construction--barrier--ambiguous
construction--barrier--concrete-block construction--barrier--curb>sidewalk
construction--barrier--fence>fence construction--barrier--guard-rail>fence
construction--barrier--other-barrier construction--barrier--road-median
construction--barrier--road-side construction--barrier--separator
construction--barrier--temporary construction--barrier--wall>wall
construction--flat--bike-lane>road construction--flat--crosswalk-plain>road
construction--flat--curb-cut>sidewalk construction--flat--driveway>road
construction--flat--parking>road construction--flat--parking-aisle>road
construction--flat--pedestrian-area>sidewalk construction--flat--rail-track>road
construction--flat--road>road construction--flat--road-shoulder>road
construction--flat--service-lane>road construction--flat--sidewalk>sidewalk
construction--flat--traffic-island>sidewalk construction--structure--bridge>building
construction--structure--building>building construction--structure--garage>building
construction--structure--tunnel>building human--person--individual>person
human--person--person-group>person human--rider--bicyclist>rider human--rider--motorcyclist>rider
human--rider--other-rider>rider marking--continuous--dashed>road marking--continuous--solid>road
marking--continuous--zigzag>road marking--discrete--ambiguous>road
marking--discrete--arrow--left>road marking--discrete--arrow--other>road
marking--discrete--arrow--right>road marking--discrete--arrow--split-left-or-straight>road
marking--discrete--arrow--split-right-or-straight>road marking--discrete--arrow--straight>road
marking--discrete--crosswalk-zebra>road marking--discrete--give-way-row>road
marking--discrete--give-way-single>road marking--discrete--hatched--chevron>road
marking--discrete--hatched--diagonal>road marking--discrete--other-marking>road
marking--discrete--stop-line>road marking--discrete--symbol--bicycle>road
marking--discrete--symbol--other>road marking--discrete--text>road
marking-only--continuous--dashed>road marking-only--discrete--crosswalk-zebra>road
marking-only--discrete--other-marking>road marking-only--discrete--text>road nature--mountain
nature--sand>terrain nature--sky>sky nature--snow>terrain nature--terrain>terrain
nature--vegetation>vegetation nature--water object--banner object--bench object--bike-rack
object--catch-basin object--cctv-camera object--fire-hydrant object--junction-box object--mailbox
object--manhole object--parking-meter object--phone-booth object--pothole
object--sign--advertisement object--sign--ambiguous object--sign--back object--sign--information
object--sign--other object--sign--store object--street-light object--support--pole>pole
object--support--pole-group>pole object--support--traffic-sign-frame>traffic_sign
object--support--utility-pole>pole object--traffic-cone
object--traffic-light--cyclists>traffic_light
object--traffic-light--general-horizontal>traffic_light
object--traffic-light--general-single>traffic_light
object--traffic-light--general-upright>traffic_light object--traffic-light--other>traffic_light
object--traffic-light--pedestrians>traffic_light object--traffic-sign--ambiguous
object--traffic-sign--back object--traffic-sign--direction-back
object--traffic-sign--direction-front>traffic_sign object--traffic-sign--front>traffic_sign
object--traffic-sign--information-parking>traffic_sign object--traffic-sign--temporary-back
object--traffic-sign--temporary-front>traffic_sign object--trash-can
object--vehicle--bicycle>bicycle object--vehicle--boat object--vehicle--bus>bus
object--vehicle--car>car object--vehicle--caravan object--vehicle--motorcycle>motorcycle
object--vehicle--on-rails>train object--vehicle--other-vehicle object--vehicle--trailer
object--vehicle--truck>truck object--vehicle--vehicle-group object--vehicle--wheeled-slow
object--water-valve void--car-mount void--dynamic void--ego-vehicle void--ground void--static
void--unlabeled
"""
# The 81 categories of WildDash 2 by id, with the Cityscapes class of the official policy.
WILDDASH = """
unlabeled egovehicle overlay outofroi static dynamic ground road>road sidewalk>sidewalk parking
railtrack building>building wall>wall fence>fence guardrail bridge tunnel pole>pole polegroup
trafficlight>traffic_light trafficsign>traffic_sign vegetation>vegetation terrain>terrain sky>sky
person>person rider>rider car>car truck>truck bus>bus caravan trailer onrails>train
motorcycle>motorcycle bicycle>bicycle pickup>truck van>car billboard streetlight roadmarking>road
junctionbox mailbox manhole>road phonebooth pothole>road bikerack trafficsignframe>pole
utilitypole>pole motorcyclist>rider bicyclist>rider otherrider>rider bird groundanimal
curb>sidewalk trafficsignany trafficsignback trashcan otherbarrier>wall othervehicle
autorickshaw>motorcycle bench mountain tramtrack>road wheeledslow boat bikelane>road
bikelanesidewalk>sidewalk banner dashcammount water sand pedestrianarea>road firehydrant cctvcamera
snow catchbasin>road crosswalkplain>road crosswalkzebra>road manholesidewalk>sidewalk
curbterrain>terrain servicelane>road curbcut>sidewalk
"""


def entries(table: str) -> list[tuple[str, str | None]]:
    """Name and class, None where it is void, in the order of a table above."""
    pairs = (entry.partition(">") for entry in table.split())
    return [(name, label.replace("_", " ") or None) for name, _, label in pairs]


def save_palette(path: Path, values: np.ndarray) -> Path:
    """A palette image whose colours tell nothing about the indices."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values, mode="P")
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
    image.save(path)
    return path


def write_cityscapes(
    root: Path, frames: Sequence[str], values: Sequence[int], ending: str = "labelIds"
) -> Path:
    """``frames`` are "split/city_seq_frame"."""
    for frame in frames:
        split, frame_id = frame.split("/")
        city = frame_id.split("_")[0]
        name = f"{split}/{city}/{frame_id}"
        save(root / "leftImg8bit" / f"{name}_leftImg8bit.png", picture(frame_id))
        save(root / "gtFine" / f"{name}_gtFine_{ending}.png", codes(frame_id, values))
    return root


def write_vistas(
    root: Path, table: str, config: str, labels: str, frames: Sequence[str] = ("b", "a")
) -> Path:
    names = [name for name, _ in entries(table)]
    root.mkdir(parents=True, exist_ok=True)
    content = {"labels": [{"name": name, "readable": "Thing"} for name in names]}
    (root / config).write_text(json.dumps(content))
    for folder in ("training", "validation"):
        for frame in frames:
            save(root / folder / "images" / f"{frame}.jpg", picture(frame))
            values = codes(frame, range(len(names)))
            save_palette(root / folder / labels / f"{frame}.png", values)
    save(root / "testing" / "images" / "c.jpg", picture("c"))
    return root


def write_streethazards(root: Path, values: Sequence[int] = range(1, 15)) -> Path:
    parts = {
        ("train", "training"): ("t1-3/000002", "t1-3/000001"),
        ("train", "validation"): ("t4/000001",),
        ("test", "test"): ("t6/000001", "t5/000009", "t5/000001"),
    }
    for (part, subset), frames in parts.items():
        inliers = [value for value in values if value != 14]
        for frame in frames:
            transparent = np.dstack([picture(frame), np.full((24, 40), 7, np.uint8)])
            save(root / part / "images" / subset / f"{frame}.png", transparent)
            present = values if part == "test" else inliers
            save(root / part / "annotations" / subset / f"{frame}.png", codes(frame, present))
    return root


def write_ade20k(root: Path, values: Sequence[int] = range(151)) -> Path:
    for folder, part in (("training", "train"), ("validation", "val")):
        name = f"ADE_{part}_00000001"
        save(root / "images" / folder / f"{name}.jpg", picture(name))
        save(root / "annotations" / folder / f"{name}.png", codes(name, values))
    return root


def segment_colours(segment_ids: np.ndarray) -> np.ndarray:
    return np.dstack([segment_ids & 255, segment_ids >> 8 & 255, segment_ids >> 16]).astype("u1")


def write_panoptic(
    json_path: Path, pngs: Path, categories: dict[int, str], frames: dict[str, Sequence[int]]
) -> dict[str, np.ndarray]:
    """``frames`` gives the categories that a frame shows; returns them by pixel, -1 for none."""
    truth, annotations = {}, []
    for frame, shown in frames.items():
        places = codes(frame, range(len(shown) + 1))
        # Ids of all three bytes; id 0 marks pixels without a segment.
        ids = [0, *(1 + 70_001 * (place + 1) for place in range(len(shown)))]
        save(pngs / f"{frame}.png", segment_colours(np.array(ids)[places]))
        truth[frame] = np.array([-1, *shown])[places]
        info = [
            {"id": segment, "category_id": category, "iscrowd": 0}
            for segment, category in zip(ids[1:], shown, strict=True)
        ]
        annotations.append({"image_id": 1, "file_name": f"{frame}.png", "segments_info": info})
    content = {
        "images": [],
        "annotations": annotations,
        "categories": [{"id": key, "name": name} for key, name in categories.items()],
    }
    json_path.parent.mkdir(parents=True, exist_ok=True)
    json_path.write_text(json.dumps(content))
    return truth


def write_wilddash(root: Path, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    names = [name for name, _ in entries(WILDDASH)] if names is None else names
    frames = {"zz0001_100000": range(len(names)), "aa0001_100000": (7, 7, 34)}
    for frame in frames:
        save(root / "images" / f"{frame}.jpg", picture(frame))
    return write_panoptic(root / "panoptic.json", root / "panoptic", dict(enumerate(names)), frames)


def write_bsb(root: Path, frames: dict[str, dict[str, Sequence[int]]]) -> dict[str, np.ndarray]:
    """``frames`` gives the categories that a frame of a split shows; truth is by "split/frame"."""
    truth = {}
    for split, shown in frames.items():
        categories = {category: f"category {category}" for category in range(15)}
        json_path = root / "annotations" / f"panoptic_{split}.json"
        found = write_panoptic(json_path, root / f"panoptic_{split}", categories, shown)
        for frame in shown:
            path = root / f"image_{split}" / f"{frame}.tiff"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), deep_picture(frame)[..., ::-1])
        truth |= {f"{split}/{frame}": values for frame, values in found.items()}
    return truth


def deep_picture(name: str) -> np.ndarray:
    """A picture of 16 bits, with values above 255 and above 300."""
    return picture(name).astype(np.uint16) * 2
