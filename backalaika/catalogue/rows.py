"""Rows: the plain types that callers give to the catalogue, and the words and numbers that it is written in.

Tuples, because there are millions of them: a tuple goes to the driver as it is. Names and paths of files are the raw
bytes of the file system (`os.fsencode`), so that every name survives in any database.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

FILE, DIRECTORY, SYMLINK, HARD_LINK = KINDS = ("file", "dir", "symlink", "hardlink")
KIND_NUMBERS = {kind: number for number, kind in enumerate(KINDS)}

# States of a run; the last two of a volume and an archive too.
RUNNING, INTERRUPTED, FAILED, INCOMPLETE, COMPLETE = "running", "interrupted", "failed", "incomplete", "complete"
# Of a volume that was removed, and whose rows are on their way out: no answer tells of it.
REMOVING = "removing"
# Characters of a volume's title, whatever their size.
LONGEST_TITLE = 512

Looks = tuple[int, int, int | None, int, bytes]


class SourceFound(NamedTuple):
    """What a run found at one source, before anything was selected; ``label`` is its top folder in archives."""

    path: str
    label: str
    options: str
    found_files: int
    found_bytes: int


class RunStart(NamedTuple):
    """A run that begins.

    Attributes:
        job: its name.
        folder: absolute path of the run's folder.
        comment: the user's, or empty.
        started_at_ns: nanoseconds since 1970, UTC.
        sources: what was found at each; `Catalogue.add_archive` names a source by its index here.
        since_ns: only files modified since then, in nanoseconds since 1970; None for all.
        skip_known: whether known files are left out.
        digest: which digest it uses.
        copies: on how many volumes a file must be to be known; None where nobody can tell.
    """

    job: str
    folder: str
    comment: str
    started_at_ns: int
    sources: Sequence[SourceFound]
    since_ns: int | None = None
    skip_known: bool = False
    digest: str = "xxh3-128"
    copies: int | None = None


class RunEnd(NamedTuple):
    """What a run did; the names are those of the columns."""

    finished_at_ns: int
    files: int
    bytes: int
    known_files: int
    error_count: int


class FrameRow(NamedTuple):
    """One frame: where it starts in the archive, its bytes there, and its bytes when decoded."""

    archive_id: int
    number: int
    offset: int
    size: int
    raw_size: int


class FileRow(NamedTuple):
    """One member, or one file of a medium.

    Attributes:
        archive_id: None for a loose file.
        folder: absolute path of the folder it lies in.
        name: empty for the folder itself.
        kind: one of `KINDS`.
        frame, offset: frame in which the member starts, and where in the decoded frame; None where unknown.
        target: of a link, else None.
        part: number from 1, where the member is a part of the file; its size and digest are the part's.
        part_offset: where the part begins in the whole.
        whole_size, whole_digest: of the whole; the digest is known with the last part only.
        raw_path: the path's bytes in the archive, where folder and name are what they were guessed to mean.
    """

    volume_id: int
    archive_id: int | None
    folder: bytes
    name: bytes
    kind: str
    size: int
    mtime_ns: int
    ctime_ns: int | None
    inode: int | None
    digest: bytes | None
    frame: int | None
    offset: int | None
    target: bytes | None
    part: int | None = None
    part_offset: int | None = None
    whole_size: int | None = None
    whole_digest: bytes | None = None
    raw_path: bytes | None = None


class MemberRow(NamedTuple):
    """A member of a frame, as the process that has read it tells it to the catalogue, in values that this can hold.

    Attributes:
        name: empty for the folder itself.
        kind: its index in `KINDS`.
        mtime_ns, ctime_ns, inode: `storable_number`, `storable_inode`.
        offset: where it starts in the decoded frame.
        target: of a link, else None.
    """

    name: bytes
    kind: int
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    digest: bytes | None
    offset: int
    target: bytes | None


class FrameMembers(NamedTuple):
    """The members that start in one frame.

    Attributes:
        folders: absolute path of each folder, and its members as `MemberRow`, or as plain tuples like it.
        files, size: how many are no folders, and the bytes of these.
        part: as in `FileRow`, of the only member: number, offset, size and digest of the whole.
    """

    volume_id: int
    archive_id: int
    frame: int
    folders: Sequence[tuple[bytes, Sequence[tuple[Any, ...]]]]
    files: int
    size: int
    part: tuple[int, int, int, bytes | None] | None = None


class ErrorRow(NamedTuple):
    """Something that a run could not save, or not as it should be; ``path`` is None if no file is to blame."""

    path: bytes | None
    message: str
    at_ns: int


class KnownEntry(NamedTuple):
    """What a run found and did not save: a file that was known by its content, or one that could not be saved; also a
    folder in which nothing is new.

    Times and inode are as the catalogue holds them. ``digest`` is None of a file that could not be saved. Mode and
    owners are kept here because no archive has them.
    """

    folder: bytes
    name: bytes
    kind: str
    size: int
    mtime_ns: int
    ctime_ns: int | None
    inode: int | None
    digest: bytes | None
    target: bytes | None
    mode: int | None
    uid: int | None
    gid: int | None


_INT64_MAX = 2**63 - 1
_INT64_MIN = -(2**63)


def storable_number(number: int) -> int:
    """A number of 64 bits, the nearest: of times after 2262."""
    return max(_INT64_MIN, min(_INT64_MAX, number))


def storable_inode(number: int) -> int:
    """The lower 64 bits, as a signed number."""
    return (number + 2**63) % 2**64 - 2**63


def storable_text(text: str) -> str:
    """Text that any database takes: what is no Unicode, from an undecodable name, stands as its escape, as does NUL."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
