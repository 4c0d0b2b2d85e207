"""tar: headers of members in the pax interchange format, as bytes.

A ustar header of 512 bytes carries what it can; what it cannot (nanoseconds, long or non-ASCII names, sizes of 8 GiB
and more, large ids) goes before it in a pax extended header (POSIX.1-2017, pax, "pax Extended Header"). Nearly every
member needs one for its nanoseconds and nothing else, so that header is a constant and only its record is formatted:
3 microseconds a member, where `tarfile.TarInfo.tobuf` takes 40.

A name that is not UTF-8 stands as it is in the ustar field, or, if it is longer than that, in a pax record announced
by ``hdrcharset=BINARY``; GNU tar, bsdtar, 7z and Python all give the same bytes back.
"""

from __future__ import annotations

from functools import lru_cache
from zlib import adler32

from . import BLOCK

REGULAR = b"0"
HARD_LINK = b"1"
SYMLINK = b"2"
DIRECTORY = b"5"
END_OF_ARCHIVE = bytes(2 * BLOCK)
SHORT_NAME = 100
"""Bytes of a name, or of a link's target, that need no record of their own."""

_MAX_ID = 0o7777777
_MAX_SIZE = 0o77777777777
_NS = 1_000_000_000
# A checksum counts its own field as spaces.
_SPACES = 8 * 32
# After a record of 30 bytes.
_PAX_PADDING = bytes(BLOCK - 30)


def padding(size: int) -> bytes:
    """The zeros that fill the last block of a member's content of ``size`` bytes."""
    return bytes(-size % BLOCK)


def header_size_bound(name: int, target: int = 0) -> int:
    """Bytes that `header` needs at most for a name and a target of so many bytes; for batching."""
    if name <= SHORT_NAME and target <= SHORT_NAME:
        return 3 * BLOCK
    # Besides the names, all records there can be take less than a block.
    return 4 * BLOCK + (name + target) // BLOCK * BLOCK


def header(
    name: bytes,
    kind: bytes,
    mode: int,
    owner: tuple[int, int, bytes, bytes],
    size: int,
    mtime_ns: int,
    target: bytes = b"",
) -> bytes:
    """The header blocks of one member.

    Args:
        name: path in the archive; a directory's ends with a slash.
        kind: `REGULAR`, `HARD_LINK`, `SYMLINK` or `DIRECTORY`.
        mode: permission bits; the file type is ignored.
        owner: user id, group id, user name, group name; a name may be empty.
        size: bytes of content that follow.
        mtime_ns: nanoseconds since 1970, negative before.
        target: where a link points.
    """
    seconds, fraction = divmod(mtime_ns, _NS)
    is_short = len(name) <= SHORT_NAME and not target and name.isascii() and size <= _MAX_SIZE
    if is_short and fraction and 1_000_000_000 <= seconds <= 9_999_999_999:  # nearly all
        template, fixed = _template(kind, mode & 0o7777, owner)
        if template:
            numbers = b"%011o\0%011o\0" % (size, seconds)
            return template % (seconds, fraction, name.ljust(100, b"\0"), numbers, _sum(name + numbers) + fixed)
    uid, gid, user, group = owner
    records = _records(name, owner, size, mtime_ns, target)
    ustar = _ustar(
        name[:100],
        kind,
        mode & 0o7777,
        uid if uid <= _MAX_ID else 0,
        gid if gid <= _MAX_ID else 0,
        size if size <= _MAX_SIZE else 0,
        min(max(seconds, 0), _MAX_SIZE),
        target[:100],
        user[:32],
        group[:32],
    )
    if not records:
        return ustar
    return _pax_header(len(records)) + records + bytes(-len(records) % BLOCK) + ustar


