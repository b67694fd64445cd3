"""Reading ahead in a thread, so that a slow disk does not disturb the pace of what is played."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Generic, TypeVar

Item = TypeVar("Item")


class ReadAhead(Generic[Item]):
    """The items of an iterator, read by a thread of its own until a limit of bytes is reached.

    One item is always read, however large it is. What the iterator raises is raised here, after
    the items that came before it.

    Args:
        items: only that thread uses it from now on.
        size_of: bytes of an item.
        limit: bytes that may wait.
    """

    def __init__(self, items: Iterator[Item], size_of: Callable[[Item], int], limit: int) -> None:
        self._items, self._size_of, self._limit = items, size_of, limit
        self._waiting: deque[Item] = deque()
        self._bytes = 0
        self._ended = self._closed = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, name="read_ahead", daemon=True)

    def __enter__(self) -> ReadAhead[Item]:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def __iter__(self) -> ReadAhead[Item]:
        return self

    def __next__(self) -> Item:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ended)
            if self._waiting:
                item = self._waiting.popleft()
                self._bytes -= self._size_of(item)
                self._changed.notify_all()
                return item
            if self._error is not None:
                raise self._error
            raise StopIteration

    def _read(self) -> None:
        try:
            for item in self._items:
                with self._changed:
                    self._waiting.append(item)
                    self._bytes += self._size_of(item)
                    self._changed.notify_all()
                    self._changed.wait_for(lambda: self._bytes < self._limit or self._closed)
                    if self._closed:
                        return
        except BaseException as error:  # handed over to the thread that reads from here
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
