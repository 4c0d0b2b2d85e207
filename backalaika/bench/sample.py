"""Sample: pieces of the user's files, chosen so that each byte of them has the same chance.

A file is cut, in thought, into pieces of 1 MiB. Each piece gets a random number, and those with the smallest numbers
are kept, as many as the sample may hold: a small file counts as often as its bytes do, and so does a film. The numbers
come from a seed, so the same tree gives the same sample.

A sample has a place for each piece in one block of memory, laid out as a tar has it: header, content, padding. What is
compressed is then what an archive of these files would hold.
"""

from __future__ import annotations

import heapq
import os
import random
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ..batch import member_path
from ..errors import SourceError
from ..formats import tar as tar_format
from ..run.framing import tar_header
from ..walk import FILE, Directory, Entry, Problem, describe_error, walk

MIB = 1024 * 1024
PIECE = MIB
# More would take a disk with a moving head longer than anyone wants to wait.
_MOST_PIECES = 20_000
_SEED = 1


class Piece(NamedTuple):
    """A piece of a file, and its place in the sample's memory.

    Attributes:
        directory: absolute path of the directory that the file lies in.
        name: the file's.
        offset: where it starts in the file.
        size: its bytes.
        head: the tar header that stands right before it; empty where it is not the first of its file.
        place: where its content starts in memory.
    """

    directory: str
    name: str
    offset: int
    size: int
    head: bytes
    place: int

    @property
    def end(self) -> int:
        """Where its padding ends in memory."""
        return self.place + self.size + len(tar_format.padding(self.size))


@dataclass(slots=True)
class Sample:
    """What was chosen, and what was seen on the way.

    Attributes:
        path: what the user named.
        pieces: in the order of the tree.
        files: regular files that the walk saw.
        bytes: their content.
        whole: whether the walk came to its end in time.
        walk_s: seconds that it took.
        problems: what it could not see.
    """

    path: str
    pieces: list[Piece] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    whole: bool = True
    walk_s: float = 0.0
    problems: list[Problem] = field(default_factory=list)

    @property
    def memory(self) -> int:
        """Bytes of memory that it needs."""
        return self.pieces[-1].end if self.pieces else 0


def take_sample(path: str, most_bytes: int, seconds: float, check: Callable[[], None]) -> Sample:
    """Walk a directory and choose pieces of its files.

    Args:
        path: absolute path of a directory, or of one file.
        most_bytes: how much the pieces may hold; one is kept in any case.
        seconds: after so many the walk ends where it is, if there is a file with content by then.
        check: called now and then; it may raise.

    Raises:
        SourceError: it cannot be read, or no file with content was found.
    """
    sample = Sample(path)
    start = time.perf_counter()
    chosen = _Chosen(most_bytes)
    for directory, problems in _directories(path):
        sample.problems += problems
        for entry in directory.entries:
            if entry.kind == FILE:
                sample.files += 1
                sample.bytes += entry.size
                chosen.offer(directory.path, entry)
        check()
        if time.perf_counter() - start > seconds and sample.bytes:
            sample.whole = False
            break
    sample.walk_s = time.perf_counter() - start
    if not sample.bytes:
        raise SourceError(f"{path}: no file with content, so there is nothing to measure with; name another directory")
    sample.pieces = _lay_out(path if os.path.isdir(path) else os.path.dirname(path), chosen.in_order())
    return sample


def _directories(path: str) -> Iterator[tuple[Directory, list[Problem]]]:
    try:
        info = os.stat(path)
        if not stat.S_ISDIR(info.st_mode):
            yield Directory("", [_one_file(path, info)]), []
            return
        yield from walk(path, lambda name: False)
    except FileNotFoundError:
        raise SourceError(f"{path}: there is no such directory; name one with files of yours") from None
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {describe_error(error)}; name another directory") from None


def _one_file(path: str, info: os.stat_result) -> Entry:
    if not stat.S_ISREG(info.st_mode):
        raise SourceError(f"{path}: neither a directory nor a regular file; name a directory with files of yours")
    name = os.path.basename(path)
    times = info.st_mtime_ns, info.st_ctime_ns
    return Entry(name, FILE, info.st_mode, info.st_size, *times, info.st_ino, info.st_uid, info.st_gid, None, "")


class _Chosen:
    """The pieces with the smallest random numbers, as many as there is room for."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._random = random.Random(_SEED).random  # noqa: S311 - chance, not secrets
        # The largest number first; the count keeps the order of the tree.
        self._heap: list[tuple[float, int, str, Entry, int, int]] = []
        self._bytes = self._count = 0
        self._limit = 1.0

    def offer(self, directory: str, entry: Entry) -> None:
        """Take pieces of a file, if chance will have it."""
        for offset in range(0, entry.size, PIECE):
            number = self._random()
            self._count += 1
            if number < self._limit:
                size = min(PIECE, entry.size - offset)
                heapq.heappush(self._heap, (-number, self._count, directory, entry, offset, size))
                self._bytes += size
                self._shrink()

    def _shrink(self) -> None:
        while len(self._heap) > 1 and (self._bytes > self._most_bytes or len(self._heap) > _MOST_PIECES):
            dropped = heapq.heappop(self._heap)
            self._bytes -= dropped[-1]
            self._limit = -dropped[0]

    def in_order(self) -> Iterator[tuple[str, Entry, int, int]]:
        """Directory, entry, offset and size of each piece, in the order of the tree."""
        for _, _, directory, entry, offset, size in sorted(self._heap, key=lambda item: item[1]):
            yield directory, entry, offset, size


def _lay_out(root: str, chosen: Iterator[tuple[str, Entry, int, int]]) -> list[Piece]:
    pieces, place = [], 0
    for directory, entry, offset, size in chosen:
        head = b"" if offset else tar_header(os.fsencode(member_path(directory or ".", entry.name)), entry)
        whole = os.path.join(root, directory) if directory else root
        piece = Piece(whole, entry.name, offset, size, head, place + len(head))
        pieces.append(piece)
        place = piece.end
    return pieces
