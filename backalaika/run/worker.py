"""Worker: what runs in the processes of the pool.

A worker reads each small file of a batch once and lets `framing` hash and frame it, and compress the whole into a
slot. It knows nothing of volumes and archives; offsets count from the start of the frame. All that fails is a
`Problem` in the result: a worker ends only with the run.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from contextlib import AbstractContextManager, nullcontext, suppress

from ..codecs import CODECS, is_incompressible
from ..formats import BLOCK, ArchiveFormat
from ..formats import zip as zip_format
from ..formats.zip import WINDOW
from ..walk import FILE, HARD_LINK, Entry, Problem, describe_error, open_file, open_for_reading
from .framing import framing_of
from .memory import Block, attach_block
from .messages import BatchDone, BatchTask, ChunkDone, ChunkTask
from .slots import frame_limit, slot_view
from .turns import HAS_ADVICE, Ahead, Turns

CHANGED = "changed while it was read, twice; saved as it was read"
VANISHED = "vanished before it was read"
NOT_REGULAR = "it is no longer a regular file"

# glibc's malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


class _Memory:
    """What each process has once: the shared memory with the slots, and a place of a slot's size to read files into.

    A file is read to where it is hashed and compressed: a tar.zst without copies in between takes a tenth less CPU time
    than one of pieces that are joined. ``turns`` tells when it may be read; None: at any time.
    """

    slots: Block
    slot_size: int
    reading: memoryview
    turns: Turns | None = None


def start_worker(memory_name: str, size: int, turns: Turns | None) -> None:
    """Make a fresh process of the pool ready: attach the slots."""
    keep_freed_memory()
    attach_slots(attach_block(memory_name), size)
    _Memory.turns = turns


def keep_freed_memory() -> None:
    """Tell glibc to keep what is freed: a worker frees and takes the same megabytes for each frame.

    Given back and taken anew, each page is zeroed again; 6 % of all CPU time of a tar.zst of 132 MB, median of 8.
    """
    if sys.platform != "linux":
        return
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # musl has none
        mallopt(_M_MMAP_THRESHOLD, 256 << 20)
        mallopt(_M_TRIM_THRESHOLD, 512 << 20)


def attach_slots(memory: Block, size: int) -> None:
    """Use this memory for frames."""
    _Memory.slots, _Memory.slot_size = memory, size
    _Memory.reading = memoryview(bytearray(size))


def all_slots() -> memoryview:
    """The whole shared memory, in a process of the pool."""
    assert _Memory.slots.buf is not None
    return _Memory.slots.buf


def warm_up() -> int:
    """Do nothing: the pool starts its processes at the first task."""
    return os.getpid()


def compress_batch(task: BatchTask) -> BatchDone:
    """Read, hash and compress a batch into its slot."""
    slot = slot_view(_Memory.slots, task.slot, _Memory.slot_size)
    framing = framing_of(task, slot, _Memory.reading)
    reading = _Reading(task)
    with my_turn(task.turn):
        for directory, prefix, entries in task.batch.slices:
            reading.enter(directory, entries)
            framing.enter(prefix)
            for entry in entries:
                content = reading.read(entry, framing.begin(entry))
                if content is not None:
                    framing.add(*content)
        reading.leave()
    return BatchDone(
        framing.finish(),
        framing.raw_size,
        framing.count,
        framing.files,
        framing.content,
        framing.linked,
        framing.rows(),
        framing.links,
        "".join(framing.manifest).encode(),
        b"".join(framing.central),
        reading.problems,
    )


def my_turn(turn: int | None) -> AbstractContextManager[None]:
    """Where a task of the pool may read."""
    if turn is None or _Memory.turns is None:
        return nullcontext()
    return _Memory.turns.reading(turn)


def compress_chunk(task: ChunkTask) -> ChunkDone:
    """Compress a piece of a large file, from its slot into its slot."""
    view = slot_view(_Memory.slots, task.slot, _Memory.slot_size)
    chunk = view[WINDOW : WINDOW + task.length]
    raw_size = len(task.header) + task.length + task.padding
    if task.stored:
        return ChunkDone(WINDOW, task.length, raw_size, task.length)
    frame: bytes | bytearray
    if task.archive_format.is_zip:
        frame = _deflated(chunk, view[WINDOW - task.window : WINDOW], task.archive_format.level, task.last)
    else:
        frame = _tar_frame(task.archive_format, task.header, chunk, task.padding)
    view[: len(frame)] = frame
    return ChunkDone(0, len(frame), raw_size, task.length)


def compress_piece(archive_format: ArchiveFormat, piece: memoryview, padding: int, stored: bool) -> bytes | bytearray:
    """Compress a piece of a large file that refers to none before it and does not end a stream."""
    if stored:
        return bytes(piece)
    if archive_format.is_zip:
        return _deflated(piece, memoryview(b""), archive_format.level, last=False)
    return _tar_frame(archive_format, b"", piece, padding)


def _deflated(chunk: memoryview, window: memoryview, level: int, last: bool) -> bytes:
    if is_incompressible(chunk):
        return zip_format.stored_blocks(chunk, last)
    return zip_format.deflate_chunk(chunk, window, level, last)


def _tar_frame(archive_format: ArchiveFormat, header: bytes, chunk: memoryview, padding: int) -> bytes | bytearray:
    body = b"".join((header, chunk, bytes(padding))) if header or padding else chunk
    return CODECS[archive_format.option].compress(body, archive_format.level)


class _Reading:
    """Reads the files of a batch, one directory after another, and keeps what went wrong."""

    def __init__(self, task: BatchTask) -> None:
        self.problems: list[Problem] = []
        # What the frame can take beyond what the walk has promised; the first to have grown get it.
        self._spare = frame_limit(task.archive_format) - task.batch.size
        self._path = ""
        self._descriptor: int | None = None
        self._opened = False
        # Files with several links of which this frame has the content, or has failed to get it.
        self._missing: set[tuple[int, int]] = set()
        self._looks_ahead = task.turn is not None and HAS_ADVICE
        self._ahead: Ahead | None = None

    def enter(self, path: str, entries: list[Entry]) -> None:
        """Go to another directory, of which these will be read; it is opened when its first file is read."""
        self.leave()
        self._path, self._opened = path, False
        if self._looks_ahead:
            with suppress(OSError):  # each of its files is a problem then, when it is read
                self._open_directory()
                self._ahead = Ahead(self._path, self._descriptor, entries)

    def leave(self) -> None:
        """Close the directory."""
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def read(self, entry: Entry, place: memoryview) -> tuple[Entry, memoryview] | None:
        """The entry as it was read, and its content, read to the beginning of ``place``; None if it is a problem."""
        if entry.kind == HARD_LINK and entry.key in self._missing:
            entry = entry._replace(kind=FILE, target="")
            if entry.size > self._spare:
                self._report(entry, "a hard link to a file that could not be saved")
                return None
            self._spare -= entry.size + BLOCK
        if entry.kind != FILE:
            return entry, place[:0]
        try:
            return self._read_file(entry, place)
        except OSError as error:
            vanished = isinstance(error, FileNotFoundError)
            self._report(entry, VANISHED if vanished else cannot_be_read(error))
        if entry.key is not None:
            self._missing.add(entry.key)
        return None

    def _report(self, entry: Entry, message: str) -> None:
        self.problems.append(Problem(os.path.join(self._path, entry.name), message))

    def _read_file(self, entry: Entry, place: memoryview) -> tuple[Entry, memoryview]:
        descriptor = self._ahead.take(entry.name) if self._ahead is not None else None
        if descriptor is None:
            if not self._opened:
                self._open_directory()
            descriptor = open_file(self._path, self._descriptor, entry.name)
        try:
            length = read_into(descriptor, [place[: entry.size + 1]])
            info = os.fstat(descriptor)
            if (
                info.st_mtime_ns == entry.mtime_ns
                and info.st_ctime_ns == entry.ctime_ns
                and info.st_size == entry.size == length
                and info.st_mode == entry.mode
            ):
                return entry, place[:length]
            return self._read_again(descriptor, entry, place)
        finally:
            os.close(descriptor)

    def _open_directory(self) -> None:
        self._descriptor, self._opened = open_for_reading(self._path), True

    def _read_again(self, descriptor: int, entry: Entry, place: memoryview) -> tuple[Entry, memoryview]:
        """The file has changed since the walk: read it once more, and report it if it changes meanwhile too."""
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise OSError(errno.EINVAL, NOT_REGULAR)
        size = min(before.st_size, entry.size + max(self._spare, 0))
        if size > entry.size:
            self._spare -= size - entry.size + BLOCK  # a tar pads it
        os.lseek(descriptor, 0, os.SEEK_SET)
        data = place[: read_fully(descriptor, place[:size])]
        after = os.fstat(descriptor)
        if size < before.st_size:
            self._report(entry, f"grew to {before.st_size:,} bytes during the run; saved its first {size:,} bytes")
        elif len(data) < size or state_of(after) != state_of(before):
            self._report(entry, CHANGED)
        return with_info(entry, before)._replace(size=len(data)), data


def state_of(info: os.stat_result) -> tuple[int, int, int]:
    """What changes when a file is written; whoever sets its old time again cannot set back its ctime."""
    return info.st_size, info.st_mtime_ns, info.st_ctime_ns


def read_fully(descriptor: int, place: memoryview) -> int:
    """Fill ``place`` from a file, or up to its end; returns how many bytes that were."""
    filled = 0
    while filled < len(place) and (count := read_into(descriptor, [place[filled:]])):
        filled += count
    return filled


def _copy_into(descriptor: int, places: list[memoryview]) -> int:
    """What ``readv(2)`` does, where the system has none."""
    data = os.read(descriptor, len(places[0]))
    places[0][: len(data)] = data
    return len(data)


read_into = os.readv if hasattr(os, "readv") else _copy_into


def with_info(entry: Entry, info: os.stat_result) -> Entry:
    """The entry with what its file is now."""
    return entry._replace(
        mode=info.st_mode,
        size=info.st_size,
        mtime_ns=info.st_mtime_ns,
        ctime_ns=info.st_ctime_ns,
        inode=info.st_ino,
        uid=info.st_uid,
        gid=info.st_gid,
    )


def cannot_be_read(error: OSError) -> str:
    """The message for a file that the system does not give."""
    return f"cannot be read: {describe_error(error)}"
