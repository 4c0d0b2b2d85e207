"""zip: local headers, central directory and its end, as bytes.

After PKWARE's APPNOTE 6.3.10 (section numbers below). Each member has its sizes and CRC-32 in the local header, so
that a reader needs no central directory and no data descriptor; ZIP64 extra fields stand only where a number needs
them. Times stand twice: the DOS field in local time (two seconds, 1980 to 2107), and Info-ZIP's extended timestamp
in UTC. Names are UTF-8 with flag bit 11 (appendix D); a name that is not UTF-8 stands as it is without the flag.

A member of one piece is deflated by libdeflate. A large one is cut into chunks that are compressed apart and joined:
each but the last ends at a flush point on a byte boundary, and may refer to the 32 KiB before it, as pigz does.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import IO

from zlib_ng import zlib_ng

from ..digests import Buffer

STORED = 0
DEFLATED = 8
WINDOW = 32 * 1024

_LOCAL = struct.Struct("<IHHHHHIIIHH")  # 4.3.7
_CENTRAL = struct.Struct("<IHHHHHHIIIHHHHHII")  # 4.3.12
_END = struct.Struct("<IHHHHIIH")  # 4.3.16
_END64 = struct.Struct("<IQHHIIQQQQ")  # 4.3.14
_LOCATOR64 = struct.Struct("<IIQI")  # 4.3.15
_TIMESTAMP = struct.Struct("<HHBi")  # Info-ZIP's extra field 0x5455, "UT"

_LIMIT = 0xFFFFFFFF
_UNIX = 3 << 8
_UTF8 = 0x800
MAX_NAME = 0xFFFF


@dataclass(frozen=True, slots=True)
class ZipMember:
    """What both headers of a member say.

    Attributes:
        name: path in the archive; a directory's ends with a slash.
        mode: Unix mode with the file type, for the upper half of the external attributes.
        mtime_ns: nanoseconds since 1970.
        method: `STORED` or `DEFLATED`.
        size, compressed_size: bytes of content, before and after.
        zip64: whether the sizes stand in the ZIP64 field of the local header; decided before they are known.
    """

    name: bytes
    mode: int
    mtime_ns: int
    method: int
    crc32: int
    size: int
    compressed_size: int
    zip64: bool = False


def needs_zip64(size: int) -> bool:
    """Whether a member of this size might need 64 bits for its sizes, even if its content does not shrink."""
    return size + size // 1000 + 1024 >= _LIMIT


def local_header(member: ZipMember) -> bytes:
    """The header in front of a member's content; its length depends on the name and ``zip64`` alone."""
    flags, date, stamp, timestamp = _encode_fields(member.name, member.mtime_ns)
    extra, size, compressed_size, version = timestamp, member.size, member.compressed_size, 20
    if member.zip64:  # 4.5.3: both sizes, and both 32-bit fields full
        extra += struct.pack("<HHQQ", 1, 16, size, compressed_size)
        size = compressed_size = _LIMIT
        version = 45
    return (
        _LOCAL.pack(
            0x04034B50,
            version,
            flags,
            member.method,
            stamp,
            date,
            member.crc32,
            compressed_size,
            size,
            len(member.name),
            len(extra),
        )
        + member.name
        + extra
    )


def central_entry(member: ZipMember, offset: int) -> bytes:
    """The member's entry in the central directory; ``offset`` is that of its local header in the archive."""
    flags, date, stamp, timestamp = _encode_fields(member.name, member.mtime_ns)
    wide = b""
    numbers = [member.size, member.compressed_size, offset]
    for i, number in enumerate(numbers):
        if number >= _LIMIT:
            wide += struct.pack("<Q", number)
            numbers[i] = _LIMIT
    extra = timestamp + (struct.pack("<HH", 1, len(wide)) + wide if wide else b"")
    version = 45 if wide or member.zip64 else 20
    attributes = member.mode << 16 | (0x10 if member.name.endswith(b"/") else 0)
    return (
        _CENTRAL.pack(
            0x02014B50,
            _UNIX | version,
            version,
            flags,
            member.method,
            stamp,
            date,
            member.crc32,
            numbers[1],
            numbers[0],
            len(member.name),
            len(extra),
            0,
            0,
            0,
            attributes & 0xFFFFFFFF,
            numbers[2],
        )
        + member.name
        + extra
    )


def rebase_central(entries: bytes, base: int) -> bytes:
    """Move the entries of a frame to where it stands in the archive: ``base`` is added to every offset.

    The offsets in ``entries`` are under 4 GiB, as frames are; where one no longer is, its entry gets a ZIP64 field.
    """
    if base == 0:
        return entries
    moved = bytearray(entries)
    position = 0
    while position < len(moved):
        name, extra, comment = struct.unpack_from("<HHH", moved, position + 28)
        length = _CENTRAL.size + name + extra + comment
        offset = int.from_bytes(moved[position + 42 : position + 46], "little") + base
        if offset < _LIMIT:
            struct.pack_into("<I", moved, position + 42, offset)
        else:
            struct.pack_into("<I", moved, position + 42, _LIMIT)
            struct.pack_into("<H", moved, position + 30, extra + 12)
            struct.pack_into("<BBH", moved, position + 4, 45, _UNIX >> 8, 45)
            end = position + length
            moved[end:end] = struct.pack("<HHQ", 1, 8, offset)
            length += 12
        position += length
    return bytes(moved)


