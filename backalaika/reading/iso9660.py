"""ISO 9660: the files of an image of a disc (ECMA-119), by Rock Ridge's names, Joliet's or its own.

Folders are read one after another, none of them twice, and nothing is kept but those that are still to be read: a
million files take no more memory than ten. `pycdlib` keeps them all, 3.5 kB a file and 6 kB with UDF, and gives nothing
of an image that is damaged in one place. Joliet's supplement 1 of 1995 has names of 16-bit characters in a tree of its
own. Where there is Rock Ridge it wins, for it alone has links and the names of Unix.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ..errors import ArchiveError
from ..walk import DIRECTORY, FILE, SYMLINK
from . import rockridge
from .members import Member, joined, readable_name
from .seekable import Extents, Seekable
from .timestamps import of_seven_bytes

SECTOR = 2048
_FIRST_DESCRIPTOR = 16
_MAX_DESCRIPTORS = 64
_PRIMARY, _SUPPLEMENTARY, _TERMINATOR = 1, 2, 255
_JOLIET = (b"%/@", b"%/C", b"%/E")
_MAX_PATH = 65535
_RECORD = struct.Struct("<BBL4xL4x7sBBBH2xB")
_HIDDEN, _FOLDER, _ASSOCIATED, _GOES_ON = 0x01, 0x02, 0x04, 0x80
_MOVED = (b"rr_moved", b".rr_moved")
# Folders that wait to be read, or have been: 100 bytes of memory each, and more than any disc has.
_MAX_FOLDERS = 1_000_000

Warn = Callable[[bytes, str], None]


@dataclass(slots=True)
class ImageMember:
    """A member of an image, and where its content is, None if that is not to be read; ``packed`` by zisofs."""

    member: Member
    extents: Extents | None = ()
    packed: bool = False


class _Volume(NamedTuple):
    """A volume descriptor: size of its blocks, and where its root is."""

    block: int
    root: int
    root_size: int
    is_joliet: bool


class Folders:
    """Which folders are still to be read; an image in which they lead back, or never end, is hostile.

    Args:
        size: bytes of the image: all folders together have no more.
    """

    def __init__(self, size: int) -> None:
        self._seen: set[int] = set()
        self._waiting: list[tuple[bytes, int, int]] = []
        self._size = size
        self._left = size + 1024 * 1024

    def add(self, path: bytes, place: int, size: int, warn: Warn) -> None:
        """One that is to be read."""
        if place in self._seen:
            warn(path, "is damaged: it is a folder that was met before, and is not entered again")
            return
        if len(path) > _MAX_PATH:
            warn(path[:100] + b"...", "has too long a path, and is not entered")
            return
        if len(self._seen) >= _MAX_FOLDERS:
            raise ArchiveError("has too many folders; the rest is not listed")
        self._seen.add(place)
        self._waiting.append((path, place, size))

    def __iter__(self) -> Iterator[tuple[bytes, int, int]]:
        """Path, place and size of each, in the order of the tree."""
        while self._waiting:
            folder = self._waiting.pop()
            self._left -= min(folder[2], self._size)
            if self._left < 0:
                raise ArchiveError("is damaged: its folders are larger than itself; the rest is not listed")
            start = len(self._waiting)
            yield folder
            self._waiting[start:] = reversed(self._waiting[start:])


def members(image: Seekable, encoding: str | None, warn: Warn) -> Iterator[ImageMember | None]:
    """The members of an image, folder by folder, and None where one ends.

    Args:
        image: the bytes.
        encoding: of names that are neither Rock Ridge's nor Joliet's; None leaves them as they are.
        warn: is told of a folder, by its path, that cannot be read as it should be.

    Raises:
        ArchiveError: it is no such image, or it cannot be read any further.
    """
    volumes = list(_volumes(image))
    if not volumes:
        raise ArchiveError("is damaged: it has no description of its volume")
    skip = None
    chosen = volumes[0]
    for volume in volumes:
        if not volume.is_joliet:
            skip = rockridge.skip_of(_first_fields(image, volume))
            if skip is not None:
                chosen = volume
                break
    else:
        chosen = next((volume for volume in volumes if volume.is_joliet), chosen)
    return _Tree(image, chosen, skip, encoding, warn).members()


def has_rock_ridge(image: Seekable) -> bool:
    """Whether names and links of Unix are there."""
    return any(
        rockridge.skip_of(_first_fields(image, volume)) is not None
        for volume in _volumes(image)
        if not volume.is_joliet
    )


def _volumes(image: Seekable) -> Iterator[_Volume]:
    for number in range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + _MAX_DESCRIPTORS):
        sector = image.all_at(number * SECTOR, SECTOR)
        if len(sector) < SECTOR or sector[1:6] != b"CD001" or sector[0] == _TERMINATOR:
            return
        if sector[0] not in (_PRIMARY, _SUPPLEMENTARY):
            continue
        is_joliet = sector[0] == _SUPPLEMENTARY and sector[88:91] in _JOLIET
        if sector[0] == _SUPPLEMENTARY and not is_joliet:
            continue  # ISO 9660:1999 has the same files as the primary one
        [block] = struct.unpack_from("<H", sector, 128)
        record = _RECORD.unpack_from(sector, 156)
        if block in (512, 1024, SECTOR) and record[3] <= image.size:
            yield _Volume(block, record[2] + record[1], record[3], is_joliet)


def _first_fields(image: Seekable, volume: _Volume) -> bytes:
    """The fields after the root's own record."""
    record = image.all_at(volume.root * volume.block, 255)
    return record[34 : record[0]] if len(record) > 34 else b""


