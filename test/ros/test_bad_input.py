"""Bad input over DDS: the node says what is wrong, counts it, and goes on with the next frame."""

from __future__ import annotations

import array

import numpy as np
import pytest
from node_harness import make_camera_info, make_disparity, make_image, wait_until
from sensor_msgs.msg import CompressedImage

SECOND = 10**9
PERIOD = SECOND // 20


def recovers(running, stamp_ns: int) -> None:
    """The next good frame is processed, with calibration and range."""
    # By its stamp, not by a count: an earlier frame may still be at work.
    running.send(stamp_ns)
    frames = running.fake.frames
    wait_until(lambda: frames and frames[-1].stamp_ns == stamp_ns, "the good frame")
    frame = frames[-1]
    assert frame.camera is not None
    assert frame.range_input is not None


def change(message, **changes):
    for name, value in changes.items():
        setattr(message, name, value)
    return message


BAD_IMAGES = {
    "wrong step": ({"step": 5}, "image.step"),
    "step beyond the data": ({"step": 1000}, "image.truncated"),
    "truncated": ({"data": array.array("B", bytes(100))}, "image.truncated"),
    "no data": ({"data": array.array("B")}, "image.truncated"),
    "unknown encoding": ({"encoding": "rgb1000"}, "image.encoding"),
    "zero size": ({"height": 0, "width": 0, "step": 0, "data": array.array("B")}, "image.empty"),
}


@pytest.mark.parametrize(("changes", "code"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_an_image_that_cannot_be_used_is_named_once_counted_and_survived(
    run_node, capfd, changes, code
):
    running = run_node()
    running.connect()
    recovers(running, SECOND)
    for n in range(3):
        stamp = (2 + n) * SECOND
        running.camera.disparity.publish(make_disparity(stamp))
        running.camera.image.publish(change(make_image(stamp), **changes))
        wait_until(lambda n=n: running.count("undecodable") == n + 1, "a counted image")
    assert running.detector.problems.snapshot() == {code: 3}
    assert running.detector._inputs.image.errors == {code: 3}
    recovers(running, 9 * SECOND)
    assert capfd.readouterr().err.count(code) == 1, "one log line"


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"", "image.empty"), (b"rubbish", "image.compressed"), (b"\xff\xd8\xff", "image.truncated")],
)
def test_a_compressed_image_that_cannot_be_used_is_survived(run_node, data, code):
    running = run_node({"image_transport": "compressed", "range_source": "none"})
    publisher = running.camera.node.create_publisher(CompressedImage, "image/compressed", 5)
    running.connect(publisher)
    publisher.publish(CompressedImage(format="jpeg", data=array.array("B", data)))
    running.problem(code)
    assert running.count("undecodable") == 1


def test_images_may_change_their_size_in_mid_stream(run_node):
    running = run_node()
    running.connect()
    recovers(running, SECOND)
    for n, (width, height) in enumerate([(64, 48), (16, 16), (33, 17)], start=2):
        running.camera.send(n * SECOND, width=width, height=height)
        running.processed(n)
        assert running.fake.frames[-1].image.shape == (height, width, 3)
    recovers(running, 9 * SECOND)


def test_a_camera_info_of_another_shape_costs_the_metres_but_not_the_frame(run_node):
    running = run_node()
    running.connect()
    running.camera.info.publish(make_camera_info(width=100, height=16))
    info = running.detector._inputs.camera_info
    wait_until(lambda: info.arrivals.count == 1, "camera_info")
    running.camera.image.publish(make_image(SECOND))
    running.problem("camera_info.size")
    assert running.fake.frames[-1].camera is None
    recovers(running, 2 * SECOND)


def test_no_camera_info_at_all_costs_the_metres_but_not_the_frame(run_node):
    running = run_node({"input_timeout_s": 0.2})
    running.connect()
    running.camera.disparity.publish(make_disparity(SECOND))
    running.camera.image.publish(make_image(SECOND))
    running.processed(1)
    assert running.fake.frames[0].camera is None
    running.problem("camera_info.silent")
    recovers(running, 2 * SECOND)


def test_a_camera_info_of_zeros_is_called_uncalibrated(run_node):
    running = run_node()
    running.connect()
    running.camera.info.publish(change(make_camera_info(), k=np.zeros(9), p=np.zeros(12)))
    info = running.detector._inputs.camera_info
    wait_until(lambda: info.arrivals.count == 1, "camera_info")
    running.camera.disparity.publish(make_disparity(SECOND))
    running.camera.image.publish(make_image(SECOND))
    running.problem("camera_info.uncalibrated")
    running.processed(1)
    recovers(running, 2 * SECOND)


BAD_DISPARITIES = {
    "wrong step": ({"step": 4}, "disparity.step"),
    "truncated": ({"data": array.array("B", bytes(7))}, "disparity.truncated"),
    "not 32FC1": ({"encoding": "16SC1"}, "disparity.encoding"),
    "zero size": ({"height": 0}, "disparity.empty"),
}


@pytest.mark.parametrize(("changes", "code"), BAD_DISPARITIES.values(), ids=BAD_DISPARITIES)
def test_a_disparity_that_cannot_be_used_costs_the_range_but_not_the_frame(run_node, changes, code):
    running = run_node()
    running.connect()
    broken = make_disparity(SECOND)
    change(broken.image, **changes)
    running.camera.disparity.publish(broken)
    running.camera.image.publish(make_image(SECOND))
    running.problem(code)
    running.processed(1)
    assert running.fake.frames[0].range_input is None
    assert running.detector._inputs.range.errors == {code: 1}
    recovers(running, 2 * SECOND)


@pytest.mark.parametrize(
    "content", [np.nan, np.inf, -1.0, 0.0], ids=["NaN", "infinite", "negative", "zero"]
)
def test_disparities_of_strange_values_reach_the_detector_as_they_are(run_node, content):
    """What they mean is judged in ``stereo``, for bags as for live cameras."""
    running = run_node()
    running.connect()
    running.camera.disparity.publish(make_disparity(SECOND, value=content))
    running.camera.image.publish(make_image(SECOND))
    running.processed(1)
    np.testing.assert_array_equal(
        running.fake.frames[0].range_input.values, np.full((16, 32), content, np.float32)
    )
    recovers(running, 2 * SECOND)


def test_a_disparity_of_another_size_reaches_the_detector_as_it_is(run_node):
    running = run_node()
    running.connect()
    # The plain detector of these tests needs equal sizes; the real one refuses by itself.
    running.fake.failure = RuntimeError("sizes")
    running.camera.disparity.publish(make_disparity(SECOND, 20, 10))
    running.camera.image.publish(make_image(SECOND))
    wait_until(lambda: running.count("failed") == 1, "the frame")
    assert running.fake.frames[0].range_input.values.shape == (10, 20)
    running.fake.failure = None
    recovers(running, 2 * SECOND)


def test_a_lost_image_and_a_burst_leave_the_pairs_right(run_node):
    running = run_node({"disparity_wait_s": 2.0})
    running.connect()
    numbers = {SECOND + n * PERIOD: n for n in range(12)}
    running.fake.gate.clear()  # the detector is busy while the burst arrives
    for stamp, n in numbers.items():
        if n == 8:
            running.fake.gate.set()
        running.camera.disparity.publish(make_disparity(stamp, value=float(n + 1)))
        if n != 3:
            running.camera.image.publish(make_image(stamp))
        if n >= 8:
            wait_until(lambda s=stamp: s in {f.stamp_ns for f in running.fake.frames}, "the frame")
    for frame in running.fake.frames:
        assert frame.range_input.values[0, 0] == numbers[frame.stamp_ns] + 1
