"""zip: members of a zip by its central directory, or by local headers where there is none (APPNOTE.TXT 6.3.10).

The central directory is read in pieces, one entry after another: a million members take no more memory than ten, which
`zipfile` cannot say. Where it stands is computed from its end, as unzip does, so that a program in front of the zip
does no harm. A zip that is cut, or that comes as a stream, is read by its local headers, which have names and sizes
too.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import ArchiveError
from ..walk import DIRECTORY, FILE, SYMLINK
from .members import Member, guess_encoding, readable_name
from .memory import MIB, Memory
from .seekable import Seekable
from .streams import DICTIONARY_LIMIT, PIECE, Budget, Stream, decoded, guarded, one_stream, xz_stream, zstd_pieces

LOCAL, CENTRAL, END, SPANNED = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x07\x08"
# In front of the first member, where the zip is of several volumes, or was to be.
_OF_VOLUMES = (SPANNED, b"PK00")
BEGINNINGS = (LOCAL, *_OF_VOLUMES)
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_UNKNOWN = 0xFFFFFFFF
# The place of a member on another volume of a set.
_ELSEWHERE = -1
_EPOCH_OF_NTFS = 116_444_736_000_000_000
_UTF8, _ENCRYPTED = 0x800, 0x1
# The sizes follow the content.
DESCRIPTOR = 0x8
_DOS, _UNIX, _MACOS = 0, 3, 19
_METHODS = {0: "stored", 8: "deflate", 12: "bz2", 14: "lzma", 93: "zst", 95: "xz"}
# Methods whose data tell their own end.
SELF_ENDING = (8, 12)


@dataclass(slots=True)
class ZipMember:
    """A member, and where its content is: ``stored`` bytes, which become ``promised`` bytes.

    ``raw`` is its name as the directory has it, ``disk`` the volume of a set that its content begins on.
    """

    member: Member
    method: int
    flags: int
    crc: int
    stored: int
    promised: int
    offset: int
    raw: bytes = b""
    disk: int = 0


@dataclass(frozen=True, slots=True)
class Directory:
    """Where the central directory is; ``shift`` is what stands in front of the zip, to be added to all offsets.

    ``disk`` is the number of this file where it is the last of a set of volumes, from 0.
    """

    offset: int
    size: int
    count: int
    shift: int
    disk: int = 0


def find_directory(file: Seekable) -> Directory:
    """The central directory of a zip.

    Raises:
        ArchiveError: there is none.
    """
    tail_at = max(0, file.size - 65535 - _END.size)
    tail = file.all_at(tail_at, file.size - tail_at)
    found = tail.rfind(END)
    while found >= 0:
        if len(tail) - found >= _END.size:
            record = _END.unpack_from(tail, found)
            # A comment may hold the signature too; the one that ends with the file is meant, or else the last.
            directory = _directory_of(file, record, tail_at + found)
            if directory is not None:
                return directory
        found = tail.rfind(END, 0, found)
    raise ArchiveError("is cut or damaged: the directory at its end is missing")


def _directory_of(file: Seekable, record: tuple[Any, ...], end_at: int) -> Directory | None:
    _, disk, first_disk, _, count, size, offset, _ = record
    stop = end_at
    if 0xFFFF in (disk, count) or _UNKNOWN in (size, offset):
        locator = file.at(end_at - _LOCATOR.size, _LOCATOR.size) if end_at >= _LOCATOR.size else b""
        if len(locator) == _LOCATOR.size and locator[:4] == b"PK\x06\x07":
            told = _LOCATOR.unpack(locator)[2]
            for place in (told, end_at - _LOCATOR.size - _END64.size):
                found = file.at(place, _END64.size) if 0 <= place < file.size else b""
                if len(found) == _END64.size and found[:4] == b"PK\x06\x06":
                    *_, disk, first_disk, _, count, size, offset = _END64.unpack(found)
                    stop = place
                    break
    if first_disk != disk and 0xFFFF not in (first_disk, disk):
        raise ArchiveError("is the last of several volumes, and its directory begins on another")
    for start in (stop - size, offset):
        if 0 <= start <= file.size and ((not count and not size) or file.at(start, 4) == CENTRAL):
            return Directory(start, size, count, max(0, start - offset), 0 if disk == 0xFFFF else disk)
    return None


def central_members(file: Seekable, directory: Directory, encoding: str | None) -> Iterator[ZipMember]:
    """The members that the central directory lists, in its order.

    Args:
        file: the zip.
        directory: where it is.
        encoding: of names without the UTF-8 flag that are not UTF-8; None guesses.

    Raises:
        ArchiveError: from here on it is damaged.
    """
    source = file.stream(directory.offset, file.size - directory.offset)
    guess = _Guess(encoding, lambda: _raw_names(file, directory))
    number = 0
    while source.peek(4) == CENTRAL:
        member = _central_member(source, guess)
        member.offset += directory.shift
        if directory.disk and member.disk != directory.disk:
            member.offset = _ELSEWHERE
        number += 1
        yield member
    # Old programs wrote more than 65,535 members without ZIP64, and the number overflowed.
    if number % 65536 != directory.count % 65536:
        raise ArchiveError(f"is damaged: its directory lists {number:,} of {directory.count:,} members")


def begins_further_on(file: Seekable, directory: Directory) -> bool:
    """Whether the directory is of a zip that lies behind the first of the file's own members, or behind all of them.

    In a zip that is cut the last directory is that of a zip among its members.
    """
    in_front = 4 if file.at(0, 4) in _OF_VOLUMES else 0
    if directory.shift <= in_front or directory.disk:
        return False
    try:
        first = next(central_members(file, directory, None), None)
    except ArchiveError:
        return False
    # Where nothing is there the place of the directory was told wrongly, and it is this zip's all the same.
    return first is not None and file.at(first.offset, 4) == LOCAL


class _Guess:
    """The encoding of odd names, guessed when the first is met."""

    def __init__(self, encoding: str | None, names: Callable[[], Iterator[bytes]]) -> None:
        self._encoding = encoding
        self._names = names

    def path(self, raw: bytes, flags: int, extra: bytes) -> tuple[bytes, bytes | None]:
        """A member's path as UTF-8; and its bytes, where nothing says in which encoding these are.

        Bytes that are UTF-8 may be so by accident, and those that are not in the encoding given are in another.
        """
        if told := _unicode_path(extra, raw):
            return told, None
        if flags & _UTF8 or raw.isascii():
            return raw, None
        if self._is_utf8(raw):
            return raw, raw
        if self._encoding is None:
            self._encoding = guess_encoding(self._names())
        return readable_name(raw, self._encoding), raw

    def _is_utf8(self, raw: bytes) -> bool:
        if self._encoding is not None:
            return False
        try:
            raw.decode()
        except UnicodeDecodeError:
            return False
        return True


def _raw_names(file: Seekable, directory: Directory) -> Iterator[bytes]:
    source = file.stream(directory.offset, file.size - directory.offset)
    for _ in range(10_000):
        header = source.read(_CENTRAL.size)
        if len(header) < _CENTRAL.size or header[:4] != CENTRAL:
            return
        fields = _CENTRAL.unpack(header)
        name = source.read(fields[10])
        if not fields[3] & _UTF8:
            yield name
        source.skip(fields[11] + fields[12])


def _central_member(source: Stream, guess: _Guess) -> ZipMember:
    header = source.read(_CENTRAL.size)
    if len(header) < _CENTRAL.size:
        raise ArchiveError("is cut: its directory ends in the midst of a member")
    (
        _, made_by, _, flags, method, dos_time, dos_date, crc, stored, size, name_size, extra_size, comment_size,
        disk, _, attributes, offset,
    ) = _CENTRAL.unpack(header)  # fmt: skip
    raw = source.read(name_size)
    extra = source.read(extra_size)
    if len(raw) != name_size or len(extra) != extra_size or source.skip(comment_size) != comment_size:
        raise ArchiveError("is cut: its directory ends in the midst of a member")
    fields = _extra_fields(extra)
    size, stored, offset = _zip64(fields.get(0x0001, b""), (size, stored, offset))
    path, raw_path = guess.path(raw, flags, extra)
    if made_by >> 8 == _DOS and b"/" not in path:
        path = path.replace(b"\\", b"/")  # from programs that did not know APPNOTE 4.4.17
    kind = FILE
    mode = attributes >> 16
    if made_by >> 8 in (_UNIX, _MACOS) and mode >> 12 == 0o12:
        kind = SYMLINK
    elif path.endswith(b"/") or (made_by >> 8 == _DOS and attributes & 0x10 and not size and not stored):
        kind = DIRECTORY  # what has content is a file, whatever its attributes say
    member = Member(path, kind, size if kind == FILE else 0, _time(fields, dos_date, dos_time), raw_path=raw_path)
    member.encrypted = bool(flags & _ENCRYPTED)
    if mode and made_by >> 8 in (_UNIX, _MACOS):
        member.mode = mode & 0o7777
    return ZipMember(member, method, flags, crc, stored, size, offset, raw, 0 if disk == 0xFFFF else disk)


def _extra_fields(extra: bytes) -> dict[int, bytes]:
    """The extra fields by their numbers; where one is there twice the first is meant, as libarchive has it."""
    found: dict[int, bytes] = {}
    for number, data in _each_field(extra):
        found.setdefault(number, data)
    return found


def _each_field(extra: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(extra):
        number, size = struct.unpack_from("<HH", extra, at)
        yield number, extra[at + 4 : at + 4 + size]
        at += 4 + size


def _zip64(field: bytes, values: tuple[int, ...]) -> Iterator[int]:
    """The values, those that do not fit in 32 bits from the field, where they stand in this order."""
    at = 0
    for value in values:
        if value == _UNKNOWN and len(field) >= at + 8:
            yield int(struct.unpack_from("<Q", field, at)[0])
            at += 8
        else:
            yield value


def _unicode_path(extra: bytes, raw: bytes) -> bytes | None:
    """Info-ZIP's UTF-8 name, the first that belongs to this one: APPNOTE 4.6.9 has its CRC-32 for that."""
    for number, data in _each_field(extra):
        if number == 0x7075 and len(data) > 5 and data[0] == 1:
            [crc] = struct.unpack_from("<L", data, 1)
            if crc == zlib.crc32(raw):
                return data[5:]
    return None