class _Tree:
    """One of the trees of an image."""

    def __init__(self, image: Seekable, volume: _Volume, skip: int | None, encoding: str | None, warn: Warn) -> None:
        self._image, self._volume, self._skip = image, volume, skip
        self._encoding, self._warn = encoding, warn
        self._folders = Folders(image.size)

    def members(self) -> Iterator[ImageMember | None]:
        self._folders.add(b"", self._volume.root, self._volume.root_size, self._warn)
        for path, place, size in self._folders:
            try:
                yield from self._folder(path, place, size)
            except OSError as error:
                self._warn(path, f"cannot be read: {error.strerror or error}; what is in it is not listed")
            yield None

    def _folder(self, folder: bytes, place: int, size: int) -> Iterator[ImageMember]:
        source = self._image.stream(place * self._volume.block, size)
        earlier: list[tuple[int, int]] = []  # extents of a file whose records go on
        while sector := source.read(SECTOR):
            at = 0
            while at < len(sector) and (length := sector[at]):
                if length < _RECORD.size + 1 or at + length > len(sector):
                    self._warn(folder, "is damaged: one of its records is none; those after it may be missing")
                    break
                found = self._record(folder, sector[at : at + length], earlier)
                at += length
                if found is not None:
                    yield found
        if source.position < size:
            self._warn(folder, "is cut off: the image of the disc ends before; the rest of it is not listed")

    def _record(self, folder: bytes, record: bytes, earlier: list[tuple[int, int]]) -> ImageMember | None:
        _, extra, place, size, date, flags, unit, gap, _, name_length = _RECORD.unpack_from(record)
        raw = record[33 : 33 + name_length]
        if raw in (b"\0", b"\1"):  # itself, and the one above
            return None
        area = record[33 + name_length + (1 - name_length % 2) :]
        told = rockridge.Attributes()
        if self._skip is not None:
            told = rockridge.attributes(area[self._skip :], self._continued)
        path = joined(folder, told.name if told.name is not None else self._name(raw, flags))
        mtime_ns = told.mtime_ns if told.mtime_ns is not None else of_seven_bytes(date)
        mode = None if told.mode is None else told.mode & 0o7777
        if told.moved:
            return None  # it is told where it belongs
        if told.child is not None:
            self._enter(path, told.child, self._own_size(told.child))
            return ImageMember(Member(path, DIRECTORY, 0, mtime_ns, mode=mode))
        if flags & _FOLDER:
            self._enter(path, place + extra, size)
            if self._skip is not None and path in _MOVED:
                return None  # made by the program that wrote the image, for what is told elsewhere
            return ImageMember(Member(path, DIRECTORY, 0, mtime_ns, mode=mode))
        if told.target is not None:
            return ImageMember(Member(path, SYMLINK, 0, mtime_ns, told.target))
        earlier.append(((place + extra) * self._volume.block, size))
        if flags & _GOES_ON:
            return None
        member = Member(path, FILE, sum(length for _, length in earlier), mtime_ns, mode=mode)
        extents = tuple(earlier)
        earlier.clear()
        if unit or gap:
            return ImageMember(member, None)  # interleaved with other files, as no program for data does it
        return self._file(member, told, flags, extents)

    def _file(self, member: Member, told: rockridge.Attributes, flags: int, extents: Extents) -> ImageMember:
        if (told.mode is not None and not stat.S_ISREG(told.mode)) or flags & _ASSOCIATED:
            member.kind, member.size = "other", 0  # a device, or the second half of a Macintosh's file
            return ImageMember(member)
        packed = told.packed is not None and member.size > 0
        if packed:
            member.size = told.packed or 0
        return ImageMember(member, extents, packed)

    def _enter(self, path: bytes, place: int, size: int) -> None:
        self._folders.add(path, place, size, self._warn)

    def _own_size(self, place: int) -> int:
        """Of a folder, by its own first record."""
        record = self._image.all_at(place * self._volume.block, _RECORD.size)
        return int(_RECORD.unpack(record)[3]) if len(record) == _RECORD.size else 0

    def _continued(self, block: int, offset: int, size: int) -> bytes:
        return self._image.all_at(block * self._volume.block + offset, min(size, SECTOR))

    def _name(self, raw: bytes, flags: int) -> bytes:
        if self._volume.is_joliet:
            # A character that is half of one is in no Unicode, but it is on the disc.
            raw = raw[: len(raw) // 2 * 2].decode("utf-16-be", "surrogatepass").encode("utf-8", "surrogatepass")
        elif self._encoding is not None:
            raw = readable_name(raw, self._encoding)
        if flags & _FOLDER:
            return raw
        name, semicolon, version = raw.rpartition(b";")
        if semicolon and version.isdigit():
            raw = name
        return raw[:-1] if raw.endswith(b".") and not self._volume.is_joliet else raw
