"""Writing rosbag2 recordings without a ROS installation.

A recording appears under its name only when it is whole: messages go into a folder beside it
(``NAME.partial-...``) that is renamed at the end and removed after an error.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

TYPESTORE = get_typestore(Stores.ROS2_JAZZY)
METADATA_VERSION = 9  # what Jazzy's rosbag2 declares

Storage = Literal["mcap", "sqlite3"]
Compression = Literal["none", "message", "file", "chunk"]
STORAGE_PLUGINS = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}
# All of it Zstandard: each message, the whole file (rosbag2's own two), or MCAP's chunks.
COMPRESSION_MODES = {
    "none": CompressionMode.NONE,
    "message": CompressionMode.MESSAGE,
    "file": CompressionMode.FILE,
    "chunk": CompressionMode.STORAGE,
}
_FOREVER = QosTime(0, 0)
LATCHED_QOS = Qos(
    QosHistory.KEEP_LAST, 1, QosReliability.RELIABLE, QosDurability.TRANSIENT_LOCAL,
    _FOREVER, _FOREVER, QosLiveliness.AUTOMATIC, _FOREVER, False,
)  # fmt: skip


class BagError(ValueError):
    """A recording cannot be written or read; the message says which and why."""


class BagWriter:
    """Context manager that writes one rosbag2 recording.

    Leaving the ``with`` block normally puts the recording in place; leaving it by an exception
    removes what was written, so that half a recording is never taken for a whole one.

    Args:
        path: folder that the recording becomes; must not exist.
        storage: ``mcap`` or ``sqlite3``.
        compression: ``message`` or ``file`` as rosbag2 has them, ``chunk`` for MCAP's own.
        latched: topics that a player offers to subscribers that come late (transient local).
        durable: have everything on the disk before the recording gets its name, so that it is
            whole after a loss of power, too.

    Raises:
        BagError: ``path`` exists already, or SQLite with compressed chunks.
    """

    def __init__(
        self,
        path: Path | str,
        storage: Storage = "mcap",
        compression: Compression = "none",
        latched: Collection[str] = (),
        durable: bool = False,
    ) -> None:
        if (storage, compression) == ("sqlite3", "chunk"):
            raise BagError("SQLite has no chunks to compress: take message or file")
        self._path = Path(path)
        self._plugin = STORAGE_PLUGINS[storage]
        self._compression = COMPRESSION_MODES[compression]
        self._latched = frozenset(latched)
        self._durable = durable
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

    def describe(self, key: str, text: str) -> None:
        """Put a text into ``custom_data`` of the recording's ``metadata.yaml``."""
        self._writer.set_custom_data(key, text)

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
        self._writer.set_compression(self._compression, CompressionFormat.ZSTD)
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
                self._finish()
            else:
                self._abort()
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _finish(self) -> None:
        try:
            self._writer.close()
        except BaseException:
            self._abort()
            raise
        self._refuse_existing()
        finished = self._scratch / self._path.name
        if self._durable:
            for path in (*finished.iterdir(), finished):
                _force_to_disk(path)
        finished.rename(self._path)
        if self._durable:
            _force_to_disk(self._path.parent)

    def _abort(self) -> None:
        # On a full disk, closing a file fails as well: what counts is the first error.
        with suppress(OSError):
            self._writer.abort()

    def _refuse_existing(self) -> None:
        if self._path.exists():
            raise BagError(f"{self._path} exists already and is not overwritten")

    def _connect(self, topic: str, type_name: str) -> Any:
        if type_name not in TYPESTORE.fielddefs:
            raise BagError(f"{topic}: no definition of message type {type_name} is known")
        offered = [LATCHED_QOS] if topic in self._latched else []
        return self._writer.add_connection(
            topic, type_name, typestore=TYPESTORE, offered_qos_profiles=offered
        )


def _force_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