def _time(fields: dict[int, bytes], dos_date: int, dos_time: int) -> int:
    """Modification time in ns since 1970: NTFS's, Unix's, or DOS's, which is local time to 2 seconds."""
    ntfs = fields.get(0x000A, b"")
    if len(ntfs) >= 16 and ntfs[4:8] == b"\x01\0\x18\0":
        moment_ns = (int(struct.unpack_from("<Q", ntfs, 8)[0]) - _EPOCH_OF_NTFS) * 100
        if abs(moment_ns) < 1 << 63:  # from 1677 to 2262; what is beyond is no time of a file
            return moment_ns
    extended = fields.get(0x5455, b"")
    if len(extended) >= 5 and extended[0] & 1:
        seconds = int(struct.unpack_from("<l", extended, 1)[0])
        # DOS knows years to 2107; a signed number of seconds ends in 2038, and some programs go on all the same.
        return (seconds + (1 << 32) if seconds < 0 and dos_date >> 9 > 57 else seconds) * 1_000_000_000
    old = fields.get(0x5855, b"")
    if len(old) >= 8:
        return int(struct.unpack_from("<l", old, 4)[0]) * 1_000_000_000
    day = 1980 + (dos_date >> 9), dos_date >> 5 & 15, dos_date & 31
    moment = dos_time >> 11, dos_time >> 5 & 63, dos_time % 32 * 2
    try:
        return int(time.mktime((*day, *moment, 0, 0, -1))) * 1_000_000_000
    except (OverflowError, ValueError):
        return 0


