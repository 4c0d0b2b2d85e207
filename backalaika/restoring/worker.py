"""Worker: what the processes of a restore do: read members, check their digests, and put them in their places.

All that goes wrong with a member is told in the outcome: what is damaged may be had from another volume, what cannot
be put in its place may not. Only a full disk ends a task. Asked to stop, a process takes back the file it is writing.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import parent_process
from typing import TYPE_CHECKING, Any, NamedTuple

from ..digests import digest_function, hasher_factory
from ..errors import ArchiveError
from ..reading.memory import Memory, share_of
from ..run.stopping import leave_to_parent
from ..walk import DIRECTORY, FILE, SYMLINK, describe_error
from .comparing import is_as_saved
from .frames import IN_MEMORY, WRONG_DIGEST, ArchiveReader, Attributes, Found
from .items import Item
from .placing import NEVER, PlaceError, Target
from .signs import Watch
from .writing import NewFile, NoRoomError, write_pieces, write_zeros

if TYPE_CHECKING:
    from multiprocessing.synchronize import Lock

_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_READ = 1 << 20


class Task(NamedTuple):
    """Members of one archive of a volume, in the order in which they stand there.

    Attributes:
        folder: of the volume.
        archive: its name; empty for loose files.
        digest: which digest the items have.
        items: what is wanted.
        end: where the frame of the last item ends at the latest; None: not known.
        wholes: for parts, the temporary name of the whole, by its place.
        slot: where it is noted that the medium keeps the task waiting; None: nowhere.
    """

    folder: str
    archive: bytes
    digest: str
    items: list[Item]
    end: int | None
    wholes: dict[bytes, bytes]
    slot: int | None = None


class JoinTask(NamedTuple):
    """A file all of whose parts are there, under a temporary name."""

    place: bytes
    temporary: bytes
    size: int
    digest: bytes | None
    digest_name: str
    attributes: Attributes | None
    mtime_ns: int


@dataclass(slots=True)
class Outcome:
    """What became of a task.

    Attributes:
        files, size: files and links that are in their places now, and their content.
        folders: of members that are folders: place, attributes, modification time.
        made: all folders that were made.
        parts: of each part that was written: place of the whole, number, attributes of the part.
        kept: places where something was before, which stays: it is as saved, or newer where these stay.
        differing: the same, and it is not as saved.
        failed: what could not be read, and why; another copy may do.
        refused: places that could not be written, and why.
        name: of the last file, for progress.
        shown: files and bytes that were shown as done before the task was; whoever shows progress puts them in.
    """

    files: int = 0
    size: int = 0
    folders: list[tuple[bytes, Attributes | None, int]] = field(default_factory=list)
    made: list[bytes] = field(default_factory=list)
    parts: list[tuple[bytes, int, Attributes | None]] = field(default_factory=list)
    kept: list[bytes] = field(default_factory=list)
    differing: list[bytes] = field(default_factory=list)
    failed: list[tuple[Item, str]] = field(default_factory=list)
    refused: list[tuple[bytes, str]] = field(default_factory=list)
    name: bytes = b""
    shown: tuple[int, int] = (0, 0)


class _Here:
    """What a process keeps from task to task."""

    settings: tuple[str, str, str]
    opened: Target | None = None
    workers = 0
    turn: Lock | None = None
    busy = False
    stopping = False


def start_worker(
    root: str, overwrite: str, token: str, signs: str = "", workers: int = 0, turn: Lock | None = None
) -> None:
    """Make a process ready, or the only one: all its tasks write below ``root``.

    Args:
        root: directory of its `Target`.
        overwrite: policy of that.
        token: for temporary names of that.
        signs: the name of `Signs`; empty if there are none.
        workers: how many processes share what memory decoders may take.
        turn: who has it may take more than its share.
    """
    Watch.attach(signs)
    _Here.workers, _Here.turn = workers, turn
    _Here.settings = root, overwrite, token
    _Here.opened = None
    _Here.stopping = False
    if parent_process() is not None:
        leave_to_parent(_listen)


def _listen() -> None:
    signal.signal(signal.SIGTERM, _stop)


def _target() -> Target:
    """The directory, which is made when it is known that there is something to restore."""
    if _Here.opened is None:
        _Here.opened = Target(*_Here.settings)
    return _Here.opened


def _stop(number: int, frame: Any) -> None:
    if not _Here.busy:
        os._exit(1)
    if _Here.stopping:
        return  # it is taking back already
    _Here.stopping = True
    raise KeyboardInterrupt  # takes back what is being written


def warm_up() -> int:
    """Do nothing: the pool starts its processes at the first task."""
    return os.getpid()


def restore_members(task: Task) -> Outcome:
    """Restore the members of a task.

    Raises:
        NoRoomError: the disk is full.
    """

    def read(wanted: list[Item], outcome: Outcome) -> None:
        try:
            # Closed, so that the disc can be ejected.
            with ArchiveReader(task.folder, task.archive, Watch(task.slot)) as reader:
                for item, found in reader.members(wanted, task.end):
                    _restore(task, item, found, outcome)
        except ArchiveError as error:
            outcome.failed += [(item, str(error)) for item in wanted]

    return _outcome_of(task, read)


def restore_foreign_members(task: Task) -> Outcome:
    """Restore members of an archive that no manifest tells of.

    Raises:
        NoRoomError: the disk is full.
    """
    from .foreign import Where, foreign_members  # the readers of all formats, which few restores need

    def read(wanted: list[Item], outcome: Outcome) -> None:
        watch = Watch(task.slot)

        def take(item: Item, found: Found) -> str | None:
            before = len(outcome.failed)
            if item.size > IN_MEMORY:
                found = found._replace(pieces=_noted(found.pieces, watch, outcome))
            _restore(task, item, found, outcome)
            watch.has_done(outcome.files, outcome.size)
            return outcome.failed.pop()[1] if len(outcome.failed) > before else None

        where = Where(task.folder, task.archive, task.digest, watch)
        with _memory() as memory:
            outcome.failed += foreign_members(where, wanted, take, memory).items()

    return _outcome_of(task, read)


def _noted(pieces: Iterator[bytes | memoryview], watch: Watch, outcome: Outcome) -> Iterator[bytes | memoryview]:
    """The pieces of a large file; it is noted how far it is."""
    size = outcome.size
    for piece in pieces:
        yield piece
        size += len(piece)
        watch.has_done(outcome.files, size)


@contextmanager
def _memory() -> Iterator[Memory]:
    """What decoders of a task may take. Nobody waits for the turn of one that has ended, whatever still has it."""
    turn, has_turn = _Here.turn, False
    if turn is None:
        yield Memory()
        return

    def ask() -> None:
        nonlocal has_turn
        has_turn = turn.acquire()

    def give_back() -> None:
        nonlocal has_turn
        if has_turn:
            has_turn = False
            turn.release()

    try:
        yield Memory(share_of(_Here.workers), ask, give_back)
    finally:
        give_back()


def _outcome_of(task: Task, read: Callable[[list[Item], Outcome], None]) -> Outcome:
    """What becomes of a task, of which ``read`` takes the members that may be written."""
    with _busy():
        outcome = Outcome()
        target = _target()
        target.begin_task()
        wanted = list(_wanted(task, outcome))
        if wanted:
            read(wanted, outcome)
            outcome.name = wanted[-1].place
        outcome.made, target.made = target.made, []
        return outcome


@contextmanager
def _busy() -> Iterator[None]:
    """In here a wish to stop is an exception, so that what is half written goes; then the process ends."""
    _Here.busy = True
    try:
        yield
    finally:
        _Here.busy = False
        if _Here.stopping:
            if _Here.opened is not None:
                _Here.opened.take_back()
            # Not by way of the pool: another process may have ended while it held the lock of the queue of tasks.
            os._exit(1)


def _wanted(task: Task, outcome: Outcome) -> Iterator[Item]:
    """The items that may be written; others are not even read."""
    for item in task.items:
        try:
            if item.kind == DIRECTORY or item.part is not None or _target().is_wanted(item.place, item.mtime_ns):
                yield item
            else:
                _keep(item, task.digest, outcome)
        except (PlaceError, OSError) as error:
            outcome.refused.append((item.place, _words(error)))


def _restore(task: Task, item: Item, found: Found | ArchiveError, outcome: Outcome) -> None:
    if isinstance(found, ArchiveError):
        outcome.failed.append((item, str(found)))
        return
    if item.attributes is not None:
        found = found._replace(attributes=Attributes(*item.attributes))
    try:
        if item.kind == DIRECTORY:
            _target().folder(item.place)
            outcome.folders.append((item.place, found.attributes, item.mtime_ns))
            return
        if item.kind == SYMLINK and not item.target:  # a zip has it as content, which nobody read
            outcome.refused.append((item.place, "its target is not in the catalogue"))
            return
        if item.kind == SYMLINK:
            _target().symlink(item.place, item.target or b"", found.attributes, item.mtime_ns)
        elif item.part is not None:
            _write_part(task, item, found, outcome)
            return
        elif item.kind == FILE:
            _write_file(task, item, found)
        outcome.files += 1
        outcome.size += item.size
        if found.attributes is None:
            outcome.refused.append((item.place, "restored, but its archive no longer tells its permissions"))
    except ArchiveError as error:
        outcome.failed.append((item, str(error)))
    except FileExistsError:
        _keep(item, task.digest, outcome)
    except (PlaceError, OSError) as error:
        if isinstance(error, OSError) and error.errno in _FULL:
            raise NoRoomError("the disk is full") from None
        outcome.refused.append((item.place, _words(error)))


def _keep(item: Item, digest: str, outcome: Outcome) -> None:
    """Leave what is in its place; that may be something else."""
    target = _target()
    is_right = target.overwrite != NEVER or is_as_saved(target, item, digest)
    (outcome.kept if is_right else outcome.differing).append(item.place)


def _write_file(task: Task, item: Item, found: Found) -> None:
    if item.size <= IN_MEMORY:
        pieces = list(found.pieces)
        content = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if item.digest is None or digest_function(task.digest)(content) != item.digest:
            raise ArchiveError(WRONG_DIGEST if item.digest is not None else "has no digest to be checked by")
        _target().put(item.place, content, found.attributes, item.mtime_ns)
        return
    with _target().new_file(item.place) as file:
        _write_checked(task, item, found, file, 0)
        file.publishes = found.attributes, item.mtime_ns


def _write_checked(task: Task, item: Item, found: Found, file: NewFile, at: int) -> None:
    hasher = hasher_factory(task.digest)()

    def hashed() -> Iterator[bytes | memoryview]:
        for piece in found.pieces:
            hasher.update(piece)
            yield piece

    write_pieces(file.descriptor, hashed(), at, is_shared=item.part is not None)
    if hasher.digest() != item.digest:
        raise ArchiveError(WRONG_DIGEST)


def _write_part(task: Task, item: Item, found: Found, outcome: Outcome) -> None:
    assert item.part is not None
    with _target().reopened(item.place, task.wholes[item.place]) as file:
        try:
            _write_checked(task, item, found, file, item.part[1])
        except ArchiveError:
            # Where another copy of the part has holes, nothing of this one may show.
            write_zeros(file.descriptor, item.part[1], item.size)
            raise
    outcome.parts.append((item.place, item.part[0], found.attributes))
    outcome.size += item.size


def join_parts(task: JoinTask) -> Outcome:
    """Check a file whose parts were all written, and give it its name."""
    outcome = Outcome(name=task.place)
    try:
        with _busy(), _target().adopted(task.place, task.temporary) as file:
            hasher = hasher_factory(task.digest_name)()
            size = 0
            os.lseek(file.descriptor, 0, os.SEEK_SET)
            while piece := os.read(file.descriptor, _READ):
                hasher.update(piece)
                size += len(piece)
            if size != task.size or hasher.digest() != task.digest:
                raise ArchiveError("its parts are right, but joined they are not what its digest says")
            file.publishes = task.attributes, task.mtime_ns
        outcome.files = 1
    except FileExistsError:
        outcome.kept.append(task.place)
    except (ArchiveError, PlaceError, OSError) as error:
        outcome.refused.append((task.place, _words(error)))
    return outcome


def _words(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "a folder that it goes to was removed meanwhile"
    return f"cannot be written: {describe_error(error)}" if isinstance(error, OSError) else str(error)
