"""The detector as a managed (lifecycle) node, self-starting or driven from outside.

Transitions run in a thread of their own, one after the other: loading a network takes seconds, in
which the executor goes on answering ``get_state`` and parameter services.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from lifecycle_msgs.srv import ChangeState
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.lifecycle.node import LifecycleNodeMixin
from rclpy.node import Node
from rclpy.task import Future

from open_set_seg.ros.detector_node import DetectorNode, Interrupted
from open_set_seg.ros.loading import DetectorFactory, load_detector
from open_set_seg.ros.messages import VisionMessages

_SUCCESS, _FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class ManagedDetector(LifecycleNodeMixin, Node):  # type: ignore[misc]  # rclpy is untyped
    """A lifecycle node around ``DetectorNode``.

    ============  ==========================================================================
    transition    what happens
    ============  ==========================================================================
    configure     loads the detector, creates publishers; on an error: stays unconfigured
    activate      subscribes, processes, reports
    deactivate    stops listening; nothing is published when it has succeeded
    cleanup       ends the inference thread, lets the detector and the publishers go
    shutdown      the same from every state; the process stays and can be asked for its state
    ============  ==========================================================================

    Args:
        build_detector, vision: as for ``DetectorNode``.
        options: of ``rclpy.node.Node``.

    Attributes:
        failure: why ``autostart`` did not succeed, or None.

    Raises:
        ParameterError: a given parameter of a wrong type or out of range.
    """

    def __init__(
        self,
        build_detector: DetectorFactory = load_detector,
        vision: VisionMessages | None = None,
        **options: Any,
    ) -> None:
        Node.__init__(
            self, "detector", automatically_declare_parameters_from_overrides=True, **options
        )
        # Of their own group, so that they are answered while one of them waits for a transition.
        LifecycleNodeMixin.__init__(self, callback_group=ReentrantCallbackGroup())
        self.failure: Exception | None = None
        self._error: Exception | None = None
        self._transitions = ThreadPoolExecutor(1, "transitions")
        try:
            self.detector = DetectorNode(self, build_detector, vision)
        except Exception:
            self.destroy_node()
            raise
        (change_state,) = (entry for entry in self.services if entry.srv_type is ChangeState)
        self._change_state: Callable[[Any, Any], Any] = change_state.callback
        change_state.callback = self._on_change_state

    def start(self) -> None:
        """Begin to configure and activate where ``autostart`` says so; does not wait.

        A failure is kept in ``failure``, and ends the context and with it the process's spinning.
        """
        if self.detector.settings.autostart:
            self._transitions.submit(self._autostart)

    def close(self) -> None:
        """End the transition in progress, the inference thread and all publishers."""
        self._transitions.shutdown(wait=True, cancel_futures=True)
        self.detector.deactivate()
        self.detector.cleanup()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load; what goes wrong can be put right by parameters and tried again."""
        return self._attempt([self.detector.configure], undo=[self.detector.cleanup])

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to listen."""
        return self._attempt([self.detector.activate], undo=[self.detector.deactivate])

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening."""
        return self._attempt([self.detector.deactivate])

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let everything go."""
        return self._attempt([self.detector.cleanup])

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening and let everything go."""
        return self._attempt([self.detector.deactivate, self.detector.cleanup])

    def _attempt(
        self, steps: Sequence[Callable[[], None]], undo: Sequence[Callable[[], None]] = ()
    ) -> TransitionCallbackReturn:
        # rclpy takes an exception for a grave error and says nothing about it.
        try:
            for step in steps:
                step()
        except Exception as error:
            self._error = error
            for step in undo:
                step()
            return _FAILURE
        return _SUCCESS

    def _autostart(self) -> None:
        try:
            if self.trigger_configure() == _SUCCESS:
                self.trigger_activate()
        except Exception as error:  # publishing a transition fails once the context is down
            self._error = self._error or error
        if self._error is not None and not isinstance(self._error, Interrupted):
            self.failure = self._error
            self.context.try_shutdown()
        self._error = None

    async def _on_change_state(self, request: Any, response: Any) -> Any:
        answered = Future(executor=self.executor)
        # In this rclpy, only a task wakes the executor, and a callback becomes one.
        answered.add_done_callback(lambda _: None)
        self._transitions.submit(self._answer, request, response, answered)
        return await answered

    def _answer(self, request: Any, response: Any, answered: Any) -> None:
        """One requested transition: its outcome goes into the response and, if bad, to the log."""
        asked = request.transition.label or f"transition {request.transition.id}"
        response.success = False
        try:
            self._change_state(request, response)
        except Exception as error:
            # Not from this state: rclpy would let the whole node die of it.
            self._error = self._error or error
        failure, self._error = self._error, None
        if failure is not None and self.context.ok():
            self.get_logger().error(f"{asked} failed: {describe_error(failure)}")
        with suppress(Exception):  # the executor has ended meanwhile: nobody waits
            answered.set_result(response)


def describe_error(error: Exception) -> str:
    """One line, with the type where the text alone would not explain itself."""
    text = " ".join(str(error).split())
    return text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}"
