"""Rows: the plain types that callers give to the catalogue and get from it.

Tuples, because there are millions of them: a tuple goes to the driver as it is. Names and paths of files are the raw
bytes of the file system (`os.fsencode`), so that every name survives in any database; what is made for reading
(`FileEntry`) is `str` with surrogateescape.
"""

from __future__ import annotations

from typing import NamedTuple

FILE, DIRECTORY, SYMLINK, HARD_LINK = KINDS = ("file", "dir", "symlink", "hardlink")

# States of a run; the last two of a volume and an archive too.
RUNNING, INTERRUPTED, FAILED, INCOMPLETE, COMPLETE = "running", "interrupted", "failed", "incomplete", "complete"

Looks = tuple[int, int, int | None, int]


class SourceFound(NamedTuple):
    """What a run found at one source, before anything was selected; ``label`` is its top folder in archives."""

    path: str
    label: str
    options: str
    found_files: int
    found_bytes: int


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


class ErrorRow(NamedTuple):
    """Something that a run could not save, or not as it should be; ``path`` is None if no file is to blame."""

    path: bytes | None
    message: str
    at_ns: int


class VolumeRow(NamedTuple):
    """A volume, for a list.

    ``run_state`` is None for a medium added by hand; ``files`` and ``bytes`` leave out folders.
    ``added_at_ns`` is when the volume was begun, in nanoseconds since 1970, UTC.
    """

    title: str
    state: str
    run_state: str | None
    added_at_ns: int
    archives: int
    files: int
    bytes: int
    description: str


class FileEntry(NamedTuple):
    """A file, for a list. ``archive`` is None for a loose file; ``path`` is where the file was when it was saved."""

    volume: str
    archive: str | None
    path: str
    kind: str
    size: int
    mtime_ns: int
    digest: bytes | None


class Removed(NamedTuple):
    """What `remove` took out of the catalogue; ``files`` counts folders and links too."""

    files: int
    archives: int
    folders: int
    runs: int


def storable_text(text: str) -> str:
    """Text that any database takes: what is no Unicode, from an undecodable name, stands as its escape."""
    return text.encode("utf-8", "backslashreplace").decode()
