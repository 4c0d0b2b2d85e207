"""Memory disks: whether a path lies on a file system that has no disk, so that reading it tells nothing of one."""

from __future__ import annotations

import os
from contextlib import suppress

_IN_MEMORY = ("tmpfs", "ramfs", "devtmpfs")


def is_in_memory(path: str) -> bool:
    """Whether what is at this path, which is there, lies in memory only."""
    import psutil

    device = os.stat(path).st_dev
    for mount in psutil.disk_partitions(all=True):
        if mount.fstype in _IN_MEMORY:
            with suppress(OSError):  # one that this user may not look at is not it
                if os.stat(mount.mountpoint).st_dev == device:
                    return True
    return False
