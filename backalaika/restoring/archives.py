"""Archives: what is in an archive of ours, told by itself, for what a damaged manifest has lost.

The frames of a tar are decoded one after another, so that each member is known by the frame in which it begins, as
from a manifest. After a frame that is damaged it goes on where the next seems to begin, or the manifest knows one. A
zip has its own directory. There are no digests to compare: they are taken from the content, which the checksums of
frames and of zips have found right.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator

from ..digests import hasher_factory
from ..errors import ArchiveError
from ..reading import tar as tar_reader
from ..reading import zip as zip_reader
from ..reading.members import Member
from ..reading.memory import Memory
from ..reading.seekable import Seekable
from ..reading.streams import MAGIC, PIECE, Budget, Stream, next_stream
from ..walk import DIRECTORY, FILE, SYMLINK
from .frames import LARGEST_FRAME, ArchiveReader, refuse, zstd_frames
from .items import Item

_ANY = 1 << 62
_TAR_BLOCK = 512
_SUFFIXES = (".zip", *(f".tar.{codec}" for codec in MAGIC))


def archives_in(folder: str) -> list[bytes]:
    """The names of archives that a run may have written, in a volume.

    Raises:
        OSError: the folder cannot be read.
    """
    return sorted(os.fsencode(name) for name in os.listdir(folder) if name.endswith(_SUFFIXES))


def lost_items(
    folder: str, archive: bytes, known: Collection[Item], digest: str, warn: Callable[[str], None]
) -> Iterator[Item]:
    """The members of an archive that are not among those known; streamed.

    Args:
        folder: of the volume.
        archive: its name there.
        known: what the manifest still tells of it.
        digest: which digest they get.
        warn: told what cannot be read, once for each place; what follows is looked for.
    """
    paths = {item.path for item in known}
    try:
        with ArchiveReader(folder, archive) as reader:
            codec = os.fsdecode(archive).rpartition(".")[2]
            if codec == "zip":
                found = _zip_items(reader.file, digest, paths, warn)
            else:
                points = sorted({(0, 0), *((item.frame or 0, item.offset or 0) for item in known)})
                found = _tar_items(reader.file, codec, points, digest, paths, warn)
            for item in found:
                if item.path not in paths:
                    yield item._replace(archive=archive)
    except ArchiveError as error:
        warn(str(error))


def _item(member: Member, path: bytes, digest: bytes | None, frame: int, offset: int) -> Item:
    place = path.rstrip(b"/") if member.kind == DIRECTORY else path
    size = member.size if member.kind == FILE else 0
    return Item(place, path, member.kind, size, member.mtime_ns, digest, member.target, b"", frame, offset)


# Tars


class _Frames:
    """The frames of an archive from one on, as a stream that knows where each begins."""

    def __init__(self, file: Seekable, codec: str, first: int) -> None:
        self.at = first  # the frame that is decoded now, or will be next
        self._frames = self._decode(file.stream(first, file.size - first), codec, first)
        self._begin: list[int] = []
        self._offsets: list[int] = []
        self._end = 0
        self.stream = Stream(self._fetch)

    def _decode(self, source: Stream, codec: str, first: int) -> Iterator[bytes]:
        if codec == "zst":
            yield from zstd_frames(source, Budget(1, _ANY, _ANY), lambda: self._begins(first + source.position))
        while source.peek(1):
            self._begins(first + source.position)
            pieces, size = [], 0
            for piece in next_stream(codec, source, Memory()):
                pieces.append(piece)
                size += len(piece)
                if size > LARGEST_FRAME:
                    raise ArchiveError("is not one of ours: a frame of it is too large")
            yield b"".join(pieces)

    def _begins(self, offset: int) -> None:
        self.at = offset

    def _fetch(self) -> bytes:
        data = next(self._frames, b"")
        self._begin.append(self._end)
        self._offsets.append(self.at)
        self._end += len(data)
        return data

    def place(self, position: int) -> tuple[int, int]:
        """The frame in which a byte of the stream is, and where in it."""
        number = bisect_right(self._begin, position) - 1
        return self._offsets[number], position - self._begin[number]


def _tar_items(
    file: Seekable,
    codec: str,
    points: list[tuple[int, int]],
    digest: str,
    known: Collection[bytes],
    warn: Callable[[str], None],
) -> Iterator[Item]:
    start: tuple[int, int] | None = points[0]
    is_told = False
    while start is not None:
        frames = _Frames(file, codec, start[0])
        try:
            for item in _tar_members(frames, start[1], digest, known):
                is_told = False
                yield item
            return
        except ArchiveError as error:
            if not is_told:  # not again of what is in the midst of a member, or no frame
                warn(f"{error} (at byte {frames.at:,})")
            is_told = True
        known_point = next((point for point in points if point[0] > frames.at), None)
        start = _next_frame(file, MAGIC[codec], frames.at + 1, known_point)


def _next_frame(file: Seekable, magic: bytes, at: int, known: tuple[int, int] | None) -> tuple[int, int] | None:
    """Where the next frame seems to begin, or the next is known to be; None if there is neither."""
    end = file.size if known is None else known[0]
    while at < end:
        found = file.at(at, min(PIECE, end - at) + len(magic) - 1).find(magic)
        if found >= 0:
            return at + found, 0
        at += PIECE
    return known


def _tar_members(frames: _Frames, offset: int, digest: str, known: Collection[bytes]) -> Iterator[Item]:
    stream = frames.stream
    stream.skip(offset)
    begins = stream.position
    for member, body in tar_reader.members(stream, Budget(1, _ANY, _ANY), refuse):
        frame, offset = frames.place(begins)
        content = None
        if member.kind == FILE:
            hasher = hasher_factory(digest)() if member.path not in known else None
            while piece := body.take():
                if hasher is not None:
                    hasher.update(piece)
            content = None if hasher is None else hasher.digest()
        begins = stream.position + -member.size % _TAR_BLOCK
        yield _item(member, member.path, content, frame, offset)


# Zips


def _zip_items(file: Seekable, digest: str, known: Collection[bytes], warn: Callable[[str], None]) -> Iterator[Item]:
    for found in zip_reader.central_members(file, zip_reader.find_directory(file), "latin-1"):
        if found.raw in known:
            continue
        try:
            content = _zip_content(file, found, digest)
        except ArchiveError as error:
            warn(f"{os.fsdecode(found.raw)}: {error}")
        else:
            yield _item(found.member, found.raw, content, found.offset, 0)


def _zip_content(file: Seekable, found: zip_reader.ZipMember, digest: str) -> bytes | None:
    """The digest of a file; a link's target is put in."""
    lengths = file.at(found.offset + 26, 4)
    begins = found.offset + 30 + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
    if found.member.kind == DIRECTORY:
        return None
    stored = file.stream(begins, found.stored)
    pieces = zip_reader.checked(found, zip_reader.unpacked(found, stored, Budget(1, _ANY, _ANY)))
    if found.member.kind == SYMLINK:
        found.member.target = b"".join(map(bytes, pieces))
        return None
    hasher = hasher_factory(digest)()
    for piece in pieces:
        hasher.update(piece)
    return hasher.digest()
