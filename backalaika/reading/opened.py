"""Opened: the archives of a medium that are being recorded, each with the file on the medium that it is, or is in.

Its path alone does not tell one from another: ``a.zip`` may hold ``b.zip``, and a folder ``a.zip!`` beside it too.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .messages import INSIDE

if TYPE_CHECKING:
    from ..catalogue import Catalogue
    from ..catalogue.direct import DirectCatalogue


@dataclass(slots=True)
class _InFile:
    """Numbers of the archives in one file that are open."""

    open: dict[bytes, int] = field(default_factory=dict)


class Opened:
    """Archives that were begun. What is said of them to the catalogue comes after the rows that were told before.

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

    def number(self, file: bytes, path: bytes) -> int:
        """The number of an archive that is open."""
        return self._files[file].open[path]

    def end(self, file: bytes, path: bytes, size: int, digest: bytes | None) -> None:
        """All of an archive is recorded, and of those in it, if it was ended by its limits."""
        there = self._files[file]
        self._catalogue.finish_archive(there.open.pop(path), size, digest)
        for inside in [name for name in there.open if name.startswith(path + INSIDE)]:
            self._catalogue.finish_archive(there.open.pop(inside), 0, None)
        if not there.open:
            del self._files[file]

    def leave(self, file: bytes) -> None:
        """What is recorded of a file's archives is all there will be."""
        for number in self._files.pop(file, _InFile()).open.values():
            self._catalogue.finish_archive(number, 0, None)

    def drop(self, file: bytes) -> None:
        """Remove what is recorded of a file's archives."""
        for number in self._files.pop(file, _InFile()).open.values():
            self._catalogue.drop_archive(number)

    def drop_all(self) -> None:
        """As `drop`, of all files."""
        for file in list(self._files):
            self.drop(file)
