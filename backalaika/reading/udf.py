"""UDF: the files of an image of a disc (ECMA-167, OSTA UDF 1.02 to 2.60), as pressed and recorded discs have it.

From the anchor to the description of the volume, from there to the set of files, and then folder by folder. The
entries may lie in a file of their own, the metadata partition of UDF 2.50 (2.2.10), as on many Blu-ray discs. A
partition that is virtual or sparable (packet writing) is not read: an error, and no guess. What is in memory is as in
`iso9660`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from ..errors import ArchiveError
from ..walk import DIRECTORY, FILE, SYMLINK
from .iso9660 import Folders, ImageMember, Warn
from .members import Member, joined
from .seekable import HOLE, Extents, Seekable, of_extents
from .timestamps import of_udf

_ANCHOR, _PARTITION, _LOGICAL_VOLUME, _TERMINATOR = 2, 5, 6, 8
_FILE_SET, _NAME, _MORE_EXTENTS, _ENTRY, _EXTENDED_ENTRY = 256, 257, 258, 261, 266
_SECTORS = (2048, 512, 4096)
_MAX_DESCRIPTORS = 256
_MAX_EXTENTS = 100_000
# 1 GiB less a block is the most that one extent has: a file of 1 TB, and a hole, is no more than that.
_LENGTH = (1 << 30) - 1
_RECORDED, _GOES_ON = 0, 3
_FOLDER_TYPE, _LINK_TYPE = 4, 12
_CONTENT_TYPES = (0, 5, 249, 250, 251)
_DELETED, _PARENT = 0x04, 0x08
_MAX_TARGET = 65536


class _Node(NamedTuple):
    """What a file entry says."""

    type: int
    size: int
    mtime_ns: int
    extents: Extents


class _Place(NamedTuple):
    """Where a file entry is."""

    block: int
    partition: int


class _Map(NamedTuple):
    """A partition; the places in it are those in ``file``, if its entries lie in one."""

    number: int
    file: Extents = ()


def members(image: Seekable, warn: Warn) -> Iterator[ImageMember | None]:
    """The members of an image, folder by folder, and None where one ends.

    Args:
        image: the bytes.
        warn: is told of a file or folder, by its path, that cannot be read as it should be.

    Raises:
        ArchiveError: it is no such image, or it cannot be read any further.
    """
    return _Volume(image).members(warn)


def _tag(data: bytes) -> int:
    """Which descriptor it is; -1 if it is none: its checksum is wrong."""
    if len(data) < 16 or (sum(data[:16]) - data[4]) & 0xFF != data[4]:
        return -1
    return data[0] | data[1] << 8


def _text(told: bytes) -> bytes:
    """OSTA compressed Unicode as UTF-8."""
    if told[:1] in (b"\x08", b"\xfe"):
        return told[1:].decode("latin-1").encode()
    if told[:1] in (b"\x10", b"\xff"):
        units = told[1 : 1 + (len(told) - 1) // 2 * 2]
        return units.decode("utf-16-be", "surrogatepass").encode("utf-8", "surrogatepass")
    return told[1:]


class _Volume:
    """A UDF volume in an image."""

    def __init__(self, image: Seekable) -> None:
        self._image = image
        self._starts: dict[int, int] = {}
        self._maps: list[_Map] = []
        self._block, self._root = self._find_root(*self._find_anchor())

    def _find_anchor(self) -> tuple[int, bytes]:
        for sector in _SECTORS:
            last = self._image.size // sector - 1
            for number in (256, last, last - 256):
                if number > 0:
                    data = self._image.all_at(number * sector, 512)
                    if _tag(data) == _ANCHOR and int.from_bytes(data[12:16], "little") == number:
                        return sector, data
        raise ArchiveError("is cut or damaged: the anchor of UDF is missing")

    def _find_root(self, sector: int, anchor: bytes) -> tuple[int, _Place]:
        length, place, spare_length, spare = struct.unpack_from("<4L", anchor, 16)
        for start, size in ((place, length), (spare, spare_length)):
            volume = self._describe(sector, start, size)
            if volume:
                block = int.from_bytes(volume[212:216], "little")
                if block not in _SECTORS:
                    break
                self._block = block
                self._read_maps(volume)
                file_set_place = _Place(*struct.unpack_from("<LH", volume, 252))
                file_set = self._image.all_at(self._offset(file_set_place), 512)
                if _tag(file_set) != _FILE_SET:
                    raise ArchiveError("is cut or damaged: UDF's set of files is missing")
                return block, _Place(*struct.unpack_from("<LH", file_set, 404))
        raise ArchiveError("is cut or damaged: UDF's description of the volume is missing")

    def _describe(self, sector: int, start: int, size: int) -> bytes:
        """Take in where the partitions begin; returns the description of the logical volume, empty if missing."""
        volume = b""
        for number in range(min(size // sector, _MAX_DESCRIPTORS)):
            data = self._image.all_at((start + number) * sector, sector)
            tag = _tag(data)
            if tag == _PARTITION:
                [partition] = struct.unpack_from("<H", data, 22)
                [first] = struct.unpack_from("<L", data, 188)
                self._starts[partition] = first * sector
            elif tag == _LOGICAL_VOLUME and len(data) >= 512:
                volume = data
            elif tag == _TERMINATOR:
                break
        return volume

    def _read_maps(self, volume: bytes) -> None:
        """The partition that each number in a place means."""
        [count] = struct.unpack_from("<L", volume, 268)
        at = 440
        while count and at + 6 <= len(volume) and volume[at + 1] >= 6:
            entry = volume[at : at + volume[at + 1]]
            name = entry[5:28].rstrip(b"\0")
            if entry[0] == 1:
                self._maps.append(_Map(int.from_bytes(entry[4:6], "little")))
            elif name == b"*UDF Metadata Partition" and len(entry) >= 48:
                number, main, mirror = struct.unpack_from("<H2L", entry, 38)
                self._maps.append(_Map(number, self._metadata(number, (main, mirror))))
            else:
                raise ArchiveError(f"has a partition of UDF that is not read here ({name.decode('ascii', 'replace')})")
            at += len(entry)
            count -= 1

    def _metadata(self, number: int, places: tuple[int, int]) -> Extents:
        """Where the file lies that has the entries; or its mirror, if it is damaged."""
        physical = next((at for at, one in enumerate(self._maps) if one.number == number and not one.file), None)
        if physical is None:
            raise ArchiveError("is damaged: it names a partition that is not there")
        try:
            return self._node(_Place(places[0], physical)).extents
        except (ArchiveError, OSError):
            return self._node(_Place(places[1], physical)).extents

    def _offset(self, place: _Place) -> int:
        return self._where(place, self._block)[0][0]

    def _where(self, place: _Place, size: int) -> list[tuple[int, int]]:
        """The extents of so many bytes from there on."""
        try:
            number, file = self._maps[place.partition]
            start = place.block * self._block
            if not file:
                return [(self._starts[number] + start, size)]
        except (IndexError, KeyError):
            raise ArchiveError("is damaged: it names a partition that is not there") from None
        found: list[tuple[int, int]] = []
        for offset, length in file:
            inside = min(max(0, length - start), size)
            if inside:
                found.append((offset + start if offset != HOLE else HOLE, inside))
            start, size = max(0, start - length), size - inside
        if size or not found:
            raise ArchiveError("is damaged: it names a place behind its metadata")
        return found

    def members(self, warn: Warn) -> Iterator[ImageMember | None]:
        root = self._node(self._root)
        folders = Folders(self._image.size)
        waiting = {self._offset(self._root): root}
        folders.add(b"", self._offset(self._root), root.size, warn)
        for path, place, _ in folders:
            node = waiting.pop(place)
            try:
                for name, where in self._names(node):
                    found = self._member(joined(path, name), where, warn)
                    if found is None:
                        continue
                    member, below = found
                    if below is not None:
                        folders.add(member.member.path, self._offset(where), below.size, warn)
                        waiting.setdefault(self._offset(where), below)
                    yield member
            except ArchiveError as error:
                warn(path, f"{error}; the rest of this folder is not listed")
            except OSError as error:
                warn(path, f"cannot be read: {error.strerror or error}; the rest of this folder is not listed")
            yield None

    def _member(self, path: bytes, place: _Place, warn: Warn) -> tuple[ImageMember, _Node | None] | None:
        """A member, and what there is of it if it is a folder; None if it is damaged."""
        try:
            node = self._node(place)
            if node.type == _FOLDER_TYPE:
                return ImageMember(Member(path, DIRECTORY, 0, node.mtime_ns)), node
            if node.type == _LINK_TYPE:
                target = self._target(_content(self._image, node, _MAX_TARGET))
                return ImageMember(Member(path, SYMLINK, 0, node.mtime_ns, target)), None
            if node.type not in _CONTENT_TYPES:
                return ImageMember(Member(path, "other", 0, node.mtime_ns)), None
            return ImageMember(Member(path, FILE, node.size, node.mtime_ns), node.extents), None
        except ArchiveError as error:
            warn(path, str(error))
        except OSError as error:
            warn(path, f"cannot be read: {error.strerror or error}")
        return None

    def _node(self, place: _Place) -> _Node:
        offset = self._offset(place)
        data = self._image.all_at(offset, self._block)
        tag = _tag(data)
        if tag not in (_ENTRY, _EXTENDED_ENTRY) or len(data) < 216:
            raise ArchiveError("is damaged: its entry is not where its folder says")
        [strategy] = struct.unpack_from("<H", data, 20)
        if strategy != 4:
            raise ArchiveError(f"has an entry of a strategy that is not read here ({strategy})")
        kind, [flags] = data[27], struct.unpack_from("<H", data, 34)
        [size] = struct.unpack_from("<Q", data, 56)
        time_at, lengths_at, start = (84, 168, 176) if tag == _ENTRY else (92, 208, 216)
        attributes, length = struct.unpack_from("<2L", data, lengths_at)
        start += attributes
        if start + length > len(data):
            raise ArchiveError("is damaged: its entry is larger than a block")
        if flags & 7 == 3:
            extents: Extents = ((offset + start, min(size, length)),)
        else:
            extents = self._extents(data[start : start + length], flags & 7, place.partition, size)
        if sum(length for _, length in extents) != size:
            raise ArchiveError("is damaged: its entry tells another size than its extents have")
        return _Node(kind, size, of_udf(data[time_at : time_at + 12]), extents)

    def _extents(self, descriptors: bytes, form: int, partition: int, size: int) -> Extents:
        """Where the first ``size`` bytes are."""
        found: list[tuple[int, int]] = []
        left = size
        for length, place in self._allocations(descriptors, form, partition):
            kind, length = length >> 30, min(length & _LENGTH, left)
            if length:
                found += self._where(place, length) if kind == _RECORDED else [(HOLE, length)]
                left -= length
            if len(found) > _MAX_EXTENTS:
                raise ArchiveError("is damaged: its extents have no end")
        return tuple(found)

    def _allocations(self, descriptors: bytes, form: int, partition: int) -> Iterator[tuple[int, _Place]]:
        if form not in (0, 1):
            raise ArchiveError(f"has allocation descriptors of a form that is not read here ({form})")
        entry = struct.Struct("<LL") if form == 0 else struct.Struct("<LLH6x")
        for _ in range(_MAX_EXTENTS):
            following = None
            for at in range(0, len(descriptors) // entry.size * entry.size, entry.size):
                told = entry.unpack_from(descriptors, at)
                place = _Place(told[1], partition if form == 0 else told[2])
                if told[0] >> 30 == _GOES_ON:
                    following = place
                    break
                if not told[0] & _LENGTH:
                    return
                yield told[0], place
            if following is None:
                return
            data = self._image.all_at(self._offset(following), self._block)
            if _tag(data) != _MORE_EXTENTS or len(data) < 24:
                raise ArchiveError("is damaged: its extents do not go on where they should")
            descriptors = data[24 : 24 + int.from_bytes(data[20:24], "little")]

    def _names(self, folder: _Node) -> Iterator[tuple[bytes, _Place]]:
        """Name, and where its entry is, of each that is not deleted."""
        if folder.type != _FOLDER_TYPE:
            raise ArchiveError("is damaged: a folder is none")
        source = of_extents(self._image, folder.extents).stream(0, folder.size)
        while head := source.read(38):
            if len(head) < 38 or _tag(head) != _NAME:
                raise ArchiveError("is damaged: a name is missing in it")
            flags, name_length = head[18], head[19]
            [used] = struct.unpack_from("<H", head, 36)
            rest = source.read(used + name_length)
            if len(rest) < used + name_length:
                raise ArchiveError("is cut: it ends in the midst of a name")
            source.skip(-(38 + len(rest)) % 4)
            if not flags & (_DELETED | _PARENT):
                yield _text(rest[used:]), _Place(*struct.unpack_from("<LH", head, 24))

    def _target(self, told: bytes) -> bytes:
        parts: list[bytes] = []
        at = 0
        while at + 4 <= len(told):
            kind, length = told[at], told[at + 1]
            if kind in (1, 2):
                parts = [b""]
            else:
                parts.append({3: b"..", 4: b"."}.get(kind, _text(told[at + 4 : at + 4 + length])))
            at += 4 + length
        return b"/".join(parts) if parts != [b""] else b"/"


def _content(image: Seekable, node: _Node, limit: int) -> bytes:
    return of_extents(image, node.extents).stream(0, min(node.size, limit)).read(limit)
