"""Volumes: those that take frames, which of them has room for one, and what is ordered to open and close them.

A volume is begun when the first frame is placed on it, and closed when it is full or the run is at its end; an
archive when its source has no more frames, or with its volume. All sizes are exact: a volume counts as if all of its
archives were closed now.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..batch import Key
from ..formats import ArchiveFormat
from ..media import Medium as Kind
from ..planner import Media, Medium, Shelf
from ..recovery.layout import Blocks, Layout, Planned
from .orders import WriterOrders
from .sizes import (
    ArchivePlan,
    OpenArchive,
    OpenVolume,
    OwnFiles,
    closed_archive_size,
    grown,
    own_files,
)

if TYPE_CHECKING:
    from .repair import KeptArchive, KeptVolume


@dataclass(frozen=True, slots=True)
class VolumeDone:
    """A finished volume, as ``after_volume`` and the report see it; sizes are in bytes.

    ``size`` is that of its files; ``used`` what they take of ``capacity``, which on a disc is more.
    """

    number: int
    title: str
    folder: str
    capacity: int
    size: int
    used: int
    archives: tuple[str, ...]
    # Of recovery files that are still to be made; ``used`` counts them, ``size`` does not.
    recovery: Planned | None = field(default=None, repr=False)
    # When it was read back as it was written, in nanoseconds since 1970; None: it was not read back.
    verified_at_ns: int | None = field(default=None, repr=False)

    @property
    def fill(self) -> float:
        """What is used of the capacity: 1 is full."""
        return self.used / self.capacity


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a frame may go.

    Attributes:
        place: a volume in use, or a medium that would be taken into use.
        archive: the one of the plan there; its number is 0 if it would be opened.
        kind: of the medium.
        manifest: bytes of the manifest there.
        room: bytes left on the medium, with README.txt and sums as they would be, and without recovery files.
        layout: of the recovery files; None: there are none.
        blocks: what they would be made of.
    """

    place: int | Medium
    archive: OpenArchive
    kind: Kind
    manifest: int
    room: int
    layout: Layout | None = None
    blocks: Blocks = Blocks()  # noqa: RUF009 - frozen, and the same for all

    def holds(self, frame: int, central: int, entries: int, piece: int) -> bool:
        """Whether a frame fits, with its entries in a zip's central directory and its piece of the manifest."""
        return self._left(frame, central, entries, piece) >= 0

    def spare(self, frame: int, central: int, entries: int, piece: int) -> int:
        """By how many bytes such a frame may still grow, by medium and archive; negative if it does not fit."""
        left = self._left(frame, central, entries, piece)
        if self.layout is None or left <= 0:
            return left
        low, high = 0, left  # more bytes need more recovery blocks
        while low < high:
            more = (low + high + 1) // 2
            if self._left(frame + more, central, entries, piece) >= 0:
                low = more
            else:
                high = more - 1
        return low

    def _left(self, frame: int, central: int, entries: int, piece: int) -> int:
        before, after = grown(self.archive, frame, central, entries)
        used = self.kind.round_up
        left = self.room - (used(after) - used(before) + used(self.manifest + piece) - used(self.manifest))
        if self.layout is not None:
            cut = self.layout.blocks
            more = cut(after) - cut(before) + cut(self.manifest + piece) - cut(self.manifest)
            left -= self.layout.used(self.kind, Blocks(self.blocks.count + more, self.blocks.described))
        return left if self.kind.largest_file is None else min(left, self.kind.largest_file - after)


