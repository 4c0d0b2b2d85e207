"""Report: what is to be catalogued, who is told how it goes, and what is told in the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from ..walk import Problem

COMPLETE, INTERRUPTED, LEFT_OUT = "complete", "interrupted", "left out"
REFUSED, FAILED = "not catalogued", "failed"


class Observer(Protocol):
    """Who is told how it goes."""

    def advance(self, files: int, size: int, name: str) -> None:
        """So many files and bytes more were read; ``name`` is where it is now."""

    def problem(self, problem: Problem) -> None:
        """Something could not be read as it should be."""


class Unentered(NamedTuple):
    """An archive of a kind that is not entered: its path, and the kind by its content, or else by its name."""

    path: str
    kind: str


@dataclass(slots=True)
class AddReport:
    """What was catalogued.

    Attributes:
        title: of the volume.
        path: absolute path of the medium.
        state: ``complete``; ``interrupted``; ``left out``: nothing was read but what tells that it is known; ``not
            catalogued``, for the reason that is the one problem: nothing was recorded; or ``failed``, after some was.
        files, bytes: loose files on the medium, and their bytes.
        archives, members: archives that were entered, also by an earlier call, and all that is listed in them.
        resumed_files: of ``files``, those that an earlier, interrupted call had recorded.
        recognised: the title that a volume of a run had until now; '' where it is none.
        damaged_copy_of: the title of the volume that this is a damaged copy of, of which nothing was entered; else ''.
        problems: what could not be read.
        notes: what is not in the catalogue by its nature.
        not_entered: archives that were read as files only, by this call.
        seconds: how long it took.
    """

    title: str
    path: str
    state: str = COMPLETE
    files: int = 0
    bytes: int = 0
    archives: int = 0
    members: int = 0
    resumed_files: int = 0
    recognised: str = ""
    damaged_copy_of: str = ""
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    not_entered: list[Unentered] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def exit_status(self) -> int:
        """0 all done, 1 some of it could not be read, 3 failed, 130 interrupted."""
        if self.state in (INTERRUPTED, FAILED):
            return 130 if self.state == INTERRUPTED else 3
        return 1 if self.problems else 0

    def as_json(self) -> dict[str, Any]:
        """The report as plain values."""
        return {
            "title": self.title,
            "path": self.path,
            "state": self.state,
            "exit_status": self.exit_status,
            "files": self.files,
            "bytes": self.bytes,
            "archives": self.archives,
            "members": self.members,
            "resumed_files": self.resumed_files,
            "recognised": self.recognised,
            "damaged_copy_of": self.damaged_copy_of,
            "errors": [{"path": problem.path, "message": problem.message} for problem in self.problems],
            "notes": [{"path": problem.path, "message": problem.message} for problem in self.notes],
            "not_entered": [archive._asdict() for archive in self.not_entered],
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, slots=True)
class Medium:
    """What to catalogue.

    Attributes:
        title: of the volume.
        path: absolute.
        description: what is on it, or where it lies.
        is_one_of_many: whether it is left out where it is a volume of a run that has this title already.
    """

    title: str
    path: str
    description: str = ""
    is_one_of_many: bool = False
