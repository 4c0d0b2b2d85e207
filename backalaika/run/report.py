"""Report: what a run did, for the terminal, for ``--json``, for the hooks and for the catalogue."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..walk import Problem
from .volumes import VolumeDone

COMPLETE, INTERRUPTED, FAILED = "complete", "interrupted", "failed"


@dataclass(slots=True)
class Report:
    """A run, as far as it came.

    Attributes:
        job: the job's name.
        folder: where its volumes are; empty if nothing was to be saved.
        comment: the user's, or empty.
        started_at_ns, finished_at_ns: nanoseconds since 1970.
        state: ``complete`` (problems are listed), ``interrupted`` or ``failed``.
        files, bytes: saved files and links, and bytes of content.
        archive_bytes: bytes of all finished volumes.
        known_files, known_bytes: left out because a complete volume has them, or the same as another file.
        follows: whether an earlier run of the job has a picture of its sources.
        changes: entries of the sources added, changed, deleted and moved since the run before; None: not known.
        problems: what was not saved, or not as it should be.
        volumes: the complete ones.
        passed_over: capacities in ``volume_sizes`` on which nothing was put, in bytes.
        unfinished: files of a run that ended early, as they are named on disk.
        failure: one line that says why a run failed.
    """

    job: str
    folder: str
    comment: str
    started_at_ns: int
    finished_at_ns: int = 0
    state: str = COMPLETE
    files: int = 0
    bytes: int = 0
    archive_bytes: int = 0
    known_files: int = 0
    known_bytes: int = 0
    follows: bool = False
    changes: tuple[int, int, int, int] | None = None
    problems: list[Problem] = field(default_factory=list)
    volumes: list[VolumeDone] = field(default_factory=list)
    passed_over: list[int] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    failure: str = ""

    @property
    def exit_status(self) -> int:
        """0 all done, 1 some files could not be saved, 3 failed, 130 interrupted."""
        if self.state == COMPLETE:
            return 1 if self.problems else 0
        return 130 if self.state == INTERRUPTED else 3

    def as_json(self) -> dict[str, Any]:
        """The report as plain values; a name that is not UTF-8 keeps its bytes as lone surrogates."""
        return {
            "job": self.job,
            "state": self.state,
            "exit_status": self.exit_status,
            "folder": self.folder or None,
            "comment": self.comment,
            "started_at_ns": self.started_at_ns,
            "finished_at_ns": self.finished_at_ns,
            "files": self.files,
            "bytes": self.bytes,
            "archive_bytes": self.archive_bytes,
            "known_files": self.known_files,
            "known_bytes": self.known_bytes,
            "changes": self.changes and dict(zip(("added", "changed", "deleted", "moved"), self.changes, strict=True)),
            "volumes": [
                {
                    "title": volume.title,
                    "folder": volume.folder,
                    "capacity": volume.capacity,
                    "size": volume.size,
                    "fill": volume.fill,
                    "archives": list(volume.archives),
                }
                for volume in self.volumes
            ],
            "passed_over": self.passed_over,
            "errors": [problem._asdict() for problem in self.problems],
            "unfinished": self.unfinished,
            "failure": self.failure or None,
        }


class Observer(Protocol):
    """Who watches a run: the terminal, plain lines, or nobody."""

    def advance(self, files: int, size: int, name: str) -> None:
        """So many more files and bytes are done; ``name`` is the last of them."""

    def problem(self, problem: Problem) -> None:
        """Something could not be saved."""

    def volume(self, volume: VolumeDone) -> None:
        """A volume is complete."""

    def note(self, line: str) -> None:
        """Something that the user should know, and that is no problem of a file."""

    def wait(self, request: str) -> bool:
        """Ask the user to do something and wait for Enter; False, at once, if there is nobody to ask.

        Raises:
            KeyboardInterrupt: the user wants to stop.
        """


def volume_number(volume: VolumeDone) -> str:
    """The folder name of a volume."""
    return os.path.basename(volume.folder)
