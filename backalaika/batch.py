"""Batch: cut the selected entries of one archive into tasks.

Many small files make one `Batch`, which becomes one frame; a file larger than a frame is a `Large`, which becomes
many. Where the cuts lie depends on names and sizes alone, never on workers or on what is compressed already, so the
same tree gives the same frames.
"""

from __future__ import annotations

import marshal
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from .formats import BLOCK, ArchiveFormat
from .formats import tar as tar_format
from .formats import zip as zip_format
from .walk import FILE, HARD_LINK, Directory, Entry, Problem, as_entries

# Keeps the message to a worker small, however small the files are.
MAX_ENTRIES = 1000
_PLAIN_HEADER = tar_format.header_size_bound(tar_format.SHORT_NAME)
# What a member's headers add in a zip besides its name, in front of it and in the central directory.
_ZIP_HEADERS = 120

NAME_TOO_LONG = "its path is over 65,535 bytes, more than a zip can hold; give this source a tar option such as 'bz2'"

Key = tuple[int, int]


class Slice(NamedTuple):
    """Some entries of one directory: its path on disk, its path in the archive (no slash at the end)."""

    directory: str
    member_prefix: str
    entries: list[Entry]


@dataclass(slots=True)
class Batch:
    """Entries that become one frame.

    ``size`` estimates its bytes before compression, headers included; ``has_links`` tells whether there are files with
    several links among them.
    """

    slices: list[Slice] = field(default_factory=list)
    count: int = 0
    size: int = 0
    has_links: bool = False

    def __reduce__(self) -> tuple[Any, ...]:
        # pickle would call Python for each entry.
        plain = [(directory, prefix, list(map(tuple, entries))) for directory, prefix, entries in self.slices]
        return _unpacked, (marshal.dumps(plain), self.count, self.size, self.has_links)

    def add(self, directory: str, member_prefix: str, entry: Entry, size: int) -> None:
        """Put in an entry of a directory; entries of the same directory come one after another."""
        if not self.slices or self.slices[-1].directory != directory:
            self.slices.append(Slice(directory, member_prefix, []))
        self.slices[-1].entries.append(entry)
        if entry.key is not None:
            self.has_links = True
        self.count += 1
        self.size += size


def _unpacked(packed: bytes, count: int, size: int, has_links: bool) -> Batch:
    slices = [
        Slice(directory, prefix, as_entries(entries))
        for directory, prefix, entries in marshal.loads(packed)  # noqa: S302 - our own
    ]
    return Batch(slices, count, size, has_links)


@dataclass(frozen=True, slots=True)
class Large:
    """One file that becomes several frames."""

    directory: str
    member_prefix: str
    entry: Entry


def member_path(member_prefix: str, name: str) -> str:
    """The path of an entry in the archive; ``name`` is empty for the directory itself, which gets its slash."""
    return f"{member_prefix}/{name}"


def member_prefix(label: str, path: str) -> str:
    """The path in the archive of a directory below a source: ``label`` is the source's, ``path`` relative to it."""
    return f"{label}/{path}".replace(os.sep, "/") if path else label


