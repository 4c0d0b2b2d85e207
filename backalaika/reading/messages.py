"""Messages: what is told of files on a medium, and how they are to be read. Plain values that cross a pipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..digests import DIGESTS
from .seekable import Extents

# Between the path of an archive and that of a member in it, where that is an archive too.
INSIDE = b"!/"


@dataclass(frozen=True, slots=True)
class Settings:
    """How media are read.

    Attributes:
        digest: one of `digests.DIGESTS`.
        hashing: whether content is read for digests.
        depth: 1 enters archives on the medium, 2 archives in those too, and so on; 0 none.
        encoding: of names in zips that do not say theirs; None guesses.
        max_ratio: how many times its size an archive may grow to, beyond 256 MiB.
        max_members: how many members an archive may have.
    """

    digest: str = DIGESTS[0]
    hashing: bool = True
    depth: int = 1
    encoding: str | None = None
    max_ratio: int = 1000
    max_members: int = 10_000_000


class PartOf(NamedTuple):
    """What a member is a part of: its number from 1, where it begins in the whole; of the whole what is told."""

    number: int
    offset: int
    whole_size: int | None
    whole_digest: bytes | None


class Row(NamedTuple):
    """A file found; ``archive`` is the path of the archive it is in, None for a loose file.

    A part of a file that was cut has the whole's name, and size and digest of its own. ``raw_path`` are the bytes of a
    path of which nothing tells the encoding.
    """

    archive: bytes | None
    folder: bytes
    name: bytes
    kind: str
    size: int
    mtime_ns: int
    digest: bytes | None
    target: bytes | None
    part: PartOf | None = None
    raw_path: bytes | None = None


class Rows(NamedTuple):
    """Rows, in the order they were found; those of archives are all of ``file`` on the medium."""

    rows: list[Row]
    file: bytes


class ArchiveBegins(NamedTuple):
    """Rows of this archive follow, which ``file`` on the medium is or holds."""

    path: bytes
    kind: str
    file: bytes


class ArchiveEnds(NamedTuple):
    """All of an archive was told; ``digest`` is XXH3-128 of its bytes, None if they were not read.

    ``file`` is that of `ArchiveBegins`.
    """

    path: bytes
    size: int
    digest: bytes | None
    file: bytes


class Trouble(NamedTuple):
    """What could not be read, or not as it should be; a note costs nothing and is no error."""

    path: bytes
    message: str
    is_note: bool = False


class NotEntered(NamedTuple):
    """A file on the medium is an archive of a kind that is not read: it is listed as a file, and hashed."""

    path: bytes
    kind: str


class Moved(NamedTuple):
    """Bytes of the medium that were read, for progress."""

    size: int
    path: bytes


class LooseFile(NamedTuple):
    """A file to be read; ``path`` is relative to the medium. Of one that is only summed nothing but that is told.

    In an image of a disc it lies in ``extents`` of (offset, size), None if it cannot be read, or packed by zisofs.
    """

    path: bytes
    size: int
    mtime_ns: int
    only_sum: bool = False
    extents: Extents | None = ()
    is_packed: bool = False


class Summed(NamedTuple):
    """XXH3-128 of a file that was only summed."""

    file: LooseFile
    digest: bytes


Message = Rows | ArchiveBegins | ArchiveEnds | Summed | Trouble | NotEntered | Moved
