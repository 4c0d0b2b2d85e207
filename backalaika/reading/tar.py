"""tar: members of a tar stream, one after another, in one pass.

Formats: old tar, ustar, pax (POSIX.1-2017, "pax Interchange Format") and GNU (the manual's "Basic Tar Format": long
names, base-256 numbers, sparse files old and new). `tarfile` keeps every member it has seen, follows chains of headers
by recursion, and takes 60 microseconds a member. A block that is no header, in the midst of a tar, ends it with an
error; what came before stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from zlib import adler32

from ..errors import ArchiveError
from ..walk import DIRECTORY, FILE, HARD_LINK, SYMLINK
from .members import LONGEST_PATH, Member
from .streams import PIECE, Budget, Stream

BLOCK = 512
_NOTHING = bytes(BLOCK)
# A pax header or long name above this is an attack: paths have 4 kB.
_MAX_EXTENSION = 16 * 1024 * 1024
# A global header is not for one file: POSIX warns of these in it, and GNU tar and libarchive leave them out.
_OF_ONE_FILE = (b"path", b"linkpath", b"size")
_KINDS = {b"1": HARD_LINK, b"2": SYMLINK, b"3": "other", b"4": "other", b"5": DIRECTORY, b"6": "other"}
# Volume label, GNU's dump of a directory's names is D: a directory; M: a file that goes on from another volume.
_IGNORED = b"V"
_MAX_SPARSE = 1_000_000
_MAX_SECONDS = 1 << 53

Extents = list[tuple[int, int]]


def looks_like_tar(block: bytes, may_have_no_name: bool = False) -> bool:
    """Whether these first 512 bytes are the header of a member: its checksum is right."""
    if len(block) < BLOCK or (not block[0] and not block[345] and not may_have_no_name) or block == _NOTHING:
        return False
    try:
        told = octal(block[148:156])
    except ArchiveError:
        return False
    return has_checksum(block, told)


def has_checksum(block: bytes, told: int) -> bool:
    """Whether this is the sum of its bytes: as unsigned, or as signed, as some old programs added them."""
    rest = block[:148] + block[156:BLOCK]
    # The lower half of an Adler-32 is 1 and the sum of the bytes, modulo 65521; it takes a tenth of the time of sum().
    unsigned = (adler32(rest[:252]) & 0xFFFF) + (adler32(rest[252:]) & 0xFFFF) - 2 + 8 * 32
    return told == unsigned or told == unsigned - 256 * sum(byte > 127 for byte in rest)


def octal(field: bytes) -> int:
    """A number as headers have it: octal digits, or base 256 if the first bit is set."""
    if field[0] & 0x80:
        number = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
        return number - (1 << (8 * len(field) - 1)) if field[0] & 0x40 else number
    digits = field.split(b"\0", 1)[0].strip()
    if not digits:
        return 0
    try:
        return int(digits, 8)
    except ValueError:
        raise ArchiveError("is damaged: a number in a tar header is none") from None


class Body:
    """The content of a member, to be taken before the next member is asked for; what is left is skipped."""

    def __init__(self, source: Stream, stored: int, size: int, extents: Extents | None, budget: Budget) -> None:
        self._source = source
        self.left = stored
        self._padding = -stored % BLOCK
        self._size = size
        self._extents = extents
        self._budget = budget
        self._at = 0
        self._extent = 0
        self.header: tuple[bytes, dict[bytes, bytes]] = (b"", {})

    def take(self) -> memoryview | bytes:
        """The next piece; holes of a sparse file as zeros. Empty at the end.

        Raises:
            ArchiveError: the tar ends in its midst.
        """
        if self._extents is None:
            return self._stored(self.left) if self.left else b""
        while self._extent < len(self._extents):
            offset, length = self._extents[self._extent]
            if self._at < offset:
                return self._hole(offset)
            inside = offset + length - self._at
            if inside <= 0:
                self._extent += 1
                continue
            piece = self._stored(min(inside, self.left))
            self._at += len(piece)
            if not piece:
                raise ArchiveError("is damaged: a sparse file has less content than its map")
            return piece
        return self._hole(self._size) if self._at < self._size else b""

    def _stored(self, size: int) -> memoryview:
        piece = self._source.take(min(size, PIECE))
        if not piece and size:
            raise ArchiveError("is cut: it ends in the midst of a member")
        self.left -= len(piece)
        return piece

    def _hole(self, end: int) -> bytes:
        zeros = bytes(min(end - self._at, PIECE))
        self._budget.spend(len(zeros))
        self._at += len(zeros)
        return zeros

    def finish(self) -> None:
        """Leave out what was not taken.

        Raises:
            ArchiveError: the tar ends before.
        """
        if self._source.skip(self.left) != self.left:
            raise ArchiveError("is cut: it ends in the midst of a member")
        if self._source.skip(self._padding) != self._padding:
            raise ArchiveError("is cut: its last block is not whole")


class _Extended:
    """What the headers before a member say about it."""

    def __init__(self, defaults: dict[bytes, bytes]) -> None:
        self.records = dict(defaults)
        self.sparse: Extents = []
        self.name: bytes | None = None
        self.target: bytes | None = None
        self.size = 0


def members(source: Stream, budget: Budget, warn: Callable[[str], None]) -> Iterator[tuple[Member, Body]]:
    """The members of a tar, each with its content; holes of sparse files are counted on ``budget``.

    ``warn`` is told of what is damaged in the headers before a member, which then has what its own header says.

    Raises:
        ArchiveError: from here on it cannot be read.
    """
    defaults: dict[bytes, bytes] = {}
    extended = _Extended(defaults)
    first = True
    while True:
        block = source.read(BLOCK)
        if not block or block == _NOTHING:
            if extended.size:
                raise ArchiveError("is cut: a tar header has no member")
            if block and source.read(BLOCK).strip(b"\0"):
                raise ArchiveError("goes on after a block of zeros; what follows was not read")
            if not block or not _another_follows(source):
                return
            warn("goes on after its end, as tars do that were joined; what follows is listed too")
            defaults = {}
            extended = _Extended(defaults)
            continue
        if len(block) < BLOCK:
            raise ArchiveError("is cut: it ends in the midst of a tar header")
        if not has_checksum(block, octal(block[148:156])):
            raise ArchiveError("is damaged: a tar header is not where it must be" if not first else "is no tar")
        first = False
        flag = block[156:157]
        size = octal(block[124:136])
        if size < 0:
            raise ArchiveError("is damaged: a member has less than no bytes")
        if flag in b"xgLKX" and flag != b"":
            # One after another, not one in another: however many there are, they end with the tar.
            extended.size += BLOCK + size
            if extended.size > _MAX_EXTENSION:
                raise ArchiveError("is damaged: the tar headers before a member are too large")
            _extend(extended, defaults, flag, _extension(source, size, flag), warn)
            continue
        member, body = _member(source, block, flag, size, extended, budget)
        extended = _Extended(defaults)
        if flag not in _IGNORED:
            yield member, body
        body.finish()


def _another_follows(source: Stream) -> bool:
    """Whether the header of a member follows the zeros at the end, of which there may be any number of blocks."""
    while (block := source.peek(BLOCK)) == _NOTHING:
        source.skip(BLOCK)
    return looks_like_tar(block)


def _extension(source: Stream, size: int, flag: bytes) -> bytes:
    # Of a name or target that is too long, no more than shows that it is.
    wanted = min(size, LONGEST_PATH + 1) if flag in b"LK" else size
    data = source.read(wanted)
    rest = size - wanted + -size % BLOCK
    if len(data) != wanted or source.skip(rest) != rest:
        raise ArchiveError("is cut: it ends in the midst of a tar header")
    return data


def _extend(
    extended: _Extended, defaults: dict[bytes, bytes], flag: bytes, data: bytes, warn: Callable[[str], None]
) -> None:
    if flag == b"L":
        extended.name = data.split(b"\0", 1)[0]
    elif flag == b"K":
        extended.target = data.split(b"\0", 1)[0]
    else:
        records = defaults if flag == b"g" else extended.records
        for key, value in _records(data, warn):
            if flag == b"g" and key in _OF_ONE_FILE:
                continue
            if key == b"GNU.sparse.offset":
                extended.sparse.append((_decimal(value), 0))
            elif key == b"GNU.sparse.numbytes" and extended.sparse:
                extended.sparse[-1] = (extended.sparse[-1][0], _decimal(value))
            elif value:
                records[key] = value
            else:
                records.pop(key, None)
        if flag == b"g":
            extended.records = {**defaults, **extended.records}


def _records(data: bytes, warn: Callable[[str], None]) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values; those from the first that is damaged on are left out, as by libarchive."""
    at = 0
    while at < len(data) and data[at : at + 1] != b"\0":
        space = data.find(b" ", at, at + 20)
        length = data[at:space]
        if space < 0 or not length.isdigit() or not space - at < int(length) <= len(data) - at:
            warn("is damaged: a pax header has a record of impossible length")
            return
        end = at + int(length)
        key, found, value = data[space + 1 : end - 1].partition(b"=")
        if not found or data[end - 1 : end] != b"\n":
            warn("is damaged: a pax header has a record that is none")
            return
        yield key, value
        at = end


