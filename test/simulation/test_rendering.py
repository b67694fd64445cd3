"""Pictures and their truth: geometry in closed form, agreement of views, sizes and moments."""

import dataclasses

import numpy as np
import pytest

from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.simulation import (
    DEVELOPMENT_FAMILIES,
    SceneConfig,
    build_scene,
    compile_scene,
    render_stereo,
    render_still,
    render_view,
)
from open_set_seg.simulation.objects.unknown_objects import build_unknown
from open_set_seg.simulation.rendering.compiled import object_positions
from open_set_seg.simulation.rendering.render import camera_of, eye_of
from open_set_seg.simulation.scene import Primitive, SceneObject

ROAD, LINE, SKY = (STREETHAZARDS.id_of(name) for name in ("road", "road line", "sky"))
UNKNOWN = STREETHAZARDS.unknown_id


@pytest.fixture(scope="module")
def compiled():
    return compile_scene(build_scene(3))


def bare_scene(*objects):
    """A straight, empty road with the given objects, seen by a camera that looks along it."""
    graph = build_scene(1, SceneConfig(unknown_objects=False))
    road = dataclasses.replace(graph.road, bend_amplitude=0.0)
    mount = dataclasses.replace(graph.mount, lateral=0.0, yaw=0.0, height=1.4, horizon=0.45)
    return dataclasses.replace(graph, road=road, mount=mount, objects=objects, decals=())


def solid(shape, half, height, distance, **settings):
    part = Primitive(
        shape, (0.0, -height, 0.0), half, UNKNOWN, "plain", (0.5, 0.4, 0.3), **settings
    )
    return SceneObject(
        "thing", "thing", 0.0, distance, (part,), (2 * half[0], 2 * half[1], 2 * half[2]), 0.0,
        unknown_id=1,
    )  # fmt: skip


def test_frames_have_the_promised_types_and_truth():
    frame = render_still(3, 128, 64, right=True)
    assert frame.left.shape == frame.right.shape == (64, 128, 3)
    assert frame.left.dtype == frame.right.dtype == np.uint8
    assert frame.labels.dtype == np.uint8
    assert frame.labels.max() <= UNKNOWN
    assert frame.disparity.dtype == np.float32
    assert ((frame.disparity == 0.0) == (frame.labels == SKY)).all()
    assert (np.isnan(frame.depth) == (frame.labels == SKY)).all()
    assert ((frame.outlier_mask == 1) == (frame.labels == UNKNOWN)).all()
    plain = frame.frame()
    assert plain.range_input is frame.sensor_disparity
    assert plain.right_baseline == frame.rig.baseline
    np.testing.assert_array_equal(frame.frame(exact=True).range_input.values, frame.depth)


def test_same_seed_same_pixels():
    first, second = render_still(6, 96, 48), render_still(6, 96, 48)
    np.testing.assert_array_equal(first.left, second.left)
    np.testing.assert_array_equal(first.sensor_disparity.values, second.sensor_disparity.values)


def test_road_disparity_is_the_closed_form_of_the_ground_plane(compiled):
    graph = compiled.graph
    view = render_view(compiled, 192, 96, supersampling=1)
    camera = camera_of(graph, 192, 96)
    rows, columns = np.nonzero((view.labels == ROAD) | (view.labels == LINE))
    expected = camera.fy * graph.mount.height / (rows - camera.cy)
    np.testing.assert_allclose(1.0 / view.inverse_depth[rows, columns], expected, rtol=1e-4)


