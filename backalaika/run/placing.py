"""Placing: give each finished frame a volume, and say what is to be written.

All sizes are known when a frame comes: its own, that of its lines in the manifest, of its entries in a zip's central
directory, of the archive's end, of the sums and of README.txt. So a frame is placed only where it surely fits, and a
volume is never larger than its capacity. The frames of a large file come one by one and must lie on one volume: when
the volume turns out too small, what was written of the file moves to the next that has room. So it comes to lie where
first fit would have put it, had its compressed size been known. One that fits nowhere whole is cut where it fills the
largest medium to come: `cutting`.
"""

from __future__ import annotations

import marshal
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from .. import manifest
from ..batch import Batch
from ..formats import BLOCK, ArchiveFormat
from ..formats import zip as zip_format
from ..formats.zip import ZipMember
from ..media import Medium as Kind
from ..planner import Media, Medium, TooLarge
from ..walk import Entry, Problem
from . import rows
from .cutting import END_OF_DEFLATE, Cut, head_of, part_name
from .framing import member_row
from .messages import BatchDone, ChunkDone
from .orders import WriterOrders
from .sizes import ArchivePlan, OpenArchive
from .units import LargeUnit, line_of, spare_room, whole_of
from .volumes import Spot, VolumeDone, Volumes
from .worker import compress_piece

if TYPE_CHECKING:
    from .resuming import Resumption

# How many rows and bytes may wait for a sync: what a crash costs, and what is held in memory.
ROWS_BETWEEN_SYNCS = 20_000
BYTES_BETWEEN_SYNCS = 256 << 20
# The rows of so many bytes are told together: what is read again of a run that could write no more.
BYTES_AT_ONCE = 16 << 20
# Less room than this, or than a 2000th of a volume, is not filled with a piece of a file.
_LEAST_PIECE = 4096
# To fill less than this part of a volume, no file is cut.
_WORTHWHILE = 100
# What does not compress grows by less than a part in so many in any codec: by 1 % in bzip2.
_GROWTH = 50


@dataclass(frozen=True, slots=True)
class Fit:
    """Where a frame fits: the spot, and the frame's central entries and piece of the manifest as they are there."""

    spot: Spot
    central: bytes
    piece: bytes | bytearray


