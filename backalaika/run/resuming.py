"""Resuming: go on with a run that ended early.

What is recorded of it is on disk, and what is on disk beyond that is cut away (`repair`). Then the sources are walked
as ever, what the run saved already is left out as long as it still looks the same, and the rest goes to the volumes
that are open and to new ones.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ..batch import Key, member_path, member_prefix
from ..catalogue.rows import COMPLETE, EarlyRun, RecordedVolume, SavedEntry
from ..errors import ConfigurationError, RunError
from ..survey import Found
from ..walk import DIRECTORY, FILE, HARD_LINK, Directory, Entry, Problem, describe_error
from .answers import Answers
from .repair import KeptVolume, remove_our_files, repair_volume

if TYPE_CHECKING:
    from ..catalogue import Catalogue
    from ..job.loading import Job

_ENTRIES_AT_A_TIME = 5000
_VOLUME = re.compile(r"vol\d{3,}")


class Resumption:
    """A run that goes on. Made, it has repaired the run's folder.

    Args:
        catalogue: knows the run, which is entered there as running again.
        early: the run as it ended.

    Attributes:
        capacities: of all volumes of the run, by their numbers from 1; 0 where none is left.
        complete: those that are whole.
        kept: those that take more.
        linked: for each archive that takes more, by its id, the paths of its files with several links; filled as
            `select` meets them, which is before their other names.
        problems: of the run so far, which will not be met again.
        files, bytes: saved so far.

    Raises:
        RunError: its folder is gone, or cannot be written.
    """

    def __init__(self, catalogue: Catalogue, early: EarlyRun) -> None:
        self._catalogue = catalogue
        self._run_id = early.id
        self.capacities: list[int] = []
        self.complete: list[RecordedVolume] = []
        self.kept: list[KeptVolume] = []
        try:
            self._repair(early)
        except OSError as error:
            raise RunError(
                f"{early.folder}: the run cannot go on: {describe_error(error)}; put its folder back where it was, "
                "or start a new run with --no-resume"
            ) from None
        self.linked: dict[int, dict[Key, str]] = {
            archive.recorded.id: {} for volume in self.kept for archive in volume.archives
        }
        self.problems = [
            Problem(os.fsdecode(path or b""), message) for path, message in catalogue.forget_errors(early.id)
        ]
        self.files, self.bytes = catalogue.saved_totals(early.id)

    def _repair(self, early: EarlyRun) -> None:
        recorded = self._catalogue.recorded_volumes(early.id)
        ours = {volume.folder for volume in recorded}
        for name in sorted(os.listdir(early.folder)):
            folder = os.path.join(early.folder, name)
            if _VOLUME.fullmatch(name) and folder not in ours:
                _remove_folder(folder)
        for volume in recorded:
            self.capacities += [0] * (volume.number - len(self.capacities))
            self.capacities[volume.number - 1] = volume.capacity
            if volume.state == COMPLETE:
                self.complete.append(volume)
                continue
            if not os.path.isdir(volume.folder):
                self._catalogue.drop_volume(volume.id)
                continue
            kept = repair_volume(volume)
            for archive in kept.lost:
                self._catalogue.drop_archive(archive.id)
            if kept.archives or kept.complete:
                self.kept.append(kept)
            else:
                self._catalogue.drop_volume(volume.id)
                _remove_folder(volume.folder)

    def select(self, directories: Iterable[Directory], found: Found) -> Iterator[Directory]:
        """The directories of a source with what is not saved yet, or looks different now."""
        some: list[Directory] = []
        count = 0
        for directory in directories:
            some.append(directory)
            count += len(directory.entries)
            if count >= _ENTRIES_AT_A_TIME:
                yield from self._unsaved(some, found)
                some, count = [], 0
        yield from self._unsaved(some, found)

    def _unsaved(self, directories: list[Directory], found: Found) -> Iterator[Directory]:
        source = found.source.path
        places = [os.fsencode(os.path.join(source, path) if path else source) for path, _ in directories]
        saved = self._catalogue.saved_entries(self._run_id, places)
        for place, (path, entries) in zip(places, directories, strict=True):
            there = saved[place]
            left = []
            for entry in entries:
                row = there.get(os.fsencode(entry.name))
                if row is None or not _looks_the_same(entry, row):
                    left.append(entry)
                elif row.kind == FILE and entry.key is not None and row.archive_id in self.linked:
                    path_there = member_path(member_prefix(found.label, path), entry.name)
                    self.linked[row.archive_id].setdefault(entry.key, path_there)
            if left:
                yield Directory(path, left)


def _looks_the_same(entry: Entry, row: SavedEntry) -> bool:
    if entry.kind == DIRECTORY or row.kind == DIRECTORY:
        return entry.kind == row.kind and entry.mtime_ns == row.mtime_ns
    if entry.kind == FILE:
        same = row.kind == HARD_LINK or (row.kind == FILE and row.size == entry.size)
    else:
        same = entry.kind == row.kind
    inode = None if row.inode is None else row.inode % 2**64
    return same and (entry.mtime_ns, entry.ctime_ns, entry.inode) == (row.mtime_ns, row.ctime_ns, inode)


def _remove_folder(folder: str) -> None:
    """Remove a volume's folder with what a run leaves there; it stays if anything else is in it."""
    remove_our_files(folder)
    if not os.listdir(folder):
        os.rmdir(folder)


def find_early_run(job: Job) -> EarlyRun | None:
    """The last run of a job if it ended early, also by a crash; None if there is nothing to go on with.

    Raises:
        CatalogueError: the catalogue cannot be opened.
    """
    from ..catalogue import open_catalogue

    with open_catalogue(job.config.db_uri) as catalogue:
        catalogue.mark_abandoned_runs()
        return catalogue.early_run(job.name)


def answers_of(early: EarlyRun) -> Answers:
    """The answers that a run was started with."""
    return Answers(early.skip_known, early.since_ns, early.comment)


def check_sources(job: Job, early: EarlyRun, sources: list[Found]) -> None:
    """Refuse to go on with a run of other sources: its archives have their paths and formats.

    Raises:
        ConfigurationError: sources or their options have changed.
    """
    now = [(found.source.path, found.label, found.source.options) for found in sources]
    if now != early.sources:
        raise ConfigurationError(
            f"{job.path}: sources or their options have changed since the run {os.path.basename(early.folder)} ended "
            "early; put them back, or start a new run with --no-resume"
        )
