"""``backalaika coverage``: what is on no volume, or on one only, and which volumes are not needed any more."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, NoReturn

import click

from ..errors import CatalogueError, UsageError
from . import display
from .listing import db_option, open_named

if TYPE_CHECKING:
    from ..job.loading import Job
    from ..run.covering import CoverageReport

_DAY_NS = 24 * 3600 * 1_000_000_000
_LISTED = 20
_WORDS = {"none": "on no volume", "one": "on one only", "stale": "not seen healthy"}


@click.command(
    epilog="""\b
Examples:
  backalaika coverage
  backalaika coverage office --list one
  backalaika coverage office.py --walk
  backalaika coverage office --days 365 --list stale

A volume is spare if all that is on it is on other volumes too; all that are listed
can be thrown away together. Exit status: 0 done; 1 done, but some files are on no
volume; 2 wrong usage or configuration, or no such job; 130 interrupted.
"""
)
@click.argument("job", metavar="[JOB|FILE]", required=False)
@click.option("--walk", is_flag=True, help="Look at the sources of the job in FILE as they are now; reads no content.")
@click.option(
    "--days",
    type=click.IntRange(min=0),
    default=90,
    show_default=True,
    metavar="N",
    help="A volume that 'verify' has not seen healthy for so long does not count as such.",
)
@click.option(
    "--list",
    "listed",
    type=click.Choice(list(_WORDS)),
    multiple=True,
    help="List all files on no volume, on one only, or on none that was seen healthy.",
)
@db_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def coverage(
    job: str | None, walk: bool, days: int, listed: tuple[str, ...], db: str | None, as_json: bool
) -> NoReturn:
    """Tell on how many volumes the files of JOB are, and which volumes are spare.

    JOB is the name of a job, and its files are those that its last complete run found; or FILE is the job's file.
    Without it, of all jobs. Where the catalogue has no run of the job in FILE, as after its last volume was
    removed, its sources are looked at as they are now.
    """
    from ..run.covering import NONE, cover

    loaded = _job_of(job)
    if walk and loaded is None:
        raise UsageError("--walk needs the file of the job, which tells its sources: backalaika coverage FILE --walk")
    since_ns = time.time_ns() - days * _DAY_NS
    with open_named(db or (loaded.config.db_uri if loaded else None)) as catalogue:
        if loaded or job:
            names = [loaded.name if loaded else str(job)]
        else:
            names = sorted({row.job for row in catalogue.run_rows() if row.added is not None})
            if not names:
                raise CatalogueError(
                    "the catalogue has no complete run: nothing was backed up yet, or all of it was removed; back "
                    "something up first"
                )
        reports, paths = [], []
        for name in names:
            lists: dict[str, list[str]] = {kind: [] for kind in _WORDS}

            def tell(kind: str, path: str, lists: dict[str, list[str]] = lists) -> None:
                if kind in listed or (kind == NONE and not as_json and len(lists[kind]) < _LISTED):
                    lists[kind].append(path)

            reports.append(cover(catalogue, name, loaded, walk, since_ns, tell))
            paths.append(lists)
        spare = catalogue.spare_volumes()
    if as_json:
        jobs = [
            report.as_json() | {"files": {kind: lists[kind] for kind in listed}}
            for report, lists in zip(reports, paths, strict=True)
        ]
        click.echo(json.dumps({"jobs": jobs, "spare_volumes": spare}))
    else:
        for report, lists in zip(reports, paths, strict=True):
            _show(report, lists, listed, days)
        _show_spare(spare)
    sys.exit(max(report.exit_status for report in reports))


def _job_of(argument: str | None) -> Job | None:
    """The job in a file, if the argument is one."""
    if argument is None or not (argument.endswith(".py") or os.sep in argument or os.path.isfile(argument)):
        return None
    from ..job.loading import load_job

    return load_job(argument)


def _show(report: CoverageReport, lists: dict[str, list[str]], listed: tuple[str, ...], days: int) -> None:
    when = f"as of {display.moment(report.as_of_ns)}" if report.as_of_ns is not None else "as it is now"
    if not report.has_run:
        when += ", for the catalogue has no run of it: it never ran, or its last volume was removed"
    click.echo(f"Job {report.job}, {when}")
    rows: list[tuple[str, ...]] = [
        ("files", "on none", "on one", "on more", f"not seen healthy for {days} days", "source")
    ]
    rows += [
        (
            *(f"{number:,}" for number in (found.files, found.none, found.one, found.more, found.stale)),
            display.printable(found.path),
        )
        for found in report.sources
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    for row in rows:
        click.echo("  " + "  ".join([*(cell.rjust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]))
    if any(found.files for found in report.sources) and all(found.none == found.files for found in report.sources):
        click.echo("  Nothing of it is on any volume.")
    for kind, words in _WORDS.items():
        for path in lists[kind]:
            click.echo(f"  {words}: {display.printable(path)}")
    left = sum(found.none for found in report.sources) - len(lists["none"])
    if left and "none" not in listed:
        click.echo(f"  and {left:,} more on no volume: --list none")


def _show_spare(titles: list[str]) -> None:
    if not titles:
        click.echo("No volume is spare: each has something that is on no other.")
        return
    click.echo("Spare, for all that is on them is on other volumes too:")
    for title in titles:
        click.echo(f"  {display.printable(title)}")
