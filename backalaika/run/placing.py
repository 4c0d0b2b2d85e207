"""Placing: give each finished frame a volume, and say what is to be written.

All sizes are known when a frame comes: its own, that of its lines in the manifest, of its entries in a zip's central
directory, of the archive's end, of the sums and of README.txt. So a frame is placed only where it surely fits, and a
volume is never larger than its capacity. The frames of a large file come one by one and must lie on one volume: when
the volume turns out too small, what was written of the file moves to the next.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .. import manifest
from ..batch import Batch, Key, Large, member_path
from ..formats import ArchiveFormat
from ..formats import zip as zip_format
from ..formats.zip import ZipMember
from ..planner import Media, Next, TooLarge, next_medium
from ..walk import FILE, Entry, Problem
from . import rows
from .messages import BatchDone, ChunkDone, Saved
from .orders import WriterOrders
from .repair import KeptArchive, KeptVolume
from .resuming import Resumption
from .sizes import ArchivePlan, OpenArchive, OpenVolume, closed_archive_size, total_size
from .worker import manifest_line

# How many rows and bytes may wait for a sync: what a crash costs, and what is held in memory.
ROWS_BETWEEN_SYNCS = 20_000
BYTES_BETWEEN_SYNCS = 256 << 20

# A gzip member of one line may be this much longer than the line.
_GZIP_OVERHEAD = 64


@dataclass(frozen=True, slots=True)
class VolumeDone:
    """A finished volume, as ``after_volume`` and the report see it. ``size`` and ``capacity`` are in bytes."""

    number: int
    title: str
    folder: str
    capacity: int
    size: int
    archives: tuple[str, ...]


class LargeUnit:
    """A large file on its way: the frames that were placed, and how it ends."""

    def __init__(self, plan: ArchivePlan, large: Large, header: ZipMember | None) -> None:
        self.plan = plan
        self.large = large
        self.header = header
        self.started = False
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
    def place(self) -> str:
        """Its path on disk."""
        return os.path.join(self.large.directory, self.large.entry.name)


class Placer:
    """Keeps the open volume and archive, and their exact sizes.

    Args:
        orders: the writer.
        media: capacities to fill.
        folder: of the run.
        readme: makes README.txt of a volume from its number and archives.
        on_passed_over: called with the capacities of media on which nothing fitted.

    Attributes:
        closed: volumes ordered to be completed, by number; they are complete when the writer says so.
    """

    def __init__(
        self,
        orders: WriterOrders,
        media: Media,
        folder: str,
        readme: Callable[[int, list[tuple[str, str]]], str],
        on_passed_over: Callable[[tuple[int, ...]], None],
    ) -> None:
        self._orders = orders
        self._media = media
        self._folder = folder
        self._readme = readme
        self._on_passed_over = on_passed_over
        self.closed: dict[int, VolumeDone] = {}
        self._volume: OpenVolume | None = None
        self._archive: OpenArchive | None = None
        self._volumes = 0
        self._archives = 0
        self._frames: list[rows.Frame] = []
        self._members: list[rows.Member] = []
        self._waiting_bytes = 0
        self._waiting_rows = 0

    # What is open

    def linked(self, plan: ArchivePlan) -> dict[Key, str]:
        """Paths of files with several links that stand in the archive which takes the plan's next frame."""
        return self._archive.linked if self._archive and self._archive.plan == plan else {}

    # A batch

    def add_batch(self, plan: ArchivePlan, slot: int, batch: Batch, done: BatchDone) -> bool | TooLarge:
        """Place the frame of a batch.

        Returns:
            True if it is placed; False if a new volume was begun for it and it is to be offered again, for its hard
            links may point to what is not there; `TooLarge` if it fits on no medium.
        """
        offset = self._archive.size if self._archive and self._archive.plan == plan else 0
        number = self._volume.number if self._volume else 1
        piece = manifest.manifest_piece(done.manifest, plan.name(number), offset)
        central = zip_format.rebase_central(done.central, offset)
        if not self._fits(plan, done.length, len(central), len(done.members), len(piece)):
            # Offset and number change a few bytes of the piece; a frame that fits by less is not worth a volume.
            need = self._need_on_new(plan, done.length, len(done.central), len(done.members), len(piece) + 256)
            return self._begin_volume(need) or False
        archive = self._open(plan)
        self._orders.order("append_slot", archive.number, slot, 0, done.length, True)
        self._add_members(archive, central, len(done.members), piece)
        frame = self._add_frame(archive, archive.size, done.length, done.raw_size)
        archive.size += done.length
        self._add_batch_rows(archive, frame, batch, done.members)
        self._sync_at_times(done.length)
        return True

    def _add_batch_rows(self, archive: OpenArchive, frame: int, batch: Batch, members: list[Saved]) -> None:
        assert self._volume is not None
        volume = self._volume.number
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
            `TooLarge` if the file fits on no medium: then what was written of it is taken back.
        """
        size, central, piece = self._reserve(unit, unit.size + done.length)
        taken = self._archive is not None and self._archive.plan == unit.plan and unit.started
        if not self._fits(unit.plan, size - (unit.size if taken else 0), central, 1, piece):
            refused = self._move_on(unit, self._need_on_new(unit.plan, size, central, 1, piece))
            if refused:
                return refused
        archive = self._open(unit.plan)
        if not unit.started:
            unit.started, unit.start = True, archive.size
            if unit.header is not None:
                head = zip_format.local_header(unit.header)
                self._orders.order("append_bytes", archive.number, head, False)
                unit.size += len(head)
                archive.size += len(head)
        self._orders.order("append_slot", archive.number, slot, done.start, done.length, False)
        unit.frames.append(done.length)
        unit.raw_sizes.append(done.raw_size)
        unit.size += done.length
        unit.content += done.content
        archive.size += done.length
        return None

    def _reserve(self, unit: LargeUnit, size: int) -> tuple[int, int, int]:
        """Bytes of the file with its local header, its central entry and its manifest line, at most."""
        if unit.header is not None and not unit.started:
            size += len(zip_format.local_header(unit.header))
        central = len(zip_format.central_entry(unit.header, 0)) + 28 if unit.header else 0
        line = manifest_line(unit.path, self._saved(unit.large.entry, bytes(32)))
        return size, central, len(line) + len(unit.plan.stem) * 6 + 2 * _GZIP_OVERHEAD

    def _move_on(self, unit: LargeUnit, need: int) -> TooLarge | None:
        """Begin a new volume for a file, and take what is written of it along."""
        old, volume = self._archive, self._volume
        if not unit.started or volume is None or old is None or self._holds_only(volume, old, unit):
            return self._begin_volume(need, keep=unit.started)
        decision = next_medium(need, self._media)
        if isinstance(decision, TooLarge):
            return decision
        self._archive = None
        self._open_volume(decision)
        archive = self._open(unit.plan)
        self._orders.order("move", old.number, unit.start, archive.number)
        archive.size = unit.size
        old.size, unit.start = unit.start, 0
        self._close_archive(volume, old)
        self._close_volume(volume)
        return None

    @staticmethod
    def _holds_only(volume: OpenVolume, archive: OpenArchive, unit: LargeUnit) -> bool:
        return unit.start == 0 and len(volume.archives) == 1 and archive.name == volume.archives[0][0]

    def end_large(self, unit: LargeUnit, entry: Entry, digest: bytes, crc32: int) -> None:
        """The whole file is placed: complete its header, and tell manifest and catalogue.

        Args:
            unit: the file.
            entry: what was read; its size is that of the content saved.
            digest: of the content.
            crc32: of the content, for a zip.
        """
        archive, volume = self._archive, self._volume
        assert archive is not None
        assert volume is not None
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
        saved = self._saved(entry, digest)
        piece = manifest.manifest_piece(manifest_line(unit.path, saved), archive.name, unit.start)
        self._add_members(archive, central, 1, piece)
        frame = self._add_unit_frames(archive, unit)
        if entry.key is not None:
            archive.linked[entry.key] = unit.path
        self._members.append(
            rows.Member(volume.number, archive.number, unit.large.directory, entry.name, *saved[1:7], frame, 0, "")
        )
        self._sync_at_times(unit.size)

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
        if unit.started and self._archive is not None:
            self._orders.order("truncate", self._archive.number, unit.start)
            self._archive.size = unit.start
        return unit.content

    @staticmethod
    def _saved(entry: Entry, digest: bytes) -> Saved:
        return Saved(0, FILE, entry.size, entry.mtime_ns, entry.ctime_ns, entry.inode, digest, 0, "")

    # A run that goes on

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
        self._volumes = len(resumption.capacities)
        for volume in resumption.kept:
            if self._volume is not None:  # it was being closed
                self._end_volume(self._volume)
            self._volume = self._reopen_volume(volume)
            volumes[self._volume.number] = volume.recorded.id
            for archive in volume.archives:
                if self._archive is not None:
                    self.end_archive(self._archive.plan)
                linked = resumption.linked[archive.recorded.id]
                self._archive = self._reopen_archive(self._volume, archive, formats, linked)
                archives[self._archive.number] = archive.recorded.id
        return volumes, archives

    def _reopen_volume(self, kept: KeptVolume) -> OpenVolume:
        recorded = kept.recorded
        volume = OpenVolume(recorded.number, recorded.folder, recorded.title, recorded.capacity, announced=True)
        volume.manifest_size = kept.manifest_size
        whole = []
        for archive in kept.complete:
            assert archive.digest is not None
            whole.append((archive.name, archive.digest, archive.size))
            volume.archives.append((archive.name, archive.format))
            volume.closed_size += archive.size
        self._orders.order("reopen_volume", volume.number, volume.folder, kept.manifest_size, whole)
        return volume

    def _reopen_archive(
        self,
        volume: OpenVolume,
        kept: KeptArchive,
        formats: Sequence[ArchiveFormat],
        linked: dict[Key, str],
    ) -> OpenArchive:
        recorded = kept.recorded
        self._archives += 1
        stem = recorded.name.removesuffix(f".{volume.number:03d}.{recorded.format}")
        plan = ArchivePlan(recorded.source, stem, formats[recorded.source])
        archive = OpenArchive(
            self._archives, plan, recorded.name, recorded.end, kept.central_size, kept.entries, recorded.frames, True
        )
        archive.linked = linked
        volume.archives.append((recorded.name, recorded.format))
        path = os.path.join(volume.folder, recorded.name)
        self._orders.order("reopen_archive", archive.number, path, recorded.end, kept.central_size, kept.entries)
        return archive

    # Ends

    def end_archive(self, plan: ArchivePlan) -> None:
        """The plan has no more frames: complete its archive."""
        if self._archive is not None and self._archive.plan == plan:
            archive, self._archive = self._archive, None
            assert self._volume is not None
            self._close_archive(self._volume, archive)

    def end_run(self) -> None:
        """Nothing more comes: complete the last volume."""
        if self._volume is not None:
            self._end_volume(self._volume)

    def _end_volume(self, volume: OpenVolume) -> None:
        if self._archive is not None:
            self.end_archive(self._archive.plan)
        self._volume = None
        if volume.archives:
            self._close_volume(volume)
        else:
            self._orders.order("discard_volume", volume.number)

    # Sizes

    def _fits(self, plan: ArchivePlan, frame: int, central: int, entries: int, piece: int) -> bool:
        volume = self._volume
        if volume is None:
            return False
        archive = self._archive if self._archive and self._archive.plan == plan else None
        archives = volume.archives
        if archive is None:
            archive = OpenArchive(0, plan, plan.name(volume.number))
            archives = [*archives, (archive.name, plan.archive_format.suffix)]
        readme = len(self._readme(volume.number, archives).encode())
        return total_size(volume, archives, archive, frame, central, entries, piece, readme) <= volume.capacity

    def _need_on_new(self, plan: ArchivePlan, frame: int, central: int, entries: int, piece: int) -> int:
        number = self._volumes + 1
        archive = OpenArchive(0, plan, plan.name(number))
        volume = OpenVolume(number, "", "", 0)
        archives = [(archive.name, plan.archive_format.suffix)]
        readme = len(self._readme(number, archives).encode())
        return total_size(volume, archives, archive, frame, central, entries, piece, readme)

    # Opening and closing

    def _open(self, plan: ArchivePlan) -> OpenArchive:
        """The archive of a plan on the open volume."""
        if self._archive is not None and self._archive.plan == plan:
            return self._archive
        assert self._archive is None
        assert self._volume is not None
        volume = self._volume
        self._archives += 1
        archive = OpenArchive(self._archives, plan, plan.name(volume.number))
        volume.archives.append((archive.name, plan.archive_format.suffix))
        self._orders.order("open_archive", archive.number, os.path.join(volume.folder, archive.name))
        self._archive = archive
        return archive

    def _begin_volume(self, need: int, keep: bool = False) -> TooLarge | None:
        """Close the open volume and begin the next that can hold ``need`` bytes.

        A volume on which nothing stands yet, or nothing but the file in question (``keep``), is not closed: its
        folder becomes that of the next medium.
        """
        decision = next_medium(need, self._media)
        if isinstance(decision, TooLarge):
            return decision
        if self._archive is not None and not keep:
            self.end_archive(self._archive.plan)
        volume = self._volume
        if volume is None or (volume.archives and not keep):
            if volume is not None:
                self._close_volume(volume)
            self._open_volume(decision)
            return None
        self._on_passed_over((volume.capacity, *decision.passed_over))
        self._media, volume.capacity = decision.media, decision.capacity
        return None

    def _open_volume(self, medium: Next) -> None:
        if medium.passed_over:
            self._on_passed_over(medium.passed_over)
        self._media = medium.media
        self._volumes += 1
        name = f"vol{self._volumes:03d}"
        folder = os.path.join(self._folder, name)
        volume = OpenVolume(self._volumes, folder, f"{os.path.basename(self._folder)}/{name}", medium.capacity)
        self._orders.order("open_volume", volume.number, folder)
        self._volume = volume

    def _close_archive(self, volume: OpenVolume, archive: OpenArchive) -> None:
        if not archive.size:
            self._orders.order("discard_archive", archive.number)
            volume.archives.remove((archive.name, archive.plan.archive_format.suffix))
            return
        volume.closed_size += closed_archive_size(archive)
        self._flush_rows()
        self._orders.numbered("close_archive", volume.number, archive.number, archive.tail())

    def _close_volume(self, volume: OpenVolume) -> None:
        readme = self._readme(volume.number, volume.archives)
        names = tuple(name for name, _ in volume.archives)
        sums = sum(manifest.sums_line_size(name) for name in (*names, manifest.MANIFEST, manifest.README))
        size = volume.closed_size + volume.manifest_size + len(readme.encode()) + sums
        self._orders.numbered("close_volume", volume.number, readme)
        self.closed[volume.number] = VolumeDone(
            volume.number, volume.title, volume.folder, volume.capacity, size, names
        )

    # Rows

    def _add_members(self, archive: OpenArchive, central: bytes, entries: int, piece: bytes | bytearray) -> None:
        assert self._volume is not None
        volume = self._volume
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
        if central:
            self._orders.order("add_central", archive.number, central, entries)
            archive.central_size += len(central)
            archive.entries += entries
        self._orders.order("add_manifest", volume.number, piece)
        volume.manifest_size += len(piece)

    def _add_frame(self, archive: OpenArchive, offset: int, size: int, raw_size: int) -> int:
        number = archive.frames
        archive.frames += 1
        self._frames.append(rows.Frame(archive.number, number, offset, size, raw_size))
        return number

    def sync(self) -> None:
        """Let all that was placed become safe, and known to the catalogue."""
        self._flush_rows()
        self._orders.numbered("sync")
        self._waiting_rows = self._waiting_bytes = 0

    def _sync_at_times(self, written: int) -> None:
        self._waiting_bytes += written
        if len(self._members) >= 5000:
            self._flush_rows()
        if self._waiting_rows >= ROWS_BETWEEN_SYNCS or self._waiting_bytes >= BYTES_BETWEEN_SYNCS:
            self.sync()

    def _flush_rows(self) -> None:
        if self._members or self._frames:
            self._waiting_rows += len(self._members)
            self._orders.hold(rows.Rows(self._frames, self._members))
            self._frames, self._members = [], []


def too_large_problem(path: str, refused: TooLarge) -> Problem:
    """What is said of a file that fits on no volume."""
    return Problem(
        path,
        f"fits on no volume: the largest medium to come holds {refused.largest:,} bytes; give a larger max_size",
    )
