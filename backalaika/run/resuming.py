"""Resuming: go on with a run that ended early.

What is recorded of it is on disk, and what is on disk beyond that is cut away (`repair`). Then the sources are walked
as ever, what the run saved already is left out as long as it still looks the same, and the rest goes to the volumes
that are open and to new ones.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from ..batch import Key, member_path, member_prefix
from ..catalogue.paging import Tell, tell_nobody
from ..catalogue.results import EarlyRun, RecordedVolume, SavedEntry
from ..catalogue.rows import COMPLETE
from ..errors import ConfigurationError, NoRoomError, RunError
from ..survey import Found, Survey
from ..walk import DIRECTORY, FILE, HARD_LINK, Directory, Entry, Problem, describe_error
from .answers import Answers
from .patience import is_full
from .repair import KeptVolume, remove_our_files, repair_volume, volume_folders

if TYPE_CHECKING:
    from ..catalogue import Catalogue
    from ..job.loading import Job

_ENTRIES_AT_A_TIME = 5000


class Resumption:
    """A run that goes on. Made, it has repaired the run's folder.

    Args:
        catalogue: knows the run, which is entered there as running again.
        early: the run as it ended.
        survey: what there is to save now.
        tell: told what the user should know, by the repair and by `select`.

    Attributes:
        capacities: of all volumes of the run, by their numbers from 1; 0 where none is left.
        complete: those that are whole.
        kept: those that take more.
        linked: for each archive that takes more, by its id, the paths of its files with several links; filled as
            `select` meets them, which is before their other names.
        problems: of the run so far, which will not be met again.
        files, bytes: saved so far.
        begun: of files whose first parts are saved, by their paths: how many, and where these end in the file;
            filled by `select`.
        superseded: of folders in which something is saved again, for it looks different now, by their paths: the
            highest number of a volume that has it as it was; filled by `select`.

    Raises:
        RunError: its folder is gone, or cannot be written.
        NoRoomError: there is no room to repair it.
    """

    def __init__(self, catalogue: Catalogue, early: EarlyRun, survey: Survey, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._told: set[str] = set()
        self._catalogue = catalogue
        self._sources = {found.label: number for number, found in enumerate(survey.sources)}
        self.capacities: list[int] = []
        self.complete: list[RecordedVolume] = []
        self.begun: dict[str, tuple[int, int]] = {}
        self.superseded: dict[str, int] = {}
        self.kept: list[KeptVolume] = []
        try:
            self._repair(early, survey)
        except OSError as error:
            what = f"{early.folder}: the run cannot go on: {describe_error(error)}"
            if is_full(error):
                raise NoRoomError(f"{what}; make room, then start it again") from None
            raise RunError(f"{what}; put its folder back where it was, or start a new run with --no-resume") from None
        self.linked: dict[int, dict[Key, str]] = {
            archive.recorded.id: {} for volume in self.kept for archive in volume.archives
        }
        self.problems = [
            Problem(os.fsdecode(path or b""), message) for path, message in catalogue.forget_errors(early.id)
        ]
        self.files, self.bytes = catalogue.saved_totals(early.id)

    def _repair(self, early: EarlyRun, survey: Survey) -> None:
        recorded = self._catalogue.recorded_volumes(early.id)
        if not recorded and not os.path.lexists(early.folder):  # the run ended before it wrote, and removed it
            os.makedirs(early.folder, 0o700)
        self._clear(early.folder, {volume.folder for volume in recorded})
        self._drop_superseded(recorded, survey)
        for volume in self._catalogue.recorded_volumes(early.id):
            self._use_up(volume.number)
            if volume.state == COMPLETE:
                self.capacities[volume.number - 1] = volume.capacity
                self.complete.append(volume)
            elif kept := self._repaired(volume):
                self.capacities[volume.number - 1] = volume.capacity
                self.kept.append(kept)

    def _clear(self, folder: str, recorded: set[str]) -> None:
        """Remove folders of volumes that were begun and not recorded; what is left of one keeps its number."""
        for number, place in volume_folders(folder):
            if place in recorded:
                continue
            if os.path.isdir(place) and not os.path.islink(place):
                _remove_folder(place, number)
            if os.path.lexists(place):
                self._use_up(number)

    def _use_up(self, number: int) -> None:
        self.capacities += [0] * (number - len(self.capacities))

    def _repaired(self, volume: RecordedVolume) -> KeptVolume | None:
        """What is left of a volume; None if it is nothing, and then its medium is free again."""
        if not os.path.isdir(volume.folder):
            self._catalogue.drop_volume(volume.id)
            return None
        kept = repair_volume(volume, self._catalogue.member_places)
        for archive in kept.lost:
            self._catalogue.drop_archive(archive.id)
        for place in kept.aside:
            self._tell(
                f"{place}: put aside, for on {volume.title} it or its lines of the manifest are damaged; what the "
                "sources still have of it is saved anew"
            )
        if kept.archives or kept.complete:
            return kept
        self._catalogue.drop_volume(volume.id)
        _remove_folder(volume.folder, volume.number)
        return None

    def _drop_superseded(self, recorded: list[RecordedVolume], survey: Survey) -> None:
        """Forget what zips that are still open have of files that are different now, and will be saved again.

        Two members of one name are for tar the old one and the new one; a zip has only one place for each. Without
        its row a member loses its place in the central directory, and its line in the manifest.
        """
        zips = {
            archive.id
            for volume in recorded
            for archive in volume.archives
            if volume.state != COMPLETE and archive.state != COMPLETE and archive.format == "zip"
        }
        if not zips:
            return
        superseded = [
            row.id
            for found in survey.sources
            if found.source.format == "zip"
            for some in _some_at_a_time(survey.directories(found))
            for _, entries in self._compared(some, found)
            for entry, row in entries
            if row is not None and row.archive_id in zips and not _looks_the_same(entry, row)
        ]
        self._catalogue.drop_files(superseded)

    def select(self, survey: Survey, found: Found) -> Iterator[Directory]:
        """The directories of a source with what is not saved yet, or looks different now."""
        for some in _some_at_a_time(survey.directories(found)):
            for directory, entries in self._compared(some, found):
                left = []
                source = found.source.path
                folder = os.path.join(source, directory.path) if directory.path else source
                for entry, row in entries:
                    if row is not None and row.parts:
                        self._go_on_cutting(os.path.join(folder, entry.name), entry, row)
                    if row is None:
                        left.append(entry)
                    elif row.parts < 0 or not _looks_the_same(entry, row):
                        left.append(entry)
                        if entry.kind != DIRECTORY:
                            self.superseded[folder] = max(row.last, self.superseded.get(folder, 0))
                    elif row.parts:
                        left.append(entry)
                    elif row.kind == FILE and entry.key is not None and row.archive_id in self.linked:
                        path_there = member_path(member_prefix(found.label, directory.path), entry.name)
                        self.linked[row.archive_id].setdefault(entry.key, path_there)
                if left:
                    yield Directory(directory.path, left)

    def _compared(
        self, directories: list[Directory], found: Found
    ) -> Iterator[tuple[Directory, list[tuple[Entry, SavedEntry | None]]]]:
        """Each directory with its entries, and what the run has saved of them."""
        source = found.source.path
        places = [os.fsencode(os.path.join(source, path) if path else source) for path, _ in directories]
        saved = self._catalogue.saved_entries(self._sources[found.label], places)
        for place, directory in zip(places, directories, strict=True):
            there = saved[place]
            yield directory, [(entry, there.get(os.fsencode(entry.name))) for entry in directory.entries]

    def _go_on_cutting(self, path: str, entry: Entry, row: SavedEntry) -> None:
        if row.parts > 0 and entry.kind == FILE and _looks_the_same(entry, row):
            self.begun[path] = (row.parts, row.offset)
            return
        # Told once: `select` may be asked for the same directory again.
        if path not in self._told:
            self._told.add(path)
            self._tell(
                f"{path}: changed after some parts of it were saved on {', '.join(row.volumes)}, or others were lost; "
                "it is saved anew, and those parts are of no use"
            )


def _some_at_a_time(directories: Iterable[Directory]) -> Iterator[list[Directory]]:
    some: list[Directory] = []
    count = 0
    for directory in directories:
        some.append(directory)
        count += len(directory.entries)
        if count >= _ENTRIES_AT_A_TIME:
            yield some
            some, count = [], 0
    yield some


def _looks_the_same(entry: Entry, row: SavedEntry) -> bool:
    if entry.kind == DIRECTORY or row.kind == DIRECTORY:
        return entry.kind == row.kind and entry.mtime_ns == row.mtime_ns
    if entry.kind == FILE:
        same = row.kind == HARD_LINK or (row.kind == FILE and row.size == entry.size)
    else:
        same = entry.kind == row.kind
    inode = None if row.inode is None else row.inode % 2**64
    return same and (entry.mtime_ns, entry.ctime_ns, entry.inode) == (row.mtime_ns, row.ctime_ns, inode)


def _remove_folder(folder: str, number: int) -> None:
    """Remove a volume's folder with what a run leaves there; it stays if anything else is in it."""
    remove_our_files(folder, number)
    if not os.listdir(folder):
        os.rmdir(folder)


