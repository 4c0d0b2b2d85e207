"""Begun: the signs by which a folder or file that a restore has begun is known until it is whole.

They are permissions that nobody else gives, with the sticky bit, which changes nothing for the owner; what is whole
gets those it had. So whatever ends a restore, the next one knows what is not whole for its own. Linux's mkdir(2) and
open(2) set them, with no call more; where a file system does not, it shows. A file is locked (``flock(2)``) as long as
somebody is writing it: what another restore has begun and goes on with is not taken away.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import Any

try:
    import fcntl
except ImportError:  # Windows, where no file has the sign
    fcntl = None  # type: ignore[assignment]

BEGUN_FOLDER = 0o1700
# Nobody has a file that its owner may write and not read.
BEGUN_FILE = 0o1200
_WRITING = os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_NEW = _WRITING | os.O_CREAT | os.O_EXCL
# A FIFO that came in the place of a file would make an open wait.
_OLD = _WRITING | getattr(os, "O_NONBLOCK", 0)
_USER = os.geteuid() if hasattr(os, "geteuid") else -1


def is_begun_folder(info: os.stat_result) -> bool:
    """Whether a folder is as a restore of this user makes them; one that is made in a setgid folder is one too."""
    return stat.S_IMODE(info.st_mode) & ~stat.S_ISGID == BEGUN_FOLDER and _is_ours(info)


def is_begun_file(info: os.stat_result) -> bool:
    """Whether a file is one that a restore of this user began."""
    return info.st_mode == stat.S_IFREG | BEGUN_FILE and _is_ours(info)


def _is_ours(info: os.stat_result) -> bool:
    """Whether a restore of this user may have made it: root's gives things their owner before their permissions."""
    return _USER in (0, info.st_uid)


def make_signed(name: bytes, where: dict[str, int], fill: Callable[[int, os.stat_result], None]) -> bool:
    """Make a file that has the sign until it is whole; whether that could be done.

    It is not where something is in its place, or where there are no signs. Nothing is left of it then, nor when
    ``fill`` raises.

    Args:
        name: its name.
        where: with the ``dir_fd`` that it is relative to.
        fill: writes to the descriptor, and gives the file its permissions last.
    """
    try:
        descriptor = os.open(name, _NEW, BEGUN_FILE, **where)
    except FileExistsError:
        return False
    info = None
    try:
        info = _sign(descriptor)
        if info is not None:
            fill(descriptor, info)
    except BaseException:
        info = None
        raise
    finally:
        if info is None:
            with suppress(FileNotFoundError):
                _take_away(name, where, descriptor)
        os.close(descriptor)
    return info is not None


def can_sign(name: bytes, where: dict[str, int]) -> bool:
    """Whether files can have the sign in a folder, tried with one of this name, which goes again."""
    descriptor = os.open(name, _NEW, BEGUN_FILE, **where)
    try:
        return _sign(descriptor) is not None
    finally:
        os.unlink(name, **where)
        os.close(descriptor)


def _sign(descriptor: int) -> os.stat_result | None:
    """Lock a file that has the sign; what there is, or None if it has not, or somebody takes it away."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # another restore has found it in that moment; or there are no locks
        return None
    info = os.fstat(descriptor)
    return info if is_begun_file(info) and info.st_nlink == 1 else None


def take_away_begun(path: Any, where: dict[str, Any]) -> bool:
    """Remove a file that was begun and that nobody is writing; whether it is gone.

    ``where`` may have the ``dir_fd`` that the path is relative to.
    """
    with suppress(FileNotFoundError):
        if not is_begun_file(os.stat(path, follow_symlinks=False, **where)):
            return False
        descriptor = os.open(path, _OLD, **where)
        try:
            return _sign(descriptor) is not None and _take_away(path, where, descriptor)
        finally:
            os.close(descriptor)
    return True


def _take_away(path: Any, where: dict[str, Any], descriptor: int) -> bool:
    """Remove a file that is open, unless there is another in its place; whether it was."""
    there, own = os.stat(path, follow_symlinks=False, **where), os.fstat(descriptor)
    if (there.st_dev, there.st_ino) != (own.st_dev, own.st_ino):
        return False
    os.unlink(path, **where)
    return True
