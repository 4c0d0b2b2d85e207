"""Survey: walk and select once, before the run, and keep what was found on disk.

The run must know what it will do before it starts: how much there is, whether a source is empty or has shrunk. A
second walk would cost as much as the first, and a list in memory grows with the number of files; so each directory is
marshalled into an anonymous temporary file (0.3 microseconds and some 120 bytes an entry) and read back once.
"""

from __future__ import annotations

import marshal
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING

from .errors import RunError, SourceError
from .walk import DIRECTORY, FILE, Directory, Entry, Problem, describe_error, walk

if TYPE_CHECKING:
    from .job.config import Config
    from .job.loading import Source


@dataclass(slots=True)
class Found:
    """What a survey found at one source, and what of it was selected.

    Attributes:
        source: the source, as the job has it.
        label: its top folder in archives; the source's last name, made different from the other sources'.
        found_files, found_bytes: files and links there, after ``skip_files`` and before the minimum date.
        files, bytes: those to be saved.
        subfolders: how many lie directly in the source.
    """

    source: Source
    label: str
    found_files: int = 0
    found_bytes: int = 0
    files: int = 0
    bytes: int = 0
    subfolders: int = 0
    spool_start: int = 0
    spool_end: int = 0


@dataclass(slots=True)
class Survey:
    """All sources of a job, surveyed; closes its temporary file as a context manager."""

    spool: IO[bytes]
    sources: list[Found] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def __enter__(self) -> Survey:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.spool.close()

    @property
    def files(self) -> int:
        """Files and links to be saved, of all sources."""
        return sum(found.files for found in self.sources)

    @property
    def bytes(self) -> int:
        """Bytes of content to be saved, of all sources."""
        return sum(found.bytes for found in self.sources)

    def directories(self, found: Found) -> Iterator[Directory]:
        """The selected entries of a source, directory by directory, in the order of the walk."""
        position = found.spool_start
        while position < found.spool_end:
            self.spool.seek(position)
            length = int.from_bytes(self.spool.read(8), "little")
            path, entries = marshal.loads(self.spool.read(length))  # noqa: S302 - our own, in an anonymous file
            position += 8 + length
            yield Directory(path, [Entry._make(values) for values in entries])

    def selected(self, select: Callable[[Iterable[Directory], Found], Iterable[Directory]]) -> Survey:
        """A survey with what ``select`` lets through, itself on disk, so that it can be read twice.

        Raises:
            RunError: there is no room for it.
        """
        chosen = Survey(tempfile.TemporaryFile(prefix="backalaika-"))  # noqa: SIM115 - closed by the survey
        try:
            for found in self.sources:
                start = chosen.spool.tell()
                for directory in select(self.directories(found), found):
                    _keep(chosen, directory)
                chosen.sources.append(replace(found, spool_start=start, spool_end=chosen.spool.tell()))
        except BaseException:
            chosen.spool.close()
            raise
        return chosen

    def keep(self, directory: Directory) -> None:
        """Put a directory at the end of the spool."""
        data = marshal.dumps((directory.path, [tuple(entry) for entry in directory.entries]))
        self.spool.write(len(data).to_bytes(8, "little") + data)


def take_survey(
    sources: tuple[Source, ...],
    config: Config,
    since_ns: int | None = None,
    tell: Callable[[int, int], None] | None = None,
) -> Survey:
    """Walk all sources and select what is to be saved.

    Args:
        sources: the job's.
        config: for ``skip_files`` and ``one_filesystem``.
        since_ns: leave out files and links last modified before this time; directories that lose all go too.
        tell: called after each directory with the files and bytes found so far.

    Raises:
        SourceError: a source does not exist, is no directory, or cannot be read.
    """
    survey = Survey(tempfile.TemporaryFile(prefix="backalaika-"))  # noqa: SIM115 - closed by the survey
    try:
        for source, label in zip(sources, distinct_labels([source.path for source in sources]), strict=True):
            found = Found(source, label, spool_start=survey.spool.tell())
            survey.sources.append(found)
            _survey_source(survey, found, config, since_ns, tell)
            found.spool_end = survey.spool.tell()
    except BaseException:
        survey.spool.close()
        raise
    return survey


def _survey_source(
    survey: Survey,
    found: Found,
    config: Config,
    since_ns: int | None,
    tell: Callable[[int, int], None] | None,
) -> None:
    path = found.source.path
    try:
        for directory, problems in walk(path, config.skip_files.matches, config.one_filesystem):
            survey.problems += problems
            _count(found, directory.entries)
            found.subfolders += bool(directory.path) and os.sep not in directory.path
            entries = directory.entries
            if since_ns is not None:
                entries = [entry for entry in entries if entry.kind == DIRECTORY or entry.mtime_ns >= since_ns]
                if len(entries) == 1:
                    entries = []
            for entry in entries:
                if entry.kind != DIRECTORY:
                    found.files += 1
                    found.bytes += entry.size
            if entries:
                _keep(survey, Directory(directory.path, entries))
            if tell:
                tell(sum(s.found_files for s in survey.sources), sum(s.found_bytes for s in survey.sources))
    except FileNotFoundError:
        raise SourceError(f"{path}: this source does not exist; is its share mounted? Correct the job file") from None
    except NotADirectoryError:
        raise SourceError(f"{path}: this source is not a directory; name the directory it lies in") from None
    except OSError as error:
        raise SourceError(f"{path}: this source cannot be read: {describe_error(error)}") from None


def _keep(survey: Survey, directory: Directory) -> None:
    try:
        survey.keep(directory)
    except OSError as error:
        raise RunError(
            f"{tempfile.gettempdir()}: no room for the list of files: {describe_error(error)}; "
            "make room there, or set TMPDIR to another folder"
        ) from None


def _count(found: Found, entries: list[Entry]) -> None:
    for entry in entries:
        if entry.kind != DIRECTORY:
            found.found_files += 1
            if entry.kind == FILE:
                found.found_bytes += entry.size


def distinct_labels(paths: list[str]) -> list[str]:
    """The last name of each path, with ``-2``, ``-3`` … where it was taken, also by a name of other case."""
    taken: set[str] = set()
    labels = []
    for path in paths:
        name = os.path.basename(path.rstrip("/\\")).rstrip(":") or "root"
        labels.append(distinct_name(name, taken))
    return labels


def distinct_name(name: str, taken: set[str]) -> str:
    """``name``, or ``name-2`` and so on until it is not in ``taken`` (casefolded names), where it is then put."""
    candidate, number = name, 1
    while candidate.casefold() in taken:
        number += 1
        candidate = f"{name}-{number}"
    taken.add(candidate.casefold())
    return candidate