def test_ball_is_seen_where_the_pinhole_camera_says():
    radius, distance = 0.5, 12.0
    graph = bare_scene(solid("ellipsoid", (radius,) * 3, radius, distance))
    view = render_view(compile_scene(graph), 512, 256, supersampling=1)
    camera = camera_of(graph, 512, 256)
    mask = view.unknown_ids == 1
    # The outline of a ball is where the ray's distance from its centre equals the radius.
    rows, columns = np.mgrid[:256, :512]
    ray = np.stack(
        [(columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy, np.ones((256, 512))], -1
    )
    centre = np.array([0.0, graph.mount.height - radius, distance])
    gap = np.linalg.norm(np.cross(ray, centre), axis=-1) / np.linalg.norm(ray, axis=-1)
    assert (mask == (gap <= radius)).mean() > 0.9999
    nearest = np.linalg.norm(centre) - radius
    along = np.linalg.norm(ray, axis=-1)[mask] / view.inverse_depth[mask]
    assert along.min() == pytest.approx(nearest, abs=2e-3)


def test_box_shows_its_front_face_at_its_distance():
    graph = bare_scene(solid("box", (0.6, 0.4, 0.5), 0.4, 10.0))
    view = render_view(compile_scene(graph), 512, 256, supersampling=1)
    camera = camera_of(graph, 512, 256)
    mask = view.unknown_ids == 1
    front = mask & (np.abs(1.0 / np.maximum(view.inverse_depth, 1e-9) - 9.5) < 1e-3)
    rows, columns = np.nonzero(front)
    x = (columns - camera.cx) / camera.fx * 9.5
    y = (rows - camera.cy) / camera.fy * 9.5 - graph.mount.height
    pixel = 9.5 / camera.fx
    assert x.min() == pytest.approx(-0.6, abs=pixel)
    assert x.max() == pytest.approx(0.6, abs=pixel)
    assert y.min() == pytest.approx(-0.8, abs=pixel)
    assert y.max() == pytest.approx(0.0, abs=pixel)


def test_right_view_is_the_left_view_moved_by_the_disparity(compiled):
    left = render_view(compiled, 256, 128)
    right = render_view(compiled, 256, 128, right=True)
    scale = camera_of(compiled.graph, 256, 128).fx * compiled.graph.mount.baseline
    disparity = scale * left.inverse_depth
    rows, columns = np.mgrid[:128, :256]
    target = columns - disparity
    near = np.clip(np.round(target).astype(int), 0, 255)
    there = scale * right.inverse_depth[rows, near]
    seen = (target >= 0) & (np.abs(there - disparity) < 0.25)
    assert seen.mean() > 0.75
    assert (right.labels[rows, near] == left.labels)[seen].mean() > 0.97
    # Colours between two samples of the right view, away from the edges of things.
    flat = seen & ~_near_edges(left.labels) & ~_near_edges(right.labels)[rows, near]
    low = np.clip(np.floor(target).astype(int), 0, 254)
    share = (target - low)[..., None]
    moved = right.radiance[rows, low] * (1 - share) + right.radiance[rows, low + 1] * share
    error = np.abs(moved - left.radiance).max(axis=-1)[flat]
    unmoved = np.abs(right.radiance - left.radiance).max(axis=-1)[flat]
    assert np.median(error) < 0.01
    assert error.mean() < 0.4 * unmoved.mean()


def _near_edges(labels):
    edge = np.zeros(labels.shape, bool)
    edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    edge[1:] |= labels[1:] != labels[:-1]
    wide = edge.copy()
    for shift in (-2, -1, 1, 2):
        wide |= np.roll(edge, shift, axis=0) | np.roll(edge, shift, axis=1)
    return wide


@pytest.mark.parametrize("seed", [0, 4])
def test_labels_agree_between_resolutions(seed):
    scene = compile_scene(build_scene(seed))
    small = render_view(scene, 256, 128, supersampling=1).labels
    large = render_view(scene, 512, 256, supersampling=1).labels
    # A pixel centre of the small image is a corner of four pixels of the large one.
    corners = [large[i::2, j::2] for i in (0, 1) for j in (0, 1)]
    agrees = np.any([small == corner for corner in corners], axis=0)
    assert agrees.mean() > 0.97


def test_static_objects_come_nearer_by_the_way_driven():
    scene = compile_scene(build_scene(8, SceneConfig(spacing=(12.0, 20.0))))
    before = render_stereo(scene, 256, 128, time=0.0, travelled=0.0, supersampling=1)
    after = render_stereo(scene, 256, 128, time=0.5, travelled=4.0, supersampling=1)
    first = {entry.id: entry for entry in before.obstacles if entry.visible_px > 60}
    second = {entry.id: entry for entry in after.obstacles}
    assert first
    assert set(first) <= set(second)
    for number, entry in first.items():
        assert entry.position[2] - second[number].position[2] == pytest.approx(4.0, abs=1e-9)
        assert entry.distance - second[number].distance == pytest.approx(4.0, abs=0.15)


def test_traffic_and_pedestrians_move_as_their_velocity_says():
    scene = compile_scene(build_scene(4))
    start, _ = object_positions(scene, 0.0)
    later, _ = object_positions(scene, 1.5)
    np.testing.assert_allclose(later[:, 2] - start[:, 2], 1.5 * scene.velocity[:, 1], atol=1e-9)
    assert (scene.velocity[:, 1] != 0.0).any()
    reach = scene.patrol > 0.0
    for time in np.linspace(0.0, 60.0, 30):
        x, _ = object_positions(scene, float(time))
        centre = np.array([scene.graph.road.centre(z) for z in x[:, 2]])
        assert (np.abs(x[:, 0] - centre)[reach] <= scene.patrol[reach] + 1e-9).all()


def test_true_obstacles_describe_the_labels():
    frame = next(
        frame
        for frame in (render_still(seed, 192, 96, supersampling=1) for seed in range(20))
        if len(frame.obstacles) >= 2
    )
    together = np.zeros(frame.labels.shape, bool)
    for obstacle in frame.obstacles:
        mask = obstacle.full_mask(192, 96)
        assert obstacle.visible_px == mask.sum() > 0
        depth = frame.depth[mask]
        assert obstacle.distance == pytest.approx(depth.min(), rel=1e-4)
        assert obstacle.visible_distance == pytest.approx(np.percentile(depth, 10), rel=1e-3)
        assert obstacle.family in DEVELOPMENT_FAMILIES
        assert not (together & mask).any()
        together |= mask
    np.testing.assert_array_equal(together, frame.labels == UNKNOWN)
    distances = [obstacle.distance for obstacle in frame.obstacles]
    assert distances == sorted(distances)


@pytest.mark.parametrize("family", DEVELOPMENT_FAMILIES)
def test_every_development_family_is_seen_and_labelled_unknown(family):
    thing = build_unknown(1, "thing", family, "development", False, 0.0, 8.0)
    thing = dataclasses.replace(thing, unknown_id=1)
    graph = bare_scene(thing)
    frame = render_stereo(compile_scene(graph), 192, 96, supersampling=1)
    assert (frame.labels == UNKNOWN).sum() > 25
    (obstacle,) = frame.obstacles
    assert obstacle.family == family
    reach = 0.5 * np.hypot(thing.size[0], thing.size[2]) + 0.5
    assert abs(obstacle.distance - 8.0) < reach
    # It stands on the road: its lowest part is at the ground, and it does not float.
    lowest = frame.rig.camera.cy + frame.rig.camera.fy * graph.mount.height / 8.0
    bottom = obstacle.box[1] + obstacle.box[3]
    assert abs(bottom - lowest) < 0.35 * lowest


def test_everything_casts_a_shadow():
    thing = solid("box", (0.6, 0.4, 0.5), 0.4, 10.0)
    empty, filled = bare_scene(), bare_scene(thing)
    light = dataclasses.replace(empty.light, sun=(0.6, -0.64, -0.48), sun_colour=(0.8, 0.8, 0.8))
    views = [
        render_view(
            compile_scene(dataclasses.replace(graph, light=light)), 256, 128, supersampling=1
        )
        for graph in (empty, filled)
    ]
    ground = (views[1].labels == ROAD) & (views[0].labels == ROAD)
    darker = (views[1].radiance.mean(-1) < 0.8 * views[0].radiance.mean(-1)) & ground
    brighter = (views[1].radiance.mean(-1) > 1.1 * views[0].radiance.mean(-1)) & ground
    assert darker.sum() > 60
    assert brighter.sum() < 5


def test_supersampling_changes_colours_but_not_the_truth(compiled):
    coarse = render_view(compiled, 128, 64, supersampling=1)
    fine = render_view(compiled, 128, 64, supersampling=3)
    np.testing.assert_array_equal(coarse.labels, fine.labels)
    np.testing.assert_array_equal(coarse.inverse_depth, fine.inverse_depth)
    assert (coarse.radiance != fine.radiance).any()
    assert np.isfinite(fine.radiance).all()


def test_no_class_is_too_rare():
    counts = np.zeros(STREETHAZARDS.num_classes + 1)
    for seed in range(100, 130):
        frame = render_still(seed, 96, 48, supersampling=1)
        counts += np.bincount(frame.labels.ravel(), minlength=len(counts))
    shares = dict(zip((*STREETHAZARDS.classes, "unknown"), counts / counts.sum(), strict=True))
    least = {
        "fence": 0.008, "wall": 0.012, "pedestrian": 0.012, "pole": 0.01, "traffic sign": 0.005,
        "road line": 0.01, "car": 0.04, "sidewalk": 0.04, "vegetation": 0.07, "building": 0.10,
        "sky": 0.05, "road": 0.25, "unknown": 0.004,
    }  # fmt: skip
    assert {name for name, share in least.items() if shares[name] < share} == set()


@pytest.mark.parametrize("size", [(8, 64), (64, 10_000)])
def test_impossible_sizes_are_refused(size):
    with pytest.raises(ValueError, match="width and height"):
        render_still(0, *size)


def test_eye_follows_the_road():
    graph = build_scene(2)
    eye, heading = eye_of(graph, 30.0)
    ahead, _ = eye_of(graph, 30.5)
    assert ahead[2] - eye[2] == pytest.approx(0.5)
    slope = (ahead[0] - eye[0]) / 0.5
    assert heading - graph.mount.yaw == pytest.approx(slope, abs=1e-3)
