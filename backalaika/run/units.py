"""Units: large files on their way, and the room that each needs on a volume."""

from __future__ import annotations

import json
import os
from array import array
from dataclasses import replace

from .. import manifest
from ..batch import Large, member_path
from ..formats import zip as zip_format
from ..formats.zip import ZipMember
from ..walk import FILE, Entry
from . import rows
from .cutting import Cut, head_of, margin, part_name
from .framing import manifest_line
from .sizes import ArchivePlan, OpenArchive
from .volumes import Spot

# Bytes of the longest digest.
MOST_DIGEST = 32
# A number as long as any.
_LONG = 10**15


class LargeUnit:
    """A large file on its way: the frames that were placed, and how it ends.

    If it may be cut, this is the part that is being placed; ``content`` counts the parts before it too.
    """

    def __init__(self, plan: ArchivePlan, large: Large, header: ZipMember | None, cut: Cut | None = None) -> None:
        self.plan = plan
        self.large = large
        self.header = header
        self.cut = cut
        # Where it is being written; None: nowhere yet.
        self.place: int | None
        self.archive = OpenArchive(0, plan, "")
        self.start: int
        self.size: int
        self.frames: array[int]
        self.raw_sizes: array[int]
        self.begin()
        self.content = 0
        # The lowest number of a volume that it may go to.
        self.lowest = 0
        # Set when it fits on no volume, or must be read again; what still comes of it is dropped.
        self.dropped = False

    @property
    def path(self) -> str:
        """Its path in the archive."""
        return member_path(self.large.member_prefix, self.large.entry.name)

    @property
    def source(self) -> str:
        """Its path on disk."""
        return os.path.join(self.large.directory, self.large.entry.name)

    @property
    def stored(self) -> bool:
        """Whether a zip keeps it as it is."""
        return self.header is not None and self.header.method == zip_format.STORED

    def begin(self) -> None:
        """It lies nowhere yet; where it may be cut, this is its next part."""
        self.place, self.start, self.size = None, 0, 0
        self.frames, self.raw_sizes = array("Q"), array("Q")
        if self.cut is not None:
            path = part_name(self.path, self.cut.parts + 1)
            if self.header is not None:
                self.header = replace(self.header, name=os.fsencode(path))
            head = head_of(self.plan.archive_format, path, self.large.entry, self.header)
            self.cut.head, self.cut.raw_head = head


def spare_room(spot: Spot, unit: LargeUnit, size: int) -> int:
    """Bytes that are left on a spot with ``size`` bytes of a file, whatever its digest, sizes and CRC-32.

    Negative where they may have no room.
    """
    central = 0
    if unit.header is not None:
        # The ZIP64 field has at most sizes and offset: APPNOTE 4.5.3.
        central = len(zip_format.central_entry(unit.header, 0)) + 4 + 3 * 8
    path, whole = unit.path, ""
    if unit.cut is not None:
        size += margin(unit.header)
        whole = whole_of(path, rows.PartOf(unit.cut.parts + 1, _LONG, _LONG, bytes(MOST_DIGEST)))
        path = part_name(path, unit.cut.parts + 1)
    line = line_of(path, unit.large.entry, bytes(MOST_DIGEST), whole)
    piece = manifest.manifest_piece_bound(line, spot.archive.name, spot.archive.size)
    return spot.spare(size, central, 1 if central else 0, piece)


def whole_of(path: str, part: rows.PartOf | None) -> str:
    """What the manifest says of the whole that a part belongs to, in JSON; empty where it is no part."""
    if part is None:
        return ""
    whole: dict[str, str | int] = {"path": path, "part": part.number, "offset": part.offset}
    if part.whole_digest is not None:
        whole |= {"parts": part.number, "size": part.whole_size, "digest": part.whole_digest.hex()}
    return json.dumps(whole, separators=(",", ":"))


def line_of(path: str, entry: Entry, digest: bytes, whole: str) -> bytes:
    """The line in the manifest of a file that stands at the start of its frame; ``whole`` as in `manifest_line`."""
    return manifest_line(path, FILE, entry.size, entry.mtime_ns, digest, whole=whole).encode()
