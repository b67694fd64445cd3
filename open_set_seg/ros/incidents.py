"""The recorder of incidents in the node: messages of a frame go in, a service asks for more.

The messages that arrived are kept as they are, and serialised only if they are written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from rclpy.node import Node
from rclpy.serialization import serialize_message

from open_set_seg.frame import FrameResult
from open_set_seg.ros.diagnostics import OK, WARN, build_status
from open_set_seg.ros.messages import build_image, build_obstacle_list
from open_set_seg.ros.outputs import Publication
from open_set_seg.ros.watching import build_visibility

if TYPE_CHECKING:
    from open_set_seg.bags.incidents import IncidentRecorder, Part, RecorderConfig, Sighting

SERVICE = "~/record_incident"
# Inputs that are not called as they are in a recording.
_TOPICS = {("image", "CompressedImage"): "/image/compressed"}
_SMALL = 1000  # bytes that a message without an array takes, about


@dataclass(frozen=True, eq=False)
class FrameMessages:
    """What is recorded of a frame.

    Attributes:
        publication: what the detector made of it.
        inputs: messages by input; None for what was not there.
    """

    publication: Publication
    inputs: Mapping[str, Any]


class Incidents:
    """Owns the recorder while the node is configured, and the service.

    Args:
        node: gets the service, where std_srvs is installed.
        report: takes severity (``error`` or ``info``), code and text, in any thread.
    """

    def __init__(self, node: Node, report: Callable[[str, str, str], None]) -> None:
        self._name = node.get_fully_qualified_name()
        self._report = report
        self._recorder: IncidentRecorder | None = None
        self._failed = 0
        try:
            from std_srvs.srv import Trigger
        except ModuleNotFoundError:
            return
        node.create_service(Trigger, SERVICE, self._on_request)

    def open(
        self, config: RecorderConfig | None, describe: Callable[[], Mapping[str, Any]]
    ) -> None:
        """Begin to remember frames, if there is a folder to record into.

        Args:
            describe: what a recording says of the detector that made it.
        """
        if config is None:
            return
        from open_set_seg.bags.incidents import IncidentRecorder

        self._recorder = IncidentRecorder(config, describe, self._report)

    def reconfigure(self, config: RecorderConfig | None) -> None:
        """Use other bounds from now on; the folder is that of the last ``open``."""
        if self._recorder is not None and config is not None:
            self._recorder.reconfigure(config)

    def add(self, messages: FrameMessages) -> None:
        """Take a frame that was processed; returns within a millisecond or two."""
        recorder = self._recorder
        if recorder is None:
            return
        from open_set_seg.bags.incidents import RecordedFrame, Viewer

        frame, result = messages.publication.frame, messages.publication.observation.result
        record = RecordedFrame(frame.stamp_ns, self._build_parts(messages))
        viewer = Viewer(frame.image)
        recorder.add(record, _confirmed(result), lambda one: viewer.look_at(one.box))

    def interrupt(self) -> None:
        """No frames come for a while: what lasts ends here, what is in memory is let go."""
        if self._recorder is not None:
            self._recorder.interrupt()

    def close(self) -> None:
        """Finish the recording in progress, for at most some seconds."""
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.close()

    def build_status(self) -> Any:
        """DiagnosticStatus of the recorder; call it about once a second."""
        recorder = self._recorder
        if recorder is None:
            return build_status(f"{self._name}: recorder", OK, "off", {})
        recorder.tick()
        status = recorder.status()
        resting, text = status.state == "resting", f"{status.state}; {status.written} recorded"
        if resting:
            text = f"incidents are not recorded: {status.last_error}"
        values = {
            "state": status.state,
            "written": status.written,
            "failed": status.failed,
            "dropped_frames": status.dropped_frames,
            "repeats": status.repeats,
            "deferred": status.deferred,
            "bags": status.bags,
            "megabytes": f"{status.bytes / 1e6:.1f}",
            "buffered_s": f"{status.buffered_s:.1f}",
            "buffered_mb": f"{status.buffered_bytes / 1e6:.1f}",
            "waiting_mb": f"{status.waiting_bytes / 1e6:.1f}",
            "newest": status.newest,
            "last_error": status.last_error,
        }
        return build_status(f"{self._name}: recorder", WARN if resting else OK, text, values)

    def _build_parts(self, messages: FrameMessages) -> tuple[Part, ...]:
        from open_set_seg.bags import topics

        item, header = messages.publication, messages.publication.header
        result = item.observation.result
        found = {
            _TOPICS.get((name, type(message).__name__), f"/{name}"): message
            for name, message in messages.inputs.items()
        }
        # Made at once: the arrays belong to the detector.
        found[topics.SEGMENTATION] = build_image(header, result.prediction.labels, "mono8")
        found[topics.VISIBILITY] = build_visibility(header, self._name, item.observation)
        if result.examined:  # an empty list would say that the way is clear
            unknown = item.label_space.unknown_id
            found[topics.OBSTACLE_LIST] = build_obstacle_list(header, result.obstacles, unknown)
        return tuple(_build_part(topic, one) for topic, one in found.items() if one is not None)

    def _on_request(self, _: Any, response: Any) -> Any:
        recorder = self._recorder
        if recorder is None:
            response.success = False
            response.message = "nothing can be recorded: recorder.folder is empty, or the node is "
            response.message += "not configured"
        else:
            response.success, response.message = recorder.request()
        return response


def _confirmed(result: FrameResult) -> list[Sighting]:
    from open_set_seg.bags.incidents import Sighting

    return [
        Sighting(one.id, one.distance, one.mean_score, one.box)
        for one in result.obstacles
        if getattr(one, "state", None) == "confirmed"
    ]


def _build_part(topic: str, message: Any) -> Part:
    from open_set_seg.bags.incidents import Part

    kind = type(message)
    package = kind.__module__.partition(".")[0]
    holder = getattr(message, "image", message)  # a disparity holds an image
    size = len(getattr(holder, "data", ())) + _SMALL
    type_name = f"{package}/msg/{kind.__name__}"
    return Part(topic, type_name, size, partial(serialize_message, message))
