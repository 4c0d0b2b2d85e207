"""Finding: which volumes are to be checked, and where they are.

A medium that this program did not write does not say what it is, and another may be in the drive where it was read. It
is known by its files: at least half of them must be there in their sizes, and where several media would do, the one of
which most is there is meant.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from ..catalogue.results import VolumeAt
from ..errors import ArchiveError, SourceError, UsageError
from ..reading.messages import INSIDE
from ..restoring.items import item_of
from ..restoring.shelf import Shelf, volume_folders
from ..walk import FILE

if TYPE_CHECKING:
    from ..catalogue.state import State

# Files that are looked for on a medium, to know it.
_ENOUGH = 100


@dataclass(slots=True)
class ToCheck:
    """What was found.

    Attributes:
        volumes: folder, and the volume in it; None if the catalogue does not know it.
        missing: title of each volume that was asked for and is nowhere, and why it cannot be checked.
        away: titles of those that nobody asked for by name, and that are not here.
    """

    volumes: dict[str, VolumeAt | None] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    away: list[str] = field(default_factory=list)


class Finding:
    """Finds volumes.

    Args:
        shelf: the volumes of the catalogue, and where those of ours are.
        catalogue: what is on the others; None if there is none.
        folders: where media may be, besides where they were read.
    """

    def __init__(self, shelf: Shelf, catalogue: State | None, folders: Sequence[str]) -> None:
        self._shelf, self._catalogue = shelf, catalogue
        self._folders = [os.path.abspath(folder) for folder in folders]
        self._foreign = [volume for volume in shelf.volumes.values() if volume.run_id is None]
        self._expected: dict[int, dict[bytes, int]] = {}
        self._shares: dict[str, dict[int, float]] = {}

    def named(self, names: Sequence[str]) -> ToCheck:
        """Volumes by their titles, or by the folders that they are in.

        Raises:
            UsageError: a name is neither, or nothing is in the folder.
        """
        found = ToCheck()
        titles = {volume.title: volume for volume in self._shelf.volumes.values()}
        for name in names:
            if name in titles:
                self._by_title(titles[name], found)
            elif os.path.isdir(name):
                volumes = dict(self._in_folder(os.path.abspath(name)))
                if not volumes:
                    raise UsageError(f"{name}: is no volume (which has SUMS.xxh128), and no medium of the catalogue")
                found.volumes |= volumes
            else:
                raise UsageError(f"{name!r}: neither a complete volume of the catalogue nor a folder")
        return found

    def all(self) -> ToCheck:
        """All that is in the folders; without any, all volumes of the catalogue that are here."""
        found = ToCheck()
        for folder in self._folders:
            found.volumes |= dict(self._in_folder(folder))
        for volume in self._shelf.volumes.values() if not self._folders else ():
            self._by_title(volume, found)
        found.away, found.missing = list(found.missing), {}
        return found

    def _by_title(self, volume: VolumeAt, found: ToCheck) -> None:
        if volume.run_id is not None:
            place = self._shelf.folder(volume.id)
            if place is None:
                found.missing[volume.title] = "is not here"
            else:
                found.volumes[place] = volume
            return
        places = [*self._folders, *([] if volume.path is None else [volume.path])]
        there = [place for place in places if os.path.exists(place)]
        folder = next((place for place in there if self._is_in(volume, place)), None) or self._as_ours(volume)
        if folder is not None:
            found.volumes[folder] = volume
        elif not there:
            found.missing[volume.title] = "is not here"
        elif any(map(os.path.isfile, there)):
            found.missing[volume.title] = "is an image of a disc, of which only what is mounted can be checked"
        else:
            found.missing[volume.title] = f"is not here: its files are not in {there[0]}, or have other sizes"

    def _as_ours(self, volume: VolumeAt) -> str | None:
        """Where a volume of a run is that `add` has catalogued, in another catalogue than that of the run."""
        place = self._shelf.folder(volume.id)
        return place if place is not None and place in volume_folders(place) else None

    def _in_folder(self, folder: str) -> Iterator[tuple[str, VolumeAt | None]]:
        """Volumes of ours in a folder or below; else the medium that it is.

        A volume of ours in a folder of a medium that was read like a stranger's is a part of that.
        """
        ours, medium = volume_folders(folder), self._medium_in(folder)
        for place in ours:
            number = self._shelf.recognise(place).volume_id
            volume = None if number is None else self._shelf.volumes[number]
            yield folder if volume is not None and volume == medium else place, volume
        if not ours and medium is not None:
            yield folder, medium

    def _medium_in(self, folder: str) -> VolumeAt | None:
        """Which medium that others wrote a folder is."""
        alike = [volume for volume in self._foreign if self._is_in(volume, folder)]
        return min(alike, key=lambda volume: volume.path != folder, default=None)

    def _is_in(self, volume: VolumeAt, folder: str) -> bool:
        """Whether a folder has half of what is on a medium, and no more of another."""
        if folder not in self._shares:
            self._shares[folder] = {volume.id: self._share(volume, folder) for volume in self._foreign}
        shares = self._shares[folder]
        return shares[volume.id] >= 0.5 and shares[volume.id] == max(shares.values())

    def _share(self, volume: VolumeAt, folder: str) -> float:
        """How much of a medium is in a folder, as far as is looked: 0 to 1."""
        if not os.path.isdir(folder):
            return 0
        expected = self._files(volume)
        if not expected:
            return 0
        try:
            sizes = self._shelf.asking.sizes(folder, list(expected))
        except (SourceError, ArchiveError, OSError):
            return 0
        return sum(sizes.get(path) == size for path, size in expected.items()) / len(expected)

    def _files(self, volume: VolumeAt) -> dict[bytes, int]:
        """Some of the files that lie on a medium, and their sizes."""
        if volume.id not in self._expected:
            assert self._catalogue is not None
            archives = self._catalogue.archives_on(volume.id)
            expected = {name: size for name, size, _ in islice(archives, _ENOUGH) if size and INSIDE not in name}
            rows = (row for row in self._catalogue.files_on(volume.id) if row.archive is None and row.kind == FILE)
            expected |= {item.path: item.size for item in map(item_of, islice(rows, _ENOUGH))}
            self._expected[volume.id] = expected
        return self._expected[volume.id]