def _decimal(value: bytes) -> int:
    value = value.removeprefix(b"+").lstrip(b"0") or b"0"
    if not value.isdigit() or len(value) > 19:
        raise ArchiveError("is damaged: a number in a pax header is none")
    return int(value)


def _member(
    source: Stream, block: bytes, flag: bytes, size: int, extended: _Extended, budget: Budget
) -> tuple[Member, Body]:
    records = extended.records
    path = _path(block, extended)
    target = records.get(b"linkpath") or extended.target or block[157:257].split(b"\0", 1)[0]
    kind = _KINDS.get(flag, FILE)
    if flag == b"D" or (kind == FILE and path.endswith(b"/") and flag in (b"0", b"\0", b"7")):
        kind = DIRECTORY
    stored = _decimal(records[b"size"]) if b"size" in records else size
    if kind in (SYMLINK, DIRECTORY, "other") and flag != b"D":
        stored = 0
    elif kind == HARD_LINK and stored and _header_follows(source):
        stored = 0  # it tells the size of the file that it leads to, as old programs do; pax may have content here
    extents, real = None, stored
    if kind == FILE:
        extents, stored, real = _sparse(source, block, flag, stored, extended)
    body = Body(source, stored, real, extents, budget)
    body.header = block, records
    member = Member(path, kind, real if kind == FILE else 0, _time(block, records))
    if kind in (SYMLINK, HARD_LINK):
        member.target = target
    return member, body


