r"""Packets: what PAR2 recovery files hold, each packet checked by its own MD5.

Parity Volume Set Specification 2.0: a packet is ``PAR2\0PKT``, its length (8 bytes, little-endian, a multiple of 4),
the MD5 of what follows, the id of its set (16), its type (16), its body. Bodies: main: block size (8), number of files
(4), their ids (16 each); description of a file: id, MD5, MD5 of its first 16 KiB, size (8), name; checksums of a file:
id, then MD5 and CRC-32 (4) of each block, padded with zeros; recovery: exponent (4), block. All but recovery packets
stand in the files several times, so that one copy at least is whole.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import IO

from ..walk import open_file
from .layout import INDEX

MAGIC = b"PAR2\0PKT"
_HEADER = 64
_MAIN, _DESCRIPTION, _CHECKSUMS, _RECOVERY, _CREATOR = (
    name.ljust(16, b"\0")
    for name in (b"PAR 2.0\0Main", b"PAR 2.0\0FileDesc", b"PAR 2.0\0IFSC", b"PAR 2.0\0RecvSlic", b"PAR 2.0\0Creator")
)
_READ = 1 << 20
# The checksums of 32,768 blocks have 655,360 bytes; nothing that is kept in memory is larger.
_MOST_KEPT = 1 << 20
# Of one file, and of all files of a volume together, each packet once. As many blocks and files as the format allows
# take half of it.
_MOST_TOGETHER = 1 << 25
# What the field of 2^16 elements allows, the same way.
_MOST_EXPONENTS = 65535
# A hundredth of that is a block of the largest disc.
_MOST_BLOCK = 1 << 32
_PROMISED = re.compile(r"\.vol\d+\+(\d+)\.par2$", re.ASCII)


@dataclass(frozen=True, slots=True)
class Scanned:
    """The whole packets of a recovery file.

    Attributes:
        name: of the file.
        critical: set, type and body of the packets that describe the set.
        exponents: set and exponent of the recovery packets.
        trouble: what is wrong with the file; empty: nothing.
        size: of the file; 0 if it cannot be read.
    """

    name: str
    critical: frozenset[tuple[bytes, bytes, bytes]] = frozenset()
    exponents: frozenset[tuple[bytes, int]] = frozenset()
    trouble: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class Protected:
    """A file that recovery files are for: its size, its MD5, and that of each block."""

    name: str
    size: int
    md5: bytes
    blocks: tuple[bytes, ...]


@dataclass(slots=True)
class RecoverySet:
    """What the recovery files of a volume say, as far as they can be read.

    Attributes:
        block: bytes of one; 0 if nothing says it.
        files: by name.
        recovery_blocks: how many there are.
        promised: how many there were.
        troubles: what is wrong with each file that is damaged or missing, by name.
        undescribed: files that are protected, of which no description is left.
        sizes: of the recovery files themselves, by name.
    """

    block: int = 0
    files: dict[str, Protected] = field(default_factory=dict)
    recovery_blocks: int = 0
    promised: int = 0
    troubles: dict[str, str] = field(default_factory=dict)
    undescribed: int = 0
    sizes: dict[str, int] = field(default_factory=dict)

    @property
    def blocks(self) -> int:
        """Of all files."""
        return sum(len(file.blocks) for file in self.files.values())


def scan(folder: str, name: str) -> Scanned:
    """Read a recovery file and check all of its packets; also those behind damage."""
    critical: set[tuple[bytes, bytes, bytes]] = set()
    exponents: set[tuple[bytes, int]] = set()
    lost, last, kept = 0, b"", 0
    try:
        with open_regular(folder, name) as file:
            size = os.fstat(file.fileno()).st_size
            at = 0
            while at < size:
                packet = _packet(file, at, size)
                if packet is None:
                    after = _next_magic(file, at + 1, size)
                    lost, at, last = lost + after - at, after, b""
                    continue
                length, set_id, last, body = packet
                if last == _RECOVERY:
                    exponent = int.from_bytes(body[:4], "little")
                    if exponent < _MOST_EXPONENTS and len(exponents) < _MOST_EXPONENTS:
                        exponents.add((set_id, exponent))
                elif last in (_MAIN, _DESCRIPTION, _CHECKSUMS) and (set_id, last, body) not in critical:
                    kept += len(body)
                    if kept <= _MOST_TOGETHER:
                        critical.add((set_id, last, body))
                at += length
    except OSError as error:
        return Scanned(name, trouble=f"cannot be read: {error.strerror or error}")
    promised = _PROMISED.search(name)
    trouble = ""
    if lost:
        trouble = f"is damaged: {lost:,} of its bytes are no whole packets"
    elif last != _CREATOR or (promised is not None and len(exponents) < int(promised[1])):
        trouble = "is damaged: its end is missing"
    return Scanned(name, frozenset(critical), frozenset(exponents), trouble, size)


def open_regular(folder: str, name: str) -> IO[bytes]:
    """Open a file of a volume, which a stranger may have made: no link is followed, and no FIFO waited for.

    Raises:
        OSError: it cannot be opened, or is no regular file.
    """
    file = open(open_file(folder, None, name), "rb")  # noqa: SIM115 - for the caller
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "is no regular file", name)
    return file


def _packet(file: IO[bytes], at: int, size: int) -> tuple[int, bytes, bytes, bytes] | None:
    """Length, set, type and body of the packet at a place; None if none is whole there. Of a block only the start."""
    file.seek(at)
    head = file.read(_HEADER)
    length = int.from_bytes(head[8:16], "little")
    if len(head) < _HEADER or head[:8] != MAGIC or length < _HEADER or length % 4 or at + length > size:
        return None
    kind = head[48:64]
    if kind != _RECOVERY and length > _MOST_KEPT:
        return None
    md5, kept, left = hashlib.md5(head[32:], usedforsecurity=False), b"", length - _HEADER
    while left:
        piece = file.read(min(left, _READ))
        if not piece:
            return None
        md5.update(piece)
        kept = kept + piece if kind != _RECOVERY else kept or piece[:4]
        left -= len(piece)
    return (length, head[32:48], kind, kept) if md5.digest() == head[16:32] else None


def _next_magic(file: IO[bytes], at: int, size: int) -> int:
    """Where the next packet may begin; the file's end if there is none."""
    while at < size:
        file.seek(at)
        piece = file.read(_READ)
        if not piece:
            break
        found = piece.find(MAGIC)
        if found >= 0:
            return at + found
        at += max(len(piece) - len(MAGIC) + 1, 1)
    return size


