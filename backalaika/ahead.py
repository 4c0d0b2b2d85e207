"""Ahead: walk a source, a large one in several processes, and tell it in the order of one.

One process asks the system for some 250,000 files a second, and Python takes as long again. So what is left after the
first few thousand entries goes to the pool, which has nothing to do yet, in pieces: some directories with all below
them. A piece that turns out large ends early, and what is left of it is made into pieces again. Pieces are begun in the
order of the walk and told in that order, so what must be held is some pieces for each level of the tree.

A disk that few shall read at a time is walked by no more than that: for it, a walk is reading too, and seeking.
"""

from __future__ import annotations

import marshal
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future
from concurrent.futures import wait as wait_for_some
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from xxhash import xxh3_128_digest

from .errors import RunError
from .walk import DIRECTORY, Border, Directory, Entry, Problem, as_entries, is_special, walk

# Equal values give equal bytes; later versions of marshal look at references too.
_MARSHAL_VERSION = 2
_ENTRIES_A_PIECE = 2000
_PIECES_OF_A_REST = 4
_SIZE = attrgetter("size")


class Folder(NamedTuple):
    """A directory as the survey keeps it.

    Attributes:
        path: relative to the source.
        looks: hash of the looks of all that is in it.
        files, size: of files and links that are selected, and bytes of their content.
        unseen: names that are there and were left out by their date, or could not be looked at.
        whole: whether it could be listed.
        data: the selected entries, marshalled.
    """

    path: str
    looks: bytes
    files: int
    size: int
    unseen: tuple[str, ...]
    whole: bool
    data: bytes

    def entries(self) -> list[Entry]:
        """The selected entries."""
        return as_entries(marshal.loads(self.data))  # noqa: S302 - our own

    def packed(self) -> bytes:
        """As it lies in a spool: lengths of two parts, and these."""
        head = marshal.dumps(tuple(self[:-1]))
        return b"".join((len(head).to_bytes(8, "little"), len(self.data).to_bytes(8, "little"), head, self.data))


def packed_entries(entries: list[Entry]) -> bytes:
    """Entries, marshalled."""
    return marshal.dumps(list(map(tuple, entries)), _MARSHAL_VERSION)


@dataclass(frozen=True, slots=True)
class Looking:
    """How a source is looked at; it goes to other processes.

    Attributes:
        source: its absolute path.
        skips: whether a name is left out.
        one_filesystem: whether other file systems mounted below are.
        since_ns: leave out files and links last modified before this time; directories that lose all go too.
        is_coarse: whether only names, sizes and times of modification of what lies in a folder can be trusted.
        seed: of the hashes of looks.
    """

    source: str
    skips: Callable[[str], bool]
    one_filesystem: bool
    since_ns: int | None
    is_coarse: Callable[[str], bool]
    seed: int


class Piece(NamedTuple):
    """Some directories in the order of the walk.

    Attributes:
        folders: packed, one after another.
        problems: met in them.
        found_files, found_bytes: files and links, and content, before the minimum date.
        files, bytes: what is selected of that.
        subfolders: how many of them lie directly in the source.
        left: directories that are still to be walked, the next one last.
    """

    folders: bytes
    problems: list[Problem]
    found_files: int
    found_bytes: int
    files: int
    size: int
    subfolders: int
    left: list[str]


def look_at(
    looking: Looking, executor: Executor | None, wait: Callable[[], None], readers: int | None = None
) -> Iterator[Piece]:
    """All of a source.

    Args:
        looking: which, and how.
        executor: several processes; None: this one does all.
        wait: called at times while others are waited for; it may raise.
        readers: how many may walk at a time; None: as many as there are.

    Raises:
        OSError: the source itself cannot be read.
        RunError: a process died.
    """
    piece = look_at_some(looking, [""])
    yield piece
    line: deque[list[str] | Future[Piece]] = deque(_split(piece.left))
    while line:
        if executor is None or readers == 1:
            assert isinstance(line[0], list)
            piece = look_at_some(looking, line[0])
        else:
            piece = _first(line, executor, looking, readers, wait)
        line.popleft()
        line.extendleft(reversed(_split(piece.left)))
        yield piece


