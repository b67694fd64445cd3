"""Writing rosbag2 recordings without a ROS installation.

A recording appears under its name only when it is whole: messages go into a folder beside it
(``NAME.partial-...``) that is renamed at the end and removed after an error.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

TYPESTORE = get_typestore(Stores.ROS2_JAZZY)
METADATA_VERSION = 9  # what Jazzy's rosbag2 declares

STORAGE_PLUGINS = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}


class BagError(ValueError):
    """A recording cannot be written or read; the message says which and why."""


class BagWriter:
    """Context manager that writes one rosbag2 recording.

    Leaving the ``with`` block normally puts the recording in place; leaving it by an exception
    removes what was written, so that half a recording is never taken for a whole one.

    Args:
        path: folder that the recording becomes; must not exist.
        storage: ``mcap`` or ``sqlite3``.

    Raises:
        BagError: ``path`` exists already.
    """

    def __init__(self, path: Path | str, storage: Literal["mcap", "sqlite3"] = "mcap") -> None:
        self._path = Path(path)
        self._plugin = STORAGE_PLUGINS[storage]
        self._connections: dict[str, Any] = {}
        self._refuse_existing()

    def write(self, topic: str, stamp_ns: int, message: Any) -> None:
        """Serialise a message of the rosbags library and write it.

        Args:
            topic: such as ``/image``.
            stamp_ns: time of the record (when it was received or published), nanoseconds.
            message: an instance of a class in ``TYPESTORE.types``.
        """
        type_name = message.__msgtype__
        self.write_cdr(topic, type_name, stamp_ns, TYPESTORE.serialize_cdr(message, type_name))

    def write_cdr(self, topic: str, type_name: str, stamp_ns: int, cdr: bytes | memoryview) -> None:
        """Write a message that is serialised already, such as a raw subscription delivers.

        Raises:
            BagError: the type is not known, or the topic was written with another type.
        """
        connection = self._connections.get(topic)
        if connection is None:
            connection = self._connections[topic] = self._connect(topic, type_name)
        if connection.msgtype != type_name:
            raise BagError(f"{topic} carries {connection.msgtype}, not {type_name}")
        self._writer.write(connection, stamp_ns, cdr)

    def __enter__(self) -> BagWriter:
        self._refuse_existing()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._scratch = Path(
            tempfile.mkdtemp(prefix=f"{self._path.name}.partial-", dir=self._path.parent)
        )
        # The file inside is named after its folder, so the folder has its final name already.
        self._writer = Writer(
            self._scratch / self._path.name,
            version=METADATA_VERSION,
            storage_plugin=self._plugin,
        )
        self._writer.open()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if exc_type is None:
                self._writer.close()
                self._refuse_existing()
                (self._scratch / self._path.name).rename(self._path)
            else:
                self._writer.abort()
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _refuse_existing(self) -> None:
        if self._path.exists():
            raise BagError(f"{self._path} exists already and is not overwritten")

    def _connect(self, topic: str, type_name: str) -> Any:
        if type_name not in TYPESTORE.fielddefs:
            raise BagError(f"{topic}: no definition of message type {type_name} is known")
        return self._writer.add_connection(topic, type_name, typestore=TYPESTORE)
