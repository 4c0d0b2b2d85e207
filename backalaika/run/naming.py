"""Naming: what the folder of a run is called, and what its name tells."""

from __future__ import annotations

import re
import time

from .answers import comment_slug

_STAMP = re.compile(r"\d{4}-\d{2}-\d{2}_\d{4}")


def run_name(started_at_ns: int, job: str, comment: str) -> str:
    """The folder name of a run: local date and time, job, comment."""
    stamp = time.strftime("%Y-%m-%d_%H%M", time.localtime(started_at_ns // 1_000_000_000))
    return _joined(stamp, job, comment)


def numbered(name: str, number: int) -> str:
    """The name of the run of this number, from 1, of those that would have the same."""
    return name if number == 1 else f"{name}-{number}"


def number_of_run(folder: str, job: str, comment: str) -> int:
    """Which of the runs of one name and minute a run is, from 1.

    Args:
        folder: its name, as `numbered` made it.
        job: its name; a number at the end of it, or of the comment, is none of the run's.
        comment: as the user gave it.
    """
    stamp = _STAMP.match(folder)
    rest = folder.removeprefix(_joined(stamp[0], job, comment_slug(comment))) if stamp else ""
    found = re.fullmatch(r"-([1-9]\d{0,8})", rest)
    return int(found[1]) if found else 1


def _joined(*parts: str) -> str:
    return "-".join(part for part in parts if part)
