"""Known: leave out what a complete volume of the catalogue has already.

By looks first: a file with the path, size, times and inode that the catalogue has is not read at all. Then by content:
a file whose size the catalogue has is hashed, and left out if the catalogue has that digest too. A file of a size that
is new is never read for this. The catalogue is asked in bulk, for some thousands of files at a time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import TYPE_CHECKING

from ..walk import DIRECTORY, FILE, Directory, Entry
from .hashing import digest_files
from .work import wait_for

if TYPE_CHECKING:
    from ..catalogue import Catalogue
    from .turns import Turns

_ENTRIES_AT_A_TIME = 5000
_FILES_A_TASK = 100


class KnownFiles:
    """Lets through what the catalogue does not know.

    Args:
        catalogue: what is known.
        pool: hashes files.
        digest: the digest that the run uses.
        tell: called with the number and bytes of files that were left out.
        interrupted: whether the user wants to stop; looked at while files are hashed.
        turns: when the pool's processes may read; None: always.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        pool: Executor,
        digest: str,
        tell: Callable[[int, int], None],
        interrupted: Callable[[], bool],
        turns: Turns | None = None,
    ) -> None:
        self._turns = turns
        self._catalogue = catalogue
        self._interrupted = interrupted
        self._pool = pool
        self._digest = digest
        self._tell = tell

    def select(self, directories: Iterable[Directory], source: str) -> Iterator[Directory]:
        """The directories with what is not known; one that loses all is left out, unless it was empty before."""
        some: list[Directory] = []
        count = 0
        for directory in directories:
            some.append(directory)
            count += len(directory.entries)
            if count >= _ENTRIES_AT_A_TIME:
                yield from self._unknown(some, source)
                some, count = [], 0
        yield from self._unknown(some, source)

    def _unknown(self, directories: list[Directory], source: str) -> Iterator[Directory]:
        places = [os.path.join(source, path) if path else source for path, _ in directories]
        known = self._by_looks(directories, places)
        known |= self._by_content(directories, places, known)
        left_out = left_out_bytes = 0
        for i, (path, entries) in enumerate(directories):
            kept = []
            for j, entry in enumerate(entries):
                if (i, j) in known:
                    left_out += 1
                    left_out_bytes += entry.size
                else:
                    kept.append(entry)
            if any(entry.kind != DIRECTORY for entry in kept) or len(entries) == 1:
                yield Directory(path, kept)
        self._tell(left_out, left_out_bytes)

    def _by_looks(self, directories: list[Directory], places: list[str]) -> set[tuple[int, int]]:
        looks = self._catalogue.known_by_looks([os.fsencode(place) for place in places])
        known = set()
        for i, (_, entries) in enumerate(directories):
            there = looks.get(os.fsencode(places[i]))
            if not there:
                continue
            for j, entry in enumerate(entries):
                if entry.kind == FILE and there.get(os.fsencode(entry.name)) == _looks(entry):
                    known.add((i, j))
        return known

    def _by_content(
        self, directories: list[Directory], places: list[str], known: set[tuple[int, int]]
    ) -> set[tuple[int, int]]:
        files = [
            (i, j)
            for i, (_, entries) in enumerate(directories)
            for j, entry in enumerate(entries)
            # Empty files are all the same; each is a name that would be lost.
            if entry.kind == FILE and entry.size and (i, j) not in known
        ]
        sizes = self._catalogue.known_sizes({directories[i].entries[j].size for i, j in files})
        candidates = [(i, j) for i, j in files if directories[i].entries[j].size in sizes]
        paths = [(places[i], directories[i].entries[j].name) for i, j in candidates]
        starts = range(0, len(paths), _FILES_A_TASK)
        tasks = [
            self._pool.submit(
                digest_files, paths[s : s + _FILES_A_TASK], self._digest, self._turns.give() if self._turns else None
            )
            for s in starts
        ]
        digests: list[bytes | None] = []
        for task in tasks:
            hashed = wait_for(task, self._interrupted)
            digests += hashed
        pairs = {
            place: (directories[place[0]].entries[place[1]].size, digest)
            for place, digest in zip(candidates, digests, strict=True)
            if digest is not None
        }
        found = self._catalogue.known_digests(set(pairs.values()))
        return {place for place, pair in pairs.items() if pair in found}


def _looks(entry: Entry) -> tuple[int, int, int, int]:
    return entry.size, entry.mtime_ns, entry.ctime_ns, entry.inode
