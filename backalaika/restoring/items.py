"""Items: the members to be read, as plain values, and spools that keep millions of them on disk.

An item knows the member's place in an archive and where its content is to be put. Spools are marshalled into temporary
files by the thousand (0.5 microseconds an item), for memory must not grow with the number of files.
"""

from __future__ import annotations

import marshal
import os
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from typing import IO, NamedTuple

from ..catalogue.results import Located
from ..errors import RunError
from ..walk import DIRECTORY, FILE, describe_error

_BLOCK = 1000


class PartOf(NamedTuple):
    """What a member is a part of: its number from 1, where it begins in the whole, and the whole, as far as known."""

    number: int
    offset: int
    size: int | None
    digest: bytes | None


class Item(NamedTuple):
    """A member to be read.

    Attributes:
        place: where it goes, below the target directory; of a part, where the whole goes.
        path: of the member in the archive; of a loose file, on the medium.
        kind: as in the catalogue.
        size, mtime_ns, digest: of the member's content.
        target: of a link; of a hard link, a path in the same archive.
        archive: name of the archive on the volume; empty for a loose file.
        frame: byte offset of the frame in which the member starts; None if the manifest has to tell it.
        offset: of the member in the decoded frame.
        part: a `PartOf` as a plain tuple, if it is a part.
        attributes: mode, uid and gid, -1 where unknown, where they are others than the archive has.
    """

    place: bytes
    path: bytes
    kind: str
    size: int
    mtime_ns: int
    digest: bytes | None
    target: bytes | None
    archive: bytes
    frame: int | None
    offset: int | None
    part: tuple[int, int, int | None, bytes | None] | None = None
    attributes: tuple[int, int, int] | None = None


def item_of(
    row: Located,
    place: bytes | None = None,
    mtime_ns: int | None = None,
    attributes: tuple[int, int, int] | None = None,
) -> Item:
    """The item of a row of the catalogue; it goes to its path in archives, if no other place is given."""
    part = None
    if row.label is None or row.source is None:  # a medium added by hand: its paths are those in its archives
        path = _joined(row.folder, row.name)
        if row.kind == DIRECTORY and row.archive is not None:
            path = path.rstrip(b"/") + b"/"
        archive = row.archive or b""
    else:
        path = archive_folder(row.label, row.source, row.folder) + row.name
        archive = row.archive or b""
    if place is None and row.label is None:
        place = place_on_medium(path)
    elif place is None:
        place = path.rstrip(b"/") if row.kind == DIRECTORY else path
    if row.part is not None and row.part_offset is not None:
        path += b".part%03d" % row.part
        part = (row.part, row.part_offset, row.whole_size, row.whole_digest)
    return Item(
        place,
        path,
        row.kind,
        row.size,
        row.mtime_ns if mtime_ns is None else mtime_ns,
        row.digest,
        row.target,
        archive,
        row.frame,
        row.offset,
        part,
        attributes,
    )


def place_on_medium(path: bytes) -> bytes:
    """Where a path in a stranger's archive goes: what it means without its root, and never anything above it.

    ``./a``, ``a//`` and ``/a`` are all ``a``, as to `tar`; what has ``..`` in it is refused when it is to be placed.
    """
    if (
        path == b"."
        or path.startswith((b"/", b"./"))
        or b"//" in path
        or b"/./" in path
        or path.endswith((b"/", b"/."))
    ):
        return b"/".join(step for step in path.split(b"/") if step not in (b"", b"."))
    return path


@lru_cache(maxsize=64)  # the files of a folder come one after another
def archive_folder(label: bytes, source: bytes, folder: bytes) -> bytes:
    """A folder as archives have it, with a slash at its end."""
    below = folder[len(source) :].replace(os.sep.encode(), b"/").strip(b"/")
    return label + b"/" + below + b"/" if below else label + b"/"


def _joined(folder: bytes, name: bytes) -> bytes:
    return folder + b"/" + name if name and folder and not folder.endswith(b"/") else folder + name


class Spool:
    """Items of one archive on disk, given back in the order in which they stand there.

    Most come in that order, or the other way round, and need not be sorted.

    Attributes:
        count: of items.
        files, bytes: of those that are files or links, and their content; one that was cut counts with its first part.
        parts: of all the other parts of files that were cut.
    """

    def __init__(self) -> None:
        self.count = self.files = self.parts = self.bytes = 0
        self._file: IO[bytes] | None = None
        self._blocks: list[tuple[int, int]] = []
        self._last: list[Item] = []
        self._key = (-1, -1)
        self._rises = self._falls = True

    def add(self, item: Item) -> None:
        """Put an item in.

        Raises:
            RunError: there is no room.
        """
        key = _place_in_archive(item)
        if self.count:
            self._rises = self._rises and key >= self._key
            self._falls = self._falls and key <= self._key
        self._key = key
        self.count += 1
        if item.part is not None and item.part[0] > 1:
            self.parts += 1
        elif item.kind != DIRECTORY:
            self.files += 1
        if item.kind == FILE:
            self.bytes += item.size
        self._last.append(item)
        if len(self._last) >= _BLOCK:
            self._flush()

    def _flush(self) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="backalaika-")  # noqa: SIM115 - closed by close
            start = self._file.seek(0, os.SEEK_END)
            self._file.write(marshal.dumps([tuple(item) for item in self._last]))
            self._blocks.append((start, self._file.tell() - start))
        except OSError as error:
            raise RunError(
                f"{tempfile.gettempdir()}: no room for the list of files: {describe_error(error)}; "
                "make room there, or set TMPDIR to another folder"
            ) from None
        self._last = []

    def _block(self, start: int, size: int) -> list[Item]:
        assert self._file is not None
        self._file.seek(start)
        return [Item._make(values) for values in marshal.loads(self._file.read(size))]  # noqa: S302 - our own

    def __iter__(self) -> Iterator[Item]:
        """The items as they stand in the archive; the spool may not be added to meanwhile."""
        if not self._rises and not self._falls:
            yield from sorted(self._backwards(), key=_place_in_archive)
        elif self._rises:
            yield from self._forwards()
        else:
            yield from self._backwards()

    def __reversed__(self) -> Iterator[Item]:
        """The same, from the last to the first."""
        if not self._rises and not self._falls:
            yield from sorted(self._backwards(), key=_place_in_archive, reverse=True)
        elif self._rises:
            yield from self._backwards()
        else:
            yield from self._forwards()

    def _forwards(self) -> Iterator[Item]:
        for block in self._blocks:
            yield from self._block(*block)
        yield from self._last

    def _backwards(self) -> Iterator[Item]:
        yield from reversed(self._last)
        for block in reversed(self._blocks):
            yield from reversed(self._block(*block))

    def close(self) -> None:
        """Free the disk; the items are gone."""
        if self._file is not None:
            self._file.close()
        self._file, self._blocks, self._last = None, [], []


def _place_in_archive(item: Item) -> tuple[int, int]:
    return (-1 if item.frame is None else item.frame), item.offset or 0
