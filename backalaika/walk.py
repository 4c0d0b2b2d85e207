"""Walk: what is on the disk, one directory after another.

`os.scandir` in one pass; in a directory first what is not a directory, then its subdirectories, both sorted by the
bytes of their names, so that the same tree is always told in the same order and a folder's files stay together.
Symbolic links are told, never followed. What cannot be told (an unreadable directory, a socket) is a `Problem`, not an
end and not a silence.

A path may be longer than the system takes in one call: directories are then opened in steps (`open_directory`).
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from operator import attrgetter
from typing import Any, NamedTuple

FILE, DIRECTORY, SYMLINK, HARD_LINK = "file", "dir", "symlink", "hardlink"

_HAS_DIR_FD = os.open in os.supports_dir_fd and os.scandir in os.supports_fd
_FILE_FLAGS = os.O_RDONLY
for _flag in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"):
    _FILE_FLAGS |= getattr(os, _flag, 0)
_DIRECTORY_FLAGS = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0) | os.O_RDONLY
_KIND = 0o170000  # of a mode
_NAME = attrgetter("name")
_NEW = tuple.__new__
# The longest path handed to the kernel at once; PATH_MAX is 4096 on Linux and 1024 on macOS.
_MAX_PATH = 1000 if sys.platform == "darwin" else 4000


class Entry(NamedTuple):
    """One thing in a directory. Plain values only: it is marshalled to disk and pickled to workers.

    ``name`` is empty for the directory itself. ``key`` names the inode of a file with several hard links, else None.
    """

    name: str
    kind: str
    mode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    uid: int
    gid: int
    key: tuple[int, int] | None
    target: str


def as_entries(values: Iterable[tuple[Any, ...]]) -> list[Entry]:
    """Entries from plain tuples of their values."""
    return list(map(_NEW, repeat(Entry), values))


class Directory(NamedTuple):
    """A directory and what lies directly in it, subdirectories left out; ``path`` is relative to the source."""

    path: str
    entries: list[Entry]


class Border(Directory):
    """A directory where another file system is mounted, and what is in it is left out."""

    __slots__ = ()


class Problem(NamedTuple):
    """Something that is not saved, or not as it should be; ``path`` is the whole path."""

    path: str
    message: str


_SPECIAL = ": not saved"


def is_special(problem: Problem) -> bool:
    """Whether it is about a socket, a FIFO or a device."""
    return problem.message.endswith(_SPECIAL)


def describe_error(error: OSError) -> str:
    """The system's words for an error, without its number."""
    return error.strerror or str(error)