class Volumes:
    """The volumes of a run.

    Args:
        orders: the writer.
        media: capacities to fill.
        folder: of the run.
        readme: makes README.txt of a volume from its number, its archives, and whether it gets recovery files.
        before_close: called before an archive is ordered to be closed.
        most_in_use: volumes that may wait to be filled further; None: any number.
        kinds: what media of these capacities are made for; others are plain bytes.
        redundancy: percent of recovery files; 0: none.

    Attributes:
        closed: volumes ordered to be completed, by number; they are complete when the writer says so.
        begun: how many the run has so far.
        unprotected: titles of volumes of a run that goes on, which are too full for recovery files.
    """

    def __init__(
        self,
        orders: WriterOrders,
        media: Media,
        folder: str,
        readme: Callable[[int, list[tuple[str, str]], bool], str],
        before_close: Callable[[], None],
        most_in_use: int | None = None,
        kinds: Mapping[int, Kind] = MappingProxyType({}),
        redundancy: int = 0,
    ) -> None:
        self._orders = orders
        self._shelf = Shelf(media)
        self._folder = folder
        self._readme = readme
        self._before_close = before_close
        self._most_in_use = most_in_use
        self._kinds = kinds
        self._redundancy = redundancy
        self.closed: dict[int, VolumeDone] = {}
        self._volumes: dict[int, OpenVolume] = {}
        self.begun = 0
        self.unprotected: list[str] = []
        self._archives = 0
        # A volume that was begun for a file that then fitted nowhere: the next medium gets its folder.
        self._blank: int | None = None

    def __getitem__(self, place: int) -> OpenVolume:
        return self._volumes[place]

    @property
    def largest(self) -> int:
        """The most that an empty medium to come can take."""
        return self._shelf.largest()

    @property
    def unused(self) -> tuple[int, ...]:
        """Capacities of media that were not used."""
        return self._shelf.unused()

    # Looking

    def spots(self, plan: ArchivePlan, least: int, start: int | Medium = 0) -> Iterator[Spot]:
        """Where a frame of a plan may go, in the order of preference.

        Args:
            plan: of its archive.
            least: bytes that it needs at least.
            start: begin with this place.
        """
        for place in self._shelf.candidates(least, start):
            spot = self.spot(plan, place)
            yield spot
            if spot.archive.number and spot.kind.largest_file is not None:
                yield self._new_archive(plan, place)

    def first_place(self, number: int) -> int:
        """The first place that may be given to `spots` for a volume of this number or a higher one."""
        if not number:
            return 0
        # Places and numbers grow together.
        later = (place for place, volume in self._volumes.items() if volume.number >= number)
        return next(later, self._shelf.taken)

    def spot(self, plan: ArchivePlan, place: int | Medium) -> Spot:
        """What a place offers to a plan: its open archive there, or else a new one."""
        if not isinstance(place, Medium) and plan in self._volumes[place].open:
            volume = self._volumes[place]
            room = volume.capacity - volume.plain_used - volume.own.used
            return Spot(place, volume.open[plan], volume.kind, volume.manifest_size, room, volume.layout, volume.blocks)
        return self._new_archive(plan, place)

    def _new_archive(self, plan: ArchivePlan, place: int | Medium) -> Spot:
        if isinstance(place, Medium):
            capacity, archives, manifest, used, blocks = self._shelf.capacity(place), [], 0, 0, 0
            number, kind = (self.begun if self._blank is None else self._blank) + 1, self._kind(capacity)
            layout = self._layout(kind)
        else:
            volume = self._volumes[place]
            capacity, archives, manifest = volume.capacity, volume.archives, volume.manifest_size
            number, kind, used, layout = volume.number, volume.kind, volume.plain_used, volume.layout
            blocks = volume.blocks.count - volume.own.blocks.count
        archive = OpenArchive(0, plan, plan.free_name(number, archives))
        own = self._own_files(kind, number, [*archives, (archive.name, plan.archive_format.suffix)], layout)
        blocks += own.blocks.count
        room = capacity - used - own.used
        return Spot(place, archive, kind, manifest, room, layout, Blocks(blocks, own.blocks.described))

    def _own_files(self, kind: Kind, number: int, archives: list[tuple[str, str]], layout: Layout | None) -> OwnFiles:
        readme = self._readme(number, archives, layout is not None)
        return own_files(kind, len(readme.encode()), archives, layout)

    def _kind(self, capacity: int) -> Kind:
        return self._kinds.get(capacity) or Kind(capacity)

    def _layout(self, kind: Kind) -> Layout | None:
        return Layout.of_medium(self._redundancy, kind)

    # A run that goes on

    def reopen(self, kept: KeptVolume) -> int:
        """Take a volume of a run that ended early; returns its place. Its archives are reopened one by one."""
        recorded = kept.recorded
        place = self._shelf.take_another(recorded.capacity)
        volume = OpenVolume(
            recorded.number,
            recorded.folder,
            recorded.title,
            recorded.capacity,
            Medium(None),
            self._kind(recorded.capacity),
        )
        volume.announced = True
        volume.layout = self._layout(volume.kind)
        volume.manifest_size = kept.manifest_size
        whole = []
        for archive in kept.complete:
            assert archive.digest is not None
            whole.append((archive.name, archive.digest, archive.size))
            volume.archives.append((archive.name, archive.format))
            volume.change_archive(0, archive.size)
        self._orders.order("reopen_volume", volume.number, volume.folder, kept.manifest_size, whole)
        self._volumes[place] = volume
        self._weigh_again(place)
        return place

    def reopen_archive(
        self, place: int, kept: KeptArchive, archive_format: ArchiveFormat, linked: dict[Key, str]
    ) -> int:
        """Go on with an archive of a reopened volume; returns its number.

        Args:
            place: of the volume.
            kept: the archive, repaired.
            archive_format: of its source.
            linked: what hard links may point to.
        """
        volume, recorded = self._volumes[place], kept.recorded
        self._archives += 1
        plan = ArchivePlan.of_archive(recorded.source, recorded.name, volume.number, archive_format)
        archive = OpenArchive(
            self._archives, plan, recorded.name, recorded.end, kept.central_size, kept.entries, recorded.frames, True
        )
        archive.linked = linked
        if plan in volume.open:
            volume.full.append(volume.open[plan])
        volume.open[plan] = archive
        volume.archives.append((recorded.name, recorded.format))
        if archive.size:  # else its end counts with its first frame
            volume.change_archive(0, closed_archive_size(archive))
        path = os.path.join(volume.folder, recorded.name)
        self._orders.order("reopen_archive", archive.number, path, recorded.end, kept.central_size, kept.entries)
        self._weigh_again(place)
        return archive.number

    def _weigh_again(self, place: int) -> None:
        """Of a run that goes on with more redundancy, what is on a volume may leave no room for recovery files."""
        volume = self._volumes[place]
        self._weigh(place)
        if volume.layout is not None and volume.used > volume.capacity:
            volume.layout = None
            self.unprotected.append(volume.title)
            self._weigh(place)

    # Opening and filling

    def claim(self, spot: Spot) -> tuple[int, OpenArchive]:
        """Take a spot: its volume is begun and its archive opened if they are not; returns both."""
        place = self._begin(spot.place) if isinstance(spot.place, Medium) else spot.place
        volume, plan = self._volumes[place], spot.archive.plan
        if spot.archive.number:
            return place, spot.archive
        if plan in volume.open:
            volume.full.append(volume.open[plan])
        self._archives += 1
        archive = OpenArchive(self._archives, plan, spot.archive.name)
        volume.open[plan] = archive
        volume.archives.append((archive.name, plan.archive_format.suffix))
        self._orders.order("open_archive", archive.number, os.path.join(volume.folder, archive.name))
        self._weigh(place)
        return place, archive

    def _begin(self, medium: Medium) -> int:
        capacity = self._shelf.capacity(medium)
        if self._blank is not None:
            place, self._blank = self._blank, None
            self._shelf.exchange(place, medium)
            self._give(place, medium)
            return place
        place = self._shelf.take(medium)
        self.begun += 1
        name = f"vol{self.begun:03d}"
        folder = os.path.join(self._folder, name)
        title = f"{os.path.basename(self._folder)}/{name}"
        volume = OpenVolume(self.begun, folder, title, capacity, medium, self._kind(capacity))
        volume.layout = self._layout(volume.kind)
        self._volumes[place] = volume
        self._orders.order("open_volume", self.begun, folder)
        return place

    def exchange(self, place: int, medium: Medium) -> None:
        """Give a volume on which nothing is settled another medium."""
        volume = self._volumes[place]
        self._shelf.put_back(place, volume.medium)
        self._shelf.exchange(place, medium)
        self._give(place, medium)

    def _give(self, place: int, medium: Medium) -> None:
        volume = self._volumes[place]
        volume.medium, volume.capacity = medium, self._shelf.capacity(medium)
        volume.kind = self._kind(volume.capacity)
        volume.layout = self._layout(volume.kind)
        self._weigh(place)

    def add(self, place: int, archive: OpenArchive, frame: int, central: bytes, entries: int, piece: int) -> None:
        """A frame was put into an archive, with its entries in the central directory and its piece of the manifest."""
        volume = self._volumes[place]
        before, after = grown(archive, frame, len(central), entries)
        volume.change_archive(before, after)
        archive.size += frame
        archive.central_size += len(central)
        archive.entries += entries
        volume.manifest_size += piece
        room = volume.capacity - volume.used
        assert room >= 0
        self._shelf.set_room(place, room)

    def _weigh(self, place: int) -> None:
        volume = self._volumes[place]
        volume.own = self._own_files(volume.kind, volume.number, volume.archives, volume.layout)
        self._shelf.set_room(place, volume.capacity - volume.used)

    # Closing

    def tidy(self, place: int, archive: OpenArchive) -> None:
        """After something was taken back: remove an archive in which nothing is left; its volume may be blank then."""
        if archive.size:
            return
        volume = self._volumes[place]
        self._orders.order("discard_archive", archive.number)
        if archive in volume.full:
            volume.full.remove(archive)
        else:
            del volume.open[archive.plan]
        volume.archives.remove((archive.name, archive.plan.archive_format.suffix))
        self._weigh(place)
        if not volume.archives:
            self._shelf.put_back(place, volume.medium)
            self._blank = place

    def close_if_full(self, place: int) -> None:
        """Complete a volume that has room for hardly anything more, and the oldest if too many are in use."""
        if self._shelf.is_full(place):
            self._close(place)
        if self._most_in_use is not None and len(self._volumes) > self._most_in_use:
            self._close(next(place for place, volume in self._volumes.items() if volume.archives))

    def close_archives(self, plan: ArchivePlan) -> None:
        """Complete the archives of a plan."""
        for volume in self._volumes.values():
            for archive in [*volume.full, *volume.open.values()]:
                if archive.plan == plan:
                    self._close_archive(volume, archive)

    def close_all(self) -> None:
        """Complete all volumes."""
        for place, volume in list(self._volumes.items()):
            if volume.archives:
                self._close(place)
            else:
                self._orders.order("discard_volume", volume.number)
                del self._volumes[place]

    def _close_archive(self, volume: OpenVolume, archive: OpenArchive) -> None:
        if archive in volume.full:
            volume.full.remove(archive)
        else:
            del volume.open[archive.plan]
        self._before_close()
        self._orders.numbered("close_archive", volume.number, archive.number, archive.tail())

    def _close(self, place: int) -> None:
        self._shelf.close(place)
        volume = self._volumes.pop(place)
        for archive in [*volume.full, *volume.open.values()]:
            self._close_archive(volume, archive)
        readme = self._readme(volume.number, volume.archives, volume.layout is not None)
        self._orders.numbered("close_volume", volume.number, readme)
        names = tuple(name for name, _ in volume.archives)
        recovery = None if volume.layout is None else Planned(volume.layout, volume.kind, volume.blocks)
        self.closed[volume.number] = VolumeDone(
            volume.number, volume.title, volume.folder, volume.capacity, volume.size, volume.used, names, recovery
        )
