"""Opened: the archives of a medium that are being recorded, each with the file on the medium that it is, or is in.

Its path alone does not tell one from another: ``a.zip`` may hold ``b.zip``, and a folder ``a.zip!`` beside it too.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from .messages import INSIDE

if TYPE_CHECKING:
    from ..catalogue import Catalogue
    from ..catalogue.direct import DirectCatalogue


@dataclass(slots=True)
class _InFile:
    """What is recorded of the archives that one file is and holds: those open, numbers of those that ended, rows."""

    open: dict[bytes, int] = field(default_factory=dict)
    ended: list[int] = field(default_factory=list)
    members: int = 0


class Dropped(NamedTuple):
    """How much of a file is no longer recorded."""

    archives: int
    members: int


class Opened:
    """Archives that were begun. What is said of them to the catalogue comes after the rows that were told before.

    Those that ended are kept in mind until their file's own row comes, for it may be read once more before that.

    Args:
        catalogue: where they are recorded.
    """

    def __init__(self, catalogue: Catalogue | DirectCatalogue) -> None:
        self._catalogue = catalogue
        self._files: dict[bytes, _InFile] = {}

    def begin(self, volume_id: int, file: bytes, path: bytes, kind: str) -> None:
        """Enter an archive: ``path``, which is or is in ``file``."""
        number = self._catalogue.add_archive(volume_id, os.fsdecode(path), kind)
        self._files.setdefault(file, _InFile()).open[path] = number

    def count_member(self, file: bytes, path: bytes) -> int:
        """One more row of an archive that is open; the archive's number."""
        there = self._files[file]
        there.members += 1
        return there.open[path]

    def end(self, file: bytes, path: bytes, size: int, digest: bytes | None) -> None:
        """All of an archive is recorded, and of those in it, if it was ended by its limits."""
        there = self._files[file]
        self._finish(there, path, size, digest)
        for inside in [name for name in there.open if name.startswith(path + INSIDE)]:
            self._finish(there, inside, 0, None)

    def _finish(self, there: _InFile, path: bytes, size: int, digest: bytes | None) -> None:
        number = there.open.pop(path)
        self._catalogue.finish_archive(number, size, digest)
        there.ended.append(number)

    def forget(self, file: bytes) -> None:
        """The file's own row came: it is read no more."""
        self._files.pop(file, None)

    def leave(self, file: bytes) -> None:
        """What is recorded of a file's archives is all there will be."""
        for number in self._files.pop(file, _InFile()).open.values():
            self._catalogue.finish_archive(number, 0, None)

    def drop(self, file: bytes) -> Dropped:
        """Remove what is recorded of a file's archives."""
        there = self._files.pop(file, _InFile())
        numbers = [*there.open.values(), *there.ended]
        for number in numbers:
            self._catalogue.drop_archive(number)
        return Dropped(len(numbers), there.members)

    def drop_all(self) -> None:
        """As `drop`, of all files."""
        for file in list(self._files):
            self.drop(file)
