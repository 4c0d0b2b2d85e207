"""Frames: members out of an archive, each found by the offset of its frame, nothing decoded but the frames it needs.

Each frame is decoded by a stream of its own, so that a damaged one costs the members that begin in it and no other.
Whether a member is the one that was looked for is told by its path; whether its content is right, the caller sees by
its digest. Permissions and owners stand in a tar's headers and in a zip's central directory, which is searched for the
one entry and not parsed.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import groupby
from typing import NamedTuple

import zstandard

from ..errors import ArchiveError
from ..reading import tar as tar_reader
from ..reading import zip as zip_reader
from ..reading.members import Member
from ..reading.seekable import Seekable
from ..reading.streams import MAGIC, PIECE, Budget, Stream, decoded, guarded
from ..walk import FILE, HARD_LINK, SYMLINK, describe_error, open_file
from .items import Item
from .plain import plain_member
from .signs import Watch

# No frame has more content than 8 MiB and one header; where a member is said to begin beyond, the manifest is wrong.
LARGEST_FRAME = 64 * 1024 * 1024
_ANY_NUMBER = 1 << 62
# Content up to this size is compared with its digest before anything is written.
IN_MEMORY = 4 * 1024 * 1024
WRONG_DIGEST = "is damaged: its content is not what its digest says"
# The longest header of a zstd frame: RFC 8878 3.1.1.1.
_ZSTD_HEADER = 18


class Attributes(NamedTuple):
    """Permissions and owner, as the archive has them; a zip has no owner: -1."""

    mode: int
    uid: int = -1
    gid: int = -1
    user: bytes = b""
    group: bytes = b""


class Found(NamedTuple):
    """A member where it should be.

    ``attributes`` is None where the archive no longer tells them; ``pieces`` is its content, to be taken before the
    next member is asked for, and may raise `ArchiveError`.
    """

    attributes: Attributes | None
    pieces: Iterator[bytes | memoryview]


class ArchiveReader:
    """An archive, or for the empty name the loose files of a medium. A context manager.

    Args:
        folder: of the volume.
        name: of the archive there.
        watch: the context in which the medium is asked for something.

    Raises:
        ArchiveError: it is missing, or cannot be opened.
    """

    def __init__(self, folder: str, name: bytes, watch: Watch | None = None) -> None:
        self._folder, self._name = folder, name
        self._watch = watch or Watch()
        self._descriptor = -1
        if name:
            if b"/" in name or os.sep.encode() in name or name in (b".", b".."):
                raise ArchiveError("has a name that leads out of its volume")
            self._open(os.fsdecode(name))

    def _open(self, name: str) -> None:
        try:
            with self._watch:
                self._descriptor = open_file(self._folder, None, name)
                info = os.fstat(self._descriptor)
        except FileNotFoundError:
            raise ArchiveError("is missing on the volume") from None
        except OSError as error:
            raise ArchiveError(f"cannot be opened: {describe_error(error)}") from None
        if not stat.S_ISREG(info.st_mode):
            raise ArchiveError("is no regular file")
        self._file = Seekable(self._at, info.st_size)
        self._identity = self._folder, self._name, info.st_ino, info.st_size, info.st_mtime_ns

    @property
    def file(self) -> Seekable:
        """The archive's bytes."""
        return self._file

    def _at(self, offset: int, size: int) -> bytes:
        try:
            with self._watch:
                if hasattr(os, "pread"):
                    return os.pread(self._descriptor, size, offset)
                os.lseek(self._descriptor, offset, os.SEEK_SET)
                return os.read(self._descriptor, size)
        except OSError as error:
            raise ArchiveError(f"cannot be read at byte {offset:,}: {describe_error(error)}") from None

    def __enter__(self) -> ArchiveReader:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the archive; it can be closed twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def members(self, items: Sequence[Item], end: int | None = None) -> Iterator[tuple[Item, Found | ArchiveError]]:
        """Each item with its member, or with what is wrong.

        Args:
            items: of this archive, in the order of frames and offsets.
            end: where the last frame ends at the latest; None: not known.
        """
        if not self._name:
            for item in items:
                yield item, self._loose(item)
            return
        groups = [(frame, list(group)) for frame, group in groupby(items, key=lambda item: item.frame)]
        ends = [frame for frame, _ in groups[1:]] + [end]
        is_zip = self._name.endswith(b".zip")
        for (frame, group), frame_end in zip(groups, ends, strict=True):
            if frame is None:
                yield from ((item, ArchiveError("its place in the archive is not known")) for item in group)
            elif is_zip:
                yield from ((item, self._zip_member(item, frame)) for item in group)
            else:
                yield from self._tar_members(group, frame, frame_end)

    def _tar_members(
        self, items: list[Item], frame: int, end: int | None
    ) -> Iterator[tuple[Item, Found | ArchiveError]]:
        size = (self._file.size if end is None or end <= frame else end) - frame
        budget = Budget(1, LARGEST_FRAME + sum(item.size for item in items), _ANY_NUMBER)
        codec = os.fsdecode(self._name).rpartition(".")[2]
        if codec not in MAGIC:
            yield from ((item, ArchiveError("has a name that tells no format")) for item in items)
            return
        stream: Stream | None = None
        for item in items:
            if stream is None or stream.position > (item.offset or 0):  # one member may be wanted in two places
                stream = _lasting(_decoded(codec, self._file.stream(frame, size), budget))
            try:
                yield item, _tar_member(stream, item, budget)
            except ArchiveError as error:
                yield item, error

    def _zip_member(self, item: Item, frame: int) -> Found | ArchiveError:
        at = frame + (item.offset or 0)
        try:
            found = next(zip_reader.streamed_members(self._file.stream(at, self._file.size), "latin-1"), None)
            if found is None or found.raw != item.path:
                raise ArchiveError("another member is in its place")
            lengths = struct.unpack("<HH", self._file.at(at + 26, 4))
            stored = self._file.stream(at + 30 + sum(lengths), found.stored)
            expected = len(item.target or b"") if item.kind == SYMLINK else item.size
            pieces = zip_reader.unpacked(found, stored, Budget(1, expected + PIECE, _ANY_NUMBER))
            if item.digest is None:
                pieces = zip_reader.checked(found, pieces)
            if item.kind == SYMLINK and b"".join(map(bytes, pieces)) != item.target:
                raise ArchiveError("its link leads elsewhere than the manifest says")
            return Found(self._zip_attributes(item.path, at), as_long_as(item.size, pieces))
        except ArchiveError as error:
            return error

    def _zip_attributes(self, path: bytes, at: int) -> Attributes | None:
        mode = _central_directory_of(self._identity, self._file).mode(path, at)
        return None if mode is None else Attributes(mode & 0o7777)

    def _loose(self, item: Item) -> Found | ArchiveError:
        self.close()
        try:
            if item.kind != FILE:
                return self._loose_without_content(item)
            self._open(os.fsdecode(item.path))
        except ArchiveError as error:
            return error
        stream = self._file.stream(0, self._file.size)
        mode = os.fstat(self._descriptor).st_mode & 0o777
        return Found(Attributes(mode), as_long_as(item.size, iter(lambda: stream.take(PIECE), b"")))

    def _loose_without_content(self, item: Item) -> Found:
        """A folder or a link."""
        path = os.path.join(os.fsencode(self._folder), item.path)
        try:
            with self._watch:
                mode = os.lstat(path).st_mode
                target = os.readlink(path) if stat.S_ISLNK(mode) else None
        except OSError as error:
            raise ArchiveError(f"cannot be read: {describe_error(error)}") from None
        if target != item.target or not (stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
            raise ArchiveError("is something else on the medium now")
        return Found(Attributes(mode & 0o777), iter(()))


def _decoded(codec: str, source: Stream, budget: Budget) -> Iterator[bytes]:
    """What is in the frames of an archive."""
    if codec == "zst":
        yield from zstd_frames(source, budget)
    stream = decoded(codec, source, budget)
    while piece := stream.take(PIECE):
        yield bytes(piece)


def zstd_frames(source: Stream, budget: Budget, begins: Callable[[], None] | None = None) -> Iterator[bytes]:
    """Frames of which the header tells a modest size, as ours do, each by one call; it ends where one does not.

    Block by block, as what a stranger has compressed must be decoded, took twice as long. ``begins`` is called before
    each frame is read.
    """
    decompressor = zstandard.ZstdDecompressor(max_window_size=LARGEST_FRAME)
    while len(head := source.peek(_ZSTD_HEADER)) == _ZSTD_HEADER and head.startswith(MAGIC["zst"]):
        try:
            size = zstandard.frame_content_size(head)
        except zstandard.ZstdError:
            return
        if not 0 < size <= LARGEST_FRAME:
            return
        if begins is not None:
            begins()
        budget.spend(size)
        # It gives what the header says, or nothing.
        yield guarded(partial(decompressor.decompress, max_output_size=size), _zstd_frame(source, head, size))


def _zstd_frame(source: Stream, head: bytes, size: int) -> bytes:
    """The bytes of a frame, which its block headers tell: RFC 8878 3.1.1."""
    flags = head[4]
    single_segment = flags >> 5 & 1
    header = 5 + (not single_segment) + (0, 1, 2, 4)[flags & 3] + (single_segment, 2, 4, 8)[flags >> 6]
    pieces = [source.read(header)]
    most = 2 * size + LARGEST_FRAME
    last = False
    while not last:
        start = source.read(3)
        number = int.from_bytes(start, "little")
        last = bool(number & 1)
        length = 1 if number >> 1 & 3 == 1 else number >> 3
        block = source.read(length + (4 if last and flags >> 2 & 1 else 0))
        most -= len(block)
        if len(start) < 3 or len(block) < length:
            raise ArchiveError("is cut: its compressed data end too early")
        if most < 0:
            raise ArchiveError("is damaged: a frame has more blocks than its header says")
        pieces += start, block
    return b"".join(pieces)


def _lasting(pieces: Iterator[bytes]) -> Stream:
    """The pieces as a stream; once it has failed it fails in the same words again."""
    failed: list[ArchiveError] = []

    def fetch() -> bytes:
        if failed:
            raise failed[0]
        try:
            return next(pieces, b"")
        except ArchiveError as error:
            failed.append(error)
            raise

    return Stream(fetch)


def _tar_member(stream: Stream, item: Item, budget: Budget) -> Found:
    offset = item.offset or 0
    if offset > LARGEST_FRAME:
        raise ArchiveError("is said to be where no frame can have it")
    stream.skip(offset - stream.position)
    if stream.position != offset:
        raise ArchiveError("is cut: its frame ends before it")
    if item.kind == FILE and (plain := plain_member(stream.at_hand(), item)) is not None:
        owner, content = plain
        return Found(_attributes(*owner), iter((content,)))
    member, body = next(tar_reader.members(stream, budget, refuse), (None, None))
    if member is None or body is None:
        raise ArchiveError("is cut: its frame ends before it")
    _check(member, item)
    return Found(Attributes(*tar_reader.attributes(body)), as_long_as(item.size, iter(body.take, b"")))


_attributes = lru_cache(maxsize=256)(Attributes)


def refuse(message: str) -> None:
    """What is damaged in a header costs the member."""
    raise ArchiveError(message)


def _check(member: Member, item: Item) -> None:
    """Whether it is the member that was looked for.

    Raises:
        ArchiveError: it is not.
    """
    if member.path != item.path or member.kind != item.kind:
        raise ArchiveError("another member is in its place")
    if item.kind in (SYMLINK, HARD_LINK) and member.target != item.target:
        raise ArchiveError("its link leads elsewhere than the manifest says")
    if item.kind == FILE and member.size != item.size:
        raise ArchiveError(f"has {member.size:,} bytes where the manifest says {item.size:,}")


def as_long_as(size: int, pieces: Iterator[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """The pieces, as long as they are no more than promised.

    Raises:
        ArchiveError: they are more, or less.
    """
    left = size
    for piece in pieces:
        left -= len(piece)
        if left < 0:
            raise ArchiveError("is damaged: it has more content than the manifest says")
        yield piece
    if left:
        raise ArchiveError("is damaged: it has less content than the manifest says")


def _central_directory(file: Seekable) -> bytes:
    """From its first entry to the end of the zip; nothing if it cannot be found: then no modes are, but all content."""
    try:
        found = zip_reader.find_directory(file)
        return file.stream(found.offset, file.size - found.offset).read(file.size - found.offset)
    except ArchiveError:
        return b""


class _CentralDirectory:
    """The bytes of a zip's central directory; entries are searched in the order in which they come."""

    def __init__(self, file: Seekable) -> None:
        self._data = _central_directory(file)
        self._at = 0

    def mode(self, path: bytes, offset: int) -> int | None:
        """The mode of the member whose local header is at ``offset``; None if there is no such entry."""
        wanted = struct.pack("<I", min(offset, 0xFFFFFFFF)) + path
        for start in (self._at, 0):
            at = self._data.find(wanted, start)
            while at >= 0:
                entry = at - 42
                if entry >= 0 and self._data[entry : entry + 4] == zip_reader.CENTRAL:
                    self._at = at
                    mode: int = struct.unpack_from("<H", self._data, entry + 40)[0]
                    return mode
                at = self._data.find(wanted, at + 1)
        return None


_last_directory: list[tuple[object, _CentralDirectory]] = []


def _central_directory_of(identity: object, file: Seekable) -> _CentralDirectory:
    """The central directory of a zip; that of the last one is kept, for a zip is read by many tasks."""
    if not _last_directory or _last_directory[0][0] != identity:
        _last_directory[:] = [(identity, _CentralDirectory(file))]
    return _last_directory[0][1]
