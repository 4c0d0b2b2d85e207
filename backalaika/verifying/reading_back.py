"""Reading back: is what a drive gives what was written to it a moment ago?

The system keeps what was written in memory and would give that; so it is asked to forget it first. Else it is what
`verify` does, without a catalogue: the rows do not say yet that the volume is there.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from ..walk import Problem
from .verify import INTERRUPTED, Verify


@dataclass(frozen=True, slots=True)
class Damage:
    """What was not read back as it was written: the problems, and the names of files and of archives among them."""

    problems: list[Problem]
    files: list[str]
    archives: list[str]


class _Telling:
    """Watches, and tells the names of what is read."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def advance(self, files: int, size: int, name: str) -> None:
        self._tell(name)

    def problem(self, problem: Problem) -> None:
        """It is in the report."""

    def note(self, line: str) -> None:
        """It is in the report."""


def read_back(
    folder: str,
    deep: bool,
    pool: Executor,
    workers: int,
    tell: Callable[[str], None],
    stop: Callable[[], None],
) -> Damage:
    """Read a volume from the drive, and compare it with its sums; ``deep``: each member with its digest too.

    Raises:
        KeyboardInterrupt: ``stop`` did.
    """
    forget(folder)
    verify = Verify(folder, None, None, pool, workers, _Telling(tell), stop)
    report = verify.run(deep)
    if report.state == INTERRUPTED:
        raise KeyboardInterrupt
    problems = [Problem(os.path.join(folder, path), message) for path, message in report.problems]
    files = sorted({path.split(": ", 1)[0] for path, _ in report.problems})
    return Damage(problems, files, sorted(map(os.fsdecode, verify.damaged)))


def forget(folder: str) -> None:
    """Let the system forget what it has in memory of the files of a folder; all is on disk already."""
    if not hasattr(os, "posix_fadvise"):
        return
    with os.scandir(folder) as entries:
        paths = [entry.path for entry in entries if entry.is_file(follow_symlinks=False)]
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)  # what is not on disk is not forgotten
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