def central_entries(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """The entries of a central directory from where the file stands: offset of the member, and the entry's bytes.

    Ends at the first thing that is no whole entry.
    """
    while len(fixed := file.read(_CENTRAL.size)) == _CENTRAL.size and fixed.startswith(b"PK\x01\x02"):
        name, extra, comment = struct.unpack_from("<HHH", fixed, 28)
        rest = file.read(name + extra + comment)
        if len(rest) < name + extra + comment:
            return
        (offset,) = struct.unpack_from("<I", fixed, 42)
        if offset == _LIMIT:  # 4.5.3: the offset is the last of the ZIP64 fields, which come last here
            if len(rest) < 8:
                return
            (offset,) = struct.unpack_from("<Q", rest, len(rest) - 8)
        yield offset, fixed + rest


def central_start(file: IO[bytes]) -> int | None:
    """Where the central directory of an archive of ours starts, which has no comment; None if it has no such end."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - _END.size - _LOCATOR64.size, 0))
    tail = file.read()
    if len(tail) < _END.size or tail[-_END.size :][:4] != b"PK\x05\x06":
        return None
    start: int = _END.unpack(tail[-_END.size :])[6]
    if tail.startswith(b"PK\x06\x07") and len(tail) == _END.size + _LOCATOR64.size:
        file.seek(min(_LOCATOR64.unpack(tail[: _LOCATOR64.size])[2], size))
        end64 = file.read(_END64.size)
        if len(end64) < _END64.size or not end64.startswith(b"PK\x06\x06"):
            return None
        start = _END64.unpack(end64)[9]
    return start if start < size else None


def end_of_central_directory(entries: int, size: int, offset: int) -> bytes:
    """What closes the archive after ``entries`` central entries of ``size`` bytes at ``offset``."""
    end = b""
    if entries >= 0xFFFF or size >= _LIMIT or offset >= _LIMIT:
        end = _END64.pack(0x06064B50, 44, _UNIX | 45, 45, 0, 0, entries, entries, size, offset)
        end += _LOCATOR64.pack(0x07064B50, 0, offset + size, 1)
    count = min(entries, 0xFFFF)
    return end + _END.pack(0x06054B50, 0, 0, count, count, min(size, _LIMIT), min(offset, _LIMIT), 0)


def deflate_chunk(chunk: Buffer, window: Buffer, level: int, last: bool) -> bytes:
    """One chunk of a deflate stream, for joining with those before and after it.

    Args:
        chunk: the content.
        window: up to 32 KiB of content just before the chunk, which it may refer to; empty for the first.
        level: as for the whole member; libdeflate's levels above 9 count as 9.
        last: whether the stream ends here.
    """
    compressor = zlib_ng.compressobj(
        min(level, 9), zlib_ng.DEFLATED, -zlib_ng.MAX_WBITS, 9, zlib_ng.Z_DEFAULT_STRATEGY, bytes(window)
    )
    body: bytes = compressor.compress(chunk)
    body += compressor.flush(zlib_ng.Z_FINISH if last else zlib_ng.Z_SYNC_FLUSH)
    return body if len(body) < len(chunk) else stored_blocks(chunk, last)


def stored_blocks(chunk: Buffer, last: bool) -> bytes:
    """The chunk as stored blocks of a deflate stream: RFC 1951 3.2.4."""
    view = memoryview(chunk)
    parts: list[Buffer] = []
    for start in range(0, max(len(view), 1), 0xFFFF):
        piece = view[start : start + 0xFFFF]
        final = last and start + 0xFFFF >= len(view)
        parts += struct.pack("<BHH", final, len(piece), len(piece) ^ 0xFFFF), piece
    return b"".join(parts)


@lru_cache(maxsize=4096)
def _dos_time(seconds: int) -> tuple[int, int]:
    """Date and time of the DOS fields, in local time, clamped to what they can say (4.4.6)."""
    try:
        local = time.localtime(seconds)
    except (OverflowError, OSError, ValueError):
        return (0xFF9F, 0xBF7D) if seconds > 0 else (0x21, 0)
    if local.tm_year < 1980:
        return 0x21, 0
    if local.tm_year > 2107:
        return 0xFF9F, 0xBF7D
    date = (local.tm_year - 1980) << 9 | local.tm_mon << 5 | local.tm_mday
    return date, local.tm_hour << 11 | local.tm_min << 5 | min(local.tm_sec, 59) // 2


def _encode_fields(name: bytes, mtime_ns: int) -> tuple[int, int, int, bytes]:
    """Flags, DOS date, DOS time, and the extended timestamp, empty where its 32 bits do not reach."""
    flags = 0
    if not name.isascii():
        try:
            name.decode()
            flags = _UTF8
        except UnicodeDecodeError:
            flags = 0
    seconds = mtime_ns // 1_000_000_000
    date, stamp = _dos_time(seconds)
    if -(1 << 31) <= seconds < 1 << 31:
        return flags, date, stamp, _TIMESTAMP.pack(0x5455, 5, 1, seconds)
    return flags, date, stamp, b""