def attributes(body: Body) -> tuple[int, int, int, bytes, bytes]:
    """What the header of a member says of its permissions, user id, group id, user's name and group's name.

    Raises:
        ArchiveError: they are no numbers.
    """
    block, records = body.header
    ids = [
        _decimal(records[key]) if key in records else octal(block[at : at + 8])
        for key, at in ((b"uid", 108), (b"gid", 116))
    ]
    user = records.get(b"uname") or block[265:297].split(b"\0", 1)[0]
    group = records.get(b"gname") or block[297:329].split(b"\0", 1)[0]
    return octal(block[100:108]) & 0o7777, ids[0], ids[1], user, group


def _header_follows(source: Stream) -> bool:
    ahead = source.peek(BLOCK)
    return not ahead.strip(b"\0") or looks_like_tar(ahead)


def _path(block: bytes, extended: _Extended) -> bytes:
    name = extended.records.get(b"GNU.sparse.name") or extended.records.get(b"path") or extended.name
    if name is not None:
        return name.split(b"\0", 1)[0]
    name = block[:100].split(b"\0", 1)[0]
    prefix = block[345:500].split(b"\0", 1)[0]
    # GNU's magic has no NUL, and other things where ustar has the prefix.
    return prefix + b"/" + name if prefix and block[257:263] == b"ustar\0" else name


