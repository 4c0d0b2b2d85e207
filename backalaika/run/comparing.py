"""Comparing: what a run finds at its sources, against the newest picture that the catalogue has of them.

Folder by folder: one whose looks have the same hash has not changed, and is passed over. Of the others, the entries of
the picture are read and held against what was found. What is new or different comes into the picture with what is
saved; here is noted what is gone, and what a file is known by that is not saved. An entry is gone only if the run could
have seen it: not what `skip_files`, the minimum date, another file system or a folder that cannot be read hides.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..ahead import Folder
from ..catalogue.changes import Recorded, SourcePicture
from ..catalogue.recording import path_key
from ..catalogue.results import OpenEntry, Tree
from ..catalogue.rows import ErrorRow, KnownEntry, RunEnd, storable_inode, storable_number
from ..spool import Spool
from ..survey import Found, Survey
from ..walk import Entry, Problem

if TYPE_CHECKING:
    from ..catalogue import Catalogue
    from ..catalogue.pictures import Pictures
    from ..job.loading import Job
    from ..job.skipping import SkipFiles
    from ..looks import CoarseMounts

_ENTRIES_AT_A_TIME = 5000
_FOLDERS_AT_A_TIME = 1000
LOST = "not saved: it was left out as a copy of another file, which could not be saved either; run again"
GONE = "not saved: a volume had its content when the backup began, and was removed since; run again"
ROTTEN = (
    "its content is not what it was, though its size and time of modification are: the source may be damaged; "
    "what it was is on an earlier volume"
)
Known = Callable[[set[tuple[int, bytes]]], set[tuple[int, bytes]]]
"""Which of these sizes and digests are of files on complete volumes."""


class SourceComparison:
    """What was found at one source, and what is different; closes its spools as a context manager.

    Args:
        number: counts the run's sources.
        found: the source.
        tree: its newest picture; None: there is none.
        mounts: which file systems are to be trusted.
        skips: whether a name is left out.

    Attributes:
        unsafe: folders, relative to the source, of which not all will be safe when the run is complete.
    """

    def __init__(self, number: int, found: Found, tree: Tree | None, mounts: CoarseMounts, skips: SkipFiles) -> None:
        self.found = found
        self.tree = tree
        self.unsafe: set[str] = set()
        self._number = number
        self._mounts = mounts
        self._skips = skips
        self._seen = bytearray()
        self._seen_count = 0
        self._hidden: list[str] = []
        self._gone, self._gone_folders, self._known, self._listings = Spool(), Spool(), Spool(), Spool()
        self._dropped = Spool()

    def close(self) -> None:
        """Free the disk."""
        for spool in (self._gone, self._gone_folders, self._known, self._listings, self._dropped):
            spool.close()

    def place(self, path: str) -> str:
        """The absolute path of a folder of the source."""
        return os.path.join(self.found.source.path, path) if path else self.found.source.path

    def is_coarse(self, path: str) -> bool:
        """Whether times and inodes in a folder of the source cannot be trusted."""
        return self._mounts.has(self.place(path))

    def different(
        self, catalogue: Pictures, survey: Survey, same: Callable[[Folder], None], trust: bool = True
    ) -> Iterator[list[tuple[Folder, list[Entry], dict[bytes, OpenEntry]]]]:
        """Folders that look different, some at a time, each with what was found and what the picture has.

        Args:
            catalogue: has the picture.
            survey: what was found.
            same: is told of each folder that looks the same.
            trust: whether a hash says that nothing has changed; else all folders are different.
        """
        for folders in _some_at_a_time(survey.folders(self.found)):
            places = [os.fsencode(self.place(folder.path)) for folder in folders]
            listed = catalogue.listings(self.tree.id, places) if self.tree else {}
            changed: list[tuple[Folder, int | None]] = []
            for folder, place in zip(folders, places, strict=True):
                number, looks = listed.get(place, (None, None))
                if number is not None:
                    self._see(number)
                if not folder.whole:
                    self._hidden.append(folder.path)
                if looks == folder.looks and trust:
                    same(folder)
                else:
                    changed.append((folder, number))
                    if looks != folder.looks and (folder.whole or number is None):
                        self._listings.add((folder.path, folder.looks, bool(folder.unseen) or not folder.whole))
            numbers = [number for _, number in changed if number is not None]
            there = catalogue.open_entries(self.tree.id, numbers) if self.tree else {}
            compared = []
            for folder, number in changed:
                before = there.get(number, {}) if number is not None else {}
                entries = folder.entries()
                if number is not None:
                    self._note_gone(number, folder, entries, before)
                compared.append((folder, entries, before))
            yield compared
        self._note_gone_folders(catalogue)

    def compare(self, catalogue: Pictures, survey: Survey) -> None:
        """Compare all, where nothing is selected by it."""
        for _ in self.different(catalogue, survey, lambda folder: None):
            pass

    def drop_vanished(self, catalogue: Catalogue, survey: Survey) -> None:
        """Of a run that goes on, note what it saved before and does not find now."""
        there: set[bytes] = set()
        for folders in _some_at_a_time(survey.folders(self.found)):
            places = [os.fsencode(self.place(folder.path)) for folder in folders]
            there.update(path_key(place) for place in places)
            saved = catalogue.saved_entries(self._number, places)
            for folder, place in zip(folders, places, strict=True):
                names = saved[place].keys() - {os.fsencode(entry.name) for entry in folder.entries()}
                for name in names - set(map(os.fsencode, folder.unseen)) if folder.whole else ():
                    self._dropped.add((place, name))
        for place in catalogue.saved_folders(self._number):
            if path_key(place) not in there and not self._is_hidden(
                os.path.relpath(os.fsdecode(place), self.place(""))
            ):
                self._dropped.add((place, None))

    def add_known(self, path: str, entry: Entry, digest: bytes | None, is_copy: bool = False) -> None:
        """A file is not saved, being known by its content; ``is_copy``: that of a file that this run saves.

        Or a folder is not saved again, there being nothing new in it; it has no digest.
        """
        self._known.add((is_copy, *known_entry(os.fsencode(self.place(path)), entry, digest)))

    def picture(
        self, resumed: bool, known: Known, problems: Sequence[Problem], survey: Survey, lost: Callable[[str, str], None]
    ) -> SourcePicture:
        """What is to be recorded.

        Args:
            resumed: whether the run ended early and went on.
            known: asked once more for the content of files that were not saved.
            problems: what was not saved, or not as it should be.
            survey: what was found.
            lost: is told the path of a file of which the content is nowhere after all, and why.
        """
        path = self.found.source.path
        return SourcePicture(
            self._number,
            os.fsencode(path),
            self.tree,
            self._mounts.has_some_of(path),
            resumed,
            self._gone,
            (number for (number,) in self._gone_folders),
            self._checked(known, lost),
            (
                (os.fsencode(self.place(folder)), None if unsafe or folder in self.unsafe else looks)
                for folder, looks, unsafe in self._listings
            ),
            self._dropped,
            list(self._suspects(problems, survey)),
        )

    def _checked(self, known: Known, lost: Callable[[str, str], None]) -> Iterator[KnownEntry]:
        """What was known, without digest where its content is nowhere after all.

        That of which it is a copy could not be saved; or a volume was removed since it was selected, hours ago. Asked
        when the tree is there, which counts removals from then on.
        """
        for rows in _chunks(self._known):
            contents = {(row[4], row[8]) for row in rows if row[8] is not None}
            there = known(contents) if contents else set()
            for is_copy, *values in rows:
                entry = KnownEntry._make(values)
                if entry.digest is not None and (entry.size, entry.digest) not in there:
                    lost(os.fsdecode(os.path.join(entry.folder, entry.name)), LOST if is_copy else GONE)
                    entry = entry._replace(digest=None)
                yield entry

    def _suspects(self, problems: Sequence[Problem], survey: Survey) -> Iterator[KnownEntry]:
        """What was found of all that may not have been saved."""
        names: dict[str, set[str]] = {}
        for problem in problems:
            folder, name = os.path.split(problem.path)
            names.setdefault(folder, set()).add(name)
        if self.found.source.separate_dirs:
            names.setdefault(self.found.source.path, set()).add("")
        for found in survey.folders(self.found) if names else ():
            place = self.place(found.path)
            wanted = names.get(place, set())
            for entry in found.entries() if wanted else ():
                if entry.name in wanted:
                    yield known_entry(os.fsencode(place), entry, None)

    def _see(self, number: int) -> None:
        place, bit = divmod(number, 8)
        if place >= len(self._seen):
            self._seen.extend(bytes(place + 1024 - len(self._seen)))
        self._seen_count += not self._seen[place] & 1 << bit
        self._seen[place] |= 1 << bit

    def _note_gone(self, number: int, folder: Folder, entries: list[Entry], before: dict[bytes, OpenEntry]) -> None:
        if not folder.whole:
            return
        gone = before.keys() - {os.fsencode(entry.name) for entry in entries} - set(map(os.fsencode, folder.unseen))
        for name in gone:
            if name and not self._skips.matches(os.fsdecode(name)):
                self._gone.add((number, name))

    def _note_gone_folders(self, catalogue: Pictures) -> None:
        if self.tree is None or self._seen_count == catalogue.count_listings(self.tree.id):
            return
        source = self.found.source.path
        for number, place in catalogue.listed_folders(self.tree.id):
            if number // 8 < len(self._seen) and self._seen[number // 8] & 1 << number % 8:
                continue
            path = os.path.relpath(os.fsdecode(place), source)
            if not any(map(self._skips.matches, path.split(os.sep))) and not self._is_hidden(path):
                self._gone_folders.add((number,))

    def _is_hidden(self, path: str) -> bool:
        return any(not hidden or path.startswith(os.path.join(hidden, "")) for hidden in self._hidden)


class Comparisons:
    """Those of all sources of a run; closes their spools as a context manager.

    Args:
        survey: what was found.
        pictures: the catalogue.
        job: whose sources they are.
        mounts: which file systems are to be trusted.
    """

    def __init__(self, survey: Survey, pictures: Pictures, job: Job, mounts: CoarseMounts) -> None:
        self._survey = survey
        self._pictures = pictures
        trees = pictures.trees(job.name)
        self.by_label = {
            found.label: SourceComparison(
                number, found, trees.get(os.fsencode(found.source.path)), mounts, job.config.skip_files
            )
            for number, found in enumerate(survey.sources)
        }

    def close(self) -> None:
        """Free the disk."""
        for comparison in self.by_label.values():
            comparison.close()

    def compare(self) -> None:
        """Compare all, where nothing is selected by it."""
        for comparison in self.by_label.values():
            comparison.compare(self._pictures, self._survey)

    def drop_vanished(self, catalogue: Catalogue) -> None:
        """Of a run that goes on, note what it saved before and does not find now."""
        for comparison in self.by_label.values():
            comparison.drop_vanished(catalogue, self._survey)

    def complete_run(
        self,
        run_id: int,
        end: RunEnd,
        resumed: bool,
        known: Known,
        problems: Sequence[Problem],
    ) -> tuple[list[Problem], Recorded]:
        """Enter a run as complete, with its picture.

        Args:
            run_id: the run.
            end: what it saved.
            resumed: whether it ended early and went on.
            known: which of some sizes and digests are on complete volumes.
            problems: what was not saved, or not as it should be.

        Returns:
            Problems that are seen only now, and what became of the picture.

        Raises:
            CatalogueError: it could not be recorded; the run is not complete.
        """
        late: list[Problem] = []
        result = Recorded()

        def lost(path: str, why: str) -> None:
            late.append(Problem(path, why))

        def tell(recorded: Recorded) -> list[ErrorRow]:
            nonlocal result
            result = recorded
            late.extend(Problem(os.fsdecode(path), ROTTEN) for path in recorded.rotten)
            now = time.time_ns()
            return [ErrorRow(os.fsencode(path), message, now) for path, message in late]

        sources = [
            comparison.picture(resumed, known, problems, self._survey, lost) for comparison in self.by_label.values()
        ]
        self._pictures.complete_run(run_id, end, sources, tell)
        return late, result


def known_entry(folder: bytes, entry: Entry, digest: bytes | None) -> KnownEntry:
    """The row of an entry that is not saved."""
    return KnownEntry(
        folder,
        os.fsencode(entry.name),
        entry.kind,
        entry.size,
        storable_number(entry.mtime_ns),
        storable_number(entry.ctime_ns),
        storable_inode(entry.inode),
        digest,
        os.fsencode(entry.target) if entry.target else None,
        entry.mode,
        entry.uid,
        entry.gid,
    )


def _some_at_a_time(folders: Iterable[Folder]) -> Iterator[list[Folder]]:
    some: list[Folder] = []
    count = 0
    for folder in folders:
        some.append(folder)
        count += folder.files
        if count >= _ENTRIES_AT_A_TIME or len(some) >= _FOLDERS_AT_A_TIME:
            yield some
            some, count = [], 0
    if some:
        yield some


def _chunks(spool: Spool) -> Iterator[list[tuple[Any, ...]]]:
    some = []
    for row in spool:
        some.append(row)
        if len(some) >= _ENTRIES_AT_A_TIME:
            yield some
            some = []
    if some:
        yield some
