"""Dry run: what a run would do, by sizes alone; nothing is written, no folder, no row, no catalogue that was not there.

The sources are walked and their entries cut into the same pieces as in a run. How well they compress is told by the
job's last complete run, if the catalogue has one: by its ratio of bytes of volumes to bytes of content. Else some
megabytes of each source are compressed as samples. No piece counts with more than it needs before compression. Other
files are read only to look for known ones: those of a size that the catalogue has.
"""

from __future__ import annotations

import os
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from ..batch import Batch, framed_size, member_path
from ..formats import ArchiveFormat, archive_format
from ..looks import Trust, coarse_mounts, seed_of_looks
from ..planner import Media, TooLarge, plan_volumes
from ..survey import Found, Survey, take_survey
from ..walk import DIRECTORY, FILE, Directory, Problem
from .answers import Answers
from .comparing import Comparisons
from .known import KnownFiles
from .placing import too_large_problem
from .pool import worker_count
from .precautions import UsableMedium, check_destination, shrunk_sources, smallest_capacity, usable_media
from .sampling import Sampler
from .work import Work, plan_work

if TYPE_CHECKING:
    from ..catalogue import Catalogue
    from ..job.config import Config
    from ..job.loading import Job

# A member's line in the manifest, compressed: its digest alone has 16 bytes.
_MANIFEST_LINE = 100
# README.txt, the sums, the ends of archives.
_VOLUME = 8192


@dataclass(slots=True)
class PlannedSource:
    """What is to be saved of a source: files and links, and bytes of their content."""

    path: str
    options: str
    files: int = 0
    bytes: int = 0


@dataclass(slots=True)
class PlannedVolume:
    """A volume: its number, its capacity and size in bytes, and what each source (by its path) has of it.

    The size counts recovery files; no source has them.
    """

    number: int
    capacity: int
    size: int = _VOLUME
    sources: dict[str, int] = field(default_factory=dict)

    @property
    def fill(self) -> float:
        """Size by capacity."""
        return self.size / self.capacity


@dataclass(slots=True)
class Plan:
    """What a run would do.

    Attributes:
        ratio: volumes to content in the job's last complete run; sizes are estimates with it. None: there was no
            such run, and sizes are estimates by samples.
        sampled_bytes: of content that were compressed as samples.
        unused: capacities in ``volume_sizes`` that nothing is planned for, in bytes.
        warnings: why the run would not start, one line each.
        problems: what would not be saved.
        cut: files that are cut into parts, unless they compress to fit; those that ``split_files`` may cut besides
            are not told.
        verify, redundancy: how each volume would be read back, and percent of recovery files on it.
    """

    job: str
    sources: list[PlannedSource]
    ratio: float | None = None
    sampled_bytes: int = 0
    volumes: list[PlannedVolume] = field(default_factory=list)
    unused: list[int] = field(default_factory=list)
    known_files: int = 0
    known_bytes: int = 0
    warnings: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    verify: str | None = None
    redundancy: int = 0

    @property
    def exit_status(self) -> int:
        """0, or 1 if something would not be saved."""
        return 1 if self.problems else 0

    def as_json(self) -> dict[str, Any]:
        """The plan as plain values; a name that is not UTF-8 keeps its bytes as lone surrogates."""
        return {
            "job": self.job,
            "dry_run": True,
            "exit_status": self.exit_status,
            "ratio": self.ratio,
            "sampled_bytes": self.sampled_bytes,
            "files": sum(source.files for source in self.sources),
            "bytes": sum(source.bytes for source in self.sources),
            "known_files": self.known_files,
            "known_bytes": self.known_bytes,
            "sources": [
                {"path": source.path, "options": source.options, "files": source.files, "bytes": source.bytes}
                for source in self.sources
            ],
            "volumes": [
                {
                    "number": volume.number,
                    "capacity": volume.capacity,
                    "size": volume.size,
                    "fill": volume.fill,
                    "sources": [{"path": path, "size": size} for path, size in volume.sources.items()],
                }
                for volume in self.volumes
            ],
            "unused": self.unused,
            "cut": self.cut,
            "verify": self.verify,
            "redundancy": self.redundancy,
            "warnings": self.warnings,
            "errors": [problem._asdict() for problem in self.problems],
        }