def _time(block: bytes, records: dict[bytes, bytes]) -> int:
    told = records.get(b"mtime")
    if told is not None:
        whole, _, fraction = told.partition(b".")
        digits = whole.lstrip(b"-")
        if digits.isdigit() and len(digits) < 20 and (not fraction or fraction.isdigit()):
            part = int((fraction + b"000000000")[:9])
            number = int(digits) * 1_000_000_000
            return number + part if not whole.startswith(b"-") else -number - part
    try:
        seconds = octal(block[136:148])
    except ArchiveError:
        return 0
    return seconds * 1_000_000_000 if abs(seconds) < _MAX_SECONDS else 0


def _sparse(
    source: Stream, block: bytes, flag: bytes, stored: int, extended: _Extended
) -> tuple[Extents | None, int, int]:
    """The map of a sparse file, the bytes it has in the tar after its map, and its real size."""
    records = extended.records
    real = records.get(b"GNU.sparse.realsize") or records.get(b"GNU.sparse.size")
    if flag == b"S":
        extents = _old_map(source, block)
        return _checked(extents), stored, octal(block[483:495])
    if records.get(b"GNU.sparse.major") == b"1" and real is not None:
        before = source.position
        extents = _map_before_content(source)
        used = source.position - before
        if used > stored:
            raise ArchiveError("is damaged: the map of a sparse file is longer than the file")
        return _checked(extents), stored - used, _decimal(real)
    if b"GNU.sparse.map" in records and real is not None:
        numbers = [_decimal(number) for number in records[b"GNU.sparse.map"].split(b",")]
        return _checked(list(zip(numbers[::2], numbers[1::2], strict=False))), stored, _decimal(real)
    if extended.sparse and real is not None:
        return _checked(extended.sparse), stored, _decimal(real)
    return None, stored, stored


def _old_map(source: Stream, block: bytes) -> Extents:
    extents = _entries(block, 386, 4)
    more = block[482]
    while more:
        block = source.read(BLOCK)
        if len(block) < BLOCK or len(extents) > _MAX_SPARSE:
            raise ArchiveError("is damaged: the map of a sparse file has no end")
        extents += _entries(block, 0, 21)
        more = block[504]
    return extents


def _entries(block: bytes, start: int, count: int) -> Extents:
    found = []
    for at in range(start, start + 24 * count, 24):
        if not block[at]:
            break
        found.append((octal(block[at : at + 12]), octal(block[at + 12 : at + 24])))
    return found


def _map_before_content(source: Stream) -> Extents:
    """Pax sparse format 1.0: decimal numbers, one a line, in whole blocks before the content."""
    lines: list[bytes] = []
    rest = b""
    wanted = 1
    while len(lines) < wanted:
        block = source.read(BLOCK)
        if len(block) < BLOCK:
            raise ArchiveError("is cut: it ends in the map of a sparse file")
        *whole, rest = (rest + block).split(b"\n")
        whole = [line for line in whole if not line.startswith(b"#")]  # comments, which libarchive allows
        if not lines and whole:
            wanted = 1 + 2 * _decimal(whole[0])
        lines += whole
        if wanted > 2 * _MAX_SPARSE or len(rest) > BLOCK:
            raise ArchiveError("is damaged: the map of a sparse file has no end")
    numbers = [_decimal(line) for line in lines[1:wanted]]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _checked(extents: Extents) -> Extents:
    at = 0
    for offset, length in extents:
        if offset < at or length < 0:
            raise ArchiveError("is damaged: the map of a sparse file goes back")
        at = offset + length
    return extents
