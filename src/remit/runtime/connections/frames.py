"""Bounded reading: a server may send a line of any length, and only a bounded part of it is ever held."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_TAIL = 4096
_HEAD_OF_OVERSIZED = 65_536


@dataclass(frozen=True, slots=True)
class Frame:
    """One message as it came in. If `size` is more than `data` holds, the rest is gone but for the `tail`."""

    data: bytes
    size: int
    tail: bytes = b""

    @property
    def whole(self) -> bool:
        """True if nothing was dropped."""
        return self.size == len(self.data)


class Collector:
    """Gathers the bytes of one frame; beyond `limit` it keeps only the beginning and the end."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()
        self._tail = b""
        self.size = 0

    def add(self, data: bytes | memoryview) -> None:
        """Take more bytes of the frame."""
        self.size += len(data)
        if self.size <= self._limit:
            self._kept += data
            return
        end = bytes(data[-_TAIL:])
        if not self._tail:
            end = bytes(self._kept[-_TAIL:]) + end
            del self._kept[_HEAD_OF_OVERSIZED:]
        self._tail = (self._tail + end)[-_TAIL:]

    def take(self) -> Frame:
        """The frame so far; the collector starts the next one."""
        frame = Frame(bytes(self._kept), self.size, self._tail)
        self._kept = bytearray()
        self._tail = b""
        self.size = 0
        return frame


class Lines:
    """Splits a stream of bytes into lines, each a bounded frame without its line feed."""

    def __init__(self, limit: int) -> None:
        self._line = Collector(limit)

    @property
    def unfinished(self) -> int:
        """Bytes of the line that has no end yet."""
        return self._line.size

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The lines that these bytes complete."""
        view = memoryview(data)
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            self._line.add(view[start:end])
            start = end + 1
            yield self._line.take()
        if start < len(data):
            self._line.add(view[start:])

    def rest(self) -> Frame | None:
        """What stood after the last line feed, if anything did."""
        return self._line.take() if self._line.size else None
