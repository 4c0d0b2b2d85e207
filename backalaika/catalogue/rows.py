"""Rows: the plain types that callers give to the catalogue and get from it.

Tuples, because there are millions of them: a tuple goes to the driver as it is. Names and paths of files are the raw
bytes of the file system (`os.fsencode`), so that every name survives in any database; what is made for reading
(`FileEntry`) is `str` with surrogateescape.
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


class VolumeRow(NamedTuple):
    """A volume, for a list.

    ``run_state`` is None for a medium added by hand; ``files`` and ``bytes`` leave out folders.
    Nanoseconds since 1970, UTC: ``added_at_ns`` is when the volume was begun, ``verified_at_ns`` when it was last found
    whole; None: never.
    """

    title: str
    state: str
    run_state: str | None
    added_at_ns: int
    archives: int
    files: int
    bytes: int
    description: str
    verified_at_ns: int | None = None


class FileEntry(NamedTuple):
    """A file, for a list. ``archive`` is None for a loose file; ``path`` is where the file was when it was saved.

    ``volume`` is empty if it is on none.
    ``raw_path`` are the path's bytes in the archive, where ``path`` is what they were guessed to mean.
    """

    volume: str
    archive: str | None
    path: str
    kind: str
    size: int
    mtime_ns: int
    digest: bytes | None
    raw_path: bytes | None = None


class EarlyRun(NamedTuple):
    """A run that ended before it was complete.

    Attributes:
        started_at_ns: when it was first started.
        since_ns, skip_known: how the questions were answered.
        files, bytes: what is recorded as saved, without folders.
        sources: path, label and options of each, in the order of the job.
        digest: which digest its files have; None as long as no volume is recorded.
        copies: on how many volumes a file must be to be known; None if that was not kept.
    """

    id: int
    folder: str
    comment: str
    started_at_ns: int
    since_ns: int | None
    skip_known: bool
    files: int
    bytes: int
    sources: list[tuple[str, str, str]]
    digest: str | None
    copies: int | None


class EndedRun(NamedTuple):
    """A run that ended early; ``is_last`` tells whether it is the last of its job, which alone can go on."""

    folder: str
    job: str
    state: str
    is_last: bool


class Unfinished(NamedTuple):
    """What can be cleaned up: a volume that is not complete, or all of them of a run that is not.

    Attributes:
        run_id, run_state, run_folder: the run.
        is_run: whether it is the run, and not one volume of it.
        volumes: title, number and folder of each.
    """

    run_id: int
    run_state: str
    run_folder: str
    is_run: bool
    volumes: list[tuple[str, int, str]]


class RecordedArchive(NamedTuple):
    """An archive of a run that ended early.

    Attributes:
        source: counts the job's sources.
        size, digest: of the whole archive if its state is complete.
        frames: how many are recorded.
        end: where the last of them ends in the archive.
        members: how many are recorded, folders and links too.
    """

    id: int
    name: str
    format: str
    source: int
    state: str
    size: int
    digest: bytes | None
    frames: int
    end: int
    members: int


class RecordedVolume(NamedTuple):
    """A volume of a run that ended early; ``size`` is that of the whole volume if its state is complete."""

    id: int
    number: int
    title: str
    folder: str
    capacity: int
    size: int
    state: str
    archives: list[RecordedArchive]


class SavedEntry(NamedTuple):
    """How an entry looked when the run saved it, and in which archive it is.

    Attributes:
        id: of its row, or of that of its last part.
        size: of the whole, if it was cut.
        parts: of a file that was cut and of which the last part is missing: how many are saved, or -1 if one of those
            before is missing; else 0.
        offset: where those parts end in the file.
        volumes: titles of the volumes with these parts.
        last: the highest number of a volume that has it, or parts of it.
    """

    id: int
    archive_id: int
    kind: str
    size: int
    mtime_ns: int
    ctime_ns: int | None
    inode: int | None
    parts: int = 0
    offset: int = 0
    volumes: tuple[str, ...] = ()
    last: int = 0


class VolumeAt(NamedTuple):
    """A complete volume: where it was written or read, and how it is known again; ``run_id`` is None for a medium."""

    id: int
    title: str
    path: str | None
    digest: str
    run_id: int | None
    files: int
    bytes: int


class Located(NamedTuple):
    """A file of a complete volume, and the place where its content is.

    Attributes:
        id: of the row; of two rows of one path, the larger one is of what was saved later.
        archive, format: path of the archive on the volume, and its kind; None for a loose file of a medium.
        label, source: top folder in the archive, and the absolute path it stands for; None on a medium added by hand.
        folder, name: where the file was when it was saved; on a medium added by hand, as its archive has it.
        frame: byte offset of the frame in the archive in which the member starts; None where it is not recorded.
        offset: of the member in the decoded frame.
        part, part_offset, whole_size, whole_digest: as in `FileRow`.
    """

    id: int
    volume_id: int
    archive: bytes | None
    format: str | None
    label: bytes | None
    source: bytes | None
    folder: bytes
    name: bytes
    kind: str
    size: int
    mtime_ns: int
    digest: bytes | None
    frame: int | None
    offset: int | None
    target: bytes | None
    part: int | None
    part_offset: int | None
    whole_size: int | None
    whole_digest: bytes | None


class RunAt(NamedTuple):
    """A run: its job, when it began, and whether what it saved is all that was there then."""

    id: int
    job: str
    folder: str
    started_at_ns: int
    is_whole: bool


class Tree(NamedTuple):
    """A source through all runs of its job: the run of its newest picture, and how often volumes were removed."""

    id: int
    last_run: int
    removals: int


class OpenEntry(NamedTuple):
    """An entry of the newest picture; ``from_run`` found it so first, and saved it as the file ``file_id``, if it did.

    Times and inode are as the catalogue holds them: `storable_number`, `storable_inode`. ``mode`` is None where an
    archive has it, and of what could not be saved.
    """

    kind: str
    size: int
    mtime_ns: int
    ctime_ns: int | None
    inode: int | None
    digest: bytes | None
    target: bytes | None
    file_id: int | None
    from_run: int
    mode: int | None


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


class PictureEntry(NamedTuple):
    """An entry of a picture.

    Attributes:
        source, label: absolute path of the source, and its top folder in archives.
        folder, name: absolute path of the folder; ``name`` is empty for the folder itself.
        digest: of a file; None if it could not be saved.
        file_id: the file as which it was saved; that may be removed, and its number used again, so compare it.
        mode, uid, gid: of a file that was known by its content; None where the archive has them.
        from_run: the first run that found it so.
    """

    source: bytes
    label: bytes
    folder: bytes
    name: bytes
    kind: str
    size: int
    mtime_ns: int
    digest: bytes | None
    target: bytes | None
    file_id: int | None
    inode: int | None
    mode: int | None
    uid: int | None
    gid: int | None
    from_run: int


class RunRow(NamedTuple):
    """A run, for a list; what changed at its sources is None if it has no picture of them."""

    id: int
    job: str
    comment: str
    folder: str
    started_at_ns: int
    finished_at_ns: int | None
    state: str
    files: int
    bytes: int
    known_files: int
    error_count: int
    added: int | None
    changed: int | None
    deleted: int | None
    moved: int | None


class Removed(NamedTuple):
    """What `remove` took out of the catalogue; ``files`` counts folders and links too."""

    files: int
    archives: int
    folders: int
    runs: int

    def plus(self, more: Removed) -> Removed:
        """The sum of both."""
        return Removed(*(here + there for here, there in zip(self, more, strict=True)))


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
