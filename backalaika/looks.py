"""Looks: whether a file is still as it was, by what the system tells without reading it.

Size, times and inode, all of them, on a file system that can be trusted. A share of Windows (SMB) and the file systems
of sticks and cameras (FAT, exFAT) make inodes and ctimes up anew, and round times to 2 seconds; FAT keeps local time
too, so that all of them move by an hour twice a year. There, size and time of modification must do.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from .catalogue.results import OpenEntry
from .catalogue.rows import storable_inode, storable_number
from .walk import FILE, Entry

_SHARES = ("cifs", "smb", "smbfs", "smb2", "smb3", "fuse.gvfsd-fuse", "fuse.smbnetfs")
_COARSE = (*_SHARES, "vfat", "msdos", "fat", "fat32", "exfat", "fuse.exfat", "msdosfs")
_ROUNDING_NS = 2_000_000_000
_SUMMER_TIME_NS = 3600 * 1_000_000_000
_MOUNTS = "/proc/self/mounts"


@dataclass(frozen=True, slots=True)
class Trust:
    """What makes a file known.

    Attributes:
        digest: the digest that the run uses.
        copies: how many volumes must have it.
        rehash: whether looks are not enough.
    """

    digest: str
    copies: int = 1
    rehash: bool = False


def seed_of_looks(trust: Trust) -> int:
    """For the hashes of looks: those of runs that trusted otherwise must differ."""
    return int.from_bytes(f"{trust.copies} {trust.digest}".encode().ljust(8, b"\0")[:8], "little")


class CoarseMounts:
    """Which folders lie on file systems whose inodes and times are not to be trusted.

    Args:
        mounts: where each file system is mounted, and its kind.
    """

    def __init__(self, mounts: Sequence[tuple[str, str]]) -> None:
        self._mounts = sorted(((path, kind.lower() in _COARSE) for path, kind in mounts), key=_length, reverse=True)
        self._coarse = [path for path, coarse in self._mounts if coarse]

    def has(self, folder: str) -> bool:
        """Whether a folder lies on one; it may be named through links."""
        if not self._coarse:
            return False
        folder = os.path.realpath(folder)
        return next((coarse for path, coarse in self._mounts if _is_in(folder, path)), False)

    def has_some_of(self, folder: str) -> bool:
        """Whether a folder, or one below it, lies on one."""
        return self.has(folder) or any(_is_in(path, os.path.realpath(folder)) for path in self._coarse)


def coarse_mounts() -> CoarseMounts:
    """What is mounted now."""
    try:  # psutil takes some time to import, and most machines have nothing of the kind
        with open(_MOUNTS, encoding="ascii", errors="replace") as table:
            if not any(line.split()[2] in _COARSE for line in table):
                return CoarseMounts([])
    except (OSError, IndexError):
        pass  # not Linux; psutil knows
    import psutil

    return CoarseMounts([(part.mountpoint, part.fstype) for part in psutil.disk_partitions(all=True)])


def look_the_same(entry: Entry, before: OpenEntry, coarse: bool) -> bool:
    """Whether an entry is as it was when a run saw it last."""
    if entry.kind != before.kind or (entry.target and os.fsencode(entry.target) != before.target):
        return False
    if coarse:
        return entry.size == before.size and (entry.kind != FILE or same_times(entry.mtime_ns, before.mtime_ns))
    return (
        entry.size == before.size
        and storable_number(entry.mtime_ns) == before.mtime_ns
        and storable_number(entry.ctime_ns) == before.ctime_ns
        and storable_inode(entry.inode) == before.inode
    )


def recorded_looks(entry: Entry) -> tuple[int, int, int, int]:
    """Size, mtime_ns, ctime_ns and inode of a file as the catalogue tells them of what a run has saved."""
    return (
        entry.size,
        storable_number(entry.mtime_ns),
        storable_number(entry.ctime_ns),
        storable_inode(entry.inode) % 2**64,
    )


def same_times(one_ns: int, other_ns: int) -> bool:
    """Whether two times of a file may be the same, told by a file system that rounds or moves them."""
    apart = abs(one_ns - other_ns)
    return apart <= _ROUNDING_NS or apart == _SUMMER_TIME_NS


def _length(mount: tuple[str, bool]) -> int:
    return len(mount[0])


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(os.path.join(folder, ""))
