"""Messages between the processes of a run: small, typed, picklable; content goes through shared memory."""

from __future__ import annotations

from dataclasses import dataclass

from ..batch import Batch, Key
from ..formats import ArchiveFormat
from ..walk import Problem


@dataclass(frozen=True, slots=True)
class BatchTask:
    """Read, hash and compress the entries of a batch into one frame in a slot.

    ``turn`` is its place among those that read; None where any number may at once.
    """

    batch: Batch
    archive_format: ArchiveFormat
    digest: str
    store_only: frozenset[str]
    slot: int
    turn: int | None = None


@dataclass(frozen=True, slots=True)
class BatchDone:
    """The frame of a batch, in its slot, and what stands in it.

    Attributes:
        length: bytes of the frame; 0 if nothing could be read.
        raw_size: bytes before compression.
        count: members, folders and links too.
        files: members without folders.
        content: bytes of its files.
        linked: bytes of the files that its hard links point to.
        rows: the members as the catalogue's `MemberRow`, a list for each slice of the batch, marshalled: they are
            passed on without being looked at.
        links: key and path in the archive of each file with several links.
        manifest: the members' lines for the manifest, each with a newline in front and without its archive and frame.
        central: zip only: the members' central entries, offsets counted from the frame's start.
        problems: what was not saved, or changed while it was read.
    """

    length: int
    raw_size: int
    count: int
    files: int
    content: int
    linked: int
    rows: bytes
    links: list[tuple[Key, str]]
    manifest: bytes
    central: bytes
    problems: list[Problem]


@dataclass(frozen=True, slots=True)
class ChunkTask:
    """Compress a piece of a large file, which lies in a slot from `WINDOW` on.

    Attributes:
        window: bytes right before it in the slot that came before it in the file, for a zip.
        header: what comes before the piece in the frame: a tar's member header.
        padding: zeros that come after it.
        last: whether a deflate stream ends here.
        stored: whether a zip keeps it as it is.
    """

    archive_format: ArchiveFormat
    slot: int
    window: int
    length: int
    header: bytes
    padding: int
    last: bool
    stored: bool


@dataclass(frozen=True, slots=True)
class ChunkDone:
    """A compressed piece: ``length`` bytes of the slot from ``start`` on.

    ``content`` are the bytes of the file in it, ``raw_size`` the bytes of the decoded frame.
    """

    start: int
    length: int
    raw_size: int
    content: int
