"""Placing: give each finished frame a volume, and say what is to be written.

All sizes are known when a frame comes: its own, that of its lines in the manifest, of its entries in a zip's central
directory, of the archive's end, of the sums and of README.txt. So a frame is placed only where it surely fits, and a
volume is never larger than its capacity. The frames of a large file come one by one and must lie on one volume: when
the volume turns out too small, what was written of the file moves to the next that has room. So it comes to lie where
first fit would have put it, had its compressed size been known.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from .. import manifest
from ..batch import Batch, Large, member_path
from ..formats import ArchiveFormat
from ..formats import zip as zip_format
from ..formats.zip import ZipMember
from ..media import Medium as Kind
from ..planner import Media, Medium, TooLarge
from ..walk import FILE, Entry, Problem
from . import rows
from .messages import BatchDone, ChunkDone, Saved
from .orders import WriterOrders
from .resuming import Resumption
from .sizes import ArchivePlan, OpenArchive
from .volumes import Spot, VolumeDone, Volumes
from .worker import manifest_line

# How many rows and bytes may wait for a sync: what a crash costs, and what is held in memory.
ROWS_BETWEEN_SYNCS = 20_000
BYTES_BETWEEN_SYNCS = 256 << 20
# Bytes of the longest digest.
MOST_DIGEST = 32


class LargeUnit:
    """A large file on its way: the frames that were placed, and how it ends."""

    def __init__(self, plan: ArchivePlan, large: Large, header: ZipMember | None) -> None:
        self.plan = plan
        self.large = large
        self.header = header
        # Where it is being written; None: nowhere yet.
        self.place: int | None = None
        self.archive = OpenArchive(0, plan, "")
        self.start = 0
        self.size = 0
        self.content = 0
        self.frames = array("Q")
        self.raw_sizes = array("Q")
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


class Placer:
    """Gives frames to volumes, and tells the writer and the catalogue.

    Args:
        orders: the writer.
        media: capacities to fill.
        folder: of the run.
        readme: makes README.txt of a volume from its number and archives.
        on_unused: called at the end with the capacities of media that were not used.
        most_in_use: volumes that may wait to be filled further; None: any number.
        kinds: what media of these capacities are made for; others are plain bytes.
    """

    def __init__(
        self,
        orders: WriterOrders,
        media: Media,
        folder: str,
        readme: Callable[[int, list[tuple[str, str]]], str],
        on_unused: Callable[[tuple[int, ...]], None],
        most_in_use: int | None = None,
        kinds: Mapping[int, Kind] = MappingProxyType({}),
    ) -> None:
        self._orders = orders
        self._on_unused = on_unused
        self._volumes = Volumes(orders, media, folder, readme, self._flush_rows, most_in_use, kinds)
        self._frames: list[rows.Frame] = []
        self._members: list[rows.Member] = []
        self._waiting_bytes = 0
        self._waiting_rows = 0

    @property
    def closed(self) -> dict[int, VolumeDone]:
        """Volumes ordered to be completed, by number; they are complete when the writer says so."""
        return self._volumes.closed

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

    def find(self, plan: ArchivePlan, done: BatchDone, start: int | Medium = 0) -> Spot | TooLarge:
        """Where the frame of a batch is to go.

        Its hard links may point to what is not in the archive there; then it is made anew and looked for again.

        Args:
            plan: of its archive.
            done: the frame.
            start: no place before this one.
        """
        for spot in self._volumes.spots(plan, done.length + len(done.central), start):
            central, piece = _moved(done, spot.archive)
            if spot.holds(done.length, len(central), len(done.members), len(piece)):
                return spot
        return TooLarge(self._volumes.largest)

    def add_batch(self, spot: Spot, slot: int, batch: Batch, done: BatchDone) -> None:
        """Place the frame of a batch where `find` has said; its slot is used up."""
        central, piece = _moved(done, spot.archive)
        place, archive = self._volumes.claim(spot)
        self._orders.order("append_slot", archive.number, slot, 0, done.length, True)
        self._announce(place, archive)
        frame = self._add_frame(archive, archive.size, done.length, done.raw_size)
        self._add_members(place, archive, done.length, central, len(done.members), piece)
        self._add_batch_rows(place, archive, frame, batch, done.members)
        self._sync_at_times(done.length)
        self._volumes.close_if_full(place)

    def _add_batch_rows(self, place: int, archive: OpenArchive, frame: int, batch: Batch, members: list[Saved]) -> None:
        volume = self._volumes[place].number
        places = [(piece, entry) for piece in batch.slices for entry in piece.entries]
        for saved in members:
            piece, entry = places[saved.entry]
            if entry.key is not None and saved.kind == FILE:
                archive.linked[entry.key] = member_path(piece.member_prefix, entry.name)
            self._members.append(
                rows.Member(
                    volume,
                    archive.number,
                    piece.directory,
                    entry.name,
                    saved.kind,
                    saved.size,
                    saved.mtime_ns,
                    saved.ctime_ns,
                    saved.inode,
                    saved.digest,
                    frame,
                    saved.offset,
                    saved.target,
                )
            )

    # A large file

    def add_chunk(self, unit: LargeUnit, slot: int, done: ChunkDone) -> TooLarge | None:
        """Place the next frame of a large file, on the volume that has those before it; its slot is used up.

        Returns:
            `TooLarge` if the file fits on no medium: then `drop_large` takes back what was written of it.
        """
        head = zip_format.local_header(unit.header) if unit.header is not None and unit.place is None else b""
        size = unit.size + len(head) + done.length
        if unit.place is None or not _holds(self._volumes.spot(unit.plan, unit.place), unit, size):
            refused = self._move_on(unit, size)
            if refused:
                return refused
        if head:
            self._orders.order("append_bytes", unit.archive.number, head, False)
        self._orders.order("append_slot", unit.archive.number, slot, done.start, done.length, False)
        unit.frames.append(done.length)
        unit.raw_sizes.append(done.raw_size)
        unit.size = size
        unit.content += done.content
        return None

    def _move_on(self, unit: LargeUnit, size: int) -> TooLarge | None:
        """Find the next place where a file has room for ``size`` bytes, and take what is written of it there."""
        start: int | Medium = 0 if unit.place is None else unit.place
        # Where nothing else was settled, the volume itself gets another medium.
        alone = unit.place is not None and not self._volumes[unit.place].manifest_size
        if unit.place is not None and alone:
            start = self._volumes[unit.place].medium
        spots = self._volumes.spots(unit.plan, size, start)
        spot = next((spot for spot in spots if _holds(spot, unit, size)), None)
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
        archive, place = unit.archive, unit.place
        assert place is not None
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
        self._orders.order("settle", archive.number)
        saved = _saved(entry, digest)
        piece = manifest.manifest_piece(manifest_line(unit.path, saved), archive.name, unit.start)
        self._announce(place, archive)
        frame = self._add_unit_frames(archive, unit)
        self._add_members(place, archive, unit.size, central, 1, piece)
        if entry.key is not None:
            archive.linked[entry.key] = unit.path
        volume = self._volumes[place].number
        self._members.append(
            rows.Member(volume, archive.number, unit.large.directory, entry.name, *saved[1:7], frame, 0, "")
        )
        self._sync_at_times(unit.size)
        self._volumes.close_if_full(place)

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

    def _sync_at_times(self, written: int) -> None:
        self._waiting_bytes += written
        if len(self._members) >= 5000:
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
            self._waiting_rows += len(self._members)
            self._orders.hold(rows.Rows(self._frames, self._members))
            self._frames, self._members = [], []


def _moved(done: BatchDone, archive: OpenArchive) -> tuple[bytes, bytes | bytearray]:
    """Central entries and piece of the manifest of a frame, at the end of an archive."""
    piece = manifest.manifest_piece(done.manifest, archive.name, archive.size)
    return zip_format.rebase_central(done.central, archive.size), piece


def _holds(spot: Spot, unit: LargeUnit, size: int) -> bool:
    """Whether a spot surely has room for ``size`` bytes of a file, whatever its digest, sizes and CRC-32."""
    central = 0
    if unit.header is not None:
        # The ZIP64 field has at most sizes and offset: APPNOTE 4.5.3.
        central = len(zip_format.central_entry(unit.header, 0)) + 4 + 3 * 8
    line = manifest_line(unit.path, _saved(unit.large.entry, bytes(MOST_DIGEST)))
    piece = manifest.manifest_piece_bound(line, spot.archive.name, spot.archive.size)
    return spot.holds(size, central, 1 if central else 0, piece)


def _saved(entry: Entry, digest: bytes) -> Saved:
    return Saved(0, FILE, entry.size, entry.mtime_ns, entry.ctime_ns, entry.inode, digest, 0, "")


def too_large_problem(path: str, refused: TooLarge) -> Problem:
    """What is said of a file that fits on no volume."""
    return Problem(
        path,
        f"fits on no volume: the largest medium to come holds {refused.largest:,} bytes; give a larger max_size",
    )
