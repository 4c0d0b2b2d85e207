"""Trees: a medium as something that has files: a folder, or an image of a disc, whose files are read where they lie.

Both tell their files with where they are on the disc, in whole folders, and open one of them to be read anywhere.
Nothing is mounted, and nothing is unpacked.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from typing import NamedTuple, Protocol

from ..errors import ArchiveError, SourceError
from ..walk import (
    DIRECTORY,
    FILE,
    SYMLINK,
    Border,
    Directory,
    Entry,
    Problem,
    describe_error,
    open_file,
    walk,
)
from . import image as images
from .iso9660 import ImageMember
from .members import Member, joined
from .messages import LooseFile, Trouble
from .mounted import is_optical
from .seekable import Seekable, of_file
from .streams import Budget
from .troubles import Troubles

# Of an image, how many members are looked at, to know whether this program wrote it.
_MANY = 100_000
# Told at a time; of an image also what came in a moment, for in UDF each member is read by itself.
_AT_A_TIME = 500
_MOMENT_S = 0.05
# A file that is longer than what the system reads ahead anyway.
_LONG = 1024 * 1024


class Found(NamedTuple):
    """A member of a tree; ``file`` if it is one, and where it begins on the disc.

    At a border another file system is mounted, and what is in it is left out.
    """

    member: Member
    file: LooseFile | None
    place: int
    is_border: bool = False


class Listed(NamedTuple):
    """A part of what is in a tree, and what of it cannot be read.

    ``is_last`` ends a folder, and ``below`` are the folders in it, which come next, the last one first.
    """

    found: list[Found]
    problems: list[Problem]
    below: list[str]
    is_last: bool


Tell = Callable[[Problem], None]
Sign = Callable[[], None]
"""Is called now and then while it goes on."""


class Tree(Protocol):
    """What a medium is read through."""

    in_disc_order: bool
    """Whether its files are best read in the order of the disc."""
    is_one_piece: bool
    """Whether it must be listed from its beginning, and not folder by folder."""

    def listed(
        self, sign: Sign, pending: list[str], left_out: Container[str] = (), most: int | None = None
    ) -> Iterator[Listed]:
        """All that is there, folder by folder, in parts.

        Args:
            sign: is called often.
            pending: folders to list with all below them, the last one first; [""] for everything.
            left_out: those among what is below that are not to be listed.
            most: how many members of an image are looked for; None for all. Nothing behind them is read.
        """

    def open(self, file: LooseFile) -> AbstractContextManager[Seekable]:
        """One of the files."""

    def path_of(self, file: LooseFile) -> bytes | None:
        """The absolute path of one of the files; None if it has none."""

    def top(self, names: list[bytes], sign: Sign) -> dict[bytes, LooseFile]:
        """Those of these files that are there."""

    def lone_folder(self, sign: Sign) -> bytes:
        """The folder in which all is that is there; empty if there is more than that."""


def tree_at(path: str, encoding: str | None = None, max_ratio: int = 1000, max_members: int = 10_000_000) -> Tree:
    """The tree of a folder, or of an image of a disc.

    Args:
        path: absolute.
        encoding: of names in an image that have none; None leaves them as they are.
        max_ratio: how many times the image's size its files may have.
        max_members: how many members an image may have.

    Raises:
        SourceError: it is neither, or empty, or cannot be read.
    """
    try:
        if stat.S_ISREG(os.stat(path).st_mode):
            return _Image(path, encoding, max_ratio, max_members)
        with os.scandir(path) as entries:
            if next(entries, None) is None:
                raise SourceError(f"{path}: is empty; is the medium mounted?")
    except NotADirectoryError:
        raise SourceError(f"{path}: is no folder and no image of a disc") from None
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {describe_error(error)}") from None
    return _Folder(path)


class _Folder:
    """A folder, as a mounted disc is one."""

    is_one_piece = False

    def __init__(self, path: str) -> None:
        self._path = path
        self.in_disc_order = is_optical(path)

    def listed(
        self, sign: Sign, pending: list[str], left_out: Container[str] = (), most: int | None = None
    ) -> Iterator[Listed]:
        def skips(name: str) -> bool:
            sign()
            return False

        try:
            number = len(pending)
            for directory, problems in walk(self._path, skips, one_filesystem=True, pending=pending):
                below = pending[number - 1 :]
                pending[number - 1 :] = [folder for folder in below if folder not in left_out]
                number = len(pending)
                told = [Problem(path, message.replace("not saved", "not catalogued")) for path, message in problems]
                entries = iter(directory.entries)
                while some := list(islice(entries, _AT_A_TIME)):
                    yield Listed(list(_members(directory, some)), [], [], False)
                yield Listed([], told, below, True)
        except OSError as error:
            raise SourceError(f"{self._path}: cannot be read: {describe_error(error)}") from None

    @contextmanager
    def open(self, file: LooseFile) -> Iterator[Seekable]:
        folder, name = os.path.split(os.path.join(os.fsencode(self._path), file.path))
        descriptor = open_file(os.fsdecode(folder), None, os.fsdecode(name))
        try:
            info = os.fstat(descriptor)
            if not stat.S_ISREG(info.st_mode):
                raise OSError(0, "is no regular file any more")
            if info.st_size >= _LONG:
                _read_ahead(descriptor)
            yield of_file(descriptor, info.st_size)
        finally:
            os.close(descriptor)

    def path_of(self, file: LooseFile) -> bytes | None:
        return os.path.join(os.fsencode(self._path), file.path)

    def top(self, names: list[bytes], sign: Sign) -> dict[bytes, LooseFile]:
        found = {}
        for name in names:
            sign()
            try:
                info = os.lstat(os.path.join(os.fsencode(self._path), name))
            except OSError:
                continue  # who needs it will say that it is missing
            if stat.S_ISREG(info.st_mode):
                found[name] = LooseFile(name, info.st_size, info.st_mtime_ns)
        return found

    def lone_folder(self, sign: Sign) -> bytes:
        sign()
        with os.scandir(self._path) as entries:
            there = list(islice(entries, 2))
        is_one = len(there) == 1 and there[0].is_dir(follow_symlinks=False)
        return os.fsencode(there[0].name) if is_one else b""


def _members(directory: Directory, entries: Iterable[Entry]) -> Iterator[Found]:
    """What of a medium's folder is told of these entries."""
    folder = os.fsencode(directory.path).replace(os.sep.encode(), b"/")
    for entry in entries:
        path = joined(folder, os.fsencode(entry.name))
        if not path:
            continue
        target = os.fsencode(entry.target) if entry.kind == SYMLINK else None
        size = entry.size if entry.kind == FILE else 0
        file = LooseFile(path, size, entry.mtime_ns) if entry.kind == FILE else None
        # Where it lies on a disc, its inode's number tells.
        yield Found(
            Member(path, entry.kind, size, entry.mtime_ns, target), file, entry.inode, isinstance(directory, Border)
        )


