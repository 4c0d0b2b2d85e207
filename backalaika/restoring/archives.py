"""Archives: what is in an archive of ours, told by itself, for what a damaged manifest has lost.

The frames of a tar are decoded one after another, so that each member is known by the frame in which it begins, as
from a manifest. After a frame that is damaged it goes on where the next seems to begin, or the manifest knows one. A
zip has its own directory; where that is damaged too, its members' own headers are searched for. There are no digests
to compare: they are taken from the content, which the checksums of frames and of zips have found right.
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
from .asking import Asking
from .frames import LARGEST_FRAME, refuse, zstd_frames
from .items import Item

_ANY = 1 << 62
_TAR_BLOCK = 512
# Bytes of a member's own header before its name: APPNOTE 4.3.7.
_LOCAL_HEADER = 30
# What may stand behind a member: the next, the directory, or its end of either size.
_FOLLOWING = (zip_reader.LOCAL, zip_reader.CENTRAL, zip_reader.END, b"PK\x06\x06", b"")
_SUFFIXES = (".zip", *(f".tar.{codec}" for codec in MAGIC))


def archives_in(folder: str, asking: Asking) -> list[bytes]:
    """The names of archives that a run may have written, in a volume.

    Raises:
        OSError: the folder cannot be read.
    """
    return sorted(os.fsencode(name) for name in asking.names(folder) if name.endswith(_SUFFIXES))


def lost_items(
    folder: str, archive: bytes, known: Collection[Item], digest: str, warn: Callable[[str], None], asking: Asking
) -> Iterator[Item]:
    """The members of an archive that are not among those known; streamed.

    Args:
        folder: of the volume.
        archive: its name there.
        known: what the manifest still tells of it.
        digest: which digest they get.
        warn: told what cannot be read, once for each place; what follows is looked for.
        asking: reads it.
    """
    paths = {item.path for item in known}
    try:
        file = asking.archive(folder, archive)
        codec = os.fsdecode(archive).rpartition(".")[2]
        if codec == "zip":
            found = _zip_items(file, digest, paths, warn)
        else:
            points = sorted({(0, 0), *((item.frame or 0, item.offset or 0) for item in known)})
            found = _tar_items(file, codec, points, digest, paths, warn)
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
            if source.peek(1):
                self._begins(first + source.position)
                raise ArchiveError("is damaged, or not one of ours: no frame that tells its size begins there")
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
    good: set[int] = set()
    is_damaged = False
    told: set[str] = set()

    def tell(message: str) -> None:
        if message not in told:  # what the directory says of a damaged member, its own header may say again
            told.add(message)
            warn(message)

    try:
        directory = zip_reader.find_directory(file)
        for found, is_apart in _apart(zip_reader.central_members(file, directory, "latin-1")):
            try:
                if not is_apart:
                    raise ArchiveError("shares its bytes with another member, as those of bombs do")
                if file.at(found.offset + _LOCAL_HEADER, len(found.raw)) != found.raw:
                    raise ArchiveError("is damaged: its own header gives it another name, or is not there")
                content = None if found.raw in known else _zip_content(file, found, digest)
            except ArchiveError as error:
                is_damaged = True
                tell(f"{os.fsdecode(found.raw)}: {error}")
                continue
            good.add(found.offset)
            if found.raw not in known:
                yield _item(found.member, found.raw, content, found.offset, 0)
    except ArchiveError as error:
        is_damaged = True
        tell(f"{error}; its members are searched for by their own headers, where a link looks like a file")
    if is_damaged:
        yield from _zip_items_by_headers(file, digest, known, good, tell)


def _apart(members: Iterator[zip_reader.ZipMember]) -> Iterator[tuple[zip_reader.ZipMember, bool]]:
    """Each member, and whether its bytes are its own alone: ours stand one after another, in the directory too."""
    before: zip_reader.ZipMember | None = None
    is_apart, end = True, 0
    for member in members:
        begins_apart = member.offset >= end
        if before is not None:
            yield before, is_apart and begins_apart
        before, is_apart = member, begins_apart
        end = max(end, member.offset + _LOCAL_HEADER + len(member.raw) + member.stored)
    if before is not None:
        yield before, is_apart


def _zip_items_by_headers(
    file: Seekable, digest: str, known: Collection[bytes], good: Collection[int], warn: Callable[[str], None]
) -> Iterator[Item]:
    """Those members that the directory no longer tells; where the others begin is ``good``."""
    is_told = False
    at = _next_header(file, 0)
    while at is not None:
        found = _member_at(file, at)
        if found is None:
            at = _next_header(file, at + len(zip_reader.LOCAL))
            continue
        behind = _content_begins(file, at) + found.stored
        is_whole = behind <= file.size and file.at(behind, 4) in _FOLLOWING
        if at not in good and found.raw not in known:
            try:
                content = _zip_content(file, found, digest)
            except ArchiveError as error:
                if is_whole or not is_told:  # not again of what is in the midst of a member
                    warn(f"{os.fsdecode(found.raw)}: {error}")
                is_told = True
            else:
                is_told, is_whole = False, behind <= file.size
                yield _item(found.member, found.raw, content, at, 0)
        # A damaged header may tell any size: then the next may be anywhere behind.
        at = _next_header(file, behind if is_whole else at + len(zip_reader.LOCAL))


def _next_header(file: Seekable, at: int) -> int | None:
    if file.at(at, 4) == zip_reader.LOCAL:
        return at
    source = file.stream(at, file.size - at)
    return at + source.position if zip_reader.find_member(source) else None


def _member_at(file: Seekable, at: int) -> zip_reader.ZipMember | None:
    """The member whose header begins here, if it is one as ours are, with its size before its content."""
    try:
        header = file.stream(at, _content_begins(file, at) - at)
        found = next(zip_reader.streamed_members(header, "latin-1"), None)
    except ArchiveError:
        return None
    if found is None or found.stored < 0:
        return None
    found.offset = at
    return found


def _content_begins(file: Seekable, at: int) -> int:
    """Where the content of the member begins whose header is here."""
    lengths = file.at(at + 26, 4)
    return at + _LOCAL_HEADER + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")


def _zip_content(file: Seekable, found: zip_reader.ZipMember, digest: str) -> bytes | None:
    """The digest of a file; a link's target is put in."""
    if found.member.kind == DIRECTORY:
        return None
    stored = file.stream(_content_begins(file, found.offset), found.stored)
    pieces = zip_reader.checked(found, zip_reader.unpacked(found, stored, Budget(1, _ANY, _ANY)))
    if found.member.kind == SYMLINK:
        found.member.target = b"".join(map(bytes, pieces))
        return None
    hasher = hasher_factory(digest)()
    for piece in pieces:
        hasher.update(piece)
    return hasher.digest()
