"""Dry run: what a run would do, by sizes alone; nothing is written, no folder, no row, no catalogue that was not there.

The sources are walked and their entries cut into the same pieces as in a run; each counts with its content and
headers as they are before compression, which is the most that they can need. If the catalogue has a complete run of
the job, its ratio (bytes of volumes to bytes of content) turns that into an estimate. Only looking for known files
reads any: those of a size that the catalogue has.
"""

from __future__ import annotations

import os
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..batch import Batch, framed_size, member_path
from ..formats import ArchiveFormat, archive_format
from ..planner import Media, TooLarge, plan_volumes
from ..survey import Found, Survey, take_survey
from ..walk import DIRECTORY, FILE, Directory, Problem
from .answers import Answers
from .known import KnownFiles
from .placing import too_large_problem
from .pool import available_cpus
from .session import check_destination, shrunk_sources, smallest_capacity, usable_media
from .work import Work, plan_work

if TYPE_CHECKING:
    from ..catalogue import Catalogue
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
    """A volume: its number, its capacity and size in bytes, and what each source (by its path) has of it."""

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
            such run, and sizes are the most that can be needed, before compression.
        unused: capacities in ``volume_sizes`` that nothing is planned for, in bytes.
        warnings: why the run would not start, one line each.
        problems: what would not be saved.
        cut: files that are cut into parts, unless they compress to fit; those that ``split_files`` may cut besides
            are not told.
    """

    job: str
    sources: list[PlannedSource]
    ratio: float | None = None
    volumes: list[PlannedVolume] = field(default_factory=list)
    unused: list[int] = field(default_factory=list)
    known_files: int = 0
    known_bytes: int = 0
    warnings: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)

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
            "warnings": self.warnings,
            "errors": [problem._asdict() for problem in self.problems],
        }


def plan_run(job: Job, answers: Answers, tell: Callable[[int, int], None] | None = None) -> Plan:
    """Say what a run of the job would do.

    Args:
        job: what to back up.
        answers: whether known files are left out, and since when; the comment is not used.
        tell: called during the survey with the files and bytes found so far.

    Raises:
        ConfigurationError: a volume is too small.
        SourceError: a source cannot be read, or the destination lies in it.
        CatalogueError: there is a catalogue, and it cannot be opened.
    """
    check_destination(job)
    smallest = smallest_capacity(job)
    formats = tuple(archive_format(source.format, job.config.level, smallest) for source in job.sources)
    with ExitStack() as undo:
        survey = undo.enter_context(take_survey(job.sources, job.config, answers.since_ns, tell))
        plan = Plan(job.name, [PlannedSource(source.path, source.options) for source in job.sources])
        plan.problems += survey.problems
        catalogue = _existing_catalogue(job.config.db_uri)
        known = None
        if catalogue is not None:
            undo.enter_context(catalogue)
            plan.ratio = catalogue.last_ratio(job.name)
            if answers.skip_known:
                pool = ThreadPoolExecutor(available_cpus())
                undo.callback(pool.shutdown, cancel_futures=True)
                known = KnownFiles(catalogue, pool, job.config.digest, _known_counter(plan), lambda: False)
        plan.warnings = shrunk_sources(survey, catalogue.last_complete_run(job.name) if catalogue else {})
        _plan_volumes(plan, survey, formats, known, usable_media(job.config, survey))
        return plan


def _existing_catalogue(db_uri: str) -> Catalogue | None:
    from ..catalogue import open_catalogue
    from ..catalogue.opening import catalogue_exists

    return open_catalogue(db_uri) if catalogue_exists(db_uri) else None


def _known_counter(plan: Plan) -> Callable[[int, int], None]:
    def count(files: int, size: int) -> None:
        plan.known_files += files
        plan.known_bytes += size

    return count


def _plan_volumes(
    plan: Plan, survey: Survey, formats: tuple[ArchiveFormat, ...], known: KnownFiles | None, media: Media
) -> None:
    by_path = {source.path: source for source in plan.sources}

    def select(directories: Iterable[Directory], found: Found) -> Iterator[Directory]:
        path = found.source.path
        for directory in known.select(directories, path) if known else directories:
            saved = [entry for entry in directory.entries if entry.kind != DIRECTORY]
            by_path[path].files += len(saved)
            by_path[path].bytes += sum(entry.size for entry in saved if entry.kind == FILE)
            yield directory

    rooms = Media(tuple(size - _VOLUME for size in media.sizes), media.max_size - _VOLUME)
    largest = max((*rooms.sizes, rooms.max_size))
    needs, owners = array("Q"), array("L")
    for work in plan_work(survey, formats, select, 0):
        if isinstance(work.piece, Problem):
            plan.problems.append(work.piece)
        elif work.piece is not None:
            need = _need(work, plan.ratio)
            if need > largest:
                if isinstance(work.piece, Batch):
                    refused = TooLarge(largest + _VOLUME)
                    plan.problems += [too_large_problem(place, refused) for place in _places(work.piece)]
                    continue
                plan.cut.append(os.path.join(work.piece.directory, work.piece.entry.name))
            # As many parts as media of ``max_size`` are needed: which media take them is decided below.
            for part in _parts(need, largest, rooms.max_size):
                needs.append(part)
                owners.append(work.plan.source)
    placed = plan_volumes(needs, rooms)
    left = Counter(rooms.sizes) - Counter(placed.capacities)
    plan.unused = [size + _VOLUME for size in left.elements()]
    for number, (pieces, room) in enumerate(zip(placed.volumes, placed.capacities, strict=True), start=1):
        volume = PlannedVolume(number, room + _VOLUME)
        for piece in pieces:
            path = plan.sources[owners[piece]].path
            volume.size += needs[piece]
            volume.sources[path] = volume.sources.get(path, 0) + needs[piece]
        plan.volumes.append(volume)


def _need(work: Work, ratio: float | None) -> int:
    """Bytes of a volume that a piece needs: at most, or as many as the ratio lets expect."""
    piece = work.piece
    if isinstance(piece, Batch):
        content = sum(entry.size for part in piece.slices for entry in part.entries if entry.kind == FILE)
        most = piece.size + piece.count * _MANIFEST_LINE
    else:
        assert piece is not None
        assert not isinstance(piece, Problem)
        name_size = len(os.fsencode(member_path(piece.member_prefix, piece.entry.name)))
        content = piece.entry.size
        most = framed_size(piece.entry, name_size, work.plan.archive_format) + _MANIFEST_LINE
    return most if ratio is None else min(most, int(content * ratio) + 1)


def _parts(need: int, largest: int, max_size: int) -> list[int]:
    """Bytes of each part of a piece that is cut where it does not fit; itself alone if it does."""
    parts = []
    while need > largest:
        parts.append(max_size)
        need -= max_size
    return [*parts, need]


def _places(batch: Batch) -> list[str]:
    return [os.path.join(part.directory, entry.name) for part in batch.slices for entry in part.entries]