class _Image:
    """An image of a disc."""

    in_disc_order = True
    is_one_piece = True

    def __init__(self, path: str, encoding: str | None, max_ratio: int, max_members: int) -> None:
        self._path, self._encoding = path, encoding
        self._max_ratio, self._max_members = max_ratio, max_members
        with self._image() as image:
            if not images.looks_like_image(image.all_at(0, images.HEAD)):
                raise SourceError(f"{path}: is no image of a disc; a medium is a folder or an image (ISO 9660, UDF)")

    @contextmanager
    def _image(self) -> Iterator[Seekable]:
        with open(self._path, "rb", buffering=0) as file:
            _read_ahead(file.fileno())
            yield of_file(file.fileno(), os.fstat(file.fileno()).st_size)

    def listed(
        self, sign: Sign, pending: list[str], left_out: Container[str] = (), most: int | None = None
    ) -> Iterator[Listed]:
        problems: list[Problem] = []
        some: list[Found] = []
        number = 0
        end = time.monotonic() + _MOMENT_S
        # What was found is told before more is read: the drive may hang then.
        for found in self._walk(problems.append, sign):
            if found is not None:
                some.append(found)
                number += 1
            if some and (found is None or len(some) >= _AT_A_TIME or number == most or time.monotonic() > end):
                yield Listed(some, problems[:], [], False)
                problems.clear()
                some = []
                end = time.monotonic() + _MOMENT_S
            if number == most:
                break
        yield Listed([], problems, [], True)

    def _walk(self, tell: Tell, sign: Sign) -> Iterator[Found | None]:
        """What there is; None where a folder ends."""

        def send(trouble: Trouble) -> None:
            path = os.path.join(self._path, os.fsdecode(trouble.path)) if trouble.path else self._path
            tell(Problem(path, trouble.message))

        def warn(path: bytes, message: str) -> None:
            sign()
            troubles.tell(Trouble(path, message))

        troubles = Troubles(b"", send)
        with self._image() as found_image:
            image = found_image.signing(sign)
            budget = Budget(image.size, self._max_ratio, self._max_members)
            try:
                for found in images.members_and_pauses(image, self._encoding, warn):
                    sign()
                    if found is None:
                        yield None
                        continue
                    budget.count_member()
                    budget.spend(found.member.size)
                    yield self._found(found, warn)
            except ArchiveError as error:
                warn(b"", str(error))
            except OSError as error:
                warn(b"", f"cannot be read any further: {describe_error(error)}")
        troubles.end()

    def _found(self, found: ImageMember, warn: Callable[[bytes, str], None]) -> Found:
        member = found.member
        if member.kind == FILE:
            file = LooseFile(member.path, member.size, member.mtime_ns, False, found.extents, found.packed)
            return Found(member, file, images.first_place(found))
        if member.kind not in (DIRECTORY, SYMLINK):
            warn(member.path, "is a device or a FIFO, which is not catalogued")
        return Found(member, None, -1)

    @contextmanager
    def open(self, file: LooseFile) -> Iterator[Seekable]:
        member = Member(file.path, FILE, file.size, file.mtime_ns)
        with self._image() as image:
            yield images.content(image, ImageMember(member, file.extents, file.is_packed))

    def path_of(self, file: LooseFile) -> bytes | None:
        return None

    def top(self, names: list[bytes], sign: Sign) -> dict[bytes, LooseFile]:
        wanted = set(names)
        found: dict[bytes, LooseFile] = {}
        for number, there in enumerate(self._walk(_tell_nobody, sign)):
            if number > _MANY or len(found) == len(wanted):
                break
            if there is not None and there.file is not None and there.member.path in wanted:
                found[there.member.path] = there.file
        return found

    def lone_folder(self, sign: Sign) -> bytes:
        tops: set[bytes] = set()
        for number, there in enumerate(self._walk(_tell_nobody, sign)):
            if there is not None:
                top, slash, _ = there.member.path.partition(b"/")
                tops.add(top)
                if len(tops) > 1 or not (slash or there.member.kind == DIRECTORY):
                    return b""
            if number > _MANY:
                break
        return b"".join(tops)


def _read_ahead(descriptor: int) -> None:
    """Let the drive work while what it read is hashed: the system then reads twice as far ahead, as for `cat`."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)


def _tell_nobody(problem: Problem) -> None:
    """The walk that follows tells it."""
