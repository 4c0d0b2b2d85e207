"""Begun: the signs by which a folder or file that a restore has begun is known until it is whole.

They are permissions that nobody else gives, with the sticky bit, which changes nothing for the owner; what is whole
gets those it had. So whatever ends a restore, the next one knows what is not whole for its own. Linux's mkdir(2) and
open(2) set them, with no call more; where a file system does not, it shows.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import Any

BEGUN_FOLDER = 0o1700
# Nobody has a file that its owner may write and not read.
BEGUN_FILE = 0o1200
_USER = os.geteuid() if hasattr(os, "geteuid") else -1


def is_begun_folder(info: os.stat_result) -> bool:
    """Whether a folder is as a restore of this user makes them; one that is made in a setgid folder is one too."""
    return stat.S_IMODE(info.st_mode) & ~stat.S_ISGID == BEGUN_FOLDER and info.st_uid == _USER


def is_begun_file(info: os.stat_result) -> bool:
    """Whether a file is one that a restore of this user began."""
    return info.st_mode == stat.S_IFREG | BEGUN_FILE and info.st_uid == _USER


def take_away_begun(path: Any, where: dict[str, Any]) -> None:
    """Remove a file that was begun; another stays. ``where`` may have the ``dir_fd`` that the path is relative to."""
    with contextlib.suppress(FileNotFoundError):
        if is_begun_file(os.stat(path, follow_symlinks=False, **where)):
            os.unlink(path, **where)
