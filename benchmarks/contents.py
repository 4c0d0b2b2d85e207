"""What a tree holds, so that answers can be compared where tools differ in what they save of it.

Regular files and symbolic links are saved by all that are compared here. A FIFO or a device is kept by tar, restic and
borg, passed over by us and by zip, and 7z waits at it for ever; a socket is kept by restic and borg alone, if at all.
"""

from __future__ import annotations

import filecmp
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class Contents:
    """How much of each kind there is.

    ``size`` is the bytes of the regular files; ``other_names`` are second and later names of a file, counted in
    ``files`` too, which borg does not; ``pipes`` are FIFOs and devices.
    """

    files: int = 0
    other_names: int = 0
    size: int = 0
    links: int = 0
    pipes: int = 0
    sockets: int = 0


def survey(directory: Path) -> Contents:
    """Count what is below a directory; no link is followed."""
    found = Contents()
    seen = set()
    for _, path in _below(directory):
        status = os.lstat(path)
        if stat.S_ISREG(status.st_mode):
            found.files += 1
            found.size += status.st_size
            if status.st_nlink > 1:
                found.other_names += (status.st_dev, status.st_ino) in seen
                seen.add((status.st_dev, status.st_ino))
        elif stat.S_ISLNK(status.st_mode):
            found.links += 1
        elif stat.S_ISSOCK(status.st_mode):
            found.sockets += 1
        elif not stat.S_ISDIR(status.st_mode):
            found.pipes += 1
    return found


def difference(one: Path, other: Path) -> str:
    """The first thing in which two trees differ, or nothing; FIFOs, devices and sockets are passed over."""
    kinds, others = _kinds(one), _kinds(other)
    for name in sorted(kinds.keys() | others.keys()):
        if kinds.get(name) != others.get(name):
            return f"{name}: {kinds.get(name, 'not there')} and {others.get(name, 'not there')}"
        if kinds[name] == "file" and not filecmp.cmp(one / name, other / name, shallow=False):
            return f"{name}: other bytes"
    return ""


def _below(directory: Path) -> Iterator[tuple[str, str]]:
    """Names below a directory, relative and whole."""
    for folder, folders, names in os.walk(directory):
        for name in (*folders, *names):
            path = os.path.join(folder, name)
            yield os.path.relpath(path, directory), path


def _kinds(directory: Path) -> dict[str, str]:
    kinds = {}
    for name, path in _below(directory):
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            kinds[name] = f"a link to {os.readlink(path)}"
        elif stat.S_ISDIR(mode) or stat.S_ISREG(mode):
            kinds[name] = "directory" if stat.S_ISDIR(mode) else "file"
    return kinds
