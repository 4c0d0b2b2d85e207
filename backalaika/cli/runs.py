"""``backalaika runs``: what was backed up when, and what had changed."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
from typing import TYPE_CHECKING

import click

from ..errors import CatalogueError
from . import display
from .listing import EXIT_STATUS, db_option, json_option, open_named

if TYPE_CHECKING:
    from ..catalogue.state import State

_CHANGES = ("added", "changed", "deleted", "moved")


@click.command(
    epilog=f"""\b
Examples:
  backalaika runs
  backalaika runs office --json | jq -r 'select(.deleted > 100).folder'

What is counted are files, folders and links of the sources. A file is moved if it
is there under another name, and counts as added and as deleted too. The first run
of a job has no run before it, so all in it was added.

{EXIT_STATUS}"""
)
@click.argument("job", required=False)
@db_option
@json_option
def runs(job: str | None, db: str | None, as_json: bool) -> None:
    """List the runs of all jobs, or of JOB, oldest first, with what had changed since the run before."""
    with open_named(db) as catalogue:
        with contextlib.suppress(CatalogueError):  # it may be read by who may not write
            catalogue.mark_abandoned_runs()
        rows = catalogue.run_rows(job)
    if job is not None and not rows:
        raise CatalogueError(f"{job!r}: no run of a job of this name; list all with: backalaika runs")
    if not rows and not as_json:
        display.say("The catalogue has no runs yet: backup enters them")
    for row in rows:
        if as_json:
            click.echo(json.dumps(row._asdict()))
            continue
        counts = zip(_CHANGES, row[-len(_CHANGES) :], strict=True)
        changes = ", ".join(f"{number:,} {what}" for what, number in counts if number) or (
            "nothing changed" if row.added is not None else ""
        )
        state = "" if row.state == "complete" else f"  {row.state.upper()}"
        known = f", {row.known_files:,} known" if row.known_files else ""
        errors = f", {row.error_count:,} problems" if row.error_count else ""
        click.echo(
            f"{display.moment(row.started_at_ns)}  {display.printable(os.path.basename(row.folder))}  "
            f"saved {display.files(row.files)}, {display.size(row.bytes)}{known}{errors}"
            f"{f'  ({changes})' if changes else ''}{state}"
        )


def notes_on_left_out(catalogue: State, job: str, as_of_ns: int | None) -> list[str]:
    """A line for each run that does not count when a job is restored or listed, for it has not come to its end."""
    notes = []
    for run, titles in catalogue.left_out(job, as_of_ns):
        name = display.printable(os.path.basename(run.folder))
        state = "has no picture of its sources" if run.state == "complete" else f"is not complete ({run.state})"
        had = "it has no complete volume"
        if titles:
            first = shlex.quote(display.printable(titles[0]))
            more = f", and so on ({len(titles):,} volumes)" if len(titles) > 1 else ""
            had = f"what it has saved comes with: backalaika restore --volume {first}{more}"
        notes.append(
            f"the run {name} {state} and is left out; {had}"
            + ("" if run.state == "complete" else "; to go on with it: backalaika backup --resume JOBFILE")
        )
    return notes