def plan_run(
    job: Job,
    answers: Answers,
    tell: Callable[[int, int], None] | None = None,
    workers: int | None = None,
    allow_shrunk: bool = False,
) -> Plan:
    """Say what a run of the job would do.

    Args:
        job: what to back up.
        answers: whether known files are left out, and since when; the comment is not used.
        tell: called during the survey with the files and bytes found so far.
        workers: how many files are read and hashed at a time, as a run would have processes, and no more than
            ``readers``; None: as the configuration has it.
        allow_shrunk: a source that is empty or has shrunk would not stop the run.

    Raises:
        ConfigurationError: a volume is too small.
        SourceError: a source cannot be read, or the destination lies in it.
        CatalogueError: there is a catalogue, and it cannot be opened.
    """
    check_destination(job)
    smallest = smallest_capacity(job)
    formats = tuple(archive_format(source.format, job.config.level, smallest) for source in job.sources)
    with ExitStack() as undo:
        mounts = coarse_mounts()
        trust = Trust(job.config.digest, answers.copies or job.config.copies, answers.rehash)
        seed = seed_of_looks(trust)
        survey = undo.enter_context(take_survey(job.sources, job.config, answers.since_ns, tell, mounts.has, seed))
        sources = [PlannedSource(source.path, source.options) for source in job.sources]
        plan = Plan(job.name, sources, verify=job.config.verify_after, redundancy=job.config.redundancy)
        plan.problems += survey.problems
        catalogue = _existing_catalogue(job.config.db_uri)
        known = None
        if catalogue is not None:
            undo.enter_context(catalogue)
            plan.ratio = catalogue.last_ratio(job.name)
            if answers.skip_known:
                pool = ThreadPoolExecutor(_readers(job.config, workers))
                undo.callback(pool.shutdown, cancel_futures=True)
                comparisons = Comparisons(survey, catalogue, job, mounts)
                undo.callback(comparisons.close)
                known = KnownFiles(
                    comparisons.by_label,
                    catalogue,
                    partial(_the_same, catalogue),
                    pool,
                    trust,
                    _known_counter(plan),
                    lambda: False,
                )
        if not allow_shrunk:
            plan.warnings = shrunk_sources(survey, catalogue.last_complete_run(job.name) if catalogue else {})
        sampler = None
        if plan.ratio is None:
            sampler = Sampler(survey, formats, job.config.digest, job.config.store_only)
            undo.callback(sampler.close)
        _plan_volumes(plan, survey, formats, known, usable_media(job.config, survey), sampler)
        return plan


def _readers(config: Config, workers: int | None) -> int:
    """How many files a run would read at a time."""
    count = worker_count(workers, config)
    return max(count if config.readers is None else min(count, config.readers), 1)


def _existing_catalogue(db_uri: str) -> Catalogue | None:
    from ..catalogue import open_catalogue
    from ..catalogue.opening import catalogue_exists

    return open_catalogue(db_uri, to_write=False) if catalogue_exists(db_uri) else None


def _the_same(catalogue: Catalogue) -> Catalogue:
    return catalogue


def _known_counter(plan: Plan) -> Callable[[int, int], None]:
    def count(files: int, size: int) -> None:
        plan.known_files += files
        plan.known_bytes += size

    return count


def _plan_volumes(
    plan: Plan,
    survey: Survey,
    formats: tuple[ArchiveFormat, ...],
    known: KnownFiles | None,
    media: list[UsableMedium],
    sampler: Sampler | None,
) -> None:
    by_path = {source.path: source for source in plan.sources}

    def select(survey: Survey, found: Found) -> Iterator[Directory]:
        path = found.source.path
        for directory in known.by_content(survey, found) if known else survey.directories(found):
            saved = [entry for entry in directory.entries if entry.kind != DIRECTORY]
            by_path[path].files += len(saved)
            by_path[path].bytes += sum(entry.size for entry in saved if entry.kind == FILE)
            yield directory

    pieces = _Pieces()
    *sizes, max_size = (medium.content - _VOLUME for medium in media)
    rooms = Media(tuple(sizes), max_size)
    largest = max((*rooms.sizes, rooms.max_size))
    for work in plan_work(survey, formats, [known.by_looks, select] if known else [select], 0):
        if isinstance(work.piece, Problem):
            plan.problems.append(work.piece)
        elif work.piece is not None:
            pieces.add(work, sampler, largest)
    if sampler is not None:
        plan.sampled_bytes = sampler.bytes
    needs, owners = array("Q"), array("L")
    for number, need in enumerate(pieces.needs(plan.ratio, sampler)):
        if need > largest:
            if not pieces.large[number]:
                refused = TooLarge(largest + _VOLUME)
                plan.problems += [too_large_problem(place, refused) for place in pieces.places[number]]
                continue
            plan.cut += pieces.places[number]
        # As many parts as media of ``max_size`` are needed: which media take them is decided below.
        for part in _parts(need, largest, rooms.max_size):
            needs.append(part)
            owners.append(pieces.owners[number])
    _place(plan, needs, owners, rooms, {medium.content - _VOLUME: medium for medium in media})


