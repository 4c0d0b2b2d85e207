"""Worker: what runs in the processes of the pool.

A worker reads each small file of a batch once, hashes it, puts its header before it and compresses the whole into a
slot. It knows nothing of volumes and archives; offsets count from the start of the frame. All that fails is a
`Problem` in the result: a worker ends only with the run.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import lru_cache
from json.encoder import encode_basestring_ascii

import deflate

from ..batch import member_path
from ..codecs import CODECS, is_incompressible
from ..digests import digest_function
from ..formats import BLOCK, ArchiveFormat
from ..formats import tar as tar_format
from ..formats import zip as zip_format
from ..formats.zip import WINDOW, ZipMember
from ..walk import DIRECTORY, FILE, HARD_LINK, Entry, Problem, describe_error, open_file, open_for_reading
from .memory import Block, attach_block
from .messages import BatchDone, BatchTask, ChunkDone, ChunkTask, Saved
from .slots import frame_limit, slot_view
from .turns import HAS_ADVICE, Ahead, Turns

try:
    import grp
    import pwd
except ImportError:  # Windows has neither; tar then has the numbers alone
    grp = pwd = None  # type: ignore[assignment]

CHANGED = "changed while it was read, twice; saved as it was read"
VANISHED = "vanished before it was read"
NOT_REGULAR = "it is no longer a regular file"

# glibc's malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

_TAR_KINDS = {
    FILE: tar_format.REGULAR,
    DIRECTORY: tar_format.DIRECTORY,
    HARD_LINK: tar_format.HARD_LINK,
}


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
    framing = _framing(task, slot)
    reading = _Reading(task)
    index = 0
    with my_turn(task.turn):
        for directory, prefix, entries in task.batch.slices:
            reading.enter(directory, entries)
            for entry in entries:
                content = reading.read(entry, framing.begin(prefix, entry))
                if content is not None:
                    framing.add(index, *content)
                index += 1
        reading.leave()
    return BatchDone(
        framing.finish(),
        framing.raw_size,
        framing.members,
        b"".join(framing.manifest),
        b"".join(framing.central),
        reading.problems,
    )


def _framing(task: BatchTask, slot: memoryview) -> _Framing:
    if not task.archive_format.is_zip:
        return _TarFraming(task, slot)
    return _ZipFraming(task, slot) if task.turn is None else _ZipInTurnFraming(task, slot)


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
                and stat.S_ISREG(info.st_mode)
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


class _Framing(ABC):
    """The members of one frame, as they are put together; the finished frame comes into a slot."""

    def __init__(self, task: BatchTask, slot: memoryview) -> None:
        self.raw_size = 0
        self.members: list[Saved] = []
        self.manifest: list[bytes] = []
        self.central: list[bytes] = []
        self._task = task
        self._slot = slot
        self._digest = digest_function(task.digest)
        self._path = ""
        self._name = b""

    def begin(self, prefix: str, entry: Entry) -> memoryview:
        """Begin a member; returns where to read its content. If it is not added, the next takes its place."""
        self._path = member_path(prefix, entry.name)
        self._name = os.fsencode(self._path)
        return _Memory.reading

    def add(self, index: int, entry: Entry, data: memoryview) -> None:
        """Put in the member that was begun, as it was read."""
        digest = self._digest(data) if entry.kind == FILE else None
        saved = Saved(
            index,
            entry.kind,
            entry.size,
            entry.mtime_ns,
            entry.ctime_ns,
            entry.inode,
            digest,
            self.raw_size,
            entry.target,
        )
        self.members.append(saved)
        self.manifest.append(manifest_line(self._path, saved))
        self._frame_member(entry, data)

    @abstractmethod
    def _frame_member(self, entry: Entry, data: memoryview) -> None:
        """Add the bytes of the member that was begun."""

    @abstractmethod
    def finish(self) -> int:
        """Put the finished frame into the slot; returns its length, 0 if it has no member."""


class _TarFraming(_Framing):
    """Members one after another where they are read: header, content, padding."""

    def begin(self, prefix: str, entry: Entry) -> memoryview:
        super().begin(prefix, entry)
        return self._put_header(entry)

    def _put_header(self, entry: Entry) -> memoryview:
        head = tar_header(self._name, entry)
        self._begun, self._content = entry, self.raw_size + len(head)
        _Memory.reading[self.raw_size : self._content] = head
        return _Memory.reading[self._content :]

    def _frame_member(self, entry: Entry, data: memoryview) -> None:
        if entry is not self._begun:  # it looks different than when it was walked, and its header may have another size
            content = bytes(data)
            self._put_header(entry)[: len(content)] = content
        end = self._content + len(data)
        padding = tar_format.padding(len(data))
        self.raw_size = end + len(padding)
        _Memory.reading[end : self.raw_size] = padding

    def finish(self) -> int:
        if not self.raw_size:
            return 0
        option, level = self._task.archive_format.option, self._task.archive_format.level
        frame = CODECS[option].compress(_Memory.reading[: self.raw_size], level)
        self._slot[: len(frame)] = frame
        return len(frame)


class _ZipFraming(_Framing):
    """Members one after another in the slot, as each is compressed for itself."""

    def _frame_member(self, entry: Entry, data: memoryview) -> None:
        content: bytes | memoryview = os.fsencode(entry.target) if entry.target else data
        method, body = zip_body(self._path, content, self._task.archive_format.level, self._task.store_only)
        member = ZipMember(
            self._name, entry.mode, entry.mtime_ns, method, deflate.crc32(content), len(content), len(body)
        )
        head = zip_format.local_header(member)
        self.central.append(zip_format.central_entry(member, self.raw_size))
        start = self.raw_size + len(head)
        self._slot[self.raw_size : start] = head
        self.raw_size = start + len(body)
        self._slot[start : self.raw_size] = body

    def finish(self) -> int:
        return self.raw_size


class _ZipInTurnFraming(_ZipFraming):
    """The same, but compressed when all is read, for others wait for their turn to read."""

    def __init__(self, task: BatchTask, slot: memoryview) -> None:
        super().__init__(task, slot)
        self._waiting: list[tuple[int, str, Entry, memoryview]] = []
        self._prefix = ""
        self._read = 0

    def begin(self, prefix: str, entry: Entry) -> memoryview:
        self._prefix = prefix
        return _Memory.reading[self._read :]

    def add(self, index: int, entry: Entry, data: memoryview) -> None:
        self._waiting.append((index, self._prefix, entry, data))
        self._read += len(data)

    def finish(self) -> int:
        for index, prefix, entry, data in self._waiting:
            super().begin(prefix, entry)
            super().add(index, entry, data)
        return super().finish()


def zip_body(
    path: str, content: bytes | memoryview, level: int, store_only: frozenset[str]
) -> tuple[int, bytes | bytearray | memoryview]:
    """Method and body of a zip's member: deflated if that makes it smaller, and nothing says that it will not."""
    if len(content) > 16 and not stores_only(path, store_only) and not is_incompressible(content):
        packed = deflate.deflate_compress(content, level)
        if len(packed) < len(content):
            return zip_format.DEFLATED, packed
    return zip_format.STORED, content


