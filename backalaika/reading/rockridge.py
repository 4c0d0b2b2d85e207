"""Rock Ridge: what Unix knows of a file, in the fields after each record of ISO 9660.

SUSP (IEEE P1281 draft 1.12) has the fields and how they go on elsewhere; RRIP (IEEE P1282 draft 1.12) says what is in
them; ZF, of files that are packed on the disc, is zisofs's own.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from .timestamps import of_digits, of_seven_bytes

# No record of an honest disc goes on more often.
_MAX_CONTINUATIONS = 64
_CREATED, _MODIFIED, _LONG = 0x01, 0x02, 0x80


@dataclass(slots=True)
class Attributes:
    """What the fields of one record say.

    Attributes:
        name: None where they have none; then ISO 9660's own is meant.
        mode: as `os.stat` has it; None if there is none.
        mtime_ns: None where they have none.
        target: of a symbolic link.
        child: block of the folder that stands here, but lies elsewhere for being too deep.
        moved: whether this is such a folder, where it lies.
        packed: whether the content is compressed by zisofs, and its real size.
    """

    name: bytes | None = None
    mode: int | None = None
    mtime_ns: int | None = None
    target: bytes | None = None
    child: int | None = None
    moved: bool = False
    packed: int | None = None
    parts: list[bytes] = field(default_factory=list)


def skip_of(area: bytes) -> int | None:
    """Bytes to leave out before the fields of every record, by those of the root's first; None: no Rock Ridge."""
    at = area.find(b"SP\x07\x01\xbe\xef")
    return area[at + 6] if 0 <= at <= 15 and len(area) > at + 6 else None


def attributes(area: bytes, read: Callable[[int, int, int], bytes]) -> Attributes:
    """What the fields of a record say.

    Args:
        area: the fields.
        read: gives what lies at (block, offset, size), where fields go on.
    """
    found = Attributes()
    goes_on = False
    for name, data in _fields(area, read):
        if name == b"NM" and data:
            found.name = (found.name or b"") + data[1:]
        elif name == b"PX" and len(data) >= 4:
            found.mode = int.from_bytes(data[:4], "little")
        elif name == b"SL" and data:
            goes_on = _link(found, data[1:], goes_on)
        elif name == b"TF" and data:
            found.mtime_ns = _modified(data)
        elif name == b"CL" and len(data) >= 4:
            found.child = int.from_bytes(data[:4], "little")
        elif name == b"RE":
            found.moved = True
        elif name == b"ZF" and data[:2] == b"pz" and len(data) >= 8 and 15 <= data[3] <= 17:
            # With any other size of blocks it is not zisofs, and the content is what stands there.
            found.packed = int.from_bytes(data[4:8], "little")
    if found.parts:
        found.target = b"/".join(found.parts)
    return found


def _fields(area: bytes, read: Callable[[int, int, int], bytes]) -> Iterator[tuple[bytes, bytes]]:
    for _ in range(_MAX_CONTINUATIONS):
        continued: tuple[int, int, int] | None = None
        at = 0
        while at + 4 <= len(area):
            name, length = area[at : at + 2], area[at + 2]
            if length < 4 or name == b"ST":
                break
            data = area[at + 4 : at + length]
            if name == b"CE" and len(data) >= 20:
                continued = struct.unpack_from("<L4xL4xL", data)
            else:
                yield name, data
            at += length
        if continued is None:
            return
        area = read(*continued)


def _link(found: Attributes, components: bytes, goes_on: bool) -> bool:
    """Add the components of a link's target; whether the last one goes on in the next field."""
    at = 0
    while at + 2 <= len(components):
        flags, length = components[at], components[at + 1]
        part = components[at + 2 : at + 2 + length]
        if flags & 0x02:
            part = b"."
        elif flags & 0x04:
            part = b".."
        elif flags & 0x08:
            part = b""
            if len(components) == at + 2 and not found.parts:
                found.parts.append(b"")  # the root alone: a slash
        if goes_on and found.parts:
            found.parts[-1] += part
        else:
            found.parts.append(part)
        goes_on = bool(flags & 0x01)
        at += 2 + length
    return goes_on


def _modified(data: bytes) -> int | None:
    flags = data[0]
    if not flags & _MODIFIED:
        return None
    size = 17 if flags & _LONG else 7
    at = 1 + (size if flags & _CREATED else 0)
    told = data[at : at + size]
    return of_digits(told) if flags & _LONG else of_seven_bytes(told)