def read_set(scanned: Iterable[Scanned]) -> RecoverySet:
    """What the recovery files say together; each is forgotten once it is read, and a stranger's may be many."""
    found = RecoverySet()
    votes: Counter[bytes] = Counter()
    critical: set[tuple[bytes, bytes, bytes]] = set()
    exponents: set[tuple[bytes, int]] = set()
    kept = 0
    for one in scanned:
        found.sizes[one.name] = one.size
        if one.trouble:
            found.troubles[one.name] = one.trouble
        if match := _PROMISED.search(one.name):
            found.promised = min(found.promised + int(match[1]), _MOST_EXPONENTS)
        for packet in one.critical:
            if packet not in critical and kept + len(packet[2]) <= _MOST_TOGETHER:
                kept += len(packet[2])
                critical.add(packet)
            if packet in critical:
                votes[packet[0]] += 1
        for exponent in one.exponents:
            if len(exponents) < _MOST_EXPONENTS:
                exponents.add(exponent)
            if exponent in exponents:
                votes[exponent[0]] += 1
    if not votes:
        return found
    chosen = max(sorted(votes), key=lambda set_id: votes[set_id])
    found.recovery_blocks = sum(set_id == chosen for set_id, _ in exponents)
    bodies: dict[bytes, set[bytes]] = {}
    for set_id, kind, body in critical:
        if set_id == chosen:
            bodies.setdefault(kind, set()).add(body)
    for main in bodies.get(_MAIN, ()):
        if len(main) >= 12 and 0 < int.from_bytes(main[:8], "little") <= _MOST_BLOCK:
            found.block = int.from_bytes(main[:8], "little")
            _describe(found, main, bodies)
    names = found.sizes.keys()
    if INDEX not in names:
        found.troubles[INDEX] = "is missing"
    if names <= {INDEX}:
        found.troubles[INDEX.replace(".par2", ".vol*.par2")] = "is missing"
    return found


def _describe(found: RecoverySet, main: bytes, bodies: dict[bytes, set[bytes]]) -> None:
    count = int.from_bytes(main[8:12], "little")
    ids = [main[start : start + 16] for start in range(12, min(12 + 16 * count, len(main)), 16)]
    checksums = {body[:16]: body[16:] for body in bodies.get(_CHECKSUMS, ())}
    described = {body[:16]: body for body in bodies.get(_DESCRIPTION, ()) if len(body) > 56}
    for file_id in ids:
        body, sums = described.get(file_id), checksums.get(file_id)
        if body is None or sums is None or not found.block:
            found.undescribed += 1
            continue
        size = int.from_bytes(body[48:56], "little")
        name = os.fsdecode(body[56:].rstrip(b"\0"))
        if "/" in name or name in ("", ".", ".."):  # a stranger's
            found.undescribed += 1
            continue
        blocks = tuple(sums[start : start + 16] for start in range(0, len(sums) - len(sums) % 20, 20))
        if len(blocks) != -(-size // found.block):
            found.undescribed += 1
            continue
        found.files[name] = Protected(name, size, body[16:32], blocks)


def damaged_blocks(folder: str, protected: Protected, block: int) -> tuple[str, int, bool]:
    """How many blocks of a file are not what they were, and whether the file is.

    A block that lies elsewhere counts as lost, though a par2 program may find it there.

    Returns:
        The file's name, the number, and whether anything of it must be repaired.
    """
    try:
        with open_regular(folder, protected.name) as file:
            bad, same_size = 0, os.fstat(file.fileno()).st_size == protected.size
            for number, md5 in enumerate(protected.blocks):
                bad += _block_md5(file, number * block, min(block, protected.size - number * block), block) != md5
            return protected.name, bad, bool(bad) or not same_size
    except OSError:
        return protected.name, len(protected.blocks), True


def _block_md5(file: IO[bytes], at: int, length: int, block: int) -> bytes | None:
    """MD5 of a block of which a file has ``length`` bytes; None if they cannot be read."""
    md5, left = hashlib.md5(usedforsecurity=False), length
    try:
        file.seek(at)
        while left:
            piece = file.read(min(left, _READ))
            if not piece:
                return None
            md5.update(piece)
            left -= len(piece)
    except OSError:
        return None
    left = block - length
    while left > 0:
        md5.update(bytes(min(left, _READ)))
        left -= _READ
    return md5.digest()
