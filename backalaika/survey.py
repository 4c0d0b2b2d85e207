"""Survey: walk and select once, before the run, and keep what was found on disk.

The run must know what it will do before it starts: how much there is, whether a source is empty or has shrunk. A
second walk would cost as much as the first, and a list in memory grows with the number of files; so each directory is
marshalled into an anonymous temporary file (0.3 microseconds and some 120 bytes an entry) and read back once.

With each directory goes a hash of how all in it looks. Where the catalogue has the same hash, nothing has changed, and
the entries need not even be unmarshalled: of 200,000 files in 2,000 folders that takes some milliseconds.
"""

from __future__ import annotations

import marshal
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING

from .ahead import Folder, Looking, look_at, packed_entries
from .errors import SourceError
from .spool import no_room
from .walk import Directory, Problem, describe_error

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

    def keep(self, packed: bytes) -> None:
        """Put packed directories at the end of the spool.

        Raises:
            RunError: there is no room for it.
        """
        try:
            self.spool.write(packed)
        except OSError as error:
            raise no_room(error) from None

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
        for folder in self.folders(found):
            entries = folder.entries()
            if entries:
                yield Directory(folder.path, entries)

    def folders(self, found: Found) -> Iterator[Folder]:
        """All directories of a source, in the order of the walk."""
        position = found.spool_start
        while position < found.spool_end:
            self.spool.seek(position)
            head, length = (int.from_bytes(self.spool.read(8), "little") for _ in range(2))
            path, looks, files, size, unseen, whole = marshal.loads(self.spool.read(head))  # noqa: S302 - our own
            yield Folder(path, looks, files, size, unseen, whole, self.spool.read(length))
            position += 16 + head + length

    def selected(self, select: Callable[[Survey, Found], Iterable[Directory]]) -> Survey:
        """A survey with what ``select`` lets through of this one, itself on disk, so that it can be read twice.

        Raises:
            RunError: there is no room for it.
        """
        chosen = Survey(tempfile.TemporaryFile(prefix="backalaika-"))  # noqa: SIM115 - closed by the survey
        try:
            for found in self.sources:
                start = chosen.spool.tell()
                for directory in select(self, found):
                    data = packed_entries(directory.entries)
                    chosen.keep(Folder(directory.path, b"", 0, 0, (), True, data).packed())
                chosen.sources.append(replace(found, spool_start=start, spool_end=chosen.spool.tell()))
        except BaseException:
            chosen.spool.close()
            raise
        return chosen


def take_survey(
    sources: tuple[Source, ...],
    config: Config,
    since_ns: int | None = None,
    tell: Callable[[int, int], None] | None = None,
    is_coarse: Callable[[str], bool] = lambda folder: False,
    seed: int = 0,
    executor: Executor | None = None,
) -> Survey:
    """Walk all sources and select what is to be saved.

    Args:
        sources: the job's.
        config: for ``skip_files``, ``one_filesystem`` and ``readers``.
        since_ns: leave out files and links last modified before this time; directories that lose all go too.
        tell: called at times with the files and bytes found so far.
        is_coarse: whether only names, sizes and times of modification of what lies in a folder can be trusted.
        seed: of the hashes of looks, 64 bits: what else makes a difference to whether nothing has changed.
        executor: several processes that have nothing to do meanwhile, for large sources; as many of them walk at a
            time as ``readers`` of the config allows.

    Raises:
        SourceError: a source does not exist, is no directory, or cannot be read.
    """
    survey = Survey(tempfile.TemporaryFile(prefix="backalaika-"))  # noqa: SIM115 - closed by the survey
    try:
        for source, label in zip(sources, distinct_labels([source.path for source in sources]), strict=True):
            found = Found(source, label, spool_start=survey.spool.tell())
            survey.sources.append(found)
            looking = Looking(source.path, config.skip_files.matches, config.one_filesystem, since_ns, is_coarse, seed)
            _survey_source(survey, found, looking, executor, config.readers, tell)
            found.spool_end = survey.spool.tell()
    except BaseException:
        survey.spool.close()
        raise
    return survey


def _survey_source(
    survey: Survey,
    found: Found,
    looking: Looking,
    executor: Executor | None,
    readers: int | None,
    tell: Callable[[int, int], None] | None,
) -> None:
    path = found.source.path

    def tell_so_far() -> None:
        if tell:
            tell(sum(one.found_files for one in survey.sources), sum(one.found_bytes for one in survey.sources))

    try:
        for piece in look_at(looking, executor, tell_so_far, readers):
            survey.keep(piece.folders)
            survey.problems += piece.problems
            found.found_files += piece.found_files
            found.found_bytes += piece.found_bytes
            found.files += piece.files
            found.bytes += piece.size
            found.subfolders += piece.subfolders
            tell_so_far()
    except FileNotFoundError:
        raise SourceError(f"{path}: this source does not exist; is its share mounted? Correct the job file") from None
    except NotADirectoryError:
        raise SourceError(f"{path}: this source is not a directory; name the directory it lies in") from None
    except OSError as error:
        raise SourceError(f"{path}: this source cannot be read: {describe_error(error)}") from None


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
