"""Known: leave out what complete volumes of the catalogue have already, and save copies once.

By looks first: what is as the newest picture of the job has it, or as another job saved it, is not read at all. Then by
content: a file whose size the catalogue has, or another file to be saved, is hashed, and left out if its content is
there or comes before. A file of a size that is new is not read for this. The catalogue is asked in bulk, for some
thousands of files at a time.

What is left out and looks different from the picture is told to the comparison, for the picture shall have it.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING

from ..ahead import Folder
from ..catalogue.results import OpenEntry
from ..catalogue.rows import storable_number
from ..looks import Trust, look_the_same, recorded_looks
from ..survey import Found, Survey
from ..walk import DIRECTORY, FILE, Directory, Entry
from .comparing import SourceComparison
from .hashing import digest_files
from .work import wait_for

if TYPE_CHECKING:
    from ..catalogue import Catalogue
    from ..catalogue.pictures import Pictures
    from .turns import Turns

_ENTRIES_AT_A_TIME = 5000
_FILES_A_TASK = 100
Pair = tuple[int, bytes]
Place = tuple[int, int]
"""Which folder, and which entry in it."""


class KnownFiles:
    """Lets through what the catalogue does not know: `by_looks` first, `by_content` of what that lets through.

    Args:
        comparisons: of the sources, by their labels.
        pictures: the part of the catalogue that knows how sources were.
        catalogue: opens all of it, which takes longer and is not needed where nothing has changed.
        pool: hashes files.
        trust: what makes a file known.
        tell: called with the number and bytes of files that are left out.
        interrupted: whether the user wants to stop; looked at while files are hashed.
        turns: when the pool's processes may read; None: always.
        kept: asked for the sizes and digests of what a run that goes on has saved on volumes that take more; as long
            as the run is not complete, none of it is known.
    """

    def __init__(
        self,
        comparisons: dict[str, SourceComparison],
        pictures: Pictures,
        catalogue: Callable[[], Catalogue],
        pool: Executor,
        trust: Trust,
        tell: Callable[[int, int], None],
        interrupted: Callable[[], bool],
        turns: Turns | None = None,
        kept: Callable[[], Iterable[Pair]] = tuple,
    ) -> None:
        self._kept = kept
        self._turns = turns
        self._comparisons = comparisons
        self._pictures = pictures
        self._catalogue = catalogue
        self._pool = pool
        self._trust = trust
        self._tell = tell
        self._interrupted = interrupted
        # Sizes that several files to be saved have; None: not counted yet.
        self._several: set[int] | None = None
        self._chosen: set[Pair] = set()

    def by_looks(self, survey: Survey, found: Found) -> Iterator[Directory]:
        """What of a source looks different from what is safe; a folder itself too if anything in it does."""
        source = self._comparisons[found.label]

        def same(folder: Folder) -> None:
            self._tell(folder.files, folder.size)

        for compared in source.different(self._pictures, survey, same, trust=not self._trust.rehash):
            yield from self._unlike(source, compared)

    def _unlike(
        self, source: SourceComparison, compared: list[tuple[Folder, list[Entry], dict[bytes, OpenEntry]]]
    ) -> Iterator[Directory]:
        alike: dict[Place, OpenEntry] = {}
        new: list[Place] = []
        for i, (folder, entries, before) in enumerate(compared):
            coarse = source.is_coarse(folder.path)
            for j, entry in enumerate(entries):
                there = before.get(os.fsencode(entry.name))
                if there is None:
                    new.append((i, j))
                elif look_the_same(entry, there, coarse) and not (self._trust.rehash and _has_content(entry)):
                    alike[i, j] = there
        safe = self._safe(source, alike, lambda place: (compared[place[0]][0].path, _at(compared, place).name))
        if source.found.source.separate_dirs:  # the source's own folder is in no archive
            safe |= {(i, j) for i, j in alike if not compared[i][0].path and not _at(compared, (i, j)).name}
        if not self._trust.rehash:
            saved = self._saved(source, compared, [place for place in new if _has_content(_at(compared, place))])
            for place in sorted(saved):
                path = compared[place[0]][0].path
                if self._trust.copies > 1 and source.tree is None:
                    source.unsafe.add(path)
                source.add_known(path, _at(compared, place), saved[place])
            safe |= saved.keys()
        for i, (folder, entries, before) in enumerate(compared):
            left = [entry for j, entry in enumerate(entries) if (i, j) not in safe]
            known = [entry for j, entry in enumerate(entries) if (i, j) in safe and entry.kind != DIRECTORY]
            self._tell(len(known), sum(entry.size for entry in known))
            if left and left[0].kind != DIRECTORY and entries[0].kind == DIRECTORY:
                left.insert(0, entries[0])
            if len(left) == 1 and _has_lost_something(left[0], before.get(b"")):
                source.add_known(folder.path, left[0], None)
            elif left:
                yield Directory(folder.path, left)

    def _safe(
        self, source: SourceComparison, alike: dict[Place, OpenEntry], where: Callable[[Place], tuple[str, str]]
    ) -> set[Place]:
        """Which of these entries of the picture are on complete volumes; ``where`` tells folder and name of each."""
        if not alike:
            return set()
        pairs = {
            place: (entry.size, entry.digest)
            for place, entry in alike.items()
            if entry.kind == FILE and entry.size and entry.digest is not None
        }
        enough = self._known(set(pairs.values()))
        safe = {place for place, pair in pairs.items() if pair in enough}
        safe |= {place for place, entry in alike.items() if entry.kind == DIRECTORY and entry.mode is not None}
        saved = {place: entry.file_id for place, entry in alike.items() if place not in pairs and entry.file_id}
        members = self._pictures.safe_members(sorted({number for number in saved.values() if number}))
        if self._trust.copies > 1:
            names = {number for place, number in saved.items() if number and alike[place].kind != DIRECTORY}
            copies = self._pictures.copies_of_names(sorted(names))
            few = {number for number, count in copies.items() if count < self._trust.copies}
            members = {number: at for number, at in members.items() if number not in few}
        found = set()
        for place, number in saved.items():
            folder, name = where(place)
            if members.get(number or 0) == (os.fsencode(source.place(folder)), os.fsencode(name)):
                found.add(place)
        return safe | found

    def _known(self, pairs: set[Pair]) -> set[Pair]:
        """Which of these contents are on enough volumes."""
        if not pairs:
            return set()
        if self._trust.copies == 1:
            return self._catalogue().known_digests(pairs)
        copies = self._catalogue().copies(pairs)
        return {pair for pair, there in copies.items() if there.number >= self._trust.copies}

    def _saved(
        self, source: SourceComparison, compared: Sequence[tuple[Folder, list[Entry], object]], places: list[Place]
    ) -> dict[Place, bytes]:
        """Which files look as a run, of whichever job, has saved them, and are on enough volumes; their digests."""
        folders = {i for i, _ in places if not source.is_coarse(compared[i][0].path)}
        if not folders:
            return {}
        paths = {i: os.fsencode(source.place(compared[i][0].path)) for i in folders}
        looks = self._catalogue().known_by_looks(sorted(paths.values()), self._trust.digest)
        found: dict[Place, bytes] = {}
        for place in places:
            entry = _at(compared, place)
            saved = looks.get(paths.get(place[0], b""), {}).get(os.fsencode(entry.name))
            if saved is not None and saved[:4] == recorded_looks(entry):
                found[place] = saved[4]
        if self._trust.copies == 1:
            return found
        pairs = {place: (_at(compared, place).size, digest) for place, digest in found.items()}
        enough = self._known(set(pairs.values()))
        return {place: digest for place, digest in found.items() if pairs[place] in enough}

    # By content

    def by_content(self, survey: Survey, found: Found) -> Iterator[Directory]:
        """What of a source has a content that is not known, and is not that of a file before it."""
        if self._several is None:
            self._several = _sizes_of_several(survey)
            self._chosen.update(pair for pair in self._kept() if pair[0] in self._several)
        source = self._comparisons[found.label]
        names: dict[tuple[str, tuple[int, int]], str] = {}
        some: list[Directory] = []
        count = 0
        for directory in survey.directories(found):
            some.append(directory)
            count += len(directory.entries)
            if count >= _ENTRIES_AT_A_TIME:
                yield from self._unknown(source, some, names)
                some, count = [], 0
        yield from self._unknown(source, some, names)

    def _unknown(
        self, source: SourceComparison, directories: list[Directory], names: dict[tuple[str, tuple[int, int]], str]
    ) -> Iterator[Directory]:
        digests = self._digests(source, directories)
        pairs = {place: (_at(directories, place).size, digest) for place, digest in digests.items()}
        enough = self._known(set(pairs.values()))
        before = self._before(source, directories, digests) if self._trust.rehash else {}
        keeps_links = source.found.source.format != "zip"
        kept: list[list[Entry]] = []
        for i, (path, entries) in enumerate(directories):
            archive = path.split(os.sep, 1)[0] if source.found.source.separate_dirs else ""
            left: list[Entry] = []
            known: list[Entry] = []
            for j, entry in enumerate(entries):
                pair = pairs.get((i, j))
                is_link = keeps_links and entry.key is not None and (archive, entry.key) in names
                if is_link or pair is None or (pair not in enough and pair not in self._chosen):
                    left.append(entry)
                    if self._trust.copies > 1 and entry.kind != DIRECTORY:
                        source.unsafe.add(path)  # until it is on enough volumes, it is looked at each time
                    if is_link:
                        continue  # it takes no room
                    if pair is not None:
                        self._chosen.add(pair)
                    if entry.key is not None:
                        names[archive, entry.key] = entry.name
                else:
                    known.append(entry)
                    self._note(source, path, entry, pair, pair not in enough, before.get((i, j)))
            self._tell(len(known), sum(entry.size for entry in known))
            kept.append(left)
        alone = [i for i, left in enumerate(kept) if len(left) == 1 < len(directories[i].entries)]
        needless = self._as_they_were(source, directories, [i for i in alone if kept[i][0].kind == DIRECTORY])
        for i, left in enumerate(kept):
            if left and i not in needless:
                yield Directory(directories[i].path, left)

    def _as_they_were(self, source: SourceComparison, directories: list[Directory], numbers: list[int]) -> set[int]:
        """Which folders need not be saved, having been let through for what is in them only."""
        before = self._before(source, directories, [(i, 0) for i in numbers])
        poorer = {i for i, j in before if _has_lost_something(_at(directories, (i, j)), before[i, j])}
        for i in sorted(poorer):
            source.add_known(directories[i].path, directories[i].entries[0], None)
        alike = {
            place: there
            for place, there in before.items()
            if look_the_same(_at(directories, place), there, source.is_coarse(directories[place[0]].path))
        }
        safe = self._safe(source, alike, lambda place: (directories[place[0]].path, _at(directories, place).name))
        return poorer | {i for i, _ in safe}

    def _note(
        self, source: SourceComparison, path: str, entry: Entry, pair: Pair, is_copy: bool, before: OpenEntry | None
    ) -> None:
        """Tell the comparison of a file that is known by its content, unless the picture has it so."""
        if before and before.digest == pair[1] and look_the_same(entry, before, source.is_coarse(path)):
            return
        # Of a tree that is not there yet, nobody counts the volumes that are removed while the run writes.
        if self._trust.copies > 1 and (is_copy or source.tree is None):
            source.unsafe.add(path)
        source.add_known(path, entry, pair[1], is_copy)

    def _digests(self, source: SourceComparison, directories: list[Directory]) -> dict[Place, bytes]:
        """The digests of files that may be known; of those that cannot be read, none."""
        assert self._several is not None
        files = [
            (i, j)
            for i, (_, entries) in enumerate(directories)
            for j, entry in enumerate(entries)
            # Empty files are all the same; each is a name that would be lost.
            if entry.kind == FILE and entry.size
        ]
        sizes = {_at(directories, place).size for place in files}
        sizes = self._catalogue().known_sizes(sizes - self._several) | (sizes & self._several) if sizes else set()
        candidates = [place for place in files if _at(directories, place).size in sizes]
        paths = [(source.place(directories[i].path), directories[i].entries[j].name) for i, j in candidates]
        starts = range(0, len(paths), _FILES_A_TASK)
        tasks = [
            self._pool.submit(
                digest_files,
                paths[s : s + _FILES_A_TASK],
                self._trust.digest,
                self._turns.give() if self._turns else None,
            )
            for s in starts
        ]
        digests: list[bytes | None] = []
        for task in tasks:
            hashed = wait_for(task, self._interrupted)
            digests += hashed
        return {place: digest for place, digest in zip(candidates, digests, strict=True) if digest is not None}

    def _before(
        self, source: SourceComparison, directories: list[Directory], wanted: Iterable[Place]
    ) -> dict[Place, OpenEntry]:
        """What the picture has of some entries."""
        wanted = list(wanted)
        if source.tree is None or not wanted:
            return {}
        places = {i: os.fsencode(source.place(directories[i].path)) for i in {i for i, _ in wanted}}
        listed = self._pictures.listings(source.tree.id, list(places.values()))
        there = self._pictures.open_entries(source.tree.id, [number for number, _ in listed.values()])
        found = {}
        for i, j in wanted:
            number, _ = listed.get(places[i], (-1, None))
            entry = there.get(number, {}).get(os.fsencode(directories[i].entries[j].name))
            if entry is not None:
                found[i, j] = entry
        return found


def _sizes_of_several(survey: Survey) -> set[int]:
    """Sizes that more than one file has; the names of one file count as one."""
    sizes = array("Q")
    met: set[tuple[int, int]] = set()
    for found in survey.sources:
        for _, entries in survey.directories(found):
            for entry in entries:
                if entry.kind == FILE and entry.size and entry.key not in met:
                    sizes.append(entry.size)
                    if entry.key is not None and found.source.format != "zip":
                        met.add(entry.key)
    ordered = array("Q", sorted(sizes))
    return {size for i, size in enumerate(ordered[1:]) if size == ordered[i]}


def _has_content(entry: Entry) -> bool:
    return entry.kind == FILE and entry.size > 0


def _has_lost_something(entry: Entry, before: OpenEntry | None) -> bool:
    """Whether a folder, in which nothing is new, has only lost some of what was in it.

    No volume is made for that: the picture has how it is now.
    """
    if before is None or entry.kind != DIRECTORY or before.kind != DIRECTORY:
        return False
    return storable_number(entry.mtime_ns) != before.mtime_ns


def _at(directories: Sequence[tuple[object, list[Entry]] | tuple[object, list[Entry], object]], place: Place) -> Entry:
    return directories[place[0]][1][place[1]]