def _first(
    line: deque[list[str] | Future[Piece]],
    executor: Executor,
    looking: Looking,
    readers: int | None,
    wait: Callable[[], None],
) -> Piece:
    """The first piece of a line, of which others are begun meanwhile."""
    while True:
        under_way = [one for one in line if isinstance(one, Future) and not one.done()]
        for i in range(min(len(line), 2 * _PIECES_OF_A_REST)):
            stack = line[i]
            if isinstance(stack, list) and (readers is None or len(under_way) < readers):
                line[i] = begun = _submit(executor, looking, stack)
                under_way.append(begun)
        first = line[0]
        if isinstance(first, Future) and first.done():
            return _result(first)
        if not wait_for_some(under_way, timeout=0.2, return_when=FIRST_COMPLETED).done:
            wait()


def _submit(executor: Executor, looking: Looking, stack: list[str]) -> Future[Piece]:
    try:
        return executor.submit(look_at_some, looking, stack)
    except BrokenExecutor:
        raise RunError(_DIED) from None


def _result(future: Future[Piece]) -> Piece:
    try:
        return future.result()
    except BrokenExecutor:
        raise RunError(_DIED) from None


_DIED = "a worker process died while the sources were looked at; is there enough memory? Try fewer --workers"


def _split(stack: list[str]) -> list[list[str]]:
    """A stack of directories as some, the next ones first."""
    size = -(-len(stack) // _PIECES_OF_A_REST)
    return [stack[max(end - size, 0) : end] for end in range(len(stack), 0, -size)] if size else []


def look_at_some(looking: Looking, pending: list[str]) -> Piece:
    """The directories of a stack with all below them, or as many as are enough for one piece."""
    packed: list[bytes] = []
    all_problems: list[Problem] = []
    found_files = found_bytes = files = size = subfolders = 0
    for directory, problems in walk(looking.source, looking.skips, looking.one_filesystem, pending):
        all_problems += problems
        count, content = _totals(directory.entries)
        found_files += count
        found_bytes += content
        subfolders += bool(directory.path) and os.sep not in directory.path
        folder = _folder(looking, directory, problems)
        files += folder.files
        size += folder.size
        packed.append(folder.packed())
        if found_files + len(packed) >= _ENTRIES_A_PIECE:
            break
    return Piece(b"".join(packed), all_problems, found_files, found_bytes, files, size, subfolders, pending)


def _folder(looking: Looking, directory: Directory, problems: list[Problem]) -> Folder:
    """What is kept of a directory."""
    entries = directory.entries
    data = seen = packed_entries(entries)
    if looking.is_coarse(os.path.join(looking.source, directory.path)):
        seen = marshal.dumps([entry[:2] + entry[3:5] for entry in entries], _MARSHAL_VERSION)
    unseen = [os.path.basename(problem.path) for problem in problems if entries and not is_special(problem)]
    since_ns = looking.since_ns
    if since_ns is not None:
        unseen += [entry.name for entry in entries if entry.kind != DIRECTORY and entry.mtime_ns < since_ns]
        entries = [entry for entry in entries if entry.kind == DIRECTORY or entry.mtime_ns >= since_ns]
        if len(entries) == 1:
            entries = []
        data = packed_entries(entries)
    files, size = _totals(entries)
    whole = bool(directory.entries) and not isinstance(directory, Border)
    return Folder(directory.path, xxh3_128_digest(seen, looking.seed), files, size, tuple(unseen), whole, data)


def _totals(entries: list[Entry]) -> tuple[int, int]:
    """How many files and links, and bytes of content; the directory itself comes first, and only files have sizes."""
    return len(entries) - (bool(entries) and entries[0].kind == DIRECTORY), sum(map(_SIZE, entries))
