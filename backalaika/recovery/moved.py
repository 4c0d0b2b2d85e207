"""Moved: content that lies elsewhere than it did: shifted in its file, or in a file of another name.

A block that is not in its place counts as damaged, though a par2 program finds it anywhere in the files that it is
given. Where the count of blocks says that a volume cannot be repaired, the program is asked. It follows links and
waits for FIFOs, so a folder that holds anything but files and folders is not shown to it.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from .packets import RecoverySet
from .program import NOT_POSSIBLE, POSSIBLE, find_par2, recovery_files, verify

# The command line and the copy have to bear them.
_MOST_FILES = 1000


def other_files(folder: str, found: RecoverySet) -> list[str]:
    """Regular files beside those that recovery files are for: at most a thousand, and twice as many bytes as those."""
    known = {*found.files, *recovery_files(folder)}
    left = 2 * sum(file.size for file in found.files.values())
    names: list[str] = []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name in known or not entry.is_file(follow_symlinks=False):
                continue
            size = entry.stat(follow_symlinks=False).st_size
            if 0 < size <= left and len(names) < _MOST_FILES:
                names.append(entry.name)
                left -= size
    return names


def may_have_moved(folder: str, found: RecoverySet) -> bool:
    """Whether the folder holds enough bytes for what the recovery blocks cannot make."""
    needed = sum(file.size for file in found.files.values()) - found.recovery_blocks * found.block
    here = 0
    for name in (*found.files, *other_files(folder, found)):
        path = os.path.join(folder, name)
        here += os.lstat(path).st_size if os.path.isfile(path) and not os.path.islink(path) else 0
    return here >= needed


def ask_program(folder: str, found: RecoverySet, threads: int, stop: Callable[[], bool]) -> bool | None:
    """Whether a par2 program finds enough to repair a volume, wherever it lies; None: nobody can say.

    Args:
        folder: of the volume.
        found: what its recovery files say.
        threads: that compute.
        stop: asked often whether the user wants to stop.
    """
    program, others = find_par2(), other_files(folder, found)
    # Names with these it would take as patterns, or as recovery files; in a copy they have other names.
    odd = any(set(name) & set("*?") or name.lower().endswith(".par2") for name in others)
    if program is None or odd or not _is_safe(folder):
        return None
    status, _ = verify(program, folder, others, threads, stop)
    return {POSSIBLE: True, NOT_POSSIBLE: False}.get(status)


def _is_safe(folder: str) -> bool:
    with os.scandir(folder) as entries:
        return all(entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False) for entry in entries)
