"""Shelf: where volumes are, and which volume it is that lies in a folder.

A volume of ours is known by the sums of its archives, as SUMS.xxh128 has them, wherever it was copied and whatever its
folder is called; where those are damaged, by README.txt. A medium that was added by hand and that this program did not
write is known by the place where it was read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from ..catalogue.results import VolumeAt
from ..manifest import MANIFEST, README, SUMS
from ..recovery.layout import INDEX
from .manifests import readme, title_by_readme

# Of folders: the medium itself, a run's folder with its volumes, a folder of runs.
_DEPTH = 2
_MAX_SUMS = 16 * 1024 * 1024
_LINE = re.compile(rb"([0-9a-f]{32})  ([^/\n]+)")
OWN_FILES = frozenset(os.fsencode(name) for name in (MANIFEST, SUMS, README))


@dataclass(frozen=True, slots=True)
class Seen:
    """A volume in a folder; ``volume_id`` is None if the catalogue does not know it."""

    folder: str
    volume_id: int | None
    title: str


def read_sums(folder: str) -> dict[bytes, bytes]:
    """XXH3-128 of each file, as SUMS.xxh128 has them; empty if it cannot be read."""
    path = os.path.join(folder, SUMS)
    if not os.path.isfile(path):  # a FIFO would be waited for
        return {}
    try:
        with open(path, "rb") as file:
            lines = file.read(_MAX_SUMS).split(b"\n")
    except OSError:
        return {}
    return {match[2]: bytes.fromhex(match[1].decode()) for match in map(_LINE.fullmatch, lines) if match}


def volume_folders(path: str, depth: int = _DEPTH) -> Iterator[str]:
    """Folders, this one or below, that hold a volume of ours."""
    if any(os.path.isfile(os.path.join(path, name)) for name in (MANIFEST, SUMS, INDEX)):
        yield path
        return
    if not depth:
        return
    try:
        with os.scandir(path) as entries:
            below = sorted(entry.path for entry in entries if entry.is_dir())
    except OSError:
        return
    for folder in below:
        yield from volume_folders(folder, depth - 1)


class Shelf:
    """All volumes that the catalogue knows as complete, and where they are now.

    Args:
        volumes: by their numbers.
        with_archives: how many of some archives, by their digests, each volume has; None: volumes are where they are
            said to be, for there is no catalogue to ask.
        places: folders and mount points to look in.
    """

    def __init__(
        self,
        volumes: dict[int, VolumeAt],
        with_archives: Callable[[Collection[bytes]], dict[int, int]] | None,
        places: Sequence[str] = (),
    ) -> None:
        self.volumes = volumes
        self._with_archives = with_archives
        self._titles = {volume.title: volume.id for volume in volumes.values()}
        self._at: dict[int, str] = {}
        for place in places:
            self.look(place)

    def folder(self, volume_id: int) -> str | None:
        """Where a volume is now; None if that is not known."""
        for path in (self._at.get(volume_id), self.volumes[volume_id].path):
            if path is not None and self._is_at(volume_id, path):
                return path
        return None

    def _is_at(self, volume_id: int, path: str) -> bool:
        if not os.path.isdir(path) or self._with_archives is None:
            return os.path.isdir(path)
        if any(os.path.isfile(os.path.join(path, name)) for name in (MANIFEST, SUMS, INDEX)):
            seen = self.recognise(path)
            if seen.volume_id is None and path == self.volumes[volume_id].path:
                # Nothing is left that says what it is; what is in it is checked in any case.
                return not read_sums(path) and title_by_readme(readme(path)) is None
            return seen.volume_id == volume_id  # or another disc lies in the drive
        return self.volumes[volume_id].run_id is None or bool(os.listdir(path))

    def look(self, path: str) -> list[Seen]:
        """What volumes are at a place; they are known from now on."""
        seen = [self.recognise(folder) for folder in volume_folders(path)]
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
        sums = {name: digest for name, digest in read_sums(folder).items() if name not in OWN_FILES}
        title = title_by_readme(readme(folder))
        by_title = None if title is None else self._titles.get(title)
        found = self._with_archives(list(sums.values())) if sums and self._with_archives is not None else {}
        found = {number: count for number, count in found.items() if number in self.volumes}
        if found:
            # A copy that was catalogued by hand too has the same archives.
            best = max(found, key=lambda number: (found[number], number == by_title, -number))
            return Seen(folder, best, self.volumes[best].title)
        return Seen(folder, by_title, title or os.path.basename(folder))