def find_early_run(job: Job, tell_removal: Tell = tell_nobody) -> EarlyRun | None:
    """The last run of a job if it ended early, also by a crash; None if there is nothing to go on with.

    ``tell_removal`` hears how removals are finished that were cut off.

    Raises:
        CatalogueError: the catalogue cannot be opened.
    """
    from ..catalogue import open_catalogue

    with open_catalogue(job.config.db_uri, tell=tell_removal) as catalogue:
        catalogue.mark_abandoned_runs()
        return catalogue.early_run(job.name)


def answers_of(early: EarlyRun) -> Answers:
    """The answers that a run was started with."""
    return Answers(early.skip_known, early.since_ns, early.comment, copies=early.copies)


def check_sources(job: Job, early: EarlyRun, sources: list[Found]) -> None:
    """Refuse to go on with a run of other sources or another digest: its archives have their paths and formats.

    Raises:
        ConfigurationError: sources, their options or the digest have changed.
    """
    run = os.path.basename(early.folder)
    if early.digest not in (None, job.config.digest):
        raise ConfigurationError(
            f"{job.path}: the run {run} has the digest {early.digest!r}, and digest is {job.config.digest!r} now; "
            "put it back, or start a new run with --no-resume"
        )
    now = [(found.source.path, found.label, found.source.options) for found in sources]
    if now != early.sources:
        raise ConfigurationError(
            f"{job.path}: sources or their options have changed since the run {run} ended "
            "early; put them back, or start a new run with --no-resume"
        )
