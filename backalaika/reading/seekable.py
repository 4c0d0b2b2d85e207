"""Seekable: bytes to be read anywhere: a file, a part of an image of a disc, or what is in memory.

`FileStream` reads one in order. None of them owns what it reads from.
"""

from __future__ import annotations

import io
import os
from bisect import bisect_right
from collections.abc import Callable, Sequence

from ..digests import Hasher
from ..errors import ArchiveError
from .streams import PIECE, Stream

# The place of an extent that is a hole: zeros, of which the image has none.
HOLE = -1

Extents = Sequence[tuple[int, int]]


class Seekable:
    """A file, or bytes, to be read anywhere: ``at(offset, size)`` gives bytes, fewer at the end.

    ``descriptor`` is that of an open file, of which this is all.
    """

    def __init__(self, at: Callable[[int, int], bytes], size: int, descriptor: int | None = None) -> None:
        self.at = at
        self.size = size
        self.descriptor = descriptor

    def stream(self, offset: int, size: int) -> Stream:
        """A part of it as a stream."""
        end = min(self.size, offset + size)
        place = offset

        def fetch() -> bytes:
            nonlocal place
            piece = self.at(place, min(PIECE, end - place)) if place < end else b""
            place += len(piece)
            return piece

        return Stream(fetch)

    def signing(self, sign: Callable[[], None]) -> Seekable:
        """The same, which calls ``sign`` each time something was read: a drive may be slow, and work all the same."""

        def at(offset: int, size: int) -> bytes:
            piece = self.at(offset, size)
            sign()
            return piece

        return Seekable(at, self.size, self.descriptor)

    def all_at(self, offset: int, size: int) -> bytes:
        """As ``at``, which may give less than it has."""
        return self.stream(offset, size).read(size)


def of_file(descriptor: int, size: int) -> Seekable:
    """An open file as a `Seekable`."""
    if hasattr(os, "pread"):
        return Seekable(lambda offset, count: os.pread(descriptor, count, offset), size, descriptor)

    def at(offset: int, count: int) -> bytes:
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, count)

    return Seekable(at, size)


def of_bytes(data: bytes) -> Seekable:
    """What is in memory."""
    return Seekable(lambda offset, size: data[offset : offset + size], len(data))


def of_extents(image: Seekable, extents: Extents) -> Seekable:
    """A file that lies in an image, in pieces of (offset, size); its methods raise `ArchiveError` where it is cut."""
    starts: list[int] = []
    size = 0
    for _, length in extents:
        starts.append(size)
        size += length

    def at(offset: int, count: int) -> bytes:
        if not 0 <= offset < size or count <= 0:
            return b""
        number = bisect_right(starts, offset) - 1
        place, length = extents[number]
        inside = offset - starts[number]
        count = min(count, length - inside)
        if place == HOLE:
            return bytes(count)
        piece = image.at(place + inside, count)
        if not piece:
            raise ArchiveError("is cut off: the image of the disc ends before")
        return piece

    return Seekable(at, size)


class FileStream(Stream):
    """A file from its beginning. An open one is read where its descriptor stands, as `cat` reads it.

    Args:
        file: the bytes.
        hasher: fed with all that is read, if given: then nothing is jumped over.
        moved: told of bytes that were read, for progress.
    """

    def __init__(self, file: Seekable, hasher: Hasher | None, moved: Callable[[int], None]) -> None:
        super().__init__(self._read_on)
        self._file = file
        self._place = 0
        self._ended = False
        self._hasher = hasher
        self._moved = moved

    def _read_on(self) -> bytes:
        if self._ended:
            return b""
        descriptor = self._file.descriptor
        piece = self._file.at(self._place, PIECE) if descriptor is None else os.read(descriptor, PIECE)
        if not piece:
            self._ended = True
            return b""
        self._place += len(piece)
        if self._hasher is not None:
            self._hasher.update(piece)
        self._moved(len(piece))
        return piece

    def drain_untold(self, is_enough: Callable[[], bool]) -> None:
        """Read all that is left, or until it is enough; of progress, which others count, tell only that there is."""
        moved = self._moved
        self._moved = lambda size: moved(0)
        while not is_enough() and self.take(PIECE):
            pass

    def skip(self, size: int) -> int:
        """Leave out bytes; without reading them, if nobody needs a digest."""
        at_hand = len(self._data) - self._at
        if self._hasher is not None or size <= at_hand:
            return super().skip(size)
        skipped = min(size, max(0, self._file.size - self.position))
        self.position += skipped
        self._place, self._ended = self.position, False
        if self._file.descriptor is not None:
            os.lseek(self._file.descriptor, self._place, os.SEEK_SET)
        self._data, self._at = b"", 0
        self._moved(skipped - at_hand)
        return skipped


class AsFile(io.RawIOBase):
    """A `Seekable` as the object that rapidgzip takes for a file.

    It seems to end where it cannot be read: an exception in one of its threads would end the whole process.
    """

    def __init__(self, source: Seekable) -> None:
        super().__init__()
        self._source = source
        self._at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go there."""
        self._at = offset + (0, self._at, self._source.size)[whence]
        return self._at

    def readinto(self, buffer: object) -> int:
        """Read the next bytes."""
        view = memoryview(buffer)  # type: ignore[arg-type]
        try:
            piece = self._source.at(self._at, len(view))
        except (OSError, ArchiveError):
            return 0
        view[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)