def stores_only(path: str, extensions: frozenset[str]) -> bool:
    """Whether a file's extension, in any case, is one that a zip stores without compressing."""
    return os.path.splitext(path)[1][1:].lower() in extensions


def tar_header(name: bytes, entry: Entry) -> bytes:
    """The tar header of an entry."""
    return tar_format.header(
        name,
        _TAR_KINDS.get(entry.kind, tar_format.SYMLINK),
        entry.mode,
        _owner(entry.uid, entry.gid),
        entry.size if entry.kind == FILE else 0,
        entry.mtime_ns,
        os.fsencode(entry.target) if entry.target else b"",
    )


def manifest_line(path: str, saved: Saved, whole: str = "") -> bytes:
    """A member's line of the manifest, from its path on, with a newline in front; `manifest` completes it.

    ``whole`` is the object, in JSON, that tells what the member is a part of.
    """
    digest = f'"{saved.digest.hex()}"' if saved.digest is not None else "null"
    target = f',"target":{encode_basestring_ascii(saved.target)}' if saved.target else ""
    if whole:
        target += f',"whole":{whole}'
    line = (
        f'\n"path":{encode_basestring_ascii(path)},"kind":"{saved.kind}","size":{saved.size},'
        f'"mtime_ns":{saved.mtime_ns},"digest":{digest},"offset":{saved.offset}{target}}}'
    )
    return line.encode()


@lru_cache(maxsize=4096)
def _owner(uid: int, gid: int) -> tuple[int, int, bytes, bytes]:
    return uid, gid, _user_name(uid), _group_name(gid)


def _user_name(uid: int) -> bytes:
    try:
        return os.fsencode(pwd.getpwuid(uid).pw_name) if pwd else b""
    except KeyError:
        return b""  # no such user here: tar has the number


def _group_name(gid: int) -> bytes:
    try:
        return os.fsencode(grp.getgrgid(gid).gr_name) if grp else b""
    except KeyError:
        return b""