class _Pieces:
    """What there is to place, in a few bytes each.

    Attributes:
        owners: the source of each.
        large: whether it is a large file, and no batch.
        places: paths of the files in those that are larger than any medium before compression.
    """

    def __init__(self) -> None:
        self.owners = array("L")
        self.large = bytearray()
        self.places: dict[int, list[str]] = {}
        self._most = array("Q")
        self._content = array("Q")
        self._own_ratios: dict[int, float] = {}

    def add(self, work: Work, sampler: Sampler | None, largest: int) -> None:
        number, piece = len(self.owners), work.piece
        content, most = _sizes(work)
        self.owners.append(work.plan.source)
        self.large.append(not isinstance(piece, Batch))
        self._most.append(most)
        self._content.append(content)
        own = sampler.look(work, content) if sampler is not None else None
        if own is not None:
            self._own_ratios[number] = own
        if most > largest:
            self.places[number] = _places(work)

    def needs(self, ratio: float | None, sampler: Sampler | None) -> Iterator[int]:
        """Bytes of a volume that each needs: as many as the ratio of the last run or that of samples lets expect."""
        for number, (most, content) in enumerate(zip(self._most, self._content, strict=True)):
            if sampler is not None:
                ratio = self._own_ratios.get(number) or sampler.ratio(self.owners[number], bool(self.large[number]))
            assert ratio is not None
            yield min(most, int(content * ratio) + 1)


def _place(plan: Plan, needs: array[int], owners: array[int], rooms: Media, media: Mapping[int, UsableMedium]) -> None:
    placed = plan_volumes(needs, rooms)
    left = Counter(rooms.sizes) - Counter(placed.capacities)
    plan.unused = [media[size].room for size in left.elements()]
    for number, (pieces, room) in enumerate(zip(placed.volumes, placed.capacities, strict=True), start=1):
        volume = PlannedVolume(number, media[room].room)
        for piece in pieces:
            path = plan.sources[owners[piece]].path
            volume.size += needs[piece]
            volume.sources[path] = volume.sources.get(path, 0) + needs[piece]
        volume.size += media[room].recovery(volume.size)
        plan.volumes.append(volume)


def _sizes(work: Work) -> tuple[int, int]:
    """Bytes of content of a piece, and bytes of a volume that it needs at most."""
    piece = work.piece
    if isinstance(piece, Batch):
        content = sum(entry.size for part in piece.slices for entry in part.entries if entry.kind == FILE)
        return content, piece.size + piece.count * _MANIFEST_LINE
    assert piece is not None
    assert not isinstance(piece, Problem)
    name_size = len(os.fsencode(member_path(piece.member_prefix, piece.entry.name)))
    return piece.entry.size, framed_size(piece.entry, name_size, work.plan.archive_format) + _MANIFEST_LINE


def _parts(need: int, largest: int, max_size: int) -> list[int]:
    """Bytes of each part of a piece that is cut where it does not fit; itself alone if it does."""
    parts = []
    while need > largest:
        parts.append(max_size)
        need -= max_size
    return [*parts, need]


def _places(work: Work) -> list[str]:
    piece = work.piece
    if isinstance(piece, Batch):
        return [os.path.join(part.directory, entry.name) for part in piece.slices for entry in part.entries]
    assert piece is not None
    assert not isinstance(piece, Problem)
    return [os.path.join(piece.directory, piece.entry.name)]
