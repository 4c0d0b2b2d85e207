"""Report: what a restore did, for people and programs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from ..walk import Problem

COMPLETE, INCOMPLETE, INTERRUPTED = "complete", "incomplete", "interrupted"


class Observer(Protocol):
    """Who is told how it goes."""

    def advance(self, files: int, size: int, name: str) -> None:
        """So many files and bytes more are in their places; ``name`` is the last."""

    def problem(self, problem: Problem) -> None:
        """Something could not be restored, or not as it should be."""

    def note(self, line: str) -> None:
        """Something that is worth a line."""


@dataclass(frozen=True, slots=True)
class Needed:
    """A volume that has to be read.

    Attributes:
        title: in the catalogue.
        files, bytes: what is wanted from it; a file that was cut counts where its first part is.
        folder: where it is; None: somebody has to bring it.
        parts: other parts of such files.
    """

    title: str
    files: int
    bytes: int
    folder: str | None = None
    parts: int = 0

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "title": self.title,
            "files": self.files,
            "parts": self.parts,
            "bytes": self.bytes,
            "folder": self.folder,
        }


@dataclass(slots=True)
class RestoreReport:
    """What was restored.

    Attributes:
        target: absolute path of the directory.
        state: ``complete``; ``incomplete`` if media were missing, or one hung; ``interrupted``.
        files, bytes: files and links that were restored, and their content.
        kept: how many were there before and stay, being as saved, or newer where these stay.
        differing: how many were there before, are not as saved, and stay; they are among the problems.
        volumes: titles of those that were read.
        missing: volumes that nobody could bring.
        hung: title of the medium that ended the restore, for it gave nothing any more.
        is_stuck: a process that the drive keeps could not be ended; who waits for it at his end waits for the drive.
        problems: what was not restored, or not as it should be.
        notes: which other copies were used.
        seconds: how long it took.
    """

    target: str
    state: str = COMPLETE
    files: int = 0
    bytes: int = 0
    kept: int = 0
    differing: int = 0
    volumes: list[str] = field(default_factory=list)
    missing: list[Needed] = field(default_factory=list)
    hung: str | None = None
    is_stuck: bool = False
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def exit_status(self) -> int:
        """0 all done, 1 some could not be restored, 3 media were missing or one hung, 130 interrupted."""
        if self.state == INTERRUPTED:
            return 130
        return 3 if self.missing or self.hung is not None else 1 if self.problems else 0

    def as_json(self) -> dict[str, Any]:
        """The report as plain values."""
        return {
            "target": self.target,
            "state": self.state,
            "exit_status": self.exit_status,
            "files": self.files,
            "bytes": self.bytes,
            "kept": self.kept,
            "differing": self.differing,
            "volumes": self.volumes,
            "missing": [needed.as_json() for needed in self.missing],
            "hung": self.hung,
            "errors": [{"path": problem.path, "message": problem.message} for problem in self.problems],
            "notes": self.notes,
            "seconds": round(self.seconds, 3),
        }
