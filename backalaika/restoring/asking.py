"""Asking: what the main process of a restore must know of media, looked up by a process that may be lost.

A drive that cannot read a manifest, or a share that is gone, keeps who asks for it, and no signal ends that. So another
process looks, answers one question after another, and is given up when it has given nothing for a while. It only reads;
what the bytes mean is worked out here.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ..errors import ArchiveError, BackalaikaError, RunError
from ..manifest import MANIFEST, README, SUMS
from ..reading.looking import KilledError, Looker, SilenceError
from ..reading.seekable import Seekable
from ..recovery.layout import INDEX
from ..walk import describe_error, open_file

if TYPE_CHECKING:  # images of discs need not be waited for
    from ..reading.trees import Sign

_MAX_SUMS = 16 * 1024 * 1024
_MAX_README = 100_000
_LINE = re.compile(rb"([0-9a-f]{32})  ([^/\n]+)")

T = TypeVar("T")


class HangsError(BackalaikaError):
    """A medium gives nothing any more; ``medium`` is its title, or the folder where it is."""

    def __init__(self, folder: str, timeout_s: float) -> None:
        super().__init__(folder, timeout_s)
        self.medium, self._folder, self._timeout_s = folder, folder, timeout_s

    def __str__(self) -> str:
        return f"hangs in {self._folder}: nothing could be read of it for {self._timeout_s:g} seconds"


@contextmanager
def naming(title: str) -> Iterator[None]:
    """Whoever hangs in here is the medium of this title."""
    try:
        yield
    except HangsError as error:
        error.medium = title
        raise


class Marks(NamedTuple):
    """What in a folder tells which volume it is.

    Attributes:
        is_ours: whether there is a manifest, or sums, or an index of recovery files.
        has_something: whether anything is there.
        sums: XXH3-128 of each file, as SUMS.xxh128 has them; empty if it cannot be read.
        readme: the beginning of README.txt; empty if there is none.
    """

    is_ours: bool
    has_something: bool
    sums: dict[bytes, bytes]
    readme: str


class Asking:
    """Asks for what is on media. A context manager.

    All of its methods may raise HangsError, and RunError where the process that reads was killed.

    Args:
        timeout_s: seconds after which a medium that gives nothing is given up; None reads in this process, and waits.

    Attributes:
        stop: called often while an answer is waited for; may raise to end that.
    """

    def __init__(self, timeout_s: float | None = None) -> None:
        self._timeout_s = timeout_s
        self.stop: Callable[[], None] = lambda: None
        self._looker = Looker("", timeout_s, lambda: self.stop())

    def __enter__(self) -> Asking:
        if self._timeout_s is not None:
            self._ask("", _is_ready)  # it starts now, as long as there is little in memory that it would share
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._looker.__exit__()

    @property
    def is_stuck(self) -> bool:
        """Whether a process that was given up has not ended, for a drive keeps it: who waits for it waits for that."""
        return self._looker.is_stuck

    def is_folder(self, path: str) -> bool:
        """Whether there is a folder, or a link to one."""
        return self._ask(path, _is_folder, path)

    def is_image(self, path: str) -> bool:
        """Whether there is an image of a disc."""
        return self._ask(path, _is_image, path)

    def volume_folders(self, path: str, depth: int) -> list[str]:
        """Folders, this one or so many levels below, that hold a volume of ours."""
        return self._ask(path, _volume_folders, path, depth)

    def marks(self, folder: str) -> Marks | None:
        """What tells which volume a folder is; None if there is no such folder."""
        return self._ask(folder, _marks, folder)

    def sizes(self, folder: str, paths: Sequence[bytes]) -> dict[bytes, int]:
        """Sizes of those paths in a folder, or in an image of a disc, that are there; of what is no file, -1.

        Raises:
            SourceError, ArchiveError, OSError: it is neither any more, or the image cannot be read.
        """
        return self._ask(folder, _sizes, folder, paths)

    def names(self, folder: str) -> list[str]:
        """All that is in a folder.

        Raises:
            OSError: it cannot be read.
        """
        return self._ask(folder, _names, folder)

    def file(self, folder: str, name: str) -> Seekable:
        """A file of a volume; links are followed.

        Raises:
            ArchiveError: it is no file.
            OSError: it is not there, or cannot be read; also from its methods.
        """
        size = self._ask(folder, _size, folder, name)
        return Seekable(partial(self._ask, folder, _piece, folder, name, True), size)

    def archive(self, folder: str, name: bytes) -> Seekable:
        """An archive of a volume.

        Raises:
            ArchiveError: it is no file, or cannot be read; also from its methods.
        """
        path = os.fsdecode(name)

        def at(offset: int, size: int) -> bytes:
            try:
                return self._ask(folder, _piece, folder, path, False, offset, size)
            except OSError as error:
                raise ArchiveError(f"cannot be read at byte {offset:,}: {describe_error(error)}") from None

        try:
            return Seekable(at, self._ask(folder, _size, folder, path, False))
        except OSError as error:
            raise ArchiveError(f"cannot be opened: {describe_error(error)}") from None

    def _ask(self, folder: str, question: Callable[..., Iterator[T]], *arguments: Any) -> T:
        try:
            return self._looker.ask_one(question, *arguments)
        except SilenceError:
            assert self._timeout_s is not None
            raise HangsError(folder, self._timeout_s) from None
        except KilledError:
            raise RunError(f"{folder}: the process that reads it was killed; give the same command again") from None


HERE = Asking()
"""Reads in this process, and waits for media as long as they like."""


# What the other process does


def _is_ready(sign: Sign) -> Iterator[bool]:
    yield True


def _is_folder(sign: Sign, path: str) -> Iterator[bool]:
    yield os.path.isdir(path)


def _is_image(sign: Sign, path: str) -> Iterator[bool]:
    from ..reading import image  # which few restores need

    try:
        yield os.path.isfile(path) and image.looks_like_image(_beginning(path, image.HEAD))
    except OSError:
        yield False


def _volume_folders(sign: Sign, path: str, depth: int) -> Iterator[list[str]]:
    yield list(_found_below(sign, path, depth))


def _found_below(sign: Sign, path: str, depth: int) -> Iterator[str]:
    sign()
    if _is_ours(path):
        yield path
        return
    if not depth:
        return
    try:
        with os.scandir(path) as entries:
            below = sorted(entry.path for entry in entries if entry.is_dir())
    except OSError:
        return
    for folder in below:
        yield from _found_below(sign, folder, depth - 1)


def _is_ours(folder: str) -> bool:
    return any(os.path.isfile(os.path.join(folder, name)) for name in (MANIFEST, SUMS, INDEX))


def _marks(sign: Sign, folder: str) -> Iterator[Marks | None]:
    if not os.path.isdir(folder):
        yield None
        return
    is_ours, has_something = _is_ours(folder), _has_something(folder)
    sign()
    lines = _beginning(os.path.join(folder, SUMS), _MAX_SUMS).split(b"\n")
    sign()
    readme = _beginning(os.path.join(folder, README), _MAX_README).decode(errors="surrogateescape")
    readme = readme.replace("\r\n", "\n")
    sums = {match[2]: bytes.fromhex(match[1].decode()) for match in map(_LINE.fullmatch, lines) if match}
    yield Marks(is_ours, has_something, sums, readme)


def _has_something(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is not None
    except OSError:
        return False


def _beginning(path: str, most: int) -> bytes:
    """The first bytes of a file; none if it cannot be read."""
    if not os.path.isfile(path):  # a FIFO would be waited for
        return b""
    try:
        with open(path, "rb") as file:
            return file.read(most)
    except OSError:
        return b""


def _sizes(sign: Sign, folder: str, paths: Sequence[bytes]) -> Iterator[dict[bytes, int]]:
    if not os.path.isdir(folder):
        yield _sizes_in_image(sign, folder, set(paths))
        return
    found = {}
    for path in paths:
        sign()
        try:
            info = os.lstat(os.path.join(os.fsencode(folder), path))
        except OSError:
            continue
        found[path] = info.st_size if stat.S_ISREG(info.st_mode) else -1
    yield found


def _sizes_in_image(sign: Sign, image: str, paths: set[bytes]) -> dict[bytes, int]:
    from ..reading.trees import tree_at

    return {
        there.member.path: there.member.size if there.file is not None else -1
        for listed in tree_at(image).listed(sign, [""])
        for there in listed.found
        if there.member.path in paths
    }


def _names(sign: Sign, folder: str) -> Iterator[list[str]]:
    yield os.listdir(folder)


def _size(sign: Sign, folder: str, name: str, follows: bool = True) -> Iterator[int]:
    info = os.stat(os.path.join(folder, name), follow_symlinks=follows)
    if not stat.S_ISREG(info.st_mode):  # a FIFO would be waited for
        raise ArchiveError("is no regular file")
    yield info.st_size


def _piece(sign: Sign, folder: str, name: str, follows: bool, offset: int, size: int) -> Iterator[bytes]:
    path = os.path.join(folder, name)
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0)) if follows else open_file(folder, None, name)
    try:
        os.lseek(descriptor, offset, os.SEEK_SET)
        yield os.read(descriptor, size)
    finally:
        os.close(descriptor)