def content(
    found: ZipMember, file: Seekable, budget: Budget, warn: Callable[[str], None]
) -> Iterator[bytes | memoryview]:
    """A member's content, decoded and checked. ``warn`` is told of a local header that contradicts the directory.

    Raises:
        ArchiveError: it cannot be decoded, is not what its CRC-32 says, or has another size.
    """
    if found.offset == _ELSEWHERE:
        raise ArchiveError("its content is on another volume of the set")
    header = file.at(found.offset, _LOCAL.size)
    if len(header) < _LOCAL.size or header[:4] != LOCAL:
        raise ArchiveError("its content is not where the directory says")
    fields = _LOCAL.unpack(header)
    start = found.offset + _LOCAL.size + fields[9] + fields[10]
    if start + found.stored > file.size:
        raise ArchiveError("its content is cut off")
    differs = fields[3] != found.method
    if not fields[2] & DESCRIPTOR and not differs:
        extra = _extra_fields(file.at(start - fields[10], fields[10]))
        size, stored = _zip64(extra.get(0x0001, b""), (fields[8], fields[7]))
        differs = (fields[6], stored, size) != (found.crc, found.stored, found.promised)
    if differs:
        warn("is damaged: its own header and the directory disagree; the directory was believed")
    elif (name := file.at(found.offset + _LOCAL.size, fields[9])) != found.raw:
        # One reader sees this name and another that: what a scanner lets pass may be something else to unzip.
        warn(f"is damaged: its own header gives it another name ({name[:200].decode(errors='replace')})")
    yield from checked(found, unpacked(found, file.stream(start, found.stored), budget))