def open_directory(path: str) -> int:
    """A descriptor of a directory, however long its path; the caller closes it."""
    if len(os.fsencode(path)) <= _MAX_PATH:
        return os.open(path, _DIRECTORY_FLAGS)
    descriptor = os.open("/" if path.startswith("/") else ".", _DIRECTORY_FLAGS)
    step = ""
    for name in [*path.strip("/").split("/"), None]:
        if name is not None and len(os.fsencode(step)) + len(os.fsencode(name)) < _MAX_PATH:
            step = f"{step}/{name}" if step else name
            continue
        try:
            below = os.open(step, _DIRECTORY_FLAGS, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor, step = below, name or ""
    return descriptor


def open_file(directory: str, descriptor: int | None, name: str) -> int:
    """A descriptor of a regular file in a directory that is open as ``descriptor`` (None: found by its path).

    Never follows a link, and never waits for a FIFO that took the file's place: the caller looks at what it got.
    """
    if descriptor is None:
        return os.open(os.path.join(directory, name), _FILE_FLAGS)
    return os.open(name, _FILE_FLAGS, dir_fd=descriptor)


def open_for_reading(directory: str) -> int | None:
    """What `open_file` wants as ``descriptor``: None where the system has no descriptors of directories."""
    return open_directory(directory) if _HAS_DIR_FD else None


def open_file_in(directory: str, name: str) -> int:
    """As `open_file`, for one file of a directory that is not open."""
    descriptor = open_for_reading(directory)
    try:
        return open_file(directory, descriptor, name)
    finally:
        if descriptor is not None:
            os.close(descriptor)


def walk(
    source: str, skips: Callable[[str], bool], one_filesystem: bool = False, pending: list[str] | None = None
) -> Iterator[tuple[Directory, list[Problem]]]:
    """Every directory of a source, parents first, with the problems met in it.

    Args:
        source: absolute path of the directory to walk.
        skips: whether an entry of this name is left out.
        one_filesystem: stay out of other file systems mounted below.
        pending: directories to walk with all below them, the next one last; at any moment those that are left. None:
            the source itself.

    Raises:
        OSError: the source itself cannot be read.
    """
    device = os.stat(source).st_dev if one_filesystem else None
    pending = [""] if pending is None else pending
    while pending:
        path = pending.pop()
        whole = os.path.join(source, path) if path else source
        try:
            entries, below, problems, kind = _list_directory(whole, skips, device)
        except OSError as error:
            if not path:
                raise
            yield Directory(path, []), [Problem(whole, f"directory cannot be read: {describe_error(error)}")]
            continue
        pending += [os.path.join(path, name) for name in reversed(below)]
        yield kind(path, entries), problems


def _list_directory(
    path: str, skips: Callable[[str], bool], device: int | None
) -> tuple[list[Entry], list[str], list[Problem], type[Directory]]:
    entries: list[Entry] = []
    below: list[str] = []
    problems: list[Problem] = []
    descriptor = open_for_reading(path)
    try:
        own = os.stat(path if descriptor is None else descriptor)
        if device is not None and own.st_dev != device:
            return [_entry("", DIRECTORY, own)], [], [], Border
        with os.scandir(path if descriptor is None else descriptor) as found:
            for item in _in_order(found):
                name = item.name
                if skips(name):
                    continue
                try:
                    info = item.stat(follow_symlinks=False)
                    mode = info.st_mode
                    if mode & _KIND == stat.S_IFREG:
                        # As `_entry` does; written out, it takes 0.5 microseconds less.
                        key = (info.st_dev, info.st_ino) if info.st_nlink > 1 else None
                        values = (
                            name, FILE, mode, info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino,
                            info.st_uid, info.st_gid, key, "",
                        )  # fmt: skip
                        entries.append(_NEW(Entry, values))
                    elif stat.S_ISDIR(mode):
                        below.append(name)
                    elif stat.S_ISLNK(mode):
                        target = _read_link(path, descriptor, name)
                        entries.append(_entry(name, SYMLINK, info, target))
                    else:
                        problems.append(Problem(os.path.join(path, name), _special(mode) + _SPECIAL))
                except OSError as error:
                    problems.append(Problem(os.path.join(path, name), f"cannot be read: {describe_error(error)}"))
    finally:
        if descriptor is not None:
            os.close(descriptor)
    return [_entry("", DIRECTORY, own), *entries], below, problems, Directory


def _in_order(found: Iterable[os.DirEntry[str]]) -> list[os.DirEntry[str]]:
    """By the bytes of their names; characters are in that order too, as long as there are only those of ASCII."""
    items = list(found)
    is_ascii = "".join(map(_NAME, items)).isascii()
    items.sort(key=_NAME if is_ascii else _by_bytes)
    return items


def _by_bytes(item: os.DirEntry[str]) -> bytes:
    return os.fsencode(item.name)


def _read_link(path: str, descriptor: int | None, name: str) -> str:
    if descriptor is None:
        return os.readlink(os.path.join(path, name))
    return os.readlink(name, dir_fd=descriptor)


def _entry(name: str, kind: str, info: os.stat_result, target: str = "") -> Entry:
    """That of a directory or a link."""
    return Entry(
        name,
        kind,
        info.st_mode,
        0,
        info.st_mtime_ns,
        info.st_ctime_ns,
        info.st_ino,
        info.st_uid,
        info.st_gid,
        None,
        target,
    )


def _special(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "a FIFO"
    if stat.S_ISSOCK(mode):
        return "a socket"
    return "a device"
