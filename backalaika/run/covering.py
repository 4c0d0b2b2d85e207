"""Covering: on how many volumes the files of a job's sources are, as its last run found them, or as they are now."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from ..catalogue.rows import FILE
from ..errors import CatalogueError
from ..looks import coarse_mounts, look_the_same, recorded_looks
from ..survey import take_survey
from .comparing import Comparisons

if TYPE_CHECKING:
    from ..ahead import Folder
    from ..catalogue import Catalogue
    from ..catalogue.results import OpenEntry
    from ..catalogue.rows import Looks
    from ..job.loading import Job
    from ..walk import Entry
    from .comparing import SourceComparison

_FILES_AT_A_TIME = 5000
NONE, ONE, STALE = "none", "one", "stale"


class SourceFile(NamedTuple):
    """A file of a source; ``digest`` is None if its content was not saved, or is not known to have been."""

    source: str
    path: str
    size: int
    digest: bytes | None


@dataclass(slots=True)
class Covered:
    """The files of a source, by the number of volumes that have their content.

    ``stale`` counts those of them that are only on volumes not seen healthy for so long.
    """

    path: str
    files: int = 0
    none: int = 0
    one: int = 0
    more: int = 0
    stale: int = 0


@dataclass(slots=True)
class CoverageReport:
    """What is covered of a job.

    Attributes:
        job: its name.
        as_of_ns: when the run began; None: as the sources are now.
        has_run: whether the catalogue has any run of it; else its sources were looked at, whether asked for or not.
        sources: one for each.
    """

    job: str
    as_of_ns: int | None
    has_run: bool = True
    sources: list[Covered] = field(default_factory=list)

    @property
    def exit_status(self) -> int:
        """1 if files are on no volume."""
        return 1 if any(source.none for source in self.sources) else 0

    def as_json(self) -> dict[str, Any]:
        """The report as plain values."""
        return {
            "job": self.job,
            "as_of_ns": self.as_of_ns,
            "has_run": self.has_run,
            "sources": [asdict(source) for source in self.sources],
        }


def cover(
    catalogue: Catalogue, name: str, job: Job | None, walk: bool, seen_since_ns: int, tell: Callable[[str, str], None]
) -> CoverageReport:
    """Count on how many volumes each file of a job is.

    With the last volume of a job its runs go, so no run may be there that tells what its sources had. Then they are
    looked at as they are now.

    Args:
        catalogue: what is on which volume.
        name: the job's.
        job: the job, if its file is there.
        walk: whether its sources shall be looked at now; what looks other than in the last run is on no volume.
        seen_since_ns: a volume that was last seen healthy before is stale; in nanoseconds since 1970.
        tell: called with `NONE`, `ONE` or `STALE`, and the path, of each such file.

    Raises:
        CatalogueError: the job has no run with a picture of its sources, nor can they be looked at.
        SourceError: a source cannot be looked at.
    """
    run = catalogue.run_as_of(name, None)
    if run is None:
        _check_no_run(catalogue, name, job)
    walked = job if walk or run is None else None
    report = CoverageReport(name, None if run is None or walked else run.started_at_ns, run is not None)
    by_source: dict[str, Covered] = {}
    if walked is not None:
        found = _walked(catalogue, walked)
    else:
        assert run is not None  # else there is the job
        found = _pictured(catalogue, run.id)
    for source in [source.path for source in walked.sources] if walked else ():
        by_source[source] = Covered(source)
    seen = {number for number, at_ns in catalogue.verified_at().items() if (at_ns or 0) >= seen_since_ns}
    for some in _some_at_a_time(found):
        copies = catalogue.copies({(file.size, file.digest) for file in some if file.digest is not None})
        for file in some:
            covered = by_source.setdefault(file.source, Covered(file.source))
            there = copies.get((file.size, file.digest)) if file.digest is not None else None
            covered.files += 1
            if there is None:
                covered.none += 1
                tell(NONE, file.path)
                continue
            if there.number == 1:
                covered.one += 1
                tell(ONE, file.path)
            else:
                covered.more += 1
            if not any(way <= seen for way in there.ways):
                covered.stale += 1
                tell(STALE, file.path)
    report.sources = list(by_source.values())
    return report


def _check_no_run(catalogue: Catalogue, name: str, job: Job | None) -> None:
    """Look whether there can be an answer about a job without any picture.

    Raises:
        CatalogueError: there can be none.
    """
    if catalogue.run_rows(name):
        raise CatalogueError(
            f"{name!r}: none of its runs came to its end, or all are from before the catalogue kept pictures of "
            "the sources; run the job again"
        )
    if job is None:
        raise CatalogueError(
            f"{name!r}: no run of a job of this name, and so nothing of it on any volume: it never ran, or its last "
            "volume was removed; list all jobs with: backalaika runs; or give the job's file, to see its sources as "
            "they are now"
        )


def _pictured(catalogue: Catalogue, run_id: int) -> Iterator[SourceFile]:
    for entry in catalogue.picture(run_id):
        if entry.kind == FILE:
            path = os.fsdecode(os.path.join(entry.folder, entry.name))
            yield SourceFile(os.fsdecode(entry.source), path, entry.size, entry.digest)


def _walked(catalogue: Catalogue, job: Job) -> Iterator[SourceFile]:
    mounts = coarse_mounts()
    with take_survey(job.sources, job.config) as survey:
        comparisons = Comparisons(survey, catalogue, job, mounts)
        try:
            for source in comparisons.by_label.values():
                for compared in source.different(catalogue, survey, lambda folder: None, trust=False):
                    yield from _as_found(catalogue, source, compared)
        finally:
            comparisons.close()


def _as_found(
    catalogue: Catalogue,
    source: SourceComparison,
    compared: list[tuple[Folder, list[Entry], dict[bytes, OpenEntry]]],
) -> Iterator[SourceFile]:
    """The files of some folders, with the content that those have which look as in the picture, or as another job's."""
    places = {source.place(folder.path) for folder, _, _ in compared if not source.is_coarse(folder.path)}
    saved: dict[tuple[bytes, bytes], list[Looks]] = {}
    for digest in catalogue.digests_in_use():
        for path, there in catalogue.known_by_looks(sorted(map(os.fsencode, places)), digest).items():
            for name, looks in there.items():
                saved.setdefault((path, name), []).append(looks)
    for folder, entries, before in compared:
        place, coarse = source.place(folder.path), source.is_coarse(folder.path)
        for entry in entries:
            if entry.kind != FILE:
                continue
            name = os.fsencode(entry.name)
            was = before.get(name)
            found = was.digest if was is not None and look_the_same(entry, was, coarse) else None
            if found is None:
                others = saved.get((os.fsencode(place), name), [])
                found = next((looks[4] for looks in others if looks[:4] == recorded_looks(entry)), None)
            yield SourceFile(source.found.source.path, os.path.join(place, entry.name), entry.size, found)


def _some_at_a_time(found: Iterable[SourceFile]) -> Iterator[list[SourceFile]]:
    some: list[SourceFile] = []
    for file in found:
        some.append(file)
        if len(some) >= _FILES_AT_A_TIME:
            yield some
            some = []
    if some:
        yield some
