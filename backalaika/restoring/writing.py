"""Writing: content into files that are open, with holes where it is zeros."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator

from ..errors import BackalaikaError
from .frames import Attributes

# Runs of zeros from this size on become holes: what file systems have as a block.
_HOLE = 4096
_ZEROS = bytes(_HOLE)
_WORTH_HOLES = 4 * _HOLE


class NoRoomError(BackalaikaError):
    """The disk that is restored to is full."""


class NewFile:
    """A file that is being written.

    Attributes:
        descriptor: open for reading and writing.
        publishes: what it gets with its name: attributes and modification time; None: it is not to have its name.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.publishes: tuple[Attributes | None, int] | None = None

    def close(self) -> None:
        """Close it; once is enough."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def write_pieces(descriptor: int, pieces: Iterable[bytes | memoryview], at: int = 0, is_shared: bool = False) -> int:
    """Write content from an offset on, and leave holes where it is zeros; returns where it ends.

    The file has that size afterwards, if it was not larger. ``is_shared`` is for one that others write to as well.

    Raises:
        NoRoomError: the disk is full.
        OSError: it cannot be written.
    """
    os.lseek(descriptor, at, os.SEEK_SET)
    end = at
    written = at
    for piece in pieces:
        data = piece if isinstance(piece, bytes) or len(piece) < _WORTH_HOLES else bytes(piece)
        for start, stop in _extents(data, end):
            if end + start != written:
                os.lseek(descriptor, end + start, os.SEEK_SET)
            _write(descriptor, memoryview(data)[start:stop])
            written = end + stop
        end += len(data)
    if end != written and is_shared:
        # Another process may make it longer between a look at its size and a call that sets it.
        os.lseek(descriptor, end - 1, os.SEEK_SET)
        _write(descriptor, memoryview(b"\0"))
    elif end != written:
        os.ftruncate(descriptor, end)
    return end


def write_content(descriptor: int, content: bytes | memoryview) -> None:
    """Write all of a new file's content, with holes where it is zeros.

    Raises:
        NoRoomError: the disk is full.
        OSError: it cannot be written.
    """
    if len(content) < _WORTH_HOLES:
        _write(descriptor, memoryview(content))
    else:
        write_pieces(descriptor, (content,))


def write_zeros(descriptor: int, at: int, size: int) -> None:
    """Write zeros over a part of a file."""
    os.lseek(descriptor, at, os.SEEK_SET)
    while size > 0:
        length = min(size, 256 * _HOLE)
        _write(descriptor, memoryview(bytes(length)))
        size -= length


def _extents(data: bytes | memoryview, offset: int) -> Iterator[tuple[int, int]]:
    """Where in a piece there is something else than zeros, by the file's blocks; those at both ends may be cut."""
    start = 0
    if isinstance(data, bytes) and len(data) >= _WORTH_HOLES:
        first = -offset % _HOLE
        last = first + (len(data) - first) // _HOLE * _HOLE
        # The first byte tells nearly always; comparing all of each block took a tenth of the time of a restore.
        holes = [at for at in range(first, last, _HOLE) if not data[at] and data.startswith(_ZEROS, at)]
        edges = [(0, first)] if first and data.count(0, 0, first) == first else []
        if last < len(data) and data.count(0, last) == len(data) - last:
            holes.append(last)
        for at, end in (*edges, *((at, min(at + _HOLE, len(data))) for at in holes)):
            if at > start:
                yield start, at
            start = end
    if start < len(data):
        yield start, len(data)


def _write(descriptor: int, data: memoryview) -> None:
    try:
        while len(data):
            data = data[os.write(descriptor, data) :]
    except OSError as error:
        if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
            raise NoRoomError("the disk is full") from None
        raise