def make_batches(
    directories: Iterable[Directory], source: str, label: str, archive_format: ArchiveFormat
) -> Iterator[Batch | Large | Problem]:
    """Cut the entries of one archive into batches and large files; a name that a zip cannot hold is a problem.

    Args:
        directories: as the survey tells them.
        source: absolute path that their paths are relative to.
        label: the top folder in the archive.
        archive_format: for sizes of frames; a tar holds hard links, a zip holds their content again.
    """
    links: dict[Key, str] | None = None if archive_format.is_zip else {}
    frame_size, large_size, header = archive_format.frame_size, archive_format.large_size, _PLAIN_HEADER
    batch = Batch()
    for path, entries in directories:
        directory = os.path.join(source, path) if path else source
        prefix = member_prefix(label, path)
        prefix_size = len(os.fsencode(prefix)) + 1
        for found in entries:
            entry = found if links is None or found.key is None else _link(found, prefix, links)
            name, kind = entry.name, entry.kind
            name_size = prefix_size + (len(name) if name.isascii() else len(os.fsencode(name)))
            if links is not None and kind == FILE and name_size <= tar_format.SHORT_NAME:  # nearly all
                size = header + (entry.size + BLOCK - 1) // BLOCK * BLOCK
            elif links is None and name_size > zip_format.MAX_NAME:
                yield Problem(os.path.join(directory, name), NAME_TOO_LONG)
                continue
            else:
                size = framed_size(entry, name_size, archive_format)
            if size > large_size and kind == FILE:
                if batch.count:
                    yield batch
                    batch = Batch()
                yield Large(directory, prefix, entry)
                continue
            if batch.count and (batch.size + size > frame_size or batch.count >= MAX_ENTRIES):
                yield batch
                batch = Batch()
            batch.add(directory, prefix, entry, size)
    if batch.count:
        yield batch


def framed_size(entry: Entry, name_size: int, archive_format: ArchiveFormat) -> int:
    """Bytes that an entry takes in a frame before compression, at most; its path has ``name_size`` bytes."""
    target_size = len(os.fsencode(entry.target)) if entry.target else 0
    if archive_format.is_zip:
        return _ZIP_HEADERS + 2 * name_size + entry.size + target_size
    size = -(-entry.size // BLOCK) * BLOCK if entry.kind == FILE else 0
    return size + tar_format.header_size_bound(name_size, target_size)


def _link(entry: Entry, prefix: str, links: dict[Key, str]) -> Entry:
    """The entry, as a hard link if the same file has come before it in this archive."""
    assert entry.key is not None
    first = links.setdefault(entry.key, member_path(prefix, entry.name))
    if first == member_path(prefix, entry.name):
        return entry
    return entry._replace(kind=HARD_LINK, target=first)


def relink(batch: Batch, placed: dict[Key, str]) -> Batch | None:
    """The batch with its hard links bent to what the archive it now goes to really holds; None if they are right.

    A batch is cut before anyone knows on which volume it lands. A link whose file went to an earlier volume becomes
    that file again, for each volume must be of use alone. A file that stands there under another name already becomes
    a link.

    Args:
        batch: as it was cut.
        placed: path in the archive of each file with several links that stands there already.
    """
    if not batch.has_links:
        return None
    known = dict(placed)
    changed = False
    slices = []
    for piece in batch.slices:
        entries = []
        for entry in piece.entries:
            new = entry
            if entry.key is not None and entry.kind in (FILE, HARD_LINK):
                path = member_path(piece.member_prefix, entry.name)
                first = known.setdefault(entry.key, path)
                if entry.kind == HARD_LINK and first == path:
                    new = entry._replace(kind=FILE, target="")
                elif first not in (path, entry.target):  # a file too, if the run was resumed after its first name
                    new = entry._replace(kind=HARD_LINK, target=first)
            changed = changed or new is not entry
            entries.append(new)
        slices.append(piece._replace(entries=entries))
    return replace(batch, slices=slices) if changed else None


def rebatch(batch: Batch, archive_format: ArchiveFormat) -> Iterator[Batch | Large]:
    """Cut a batch again after `relink`: files that were links may need frames of their own."""
    again = Batch()
    for directory, prefix, entries in batch.slices:
        for entry in entries:
            name_size = len(os.fsencode(member_path(prefix, entry.name)))
            size = framed_size(entry, name_size, archive_format)
            if entry.kind == FILE and size > archive_format.large_size:
                if again.count:
                    yield again
                    again = Batch()
                yield Large(directory, prefix, entry)
                continue
            if again.count and again.size + size > archive_format.frame_size:
                yield again
                again = Batch()
            again.add(directory, prefix, entry, size)
    if again.count:
        yield again