class Placer:
    """Gives frames to volumes, and tells the writer and the catalogue.

    Args:
        orders: the writer.
        media: capacities to fill.
        folder: of the run.
        readme: makes README.txt of a volume from its number, its archives, and whether it gets recovery files.
        on_unused: called at the end with the capacities of media that were not used.
        most_in_use: volumes that may wait to be filled further; None: any number.
        kinds: what media of these capacities are made for; others are plain bytes.
        redundancy: percent of recovery files; 0: none.
    """

    def __init__(
        self,
        orders: WriterOrders,
        media: Media,
        folder: str,
        readme: Callable[[int, list[tuple[str, str]], bool], str],
        on_unused: Callable[[tuple[int, ...]], None],
        most_in_use: int | None = None,
        kinds: Mapping[int, Kind] = MappingProxyType({}),
        redundancy: int = 0,
    ) -> None:
        self._orders = orders
        self._on_unused = on_unused
        self._volumes = Volumes(orders, media, folder, readme, self._flush_rows, most_in_use, kinds, redundancy)
        self._max_size = media.max_size
        self._frames: list[rows.Frame] = []
        self._members: list[rows.Members] = []
        self._untold_rows = 0
        self._waiting_bytes = 0
        self._waiting_rows = 0
        self._untold_bytes = 0

    @property
    def closed(self) -> dict[int, VolumeDone]:
        """Volumes ordered to be completed, by number; they are complete when the writer says so."""
        return self._volumes.closed

    @property
    def unprotected(self) -> list[str]:
        """Titles of volumes of a run that goes on, which are too full for recovery files."""
        return self._volumes.unprotected

    def restore(
        self, resumption: Resumption, formats: Sequence[ArchiveFormat]
    ) -> tuple[dict[int, int], dict[int, int]]:
        """Go on with the volumes of a run that ended early.

        Args:
            resumption: what is left of it, repaired.
            formats: one for each source.

        Returns:
            The catalogue's ids of volumes and archives that take more, by their numbers here.
        """
        volumes, archives = {}, {}
        self._volumes.begun = len(resumption.capacities)
        for volume in resumption.kept:
            place = self._volumes.reopen(volume)
            volumes[volume.recorded.number] = volume.recorded.id
            for kept in volume.archives:
                number = self._volumes.reopen_archive(
                    place, kept, formats[kept.recorded.source], resumption.linked[kept.recorded.id]
                )
                archives[number] = kept.recorded.id
        return volumes, archives

    # A batch

    def find(self, plan: ArchivePlan, done: BatchDone, start: int | Medium = 0, lowest: int = 0) -> Fit | TooLarge:
        """Where the frame of a batch is to go.

        Its hard links may point to what is not in the archive there; then it is made anew and looked for again.

        Args:
            plan: of its archive.
            done: the frame.
            start: no place before this one.
            lowest: no volume with a lower number, for one as high has something of the same name that is older.
        """
        if not isinstance(start, Medium):
            start = max(start, self._volumes.first_place(lowest))
        for spot in self._volumes.spots(plan, done.length + len(done.central), start):
            piece = manifest.manifest_piece(done.manifest, spot.archive.name, spot.archive.size)
            central = zip_format.rebase_central(done.central, spot.archive.size)
            if spot.holds(done.length, len(central), done.count, len(piece)):
                return Fit(spot, central, piece)
        return TooLarge(self._volumes.largest)

    def add_batch(self, fit: Fit, slot: int, batch: Batch, done: BatchDone) -> None:
        """Place the frame of a batch where `find` has said; its slot is used up."""
        place, archive = self._volumes.claim(fit.spot)
        self._orders.order("append_slot", archive.number, slot, 0, done.length, True)
        self._announce(place, archive)
        frame = self._add_frame(archive, archive.size, done.length, done.raw_size)
        self._add_members(place, archive, done.length, fit.central, done.count, fit.piece)
        archive.linked.update(done.links)
        folders = [piece.directory for piece in batch.slices]
        size = done.content + done.linked
        volume = self._volumes[place].number
        self._tell(
            rows.Members(volume, archive.number, frame, folders, done.rows, done.count, done.files, size),
        )
        self._sync_at_times(done.length)
        self._volumes.close_if_full(place)

    # A large file

    def add_chunk(self, unit: LargeUnit, slot: int, done: ChunkDone) -> TooLarge | None:
        """Place the next frame of a large file, on the volume that has those before it; its slot is used up.

        Returns:
            `TooLarge` if the file fits on no medium: then `drop_large` takes back what was written of it.
        """
        refused = self._make_room(unit, done.length)
        if refused:
            return refused
        self._orders.order("append_slot", unit.archive.number, slot, done.start, done.length, False)
        self._took(unit, done.length, done.raw_size, done.content)
        return None

    def _make_room(self, unit: LargeUnit, length: int) -> TooLarge | None:
        """See that the next frame has room where the file lies, or moves to; its header is written before the first."""
        head = b""
        if unit.place is None and unit.cut is not None:
            head = unit.cut.head
        elif unit.place is None and unit.header is not None:
            head = zip_format.local_header(unit.header)
        size = unit.size + len(head) + length
        if unit.place is None or spare_room(self._volumes.spot(unit.plan, unit.place), unit, size) < 0:
            if unit.cut is not None and unit.cut.fill and unit.place is not None:
                return TooLarge(self._volumes.largest)
            refused = self._move_on(unit, size)
            if refused:
                return refused
        if head:
            self._orders.order("append_bytes", unit.archive.number, head, False)
            unit.size = len(head)
            if unit.cut is not None and unit.header is None:
                unit.frames.append(len(head))
                unit.raw_sizes.append(unit.cut.raw_head)
        return None

    def _took(self, unit: LargeUnit, length: int, raw_size: int, content: int) -> None:
        unit.frames.append(length)
        unit.raw_sizes.append(raw_size)
        unit.size += length
        unit.content += content

    def _move_on(self, unit: LargeUnit, size: int) -> TooLarge | None:
        """Find the next place where a file has room for ``size`` bytes, and take what is written of it there."""
        start: int | Medium = self._volumes.first_place(unit.lowest) if unit.place is None else unit.place
        # Where nothing else was settled, the volume itself gets another medium.
        alone = unit.place is not None and self._volumes[unit.place].is_blank
        if unit.place is not None and alone:
            start = self._volumes[unit.place].medium
        least = size
        if unit.cut is not None and unit.cut.fill:
            left = unit.large.entry.size - unit.cut.offset
            least = max(size, min(left, self._max_size // _WORTHWHILE))
        spots = self._volumes.spots(unit.plan, least, start)
        spot = next((spot for spot in spots if spare_room(spot, unit, size) >= 0), None)
        if spot is None:
            return TooLarge(self._volumes.largest)
        if unit.place is not None and alone:
            assert isinstance(spot.place, Medium)
            self._volumes.exchange(unit.place, spot.place)
            return None
        place, archive = self._volumes.claim(spot)
        if unit.place is not None:
            self._orders.order("move", unit.archive.number, unit.start, archive.number)
            self._volumes.tidy(unit.place, unit.archive)
        unit.place, unit.archive, unit.start = place, archive, archive.size
        return None

    def end_large(self, unit: LargeUnit, entry: Entry, digest: bytes, crc32: int) -> None:
        """The whole file is placed: complete its header, and tell manifest and catalogue.

        Args:
            unit: the file.
            entry: what was read; its size is that of the content saved.
            digest: of the content.
            crc32: of the content, for a zip.
        """
        if unit.cut is not None:
            self._end_part(unit, unit.cut, entry, digest)
            return
        archive = unit.archive
        central = b""
        if unit.header is not None:
            head_size = len(zip_format.local_header(unit.header))
            member = ZipMember(
                unit.header.name,
                entry.mode,
                unit.header.mtime_ns,
                unit.header.method,
                crc32,
                entry.size,
                unit.size - head_size,
                unit.header.zip64,
            )
            self._orders.order("patch", archive.number, unit.start, zip_format.local_header(member))
            central = zip_format.central_entry(member, unit.start)
        if entry.key is not None:
            archive.linked[entry.key] = unit.path
        self._settle(unit, unit.path, central, entry, digest, None)

    def _settle(
        self, unit: LargeUnit, path: str, central: bytes, entry: Entry, digest: bytes, part: rows.PartOf | None
    ) -> None:
        """A file, or a part of it, is as it shall be in the archive: tell manifest and catalogue."""
        line = line_of(path, entry, digest, whole_of(unit.path, part))
        archive, place = unit.archive, unit.place
        assert place is not None
        self._orders.order("settle", archive.number)
        piece = manifest.manifest_piece(line, archive.name, unit.start)
        self._announce(place, archive)
        frame = self._add_unit_frames(archive, unit)
        self._add_members(place, archive, unit.size, central, 1, piece)
        packed = marshal.dumps([[tuple(member_row(entry, digest))]])
        folders = [unit.large.directory]
        volume = self._volumes[place].number
        self._tell(rows.Members(volume, archive.number, frame, folders, packed, 1, 1, entry.size, part))
        self._sync_at_times(unit.size)
        self._volumes.close_if_full(place)

    # A file that may be cut

    def surely_fits(self, plan: ArchivePlan, size: int) -> bool:
        """Whether a file with ``size`` bytes of content fits on a new volume of ``max_size``, whatever they are."""
        return size + size // _GROWTH + 4 * _LEAST_PIECE <= self._volumes.spot(plan, Medium(None)).spare(0, 0, 0, 0)

    def add_piece(self, unit: LargeUnit, slot: int, done: ChunkDone, raw: bytes) -> bool:
        """Place the next frame of a file that may be cut, if it has room in the part; then its slot is used up."""
        assert unit.cut is not None
        if self._make_room(unit, done.length):
            return False
        self._orders.order("append_slot", unit.archive.number, slot, done.start, done.length, False)
        self._took(unit, done.length, done.raw_size, done.content)
        unit.cut.take(raw)
        return True

    def cut(self, unit: LargeUnit, raw: bytes, padding: int) -> TooLarge | None:
        """End a part where the volume is full, and begin the next.

        Args:
            unit: the file.
            raw: the piece that has no room in the part; compressed again in what fills the volume and what does not.
            padding: zeros after it.

        Returns:
            `TooLarge` if not even the piece fits on a medium.
        """
        assert unit.cut is not None
        rest = memoryview(raw)
        if unit.place is not None:
            rest = self._fill(unit, unit.cut, rest)
            self._end_part(unit, unit.cut, None, b"")
        frame = compress_piece(unit.plan.archive_format, rest, padding, unit.stored)
        refused = self._make_room(unit, len(frame))
        if refused:
            return refused
        self._orders.order("append_bytes", unit.archive.number, bytes(frame), False)
        self._took(unit, len(frame), len(rest) + padding, len(rest))
        unit.cut.take(rest)
        return None

    def _fill(self, unit: LargeUnit, cut: Cut, rest: memoryview) -> memoryview:
        """Put so much of a piece into a part that the volume is full; returns what is left of the piece."""
        assert unit.place is not None
        least = max(_LEAST_PIECE, self._volumes[unit.place].capacity // 2000)
        while True:
            spare = spare_room(self._volumes.spot(unit.plan, unit.place), unit, unit.size)
            take = min(len(rest) - 1, spare - spare // _GROWTH - 1024) // BLOCK * BLOCK
            if take < least:
                return rest
            frame = compress_piece(unit.plan.archive_format, rest[:take], 0, unit.stored)
            if len(frame) > spare:
                return rest
            self._orders.order("append_bytes", unit.archive.number, bytes(frame), False)
            self._took(unit, len(frame), take, take)
            cut.take(rest[:take])
            rest = rest[take:]

    def _end_part(self, unit: LargeUnit, cut: Cut, whole: Entry | None, digest: bytes) -> None:
        """Complete a part: give it its header, and tell manifest and catalogue.

        Args:
            unit: the file.
            cut: how far its cutting has come.
            whole: the entry as it was read, with the last part; None: more parts follow.
            digest: of the whole, with its last part.
        """
        uncut = whole is not None and not cut.parts
        path = unit.path if uncut else part_name(unit.path, cut.parts + 1)
        entry = (whole or unit.large.entry)._replace(size=cut.length)
        central = b""
        reserved = len(cut.head)
        if unit.header is not None:
            if not unit.stored:
                self._orders.order("append_bytes", unit.archive.number, END_OF_DEFLATE, False)
                unit.size += len(END_OF_DEFLATE)
            member = replace(
                unit.header,
                name=os.fsencode(path),
                mode=entry.mode,
                crc32=cut.crc32,
                size=cut.length,
                compressed_size=unit.size - reserved,
            )
            head = zip_format.local_header(member)
            central = zip_format.central_entry(member, unit.start)
        else:
            head, unit.raw_sizes[0] = head_of(unit.plan.archive_format, path, entry, None)
            unit.frames[0] = len(head)
        self._orders.order("replace", unit.archive.number, unit.start, reserved, head)
        unit.size += len(head) - reserved
        part = None
        if not uncut:
            size = unit.large.entry.size if whole is None else whole.size
            part = rows.PartOf(cut.parts + 1, cut.offset, size, digest if whole is not None else None)
        elif entry.key is not None:
            unit.archive.linked[entry.key] = path
        self._settle(unit, path, central, entry, cut.hasher.digest(), part)
        cut.next()
        unit.begin()

    def _add_unit_frames(self, archive: OpenArchive, unit: LargeUnit) -> int:
        if unit.header is not None:  # a deflate stream is decoded from its start: one frame
            return self._add_frame(archive, unit.start, unit.size, sum(unit.raw_sizes))
        offset, first = unit.start, archive.frames
        for size, raw_size in zip(unit.frames, unit.raw_sizes, strict=True):
            self._add_frame(archive, offset, size, raw_size)
            offset += size
        return first

    def drop_large(self, unit: LargeUnit) -> int:
        """Take back what was written of a file; returns how many bytes of its content that was."""
        if unit.place is not None:
            self._orders.order("truncate", unit.archive.number, unit.start)
            self._volumes.tidy(unit.place, unit.archive)
            unit.place = None
        return unit.content

    # Ends

    def end_archive(self, plan: ArchivePlan) -> None:
        """The plan has no more frames: complete its archives."""
        self._volumes.close_archives(plan)

    def end_run(self) -> None:
        """Nothing more comes: complete all volumes."""
        self._volumes.close_all()
        self._on_unused(self._volumes.unused)

    # Rows

    def _announce(self, place: int, archive: OpenArchive) -> None:
        volume = self._volumes[place]
        if not volume.announced:
            volume.announced = True
            self._orders.hold(rows.NewVolume(volume.number, volume.title, volume.folder, volume.capacity))
        if not archive.announced:
            archive.announced = True
            self._orders.hold(
                rows.NewArchive(
                    archive.number,
                    volume.number,
                    archive.name,
                    archive.plan.archive_format.suffix,
                    archive.plan.source,
                )
            )

    def _add_members(
        self,
        place: int,
        archive: OpenArchive,
        frame: int,
        central: bytes,
        entries: int,
        piece: bytes | bytearray,
    ) -> None:
        if central:
            self._orders.order("add_central", archive.number, central, entries)
        self._orders.order("add_manifest", self._volumes[place].number, piece)
        self._volumes.add(place, archive, frame, central, entries if central else 0, len(piece))

    def _add_frame(self, archive: OpenArchive, offset: int, size: int, raw_size: int) -> int:
        number = archive.frames
        archive.frames += 1
        self._frames.append(rows.Frame(archive.number, number, offset, size, raw_size))
        return number

    def _tell(self, members: rows.Members) -> None:
        self._members.append(members)
        self._untold_rows += members.number

    def _sync_at_times(self, written: int) -> None:
        self._waiting_bytes += written
        self._untold_bytes += written
        if self._untold_rows >= rows.ROWS_AT_ONCE or self._untold_bytes >= BYTES_AT_ONCE:
            self._flush_rows()
        if self._waiting_rows >= ROWS_BETWEEN_SYNCS or self._waiting_bytes >= BYTES_BETWEEN_SYNCS:
            self.sync()

    def sync(self) -> None:
        """Let all that was placed become safe, and known to the catalogue."""
        self._flush_rows()
        self._orders.numbered("sync")
        self._waiting_rows = self._waiting_bytes = 0

    def _flush_rows(self) -> None:
        if self._members or self._frames:
            self._waiting_rows += self._untold_rows
            self._orders.hold(rows.Rows(self._frames, self._members))
            self._frames, self._members, self._untold_bytes, self._untold_rows = [], [], 0, 0


def too_large_problem(path: str, refused: TooLarge) -> Problem:
    """What is said of a file that fits on no volume."""
    return Problem(
        path,
        f"fits on no volume: the largest medium to come holds {refused.largest:,} bytes; give a larger max_size",
    )
