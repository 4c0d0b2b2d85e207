"""Shelf: where volumes are, and which volume it is that lies in a folder.

A volume of ours is known by the sums of its archives, as SUMS.xxh128 has them, wherever it was copied and whatever its
folder is called; where those are damaged, by README.txt. A medium that was added by hand and that this program did not
write is known by the place where it was read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from ..catalogue.results import VolumeAt
from ..manifest import MANIFEST, README, SUMS
from .asking import HERE, Asking, Marks, naming
from .manifests import title_by_readme

# Of folders: the medium itself, a run's folder with its volumes, a folder of runs.
_DEPTH = 2
OWN_FILES = frozenset(os.fsencode(name) for name in (MANIFEST, SUMS, README))


@dataclass(frozen=True, slots=True)
class Seen:
    """A volume in a folder; ``volume_id`` is None if the catalogue does not know it."""

    folder: str
    volume_id: int | None
    title: str


def volume_folders(path: str, asking: Asking = HERE) -> list[str]:
    """Folders, this one or below, that hold a volume of ours."""
    return asking.volume_folders(path, _DEPTH)


class Shelf:
    """All volumes that the catalogue knows as complete, and where they are now.

    Args:
        volumes: by their numbers.
        with_archives: how many of some archives, by their digests, each volume has; None: volumes are where they are
            said to be, for there is no catalogue to ask.
        places: folders and mount points to look in.
        asking: reads them; whatever hangs raises `HangsError` here.
    """

    def __init__(
        self,
        volumes: dict[int, VolumeAt],
        with_archives: Callable[[Collection[bytes]], dict[int, int]] | None,
        places: Sequence[str] = (),
        asking: Asking = HERE,
    ) -> None:
        self.volumes, self.asking = volumes, asking
        self._with_archives = with_archives
        self._titles = {volume.title: volume.id for volume in volumes.values()}
        self._at: dict[int, str] = {}
        for place in places:
            self.look(place)

    def title(self, volume_id: int) -> str:
        """What a volume is called in the catalogue."""
        return self.volumes[volume_id].title

    def folder(self, volume_id: int) -> str | None:
        """Where a volume is now; None if that is not known."""
        for path in (self._at.get(volume_id), self.volumes[volume_id].path):
            with naming(self.volumes[volume_id].title):
                if path is not None and self._is_at(volume_id, path):
                    return path
        return None

    def _is_at(self, volume_id: int, path: str) -> bool:
        if self._with_archives is None:
            return self.asking.is_folder(path)
        marks = self.asking.marks(path)
        if marks is None:  # an image of a disc may be a medium too
            return self.volumes[volume_id].run_id is None and self.asking.is_image(path)
        if marks.is_ours:
            seen = self._recognised(path, marks)
            if seen.volume_id is None and path == self.volumes[volume_id].path:
                # Nothing is left that says what it is; what is in it is checked in any case.
                return not marks.sums and title_by_readme(marks.readme) is None
            return seen.volume_id == volume_id  # or another disc lies in the drive
        return self.volumes[volume_id].run_id is None or marks.has_something

    def look(self, path: str) -> list[Seen]:
        """What volumes are at a place; they are known from now on."""
        seen = [self.recognise(folder) for folder in volume_folders(path, self.asking)]
        for one in seen:
            if one.volume_id is not None:
                self._at.setdefault(one.volume_id, one.folder)
        return seen

    def take(self, volume_id: int, folder: str) -> None:
        """Believe that a volume is in a folder."""
        self._at[volume_id] = folder

    def believe(self, title: str, folder: str) -> None:
        """Believe that a medium that does not say what it is has been mounted in a folder, if it is nowhere else."""
        number = self._titles.get(title)
        if number is not None and self.volumes[number].run_id is None and self.folder(number) is None:
            self.take(number, os.path.abspath(folder))

    def recognise(self, folder: str) -> Seen:
        """Which volume a folder holds."""
        return self._recognised(folder, self.asking.marks(folder))

    def _recognised(self, folder: str, marks: Marks | None) -> Seen:
        sums = {} if marks is None else {name: of for name, of in marks.sums.items() if name not in OWN_FILES}
        title = None if marks is None else title_by_readme(marks.readme)
        by_title = None if title is None else self._titles.get(title)
        found = self._with_archives(list(sums.values())) if sums and self._with_archives is not None else {}
        found = {number: count for number, count in found.items() if number in self.volumes}
        if found:
            # A copy that was catalogued by hand too has the same archives.
            best = max(found, key=lambda number: (found[number], number == by_title, -number))
            return Seen(folder, best, self.volumes[best].title)
        return Seen(folder, by_title, title or os.path.basename(folder))