def unpacked(found: ZipMember, source: Stream, budget: Budget) -> Iterator[bytes | memoryview]:
    """What the member's method of compression has made into these bytes.

    Raises:
        ArchiveError: the method is not known, or the data are damaged.
    """
    name = _METHODS.get(found.method)
    if name is None:
        raise ArchiveError(f"is compressed by a method that is not known here ({found.method})")
    if name == "stored":
        # Many entries of a directory may tell of the same bytes.
        return _counted(iter(lambda: source.take(PIECE), b""), budget)
    if name == "deflate":
        stream = decoded(name, source, budget)
        return iter(lambda: stream.take(PIECE), b"")
    if name == "zst":
        return _counted(zstd_pieces(source, budget.memory), budget)
    if name == "bz2":
        return _counted(one_stream(bz2.BZ2Decompressor(), source), budget)
    if name == "xz":
        return _counted(xz_stream(source, budget.memory), budget)
    return _counted(_of_lzma(found, source, budget.memory), budget)


def _counted(pieces: Iterator[bytes | memoryview], budget: Budget) -> Iterator[bytes | memoryview]:
    for piece in pieces:
        budget.spend(len(piece))
        yield piece


def _of_lzma(found: ZipMember, source: Stream, memory: Memory) -> Iterator[bytes]:
    chain = _lzma_chain(source)
    with memory.taking(chain["dict_size"] + MIB):
        try:
            decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[chain])
        except (lzma.LZMAError, ValueError):
            raise ArchiveError("is damaged: its LZMA properties are impossible") from None
        if found.flags & 2:
            yield from one_stream(decoder, source)
        else:  # no mark at its end, and a few bits too many
            yield from _unmarked(decoder, source, found.promised)


def _lzma_chain(source: Stream) -> dict[str, int]:
    """APPNOTE 5.8.8: a version, then the properties: their size, one byte for lc, lp and pb, the dictionary's size."""
    head = source.read(9)
    if len(head) < 9 or head[2:4] != b"\x05\0" or head[4] >= 225:
        raise ArchiveError("is damaged: its LZMA properties are impossible")
    dictionary = int.from_bytes(head[5:9], "little")
    if dictionary > DICTIONARY_LIMIT:
        raise ArchiveError(f"needs more memory to be decoded than is given to it ({dictionary:,} bytes)")
    rest, lc = divmod(head[4], 9)
    pb, lp = divmod(rest, 5)
    return {"id": lzma.FILTER_LZMA1, "dict_size": max(dictionary, 4096), "lc": lc, "lp": lp, "pb": pb}


