"""Readmes: what README.txt tells of a volume, and in which order volumes were written."""

from __future__ import annotations

import ast
import os
import re
import time
from dataclasses import dataclass
from datetime import datetime

from ..run.naming import number_of_run
from .asking import HERE, Asking
from .manifests import readme, title_by_readme

_DATE = re.compile(r"(\d{4}-\d{2}-\d{2})_(\d{2})(\d{2})")
# A comment may have several lines, empty ones too.
_COMMENT = re.compile(r"^Comment: (.+?)\n\nThis folder is whole", re.M | re.S)
_COMMENT_LINE = re.compile(r"^Comment: (.+)$", re.M)


@dataclass(frozen=True, slots=True)
class Told:
    """What README.txt says of a volume."""

    title: str
    run: str
    number: int
    job: str
    comment: str
    text: str

    @property
    def order(self) -> tuple[str, int, str, int, str]:
        """Sorts volumes in the order in which they were written, as far as names tell it.

        By the run's minute, and of one minute by the number that the run's folder got: ``-10`` comes after ``-2``, and
        both after the first, which has none.
        """
        stamp = _DATE.match(self.run)
        return stamp[0] if stamp else "", self._nth, self.run, self.number, self.title

    @property
    def _nth(self) -> int:
        return number_of_run(self.run, self.job, self.comment)

    @property
    def started_at_ns(self) -> int:
        """When the run began, to the minute, by its folder's name; nanoseconds since 1970.

        Runs of one job and one minute are one nanosecond apart, which keeps their order.
        """
        match = _DATE.match(self.run)
        if match is None:
            return time.time_ns()
        try:
            moment = datetime.fromisoformat(f"{match[1]} {match[2]}:{match[3]}").timestamp()
        except (ValueError, OverflowError, OSError):
            return time.time_ns()
        return int(moment) * 1_000_000_000 + self._nth - 1


def told_by_readme(folder: str, asking: Asking = HERE) -> Told:
    """What is known of a volume before its manifest is read; a volume without README.txt is known by its folder.

    Raises:
        HangsError: the medium gives nothing any more.
    """
    text = readme(folder, asking)
    title = title_by_readme(text) or os.path.basename(os.path.abspath(folder))
    run, _, _ = title.rpartition("/")
    job = re.search(r"^Backup of the job (.+), volume (\d+)$", text, re.M)
    comment = _COMMENT.search(text) or _COMMENT_LINE.search(text)
    name = ""
    if job is not None:
        try:
            name = str(ast.literal_eval(job[1]))
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            name = job[1]
    return Told(title, run, int(job[2]) if job else 0, name, comment[1] if comment else "", text)
