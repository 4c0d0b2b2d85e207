"""Results: the plain types in which the catalogue answers.

Tuples, as `rows` are, and of the same words. Names and paths of files are bytes where they are compared with a file
system's, and `str` with surrogateescape in what is made for reading (`FileEntry`).
"""

from __future__ import annotations

from typing import NamedTuple


class VolumeRow(NamedTuple):
    """A volume, for a list.

    ``run_state`` is None for a medium added by hand; ``files`` and ``bytes`` leave out folders.
    Nanoseconds since 1970, UTC: ``added_at_ns`` is when the volume was begun, ``verified_at_ns`` when it was last found
    whole; None: never. ``damaged_at_ns`` is when it was last found damaged; None: not since it was found whole.
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
    damaged_at_ns: int | None = None


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
