"""7z: members of a 7z archive, by the header at its end (7zFormat.txt of the LZMA SDK).

A 7z has *folders*: streams of compressed data, each of which holds the content of several members, one after another.
The header says which, and is mostly compressed itself. It is read here, not by `py7zr`: that takes 350 bytes of memory
for each member, and a header of a few kB can promise eight million; arrays take what the header has. What folders
hold, `unpacking` decodes.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from ..errors import ArchiveError
from ..walk import DIRECTORY, FILE, SYMLINK
from .members import Member
from .memory import Memory
from .seekable import Seekable
from .unpacking import Coder, Packed, is_encrypted, last_step, unpacked

MAGIC = b"7z\xbc\xaf\x27\x1c"
_START = struct.Struct("<6s2sLQQL")
_MAX_HEADER = 64 * 1024 * 1024
"""Bytes of a header, unpacked: about half a million members."""

_MAX_COUNT = 1_000_000
"""Of members, and of folders."""

_MAX_STREAMS = 32  # of one folder, as 7-Zip has it
_MAX_SIZE = 1 << 62
_MAX_TIME = 1 << 63
_EPOCH_OF_NTFS = 116_444_736_000_000_000
_UNIX_MODE, _IS_DIRECTORY, _IS_REPARSE_POINT = 0x8000, 0x10, 0x400
_NO_CRC = -1

# What the parts of a header begin with.
_END, _HEADER, _PROPERTIES, _ADDITIONAL, _MAIN, _FILES, _PACK, _UNPACK, _SUBSTREAMS = range(9)
_SIZE, _CRC, _FOLDER, _UNPACK_SIZES, _COUNTS, _EMPTY_STREAM, _EMPTY_FILE = range(9, 16)
_NAMES, _MTIMES, _ATTRIBUTES, _ENCODED = 0x11, 0x14, 0x15, 0x17


class EncryptedHeaderError(ArchiveError):
    """Not even the names can be read without a password."""


@dataclass(slots=True)
class SevenZipMember:
    """A member; its content is ``member.size`` bytes from ``offset`` of what ``folder`` holds.

    ``folder`` is -1 for what has no content. ``size`` is that of a link's target too. ``crc`` is -1 if there is none.
    """

    member: Member
    folder: int
    offset: int
    size: int
    crc: int


class _Bytes:
    """The bytes of a header, read from their beginning. Its methods raise `ArchiveError` at the end."""

    def __init__(self, data: bytes, at: int = 0, end: int | None = None) -> None:
        self.data = data
        self.at = at
        self.end = len(data) if end is None else end

    def left(self) -> int:
        return self.end - self.at

    def part(self, size: int) -> _Bytes:
        """The next bytes, not copied; these go on after them."""
        if size > self.left():
            raise ArchiveError("is damaged: its header ends too early")
        self.at += size
        return _Bytes(self.data, self.at - size, self.at)

    def take(self, size: int) -> bytes:
        if size > self.left():
            raise ArchiveError("is damaged: its header ends too early")
        self.at += size
        return self.data[self.at - size : self.at]

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self) -> int:
        """One of 1 to 9 bytes: the ones that the first begins with say how many follow."""
        first = self.byte()
        more = 8 - (first ^ 0xFF).bit_length()
        value = int.from_bytes(self.take(more), "little")
        return value | (first & (0xFF >> (more + 1))) << 8 * more if more < 8 else value

    def count(self) -> int:
        """A number of things that take a byte or more each."""
        value = self.number()
        if value > self.left():
            raise ArchiveError("is damaged: its header promises more than it has")
        if value > _MAX_COUNT:
            raise ArchiveError(f"has {value:,} members or folders, and at most {_MAX_COUNT:,} are read")
        return value

    def bits(self, count: int) -> bytearray:
        packed = self.take((count + 7) // 8)
        return bytearray(packed[number >> 3] >> (7 - (number & 7)) & 1 for number in range(count))

    def defined(self, count: int) -> bytearray:
        """Of which things something is told; a byte says whether of all."""
        return bytearray(b"\1") * count if self.byte() else self.bits(count)

    def crcs(self, count: int) -> array[int]:
        found = array("q", [_NO_CRC]) * count
        for number, is_told in enumerate(self.defined(count)):
            if is_told:
                found[number] = int.from_bytes(self.take(4), "little")
        return found

    def expect(self, wanted: int) -> None:
        if self.byte() != wanted:
            raise ArchiveError("is damaged: its header is not in order")


class _Streams:
    """What is packed where, and how: arrays, for there may be a folder for each member."""

    def __init__(self) -> None:
        self.pack_at = 0
        self.pack_sizes = array("Q")
        self._data = b""
        self._packed_streams = 0
        self._folders = array("Q")  # where each begins in the header
        self._first_size = array("Q")
        self._first_packed = array("Q")
        self._pack_ends = array("Q")
        self._sizes = array("Q")  # of each stream that a folder's coders give
        self.folder_crcs = array("q")
        self.counts = array("Q")
        self.sizes = array("Q")  # of members
        self.crcs = array("q")

    def read(self, header: _Bytes) -> None:
        before = 0
        while part := header.byte():
            if part <= before:
                raise ArchiveError("is damaged: its header is not in order")
            before = part
            if part == _PACK:
                self._read_packed(header)
            elif part == _UNPACK:
                self._read_folders(header)
            elif part == _SUBSTREAMS:
                self._read_substreams(header)
            else:
                raise ArchiveError("is damaged: its header is not in order")
        if not self.counts:
            self._one_each()
        if self._packed_streams > len(self.pack_sizes):
            raise ArchiveError("is damaged: its header has content that is nowhere")

    def _read_packed(self, header: _Bytes) -> None:
        self.pack_at = header.number()
        count = header.count()
        while part := header.byte():
            if part == _SIZE:
                self.pack_sizes = array("Q", (header.number() for _ in range(count)))
                self._pack_ends = array("Q", accumulate(self.pack_sizes, initial=0))
            elif part == _CRC:
                header.crcs(count)
            else:
                raise ArchiveError("is damaged: its header is not in order")

    def _read_folders(self, header: _Bytes) -> None:
        header.expect(_FOLDER)
        count = header.count()
        header.expect(0)  # not in another stream
        self._data = header.data
        outs = array("Q")
        packed = 0
        for _ in range(count):
            self._folders.append(header.at)
            self._first_packed.append(packed)
            coders, _, places = _read_folder(header)
            outs.append(sum(coder.outs for coder in coders))
            packed += len(places)
        self._packed_streams = packed
        header.expect(_UNPACK_SIZES)
        for number in outs:
            self._first_size.append(len(self._sizes))
            self._sizes.extend(header.number() for _ in range(number))
        self.folder_crcs = array("q", [_NO_CRC]) * count
        while part := header.byte():
            if part != _CRC:
                raise ArchiveError("is damaged: its header is not in order")
            self.folder_crcs = header.crcs(count)

    def _one_each(self) -> None:
        self.counts = array("Q", [1]) * len(self._folders)
        self.sizes = array("Q", (self._size(number) for number in range(len(self._folders))))
        self.crcs = self.folder_crcs

    def _read_substreams(self, header: _Bytes) -> None:
        part = header.byte()
        folders = range(len(self._folders))
        self.counts = array("Q", [1]) * len(self._folders)
        if part == _COUNTS:
            self.counts = array("Q", (header.number() for _ in folders))
            part = header.byte()
        # Each but the last of a folder has its size here, of a byte or more.
        if sum(self.counts) > min(_MAX_COUNT, len(self._folders) + header.left()):
            raise ArchiveError("is damaged: its header promises more than it has")
        for number, count in enumerate(self.counts):
            if not count:
                continue
            left = self._size(number)
            for _ in range(count - 1):
                self.sizes.append(header.number() if part == _SIZE else 0)
                left -= self.sizes[-1]
            if left < 0:
                raise ArchiveError("is damaged: members are larger than what holds them")
            self.sizes.append(left)
        if part == _SIZE:
            part = header.byte()
        self._read_crcs(header, part)

    def _read_crcs(self, header: _Bytes, part: int) -> None:
        """Of the members whose folder does not have it already."""
        is_known = [count == 1 and crc != _NO_CRC for count, crc in zip(self.counts, self.folder_crcs, strict=True)]
        unknown = sum(count for count, known in zip(self.counts, is_known, strict=True) if not known)
        told = array("q", [_NO_CRC]) * unknown
        while part:
            if part == _CRC:
                told = header.crcs(unknown)
            else:
                raise ArchiveError("is damaged: its header is not in order")
            part = header.byte()
        at = 0
        for number, known in enumerate(is_known):
            if known:
                self.crcs.append(self.folder_crcs[number])
            else:
                self.crcs.extend(told[at : at + self.counts[number]])
                at += self.counts[number]

    def _size(self, number: int) -> int:
        """Bytes that a folder holds."""
        coders, bonds, _ = _read_folder(_Bytes(self._data, self._folders[number]))
        return self._sizes[self._first_size[number] + last_step(coders, bonds)]

    def packed(self, number: int) -> Packed:
        """How a folder is packed."""
        coders, bonds, places = _read_folder(_Bytes(self._data, self._folders[number]))
        first, first_size = self._first_packed[number], self._first_size[number]
        outs = sum(coder.outs for coder in coders)
        return Packed(
            coders,
            bonds,
            places,
            list(self._sizes[first_size : first_size + outs]),
            _START.size + self.pack_at + self._pack_ends[first],
            list(self.pack_sizes[first : first + len(places)]),
        )


def _read_folder(header: _Bytes) -> tuple[list[Coder], dict[int, int], list[int]]:
    """Its coders, the stream that each of their input streams comes from, and those that come from outside."""
    coders = []
    for _ in range(header.count()):
        flags = header.byte()
        method = header.take(flags & 0xF)
        ins, outs = (header.number(), header.number()) if flags & 0x10 else (1, 1)
        coders.append(Coder(method, header.take(header.number()) if flags & 0x20 else b"", ins, outs))
        if flags & 0xC0 or len(coders) > _MAX_STREAMS or ins > _MAX_STREAMS or outs != 1:
            raise ArchiveError("is damaged: its header has impossible coders")
    ins = sum(coder.ins for coder in coders)
    if not coders or not len(coders) <= ins <= _MAX_STREAMS:
        raise ArchiveError("is damaged: its header has impossible coders")
    bonds = {header.number(): header.number() for _ in range(len(coders) - 1)}
    free = [number for number in range(ins) if number not in bonds]
    places = free if ins == len(coders) else [header.number() for _ in range(ins - len(coders) + 1)]
    if sorted(places) != free or not set(bonds.values()) < set(range(len(coders))):
        raise ArchiveError("is damaged: its header has impossible coders")
    return coders, bonds, places


class Directory:
    """What the header tells."""

    def __init__(self, header: _Bytes | None) -> None:
        self._streams = _Streams()
        self.count = 0
        self._names: _Bytes | None = None
        self._empty = self._empty_files = bytearray()
        self._mtimes, self._attributes = array("Q"), array("L")
        if header is None:
            return
        while part := header.byte():
            if part == _MAIN:
                self._streams.read(header)
            elif part == _FILES:
                self._read_files(header)
            else:
                raise ArchiveError("is damaged: its header is not in order")

    def _read_files(self, header: _Bytes) -> None:
        self.count = count = header.count()
        self._empty = bytearray(count)
        while part := header.number():
            field = header.part(header.number())
            if part == _EMPTY_STREAM:
                self._empty = field.bits(count)
                self._empty_files = bytearray(sum(self._empty))
            elif part == _EMPTY_FILE:
                self._empty_files = field.bits(sum(self._empty))
            elif part == _NAMES:
                field.expect(0)
                self._names = field
            elif part in (_MTIMES, _ATTRIBUTES):
                defined = field.defined(count)
                field.expect(0)
                size = 8 if part == _MTIMES else 4
                values = (int.from_bytes(field.take(size), "little") if told else 0 for told in defined)
                if part == _MTIMES:
                    self._mtimes = array("Q", values)
                else:
                    self._attributes = array("L", values)

    def members(self, name: bytes) -> Iterator[SevenZipMember]:
        """The members in their order; ``name`` is for one that has none.

        Raises:
            ArchiveError: from here on the header is damaged.
        """
        streams = self._streams
        folder, in_folder, offset, number_of_stream, empties = -1, 0, 0, 0, 0
        is_locked = False
        for number in range(self.count):
            attributes = self._attributes[number] if self._attributes else 0
            mtime_ns = _time(self._mtimes[number] if self._mtimes else 0)
            member = Member(name if self._names is None else _next_name(self._names), FILE, 0, mtime_ns)
            member.mode = attributes >> 16 & 0o7777 if attributes & _UNIX_MODE else None
            if self._empty[number]:
                is_file = empties < len(self._empty_files) and self._empty_files[empties]
                empties += 1
                member.kind = FILE if is_file and not attributes & _IS_DIRECTORY else DIRECTORY
                yield SevenZipMember(member, -1, 0, 0, _NO_CRC)
                continue
            while not in_folder:
                folder, offset = folder + 1, 0
                if folder >= len(streams.counts):
                    raise ArchiveError("is damaged: its header has members without content")
                in_folder = streams.counts[folder]
                is_locked = is_encrypted(streams.packed(folder).coders)
            size = streams.sizes[number_of_stream]
            if size > _MAX_SIZE:
                raise ArchiveError("is damaged: a member has an impossible size")
            member.kind = _kind(attributes)
            member.size = size if member.kind == FILE else 0
            member.encrypted = is_locked
            yield SevenZipMember(member, folder, offset, size, streams.crcs[number_of_stream])
            offset, in_folder, number_of_stream = offset + size, in_folder - 1, number_of_stream + 1

    def packed(self, folder: int) -> Packed:
        """How a folder is packed."""
        return self._streams.packed(folder)


def _next_name(names: _Bytes) -> bytes:
    end = names.data.find(b"\0\0", names.at, names.end)
    while end >= 0 and (end - names.at) % 2:
        end = names.data.find(b"\0\0", end + 1, names.end)
    if end < 0:
        raise ArchiveError("is damaged: its header has too few names")
    # Half of a pair of units is no character, but may stand in a name of Windows.
    name = names.take(end - names.at).decode("utf-16-le", "surrogatepass")
    names.take(2)
    return name.encode("utf-8", "surrogatepass")


def _time(told: int) -> int:
    """Of a time of Windows, in 100 ns since 1601; 0 if there is none, or one before 1970, as libarchive has it."""
    mtime_ns = (told - _EPOCH_OF_NTFS) * 100
    return mtime_ns if 0 < mtime_ns < _MAX_TIME else 0


def _kind(attributes: int) -> str:
    """Of what has content: its mode of Unix says it, if there is one."""
    if attributes & _UNIX_MODE:
        return {0o12: SYMLINK, 0o10: FILE, 0: FILE}.get(attributes >> 28, "other")
    return SYMLINK if attributes & _IS_REPARSE_POINT else FILE


def read_directory(file: Seekable, memory: Memory) -> Directory:
    """The header of a 7z; where it is packed, its decoders take of ``memory``.

    Raises:
        EncryptedHeaderError: it needs a password.
        ArchiveError: it is damaged, or too large.
        OSError: the medium cannot be read.
    """
    start = file.all_at(0, _START.size)
    if len(start) < _START.size:
        raise ArchiveError("is cut: its beginning is missing")
    magic, _, crc, offset, size, header_crc = _START.unpack(start)
    if magic != MAGIC or zlib.crc32(start[12:]) != crc:
        raise ArchiveError("is damaged: what it begins with is not what its checksum says")
    if not size:
        return Directory(None)
    if _START.size + offset + size > file.size:
        raise ArchiveError("is cut, or is the first of several volumes: the header at its end is missing")
    _limit(size)
    data = _checked(file.all_at(_START.size + offset, size), header_crc)
    # A header that is packed may be packed once more; nobody does it ten times.
    for _ in range(10):
        header = _Bytes(data)
        kind = header.byte()
        if kind == _HEADER:
            return Directory(header)
        if kind != _ENCODED:
            break
        data = _unpacked_header(file, header, memory)
    raise ArchiveError("is damaged: its header begins with what is none")


def _limit(size: int) -> None:
    if size > _MAX_HEADER:
        raise ArchiveError(f"has a header of {size:,} bytes; at most {_MAX_HEADER:,} are read")


def _checked(data: bytes, crc: int) -> bytes:
    if crc not in (_NO_CRC, zlib.crc32(data)):
        raise ArchiveError("is damaged: its header is not what its checksum says")
    return data


def _unpacked_header(file: Seekable, header: _Bytes, memory: Memory) -> bytes:
    streams = _Streams()
    streams.read(header)
    if not streams.counts:
        raise ArchiveError("is damaged: its header is packed in nothing")
    packed = streams.packed(0)
    if is_encrypted(packed.coders):
        raise EncryptedHeaderError("is encrypted, names too: it is listed as one file")
    _limit(packed.size)
    data = b"".join(unpacked(packed, file, packed.size, memory))
    return _checked(data, streams.folder_crcs[0])
