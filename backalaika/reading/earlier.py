"""Earlier: what an interrupted call recorded of a medium, of which only that stays which the medium still has."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from ..walk import FILE, Problem
from .members import joined
from .messages import INSIDE, Settings
from .watched import WatchedTree

if TYPE_CHECKING:
    from ..catalogue import Catalogue
    from ..catalogue.direct import DirectCatalogue


# Of 10,000,000 marks, each has 40,000, which are sorted by themselves.
_BUCKETS = 256


class Marks:
    """A set of marks of 8 bytes each; a set of Python's takes 60 to 100 for each."""

    def __init__(self) -> None:
        self._buckets = [array("q") for _ in range(_BUCKETS)]
        self._is_sorted = True

    def add(self, number: int) -> None:
        """Put one in; it may be there already."""
        self._buckets[number % _BUCKETS].append(number)
        self._is_sorted = False

    def __contains__(self, number: int) -> bool:
        if not self._is_sorted:
            self._buckets = [array("q", sorted(bucket)) for bucket in self._buckets]
            self._is_sorted = True
        bucket = self._buckets[number % _BUCKETS]
        at = bisect_left(bucket, number)
        return at < len(bucket) and bucket[at] == number


class Kept(NamedTuple):
    """Marks of what need not be recorded again, and of the paths of the files among it."""

    done: Marks
    files: Marks

    def has_read(self, path: bytes) -> bool:
        """Whether it is one of the files, or in one."""
        return any(mark(top, "", 0, 0) in self.files for top in _tops(path))


def mark(path: bytes, kind: str, size: int, mtime_ns: int) -> int:
    """Stands for what is recorded: a number takes a tenth of the memory of a path."""
    return hash((path, kind, size, mtime_ns))


def _tops(path: bytes) -> Iterator[bytes]:
    """What the name of the file may be that this is, or is in; a folder's name may end with ! too."""
    at = path.find(INSIDE)
    while at >= 0:
        yield path[:at]
        at = path.find(INSIDE, at + 1)
    yield path


def switches(settings: Settings) -> str:
    """What an interrupted call and the one that goes on must have in common, besides the digest.

    Limits of the configuration are told where they are not those that it has by default.
    """
    encoding = "" if settings.encoding is None else f" --encoding {settings.encoding}"
    usual = Settings()
    limits = [
        f", with {name}={getattr(settings, name)}"
        for name in ("max_ratio", "max_members")
        if getattr(settings, name) != getattr(usual, name)
    ]
    return f"--depth {settings.depth}{encoding}{'' if settings.hashing else ' --no-hash'}{''.join(limits)}"


def compare(
    catalogue: Catalogue | DirectCatalogue,
    volume_id: int,
    tree: WatchedTree,
    is_told_otherwise: Callable[[bytes], bool],
    stop: Callable[[], None],
) -> Kept:
    """Drop what is on the medium no more, or not as it was, or was not read to its end; returns what stays.

    What cannot be looked at now is not dropped for it.

    Args:
        catalogue: where it is recorded.
        volume_id: of the medium.
        tree: the medium.
        is_told_otherwise: whether a file is not read, because a manifest tells of it.
        stop: called often; raises KeyboardInterrupt if the user wants to stop.
    """
    seen, same = Marks(), Marks()
    unread: list[Problem] = []  # the walk that follows tells it
    for found in tree.walk(unread.append):
        stop()
        member = found.member
        seen.add(mark(member.path, "", 0, 0))
        if not is_told_otherwise(member.path):
            same.add(mark(member.path, member.kind, member.size, member.mtime_ns))
    kept = Kept(Marks(), Marks())
    gone = array("q")
    shared = _shared(catalogue, volume_id, seen)
    for number, folder, name, kind, size, mtime_ns in catalogue.loose_files(volume_id):
        path = joined(folder, name)
        here, whole = mark(path, "", 0, 0), mark(path, kind, size, mtime_ns)
        if path in shared:
            gone.append(number)
            continue
        if whole in same:
            kept.done.add(whole)
        elif here in seen or not unread:
            gone.append(number)
            continue
        if kind == FILE:
            kept.files.add(here)
    catalogue.drop_files(gone)
    for archive in catalogue.archives_of(volume_id):
        if not kept.has_read(archive.path):
            catalogue.drop_archive(archive.id)
    return kept


def _shared(catalogue: Catalogue | DirectCatalogue, volume_id: int, seen: Marks) -> set[bytes]:
    """Files of which another may hold an archive of the name of one in it: all that they are and hold is read anew.

    Which of the two an archive is in that is recorded, its name does not tell.
    """
    shared: set[bytes] = set()
    for archive in catalogue.archives_of(volume_id):
        tops = [top for top in _tops(archive.path) if mark(top, "", 0, 0) in seen]
        if INSIDE in archive.path and len(tops) > 1:
            shared.update(tops)
    return shared