def _unmarked(decoder: Any, source: Stream, size: int) -> Iterator[bytes]:
    while size and not decoder.eof:
        data: memoryview | bytes = b""
        if decoder.needs_input and not (data := source.take(PIECE)):
            return
        piece = guarded(decoder.decompress, data, min(PIECE, size))
        size -= len(piece)
        yield piece


def checked(found: ZipMember, pieces: Iterator[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """The pieces, and an error in the end if they are not what was promised."""
    crc = size = 0
    for piece in pieces:
        crc = zlib.crc32(piece, crc)
        size += len(piece)
        if size > found.promised:
            raise ArchiveError("is damaged: it has more content than its header says")
        yield piece
    if size != found.promised:
        raise ArchiveError(f"is damaged: it has {size:,} bytes of {found.promised:,}")
    if crc != found.crc:
        raise ArchiveError("is damaged: its content is not what its checksum says")


def streamed_members(source: Stream, encoding: str | None) -> Iterator[ZipMember]:
    """The members by their local headers, as long as one follows the other; the content is taken in between.

    ``stored`` is -1 where the size is told after the content only.

    Raises:
        ArchiveError: no member and no directory follows.
    """
    guess = _Guess(encoding, lambda: iter(()))
    if source.peek(4) in _OF_VOLUMES:
        source.skip(4)
    while source.peek(4) == LOCAL:
        offset = source.position
        header = source.read(_LOCAL.size)
        if len(header) < _LOCAL.size:
            raise ArchiveError("is cut: it ends in the midst of a member's header")
        _, _, flags, method, dos_time, dos_date, crc, stored, size, name_size, extra_size = _LOCAL.unpack(header)
        raw, extra = source.read(name_size), source.read(extra_size)
        if len(raw) != name_size or len(extra) != extra_size:
            raise ArchiveError("is cut: it ends in the midst of a member's header")
        fields = _extra_fields(extra)
        size, stored = _zip64(fields.get(0x0001, b""), (size, stored))
        path, raw_path = guess.path(raw, flags, extra)
        kind = DIRECTORY if path.endswith(b"/") else FILE
        member = Member(path, kind, size if kind == FILE else 0, _time(fields, dos_date, dos_time), raw_path=raw_path)
        member.encrypted = bool(flags & _ENCRYPTED)
        if flags & DESCRIPTOR and stored in (0, _UNKNOWN) and not (method == 0 and _nothing_follows(source)):
            stored = -1
        yield ZipMember(member, method, flags, crc, stored, size, offset, raw)
    if source.peek(4) not in (CENTRAL, END, b"PK\x06\x06", b"PK\x06\x08"):
        raise ArchiveError("is cut or damaged: no member follows, and no directory")


def find_member(source: Stream) -> bool:
    """Go on to where the header of a member seems to begin; whether there is one."""
    while True:
        ahead = source.peek(PIECE)
        found = ahead.find(LOCAL)
        while found >= 0:
            # Version needed and method, as only real headers have them: APPNOTE 4.4.3 and 4.4.5.
            if len(ahead) >= found + 10 and ahead[found + 4] <= 63 and ahead[found + 9] == 0:
                source.skip(found)
                return True
            found = ahead.find(LOCAL, found + 1)
        if len(ahead) < PIECE:
            return False
        source.skip(len(ahead) - 9)


def _nothing_follows(source: Stream) -> bool:
    """Whether a stored member is empty: its descriptor comes at once."""
    return source.peek(16) == SPANNED + bytes(12)


def read_descriptor(source: Stream) -> tuple[int, int, int]:
    """CRC-32, bytes stored and bytes of the member that ended, from behind its content.

    Raises:
        ArchiveError: there is none.
    """
    ahead = source.peek(24)
    start = 4 if ahead[:4] == SPANNED else 0
    # With ZIP64 sizes have 8 bytes; what follows tells which it is.
    for form in ("<LLL", "<LQQ"):
        end = start + struct.calcsize(form)
        following = source.peek(end + 2)[end:]
        if len(source.peek(end)) == end and following[:2] in (b"PK", b""):
            crc, stored, size = struct.unpack_from(form, source.read(end), start)
            return crc, stored, size
    raise ArchiveError("is damaged: a member's size does not follow it")