def _records(name: bytes, owner: tuple[int, int, bytes, bytes], size: int, mtime_ns: int, target: bytes) -> bytes:
    """The pax records for what the ustar header cannot say; empty if it says all."""
    uid, gid, user, group = owner
    seconds, fraction = divmod(mtime_ns, _NS)
    records = b""
    binary = False
    for key, value, field in (
        (b"path", name, 100),
        (b"linkpath", target, 100),
        (b"uname", user, 32),
        (b"gname", group, 32),
    ):
        if len(value) <= field and (value.isascii() or not _is_utf8(value)):
            continue
        records += _record(key, value)
        binary = binary or not _is_utf8(value)
    if size > _MAX_SIZE:
        records += _record(b"size", b"%d" % size)
    if uid > _MAX_ID:
        records += _record(b"uid", b"%d" % uid)
    if gid > _MAX_ID:
        records += _record(b"gid", b"%d" % gid)
    if fraction or not 0 <= seconds <= _MAX_SIZE:
        records += _mtime_record(seconds, fraction)
    if binary:
        records = _record(b"hdrcharset", b"BINARY") + records
    return records


@lru_cache(maxsize=1024)
def _template(kind: bytes, mode: int, owner: tuple[int, int, bytes, bytes]) -> tuple[bytes, int]:
    """The headers of members that need a record of their nanoseconds alone, for ``%``; and the sum of what is fixed.

    To be filled in: seconds, nanoseconds, name, size with seconds in octal, checksum. Empty where the owner does not
    fit.
    """
    uid, gid, user, group = owner
    if max(uid, gid) > _MAX_ID or max(len(user), len(group)) > 32 or not (user + group).isascii():
        return b"", 0
    tail, tail_sum = _tail(kind, b"", user, group)
    numbers = b"%07o\0%07o\0%07o\0" % (mode, uid, gid)
    pax = _pax_header(30).replace(b"%", b"%%") + b"30 mtime=%d.%09d\n" + _PAX_PADDING
    return pax + b"%b" + numbers + b"%b%06o\0 " + tail.replace(b"%", b"%%"), tail_sum + _sum(numbers) + _SPACES


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _record(key: bytes, value: bytes) -> bytes:
    r"""One pax record, ``length key=value\n``; the length counts its own digits."""
    size = len(key) + len(value) + 3
    length = size + len(str(size))
    if len(str(length)) > len(str(size)):
        length += 1
    return b"%d %b=%b\n" % (length, key, value)


def _mtime_record(seconds: int, fraction: int) -> bytes:
    if 1_000_000_000 <= seconds <= 9_999_999_999:
        return b"30 mtime=%d.%09d\n" % (seconds, fraction)
    if seconds < 0 and fraction:  # -1 s and 0.25 s is written -0.75
        seconds, fraction = seconds + 1, _NS - fraction
        return _record(b"mtime", b"-%d.%09d" % (-seconds, fraction))
    return _record(b"mtime", b"%d.%09d" % (seconds, fraction))


@lru_cache(maxsize=256)
def _pax_header(size: int) -> bytes:
    return _ustar(b"././@PaxHeader", b"x", 0, 0, 0, size, 0, b"", b"", b"")


@lru_cache(maxsize=1024)
def _tail(kind: bytes, target: bytes, user: bytes, group: bytes) -> tuple[bytes, int]:
    """The header from the type flag on, and the sum of its bytes."""
    tail = b"%b%bustar\x0000%b%b%07o\0%07o\0" % (
        kind,
        target.ljust(100, b"\0"),
        user.ljust(32, b"\0"),
        group.ljust(32, b"\0"),
        0,
        0,
    )
    return tail.ljust(BLOCK - 156, b"\0"), sum(tail)


def _ustar(
    name: bytes,
    kind: bytes,
    mode: int,
    uid: int,
    gid: int,
    size: int,
    mtime: int,
    target: bytes,
    user: bytes,
    group: bytes,
) -> bytes:
    """One ustar header; all values fit their fields."""
    tail, tail_sum = _tail(kind, target, user, group)
    head = b"%b%07o\0%07o\0%07o\0%011o\0%011o\0" % (name.ljust(100, b"\0"), mode, uid, gid, size, mtime)
    return b"%b%06o\0 %b" % (head, _sum(head) + _SPACES + tail_sum, tail)


def _sum(some: bytes) -> int:
    """The sum of up to 256 bytes, in a tenth of the time of sum(): an Adler-32 has it in its lower half, plus 1."""
    return (adler32(some) & 0xFFFF) - 1


# What stands before nearly every member: a pax header with the time alone, which takes 30 bytes.
TIME_HEADER = _pax_header(30)
