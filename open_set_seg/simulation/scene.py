"""The scene graph: what stands where, as plain data, before anything is drawn.

World frame: x right, y down (0 on the road surface, so heights are negative), z along the road,
metres. A road position is (lateral, distance): metres right of the centre line, and along z.
Colours are RGB in [0, 1].
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from typing import Any

from open_set_seg.simulation.config import SceneConfig

Colour = tuple[float, float, float]
Vector = tuple[float, float, float]

NO_TAPER: Vector = (1.0, 1.0, 0.0)


@dataclass(frozen=True)
class Swing:
    """A limb's swing about the object's x axis: ``amplitude * sin(2 pi frequency t + phase)``.

    Attributes:
        pivot: (y, z) of the joint in the object's frame, metres.
        amplitude: radians; frequency: Hz; phase: radians.
    """

    pivot: tuple[float, float]
    amplitude: float
    frequency: float
    phase: float


@dataclass(frozen=True)
class Primitive:
    """One analytic solid in the frame of its object (origin on the ground below it).

    Attributes:
        shape: ``box``, ``ellipsoid`` or ``cylinder`` (its axis is y).
        centre, half: metres; ``half`` are half sizes along the solid's own axes.
        angles: (yaw, pitch, roll) in radians, applied as Ry(yaw) Rx(pitch) Rz(roll).
        taper: box: scale of x and of z at the top, and shift of the top along z in half sizes;
            cylinder: the first entry is the top radius over the bottom radius (0: a cone).
        label: class id of its pixels.
        material: key in ``materials.MATERIALS``; pattern: its four numbers.
        colour, accent: base colour and second colour.
        offset: texture origin in metres, the object's own.
    """

    shape: str
    centre: Vector
    half: Vector
    label: int
    material: str
    colour: Colour
    angles: Vector = (0.0, 0.0, 0.0)
    taper: Vector = NO_TAPER
    accent: Colour = (0.0, 0.0, 0.0)
    pattern: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    offset: tuple[float, float] = (0.0, 0.0)
    swing: Swing | None = None


@dataclass(frozen=True)
class SceneObject:
    """Something that stands on, beside or above the road.

    Attributes:
        key: name of its random stream, unique in the scene.
        kind: what it is (``building``, ``sedan``, ``crate``, ...); for unknown objects the family.
        lateral, distance: road position at time 0; lift: height of its ground, metres.
        turn: yaw against the direction of the road, radians.
        velocity: (lateral, along the road) in m/s.
        patrol: if not 0, it walks to and fro between -patrol and patrol metres across the road.
        size: (width, height, length) in metres.
        unknown_id: 1, 2, ... for unknown objects, 0 for everything else.
        camouflaged: an unknown object in colours of the known world.
    """

    key: str
    kind: str
    lateral: float
    distance: float
    parts: tuple[Primitive, ...]
    size: Vector
    lift: float = 0.0
    turn: float = 0.0
    velocity: tuple[float, float] = (0.0, 0.0)
    patrol: float = 0.0
    unknown_id: int = 0
    camouflaged: bool = False


@dataclass(frozen=True)
class Decal:
    """Something flat on the ground: a hard inlier, or a marking where ``label`` is not None.

    Attributes:
        kind: key in ``decals.DECALS``.
        lateral, distance: centre; half: half sizes across and along the road; turn: radians.
        colour, strength: paint and its opacity in [0, 1].
        label: class id that it gives to road pixels, or None where the class stays.
        offset: texture origin in metres.
    """

    key: str
    kind: str
    lateral: float
    distance: float
    half: tuple[float, float]
    turn: float
    colour: Colour
    strength: float
    label: int | None
    offset: tuple[float, float]


@dataclass(frozen=True)
class Road:
    """The ground: lanes, markings, kerb, sidewalks, and what lies beyond them.

    The centre line is ``x(z) = bend_amplitude * sin(2 pi z / bend_length + bend_phase)``.
    """

    lanes: int
    lane_width: float
    shoulder: float
    sidewalks: tuple[float, float]
    kerb_height: float
    bend_amplitude: float
    bend_length: float
    bend_phase: float
    centre_line: str
    line_colour: Colour
    dash: tuple[float, float]
    edge_lines: bool
    wear: float
    asphalt: Colour
    roughness: float
    paving: Colour
    tile: float
    verge: Colour
    verge_width: tuple[float, float]
    beyond_is_paved: tuple[bool, bool]
    offset: tuple[float, float]

    @property
    def half_width(self) -> float:
        """Half the width between the kerbs, metres."""
        return 0.5 * self.lanes * self.lane_width + self.shoulder

    def centre(self, distance: float) -> float:
        """World x of the centre line at ``distance`` metres along the road."""
        turns = 2.0 * math.pi * distance / self.bend_length + self.bend_phase
        return self.bend_amplitude * math.sin(turns)

    def heading(self, distance: float) -> float:
        """Slope dx/dz of the centre line."""
        rate = 2.0 * math.pi / self.bend_length
        return self.bend_amplitude * rate * math.cos(rate * distance + self.bend_phase)

    def lane_centre(self, lane: int) -> float:
        """Lateral position of lane ``lane``, counted from the left kerb, 0 first."""
        return (lane + 0.5 - 0.5 * self.lanes) * self.lane_width


@dataclass(frozen=True)
class Light:
    """One sun, ambient light, haze and sky.

    Attributes:
        sun: unit vector towards the sun (y negative: it is above).
        sun_colour, ambient, ground_bounce: RGB strengths.
        haze: 1/m; haze_colour, zenith, horizon: RGB; clouds: cover in [0, 1].
    """

    sun: Vector
    sun_colour: Colour
    ambient: Colour
    haze: float
    haze_colour: Colour
    zenith: Colour
    horizon: Colour
    clouds: float
    offset: tuple[float, float]


@dataclass(frozen=True)
class Optics:
    """The camera's own traces: white balance, gamma, vignette, blur, noise.

    Attributes:
        blur: standard deviation as a share of the image width.
        read_noise, shot_noise: standard deviations at black and of the square root of the
            signal, in units of full scale.
    """

    exposure: float
    white_balance: Colour
    gamma: float
    vignette: float
    blur: float
    read_noise: float
    shot_noise: float


@dataclass(frozen=True)
class Mount:
    """How the stereo camera sits on the car and where the car drives.

    Attributes:
        height: of the camera above the road, metres.
        horizon: row of the horizon as a share of the image height (the pitch).
        focal: focal length as a multiple of the image width; baseline: metres.
        lateral: road position of the left camera, metres; yaw: slope dx/dz against the road.
    """

    height: float
    horizon: float
    focal: float
    baseline: float
    lateral: float
    yaw: float


@dataclass(frozen=True)
class SceneGraph:
    """A whole scene; everything that is drawn follows from it, the time and the camera."""

    seed: int
    config: SceneConfig
    road: Road
    light: Light
    optics: Optics
    mount: Mount
    decals: tuple[Decal, ...]
    objects: tuple[SceneObject, ...]

    def digest(self) -> str:
        """SHA-256 of the canonical content; numbers count to six decimals."""
        content = json.dumps(_canonical(asdict(self)), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()


def _canonical(value: Any) -> Any:
    if isinstance(value, bool) or value is None or isinstance(value, (int, str)):
        return value
    if isinstance(value, float):
        return f"{value + 0.0:.6f}"
    if isinstance(value, dict):
        return {str(key): _canonical(entry) for key, entry in value.items()}
    return [_canonical(entry) for entry in value]
