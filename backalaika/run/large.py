"""Large files: read once, in order, in pieces that the pool compresses side by side.

The main process reads each piece into a slot and hashes it there, for a digest must see the whole file in order; the
workers compress what lies in the slots. A file that changes meanwhile is dropped and read again once.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import deflate

from ..batch import Large
from ..digests import Hasher
from ..formats import BLOCK
from ..formats.zip import DEFLATED, STORED, WINDOW, ZipMember, needs_zip64
from ..walk import Entry, open_file_in
from .cutting import Cut
from .framing import stores_only, tar_header
from .messages import ChunkTask
from .sizes import ArchivePlan
from .turns import advise_next, advise_sequential
from .units import LargeUnit
from .worker import CHANGED, NOT_REGULAR, state_of, with_info

_SKIPPED = 1 << 20


@dataclass(frozen=True, slots=True)
class WhatWasRead:
    """A large file after its last piece: the entry as it is saved, its digest and CRC-32, and what was wrong."""

    entry: Entry
    digest: bytes
    crc32: int
    trouble: str


class LargeReader:
    """A large file being read.

    Args:
        plan: the archive it goes to.
        large: the file.
        hasher: for its digest.
        store_only: extensions that a zip stores.
        cut: if it may have to be cut; parts that were saved before are not given again.
        turn: waits until this process may read, and has the system read ahead; None: it always may.

    Raises:
        OSError: it cannot be opened, or is no regular file any more.
    """

    def __init__(
        self,
        plan: ArchivePlan,
        large: Large,
        hasher: Hasher,
        store_only: frozenset[str],
        cut: Cut | None = None,
        turn: Callable[[], AbstractContextManager[None]] | None = None,
    ) -> None:
        descriptor = open_file_in(large.directory, large.entry.name)
        self._file = open(descriptor, "rb", buffering=0)  # noqa: SIM115 - closed by close
        self._before = os.fstat(descriptor)
        if not stat.S_ISREG(self._before.st_mode):
            self._file.close()
            raise OSError(NOT_REGULAR)
        self._turn = turn
        if turn is not None:
            advise_sequential(descriptor)
        self._format = plan.archive_format
        self._hasher = hasher
        self._crc32 = 0
        self._read = 0
        self._window = b""
        self._stored = False
        self.entry = with_info(large.entry, self._before)
        header = None
        if self._format.is_zip:
            self._stored = stores_only(self.entry.name, store_only)
            header = self._zip_header(large)
        self.unit = LargeUnit(plan, Large(large.directory, large.member_prefix, self.entry), header, cut)
        self._head = b"" if header or cut else tar_header(os.fsencode(self.unit.path), self.entry)
        self._cut = cut

    def _zip_header(self, large: Large) -> ZipMember:
        name = os.fsencode(f"{large.member_prefix}/{self.entry.name}")
        method = STORED if self._stored else DEFLATED
        size = self.entry.size
        return ZipMember(name, self.entry.mode, self.entry.mtime_ns, method, 0, 0, 0, needs_zip64(size))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def skip(self, check: Callable[[], None]) -> None:
        """Read what is saved of the file, for the digest of the whole.

        Args:
            check: called now and then; it may raise.

        Raises:
            OSError: the disk does not give the file.
        """
        left = self._cut.offset if self._cut is not None else 0
        piece = memoryview(bytearray(min(left, _SKIPPED)))
        while left:
            check()
            length = self._fill(piece[:left])
            if not length:
                return
            self._hasher.update(piece[:length])
            left -= length

    def chunks(
        self, slot: Callable[[], tuple[int, memoryview] | None], give_back: Callable[[int], None]
    ) -> Iterator[ChunkTask]:
        """Read the file into slots, piece by piece.

        Args:
            slot: gives a free slot and its bytes; None to stop.
            give_back: takes a slot for which the disk gave nothing.

        Raises:
            OSError: the disk does not give the file.
        """
        head, left = self._head, max(self.entry.size - (self._cut.offset if self._cut is not None else 0), 0)
        while True:
            taken = slot()
            if taken is None:
                return
            number, view = taken
            want = min(left, max(self._format.frame_size - len(head), BLOCK))
            try:
                length = self._fill(view[WINDOW : WINDOW + want])
            except OSError:
                give_back(number)
                raise
            if length < want and not self._format.is_zip:
                view[WINDOW + length : WINDOW + want] = bytes(want - length)  # the header has promised them
            if self._format.is_zip:
                left = left - length if length == want else 0
            else:
                length, left = want, left - want
            chunk = view[WINDOW : WINDOW + length]
            self._take(chunk)
            window = self._window
            view[WINDOW - len(window) : WINDOW] = window
            if self._format.is_zip and not self._stored and self._cut is None:
                self._window = bytes(chunk[-WINDOW:])  # a copy, for the slot soon holds what a worker makes of it
            padding = 0 if left or self._format.is_zip else -self.entry.size % BLOCK
            last = not left and self._cut is None  # else a part's end is written when it is there
            yield ChunkTask(self._format, number, len(window), length, head, padding, last, self._stored)
            head = b""
            if not left:
                return

    def _fill(self, view: memoryview) -> int:
        if self._turn is None:
            return self._read_into(view)
        with self._turn():
            filled = self._read_into(view)
            advise_next(self._file.fileno(), self._read, len(view))
        return filled

    def _read_into(self, view: memoryview) -> int:
        filled = 0
        while filled < len(view) and (count := self._file.readinto(view[filled:])):
            filled += count
        self._read += filled
        return filled

    def _take(self, chunk: memoryview) -> None:
        self._hasher.update(chunk)
        if self._format.is_zip:
            self._crc32 = deflate.crc32(chunk, self._crc32)

    def finish(self) -> WhatWasRead:
        """After the last piece: what was read, and whether it changed meanwhile."""
        after = os.fstat(self._file.fileno())
        changed = state_of(after) != state_of(self._before)
        trouble = ""
        if changed or self._read < self.entry.size:
            trouble = CHANGED
            if self._read < self.entry.size and not self._format.is_zip:
                trouble = f"shrank to {self._read:,} bytes while it was read, twice; zeros stand for its end"
        entry = self.entry._replace(size=self._read) if self._format.is_zip else self.entry
        return WhatWasRead(entry, self._hasher.digest(), self._crc32, trouble)
