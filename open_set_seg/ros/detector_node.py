"""DetectorNode: the wiring between subscriptions, detector and publishers.

``configure``, ``activate``, ``deactivate`` and ``cleanup`` are the steps of a managed node, which
``lifecycle`` drives. They may run in another thread than the executor's.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType, JumpThreshold
from rclpy.duration import Duration
from rclpy.node import Node

from open_set_seg.frame import Problem
from open_set_seg.messages import decode_stamp
from open_set_seg.ros.diagnostics import build_frame_status
from open_set_seg.ros.incidents import FrameMessages, Incidents
from open_set_seg.ros.inputs import Inputs
from open_set_seg.ros.loading import (
    DetectorFactory,
    LoadedDetector,
    build_observer,
    build_observer_config,
    load_detector,
)
from open_set_seg.ros.messages import MessageError, VisionMessages, import_vision_messages
from open_set_seg.ros.outputs import Outputs, Publication
from open_set_seg.ros.pairing import Pair
from open_set_seg.ros.parameters import ParameterError, convert_values, declare_parameters
from open_set_seg.ros.reporting import Reporter
from open_set_seg.ros.settings import PARAMETERS, Settings, build_settings
from open_set_seg.ros.statistics import FrameStatistics, ProblemLog
from open_set_seg.ros.transforms import OutputFrame, open_output_frame
from open_set_seg.ros.watching import describe_watching
from open_set_seg.ros.worker import FrameSlot, InferenceThread

if TYPE_CHECKING:
    from open_set_seg.observer import Observation, Observer

_REPORT_PERIOD_S = 1.0
# Missing inputs have words of their own: topic, publishers, stamps. The detector knows none of it.
_REPORTED_AS_SILENCE = frozenset({"camera.missing", "range.missing"})
_NAMES = frozenset(parameter.name for parameter in PARAMETERS)
_AT_CONFIGURE = frozenset(parameter.name for parameter in PARAMETERS if not parameter.live)


class Interrupted(Exception):
    """The context was shut down while the detector was being loaded."""


class DetectorNode:
    """Subscribes, detects in one thread, publishes.

    Args:
        node: made with ``automatically_declare_parameters_from_overrides=True``.
        build_detector: makes the detector, in the inference thread.
        vision: vision_msgs classes, or None: without those topics.

    Raises:
        ParameterError: a given parameter of a wrong type or out of range.
    """

    def __init__(
        self,
        node: Node,
        build_detector: DetectorFactory = load_detector,
        vision: VisionMessages | None = None,
    ) -> None:
        self._node, self._build_detector = node, build_detector
        self._values, unknown = declare_parameters(node, PARAMETERS)
        self._settings = build_settings(self._values)
        self._applied = self._settings
        for sentence in unknown:
            node.get_logger().warning(sentence)
        self.statistics = FrameStatistics()
        self.problems = ProblemLog(self._write_log)
        self._slot: FrameSlot[Any, Any] = FrameSlot(self._settings.pairing)
        self._create_inputs()
        self._incidents = Incidents(node, self._report_recorder)
        self._frame = OutputFrame()
        self._outputs = Outputs(node, vision or import_vision_messages())
        self._thread: InferenceThread[Any, Any] | None = None
        self._loaded: LoadedDetector | None = None
        self._observer: Observer | None = None
        self._active = False
        # Steady time: with use_sim_time, ROS timers stand still as long as no clock is published,
        # which is when reports are needed most. Never destroyed while the node lives: the executor
        # may be looking at it.
        self._timer = node.create_timer(
            _REPORT_PERIOD_S, self._report, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self._timer.cancel()
        # Held while a frame or a report goes out, so that nothing does after ``deactivate``.
        self._publishing, self._reporting = threading.Lock(), threading.Lock()
        self._settling = threading.Lock()  # held while settings change
        node.add_on_set_parameters_callback(self._on_set_parameters)
        self._jumps = node.get_clock().create_jump_callback(
            JumpThreshold(
                min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True
            ),
            post_callback=lambda _: self._forget(),
        )

    @property
    def settings(self) -> Settings:
        """The parameters as they stand."""
        return self._settings

    def configure(self) -> None:
        """Load the detector in its thread, wait for it, and create the publishers.

        Raises:
            Interrupted: the context was shut down meanwhile.
            Exception: whatever the loading raised.
        """
        with self._settling:
            self._create_inputs()
            self._slot.open()
            self._thread = InferenceThread(self._slot, self._load, self._process)
        self._thread.start()
        while not self._thread.loaded.wait(0.05):
            if not self._node.context.ok():
                raise Interrupted
        if self._thread.failure is not None:
            raise self._thread.failure
        self._frame, problem = open_output_frame(self._node, self._settings.target_frame)
        if problem is not None:
            self._note(problem)
        self._outputs.open(self._frame)
        self._incidents.open(self._settings.recorder, self._describe_detector)

    def activate(self) -> None:
        """Begin to listen and to report."""
        self._forget()
        self._inputs.subscribe()
        topics = ", ".join(entry.topic for entry in self._inputs.all)
        self._node.get_logger().info(f"listening to {topics}")
        self._reporter.begin()
        self._active = True
        self._timer.reset()

    def deactivate(self) -> None:
        """Stop listening; the frame in progress is not published."""
        with self._publishing, self._reporting:
            self._active = False
        self._incidents.interrupt()
        self._timer.cancel()
        self._inputs.unsubscribe()
        self._slot.reset()

    def cleanup(self) -> None:
        """Stop the inference thread and let the detector and the publishers go."""
        if self._thread is not None:
            self._thread.stop()
            self._thread = None
        self._incidents.close()
        self._loaded = self._observer = None
        self._outputs.close()
        self._frame.close()

    def _create_inputs(self) -> None:
        self._inputs = Inputs(self._node, self._slot, self._settings)
        self._reporter = Reporter(
            self._node, self._inputs, self._slot, self.statistics, self.problems
        )

    def _load(self) -> None:
        settings = self._settings
        loaded = self._build_detector(settings)
        observer = build_observer(loaded, settings)
        with self._settling:  # parameters may have changed meanwhile
            self._settings.obstacles.check_classes(loaded.label_space)
            observer.check(build_observer_config(self._settings))
            self._applied, self._loaded, self._observer = settings, loaded, observer
        self._reporter.describe_detector(loaded, observer)
        if not self._node.context.ok():
            return  # shut down meanwhile: nobody can be told
        self._node.get_logger().info(
            f"{loaded.model} ({loaded.model_hash}), score {loaded.score}: "
            f"{loaded.describe_device()}"
        )

    def _process(self, pair: Pair[Any, Any]) -> None:
        """One frame, in the inference thread: whatever happens, the next one gets its turn."""
        try:
            self._process_frame(pair)
        except MessageError as error:
            self.statistics.count("undecodable")
            self._note(Problem(error.code, str(error), "error"))
        except Exception as error:
            if self._node.context.ok():  # else publishers are gone, and nobody needs to know
                self.statistics.count("failed")
                place = traceback.extract_tb(error.__traceback__)[-1]
                text = f"{error} ({place.filename}:{place.lineno}); the frame is lost"
                self._note(Problem(f"internal.{type(error).__name__}", text, "error"))
                self._node.get_logger().debug(traceback.format_exc())

    def _process_frame(self, pair: Pair[Any, Any]) -> None:
        settings, loaded, observer = self._settings, self._loaded, self._observer
        assert loaded is not None
        assert observer is not None
        if self._too_old(pair, settings):
            return
        if settings is not self._applied:
            observer.reconfigure(build_observer_config(settings))
            self._applied = settings
        begin = time.perf_counter()
        frame, problems = self._inputs.decode(pair)
        decoded = time.perf_counter()
        observation = observer.observe(frame)
        detected = time.perf_counter()
        publication = Publication(
            header=pair.image.header,
            frame=frame,
            observation=observation,
            camera_message=self._inputs.camera_message,
            label_space=loaded.label_space,
            settings=settings,
        )
        with self._publishing:
            if not self._active:
                return
            misplaced = self._outputs.publish(publication)
            published = time.perf_counter()
            self._incidents.add(FrameMessages(publication, self._inputs.collect(pair)))
        remembered = time.perf_counter()
        if misplaced is not None:
            problems = (*problems, misplaced)
        self._note_problems(observation, problems)
        self.statistics.finish_frame(
            observation.result.examined,
            {
                **observation.result.timings,
                "wait": pair.waited_s,
                "decode": decoded - begin,
                "detector": detected - decoded,
                "publish": published - detected,
                "remember": remembered - published,
                "latency": self._age(frame.stamp_ns),
            },
            time.monotonic(),
        )

    def _note_problems(self, observation: Observation, decoding: Sequence[Problem]) -> None:
        """Log and count what was wrong with a frame; the reporter shows the newest frame's."""
        for problem in (*decoding, *observation.result.problems):
            if problem.code not in _REPORTED_AS_SILENCE:
                self._note(problem)
        for problem in describe_watching(observation):
            self._note(problem)
        self._reporter.see(observation, time.monotonic())

    def _forget(self) -> None:
        """Time jumped, or nothing was heard for a while: nothing seen before helps."""
        self._slot.reset()
        observer = self._observer
        if observer is not None:
            observer.reset()

    def _too_old(self, pair: Pair[Any, Any], settings: Settings) -> bool:
        limit = settings.max_input_age_s
        if not limit or self._age(decode_stamp(pair.image)) <= limit:
            return False
        self.statistics.count("stale")
        return True

    def _age(self, stamp_ns: int) -> float:
        return float(self._node.get_clock().now().nanoseconds - stamp_ns) * 1e-9

    def _note(self, problem: Problem) -> None:
        self.problems.report(problem.code, problem.message, problem.severity, time.monotonic())

    def _write_log(self, severity: str, text: str) -> None:
        logger = self._node.get_logger()
        if severity == "error":
            logger.error(text)
        else:
            logger.warning(text)

    def _report(self) -> None:
        with self._reporting:
            if self._active:
                self._publish_report()

    def _report_recorder(self, severity: str, code: str, text: str) -> None:
        if severity == "info":
            self._node.get_logger().info(text)
        else:
            self.problems.report(code, text, severity, time.monotonic())

    def _describe_detector(self) -> dict[str, Any]:
        """What a recording says of the detector that made it."""
        loaded = self._loaded
        assert loaded is not None
        return {
            "model": loaded.model,
            "model_hash": loaded.model_hash,
            "score": loaded.score,
            "threshold": self._reporter.threshold,
            "topics": {entry.name: entry.topic for entry in self._inputs.all},
        }

    def _publish_report(self) -> None:
        report = self._reporter.build(self._settings)
        report.status = [*report.status, self._incidents.build_status()]
        if self._frame.target:
            name = self._node.get_fully_qualified_name()
            status = build_frame_status(name, self._frame.target, self._frame.reason)
            report.status = [*report.status, status]
        self._outputs.publish_diagnostics(report)
        loaded = self._loaded
        if loaded is not None and self._reporter.ticks % 5 == 1:
            self._outputs.publish_label_info(
                self._node.get_clock().now().to_msg(),
                loaded.label_space,
                self._reporter.threshold,
            )

    def _on_set_parameters(self, parameters: list[Any]) -> Any:
        """Check a change and take it over; it takes effect between two frames."""
        named = {entry.name: entry.value for entry in parameters if entry.name in _NAMES}
        with self._settling:
            try:
                values = self._values | convert_values(PARAMETERS, named)
                settings = build_settings(values)
                self._check_change(settings, named)
            except ValueError as error:
                return SetParametersResult(successful=False, reason=str(error))
            self._values, self._settings = values, settings
        self._slot.reconfigure(settings.pairing)
        self._incidents.reconfigure(settings.recorder)
        return SetParametersResult(successful=True)

    def _check_change(self, settings: Settings, named: Mapping[str, Any]) -> None:
        late = sorted(_AT_CONFIGURE & named.keys())
        if late and self._thread is not None:
            raise ParameterError(
                f"{', '.join(late)} can only be changed while the node is unconfigured: "
                "deactivate and clean it up first"
            )
        if self._loaded is not None and self._observer is not None:
            settings.obstacles.check_classes(self._loaded.label_space)
            self._observer.check(build_observer_config(settings))
