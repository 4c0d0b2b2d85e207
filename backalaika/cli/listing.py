"""``backalaika volumes``, ``files`` and ``remove``: what the catalogue knows."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
from typing import TYPE_CHECKING

import click

from ..errors import CatalogueError, RunError, UsageError
from . import display
from .encodings import encoding_option
from .entries import EXPLAINED, output_options, print_entries

if TYPE_CHECKING:
    from ..catalogue import Catalogue
    from ..catalogue.results import EndedRun, Removed, Unfinished

db_option = click.option("--db", metavar="URI", help="The catalogue; by default db_uri of ~/.backalaika.")
EXIT_STATUS = "Exit status: 0 done; 2 wrong usage or configuration, or no such volume; 130 interrupted."
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")


def open_named(uri: str | None, to_write: bool = False) -> Catalogue:
    """Open the catalogue of this URI, or that of the user's configuration; to ask it, unless ``to_write``."""
    from ..catalogue import open_catalogue
    from ..job.loading import load_user_config
    from .progress import RemovalLines

    return open_catalogue(uri or load_user_config().db_uri, to_write, RemovalLines())


@click.command(
    epilog=f"""\b
Examples:
  backalaika volumes
  backalaika volumes --json | jq -r 'select(.state == "complete").title'

{EXIT_STATUS}"""
)
@db_option
@json_option
def volumes(db: str | None, as_json: bool) -> None:
    """List the volumes that the catalogue knows, and the runs that ended early."""
    with open_named(db) as catalogue:
        with contextlib.suppress(CatalogueError):  # it may be read by who may not write
            catalogue.mark_abandoned_runs()
        volume = None
        for volume in catalogue.volumes():
            if as_json:
                click.echo(json.dumps(volume._asdict()))
                continue
            why = f" ({volume.run_state})" if volume.run_state in ("running", "interrupted", "failed") else ""
            seen = "" if volume.verified_at_ns is None else f"  seen whole {display.moment(volume.verified_at_ns)[:10]}"
            if volume.damaged_at_ns is not None:
                seen = f"  seen DAMAGED {display.moment(volume.damaged_at_ns)[:10]}"
            state = "" if volume.state == "complete" else f"  {volume.state.upper()}{why}"
            click.echo(
                f"{display.moment(volume.added_at_ns)}  {display.files(volume.files):>16}  "
                f"{display.size(volume.bytes):>8}  {display.printable(volume.title)}"
                f"{f'  {display.printable(volume.description)}' if volume.description else ''}{seen}{state}"
            )
        if not as_json:
            if volume is None:
                display.say("The catalogue has no volumes yet: backup and add enter them, rebuild those that are there")
            for ended in catalogue.ended_runs():
                display.say(_advice(ended))


def _advice(run: EndedRun) -> str:
    """What can be done about a run that ended early; on standard error, for it is no volume."""
    name, job = display.printable(os.path.basename(run.folder)), display.printable(run.job)
    how = "was interrupted" if run.state == "interrupted" else run.state
    go_on = f"go on with it: backalaika backup --resume JOBFILE, that of the job {job!r}; " if run.is_last else ""
    return f"The run {name} {how}; {go_on}clean it up: backalaika remove {shlex.quote(name)}"


@click.command(
    epilog=f"""\b
Examples:
  backalaika files 2026-11-22_0915-office/vol001
  backalaika files '' --csv > all.csv
  backalaika files '' --json | jq -r 'select(.size > 1e9).path'
  backalaika files --job office --as-of 2026-11-22

\b
With --job each file, folder and link is listed once, as the sources were then,
with the volume and the archive that restore would take it from; of a file that
was cut, those of its first part. The volume is - (null in JSON) of what is on
none, and of folders in which nothing was new.

{EXPLAINED}

{EXIT_STATUS}"""
)
@click.argument("title", required=False)
@click.option("--job", metavar="NAME", help="What the sources of this job had, as its last complete run found them.")
@click.option(
    "--as-of", metavar="DATE", help="As they were then: 2026-11-22 (the end of that day), '2026-11-22 09:15'."
)
@encoding_option
@output_options
@db_option
def files(
    title: str | None,
    job: str | None,
    as_of: str | None,
    encoding: str | None,
    as_long: bool,
    as_csv: bool,
    as_json: bool,
    db: str | None,
) -> None:
    """List the files of the volume TITLE, of all volumes if it is '', or those that a job's sources had."""
    from .questions import end_of
    from .runs import notes_on_left_out

    if (title is None) == (job is None):
        raise UsageError("files: give the TITLE of a volume, '' for all of them, or --job NAME; one of these")
    if job is None and as_of is not None:
        raise UsageError("files: --as-of goes with --job NAME")
    if job is not None and encoding is not None:
        raise UsageError("files: --encoding is for names in zips on media that were added; it does not go with --job")
    as_of_ns = end_of(as_of)
    with open_named(db) as catalogue:
        if title is not None:
            entries = catalogue.files(title, encoding)
        elif job is not None:
            entries = catalogue.files_as_of(job, as_of_ns)
            for note in notes_on_left_out(catalogue, job, as_of_ns):
                display.say(f"note: {note}")
        print_entries(entries, as_long, as_csv, as_json, with_volume=not title)


@click.command(
    epilog=f"""\b
Examples:
  backalaika remove 2026-11-22_0915-office/vol001
  backalaika remove 2026-11-22_0915-office/vol001 --yes
  backalaika remove 2026-11-22_0915-office         cleans up a run that ended early

{EXIT_STATUS}"""
)
@click.argument("title")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@db_option
def remove(title: str, yes: bool, db: str | None) -> None:
    """Remove the volume TITLE from the catalogue; what is complete on disks or discs is not touched.

    Of a volume that is not complete the unfinished files go too. TITLE may also be a run that ended early, by the
    name of its folder: then all its volumes that are not complete go, and it can no longer be resumed.
    """
    with open_named(db, to_write=True) as catalogue:
        catalogue.mark_abandoned_runs()
        unfinished = catalogue.unfinished(title)
        if unfinished and unfinished.run_state == "running":
            raise CatalogueError(f"{title!r}: its run is still writing; remove it when that has ended")
        if unfinished is None:
            catalogue.check_removable(title)
        if not yes:
            if not display.can_ask():
                raise UsageError(f"{title}: no terminal to ask at whether to remove it; give --yes")
            click.confirm(_question(title, unfinished), abort=True, err=True)
        removed = _clean_up(catalogue, unfinished) if unfinished else catalogue.remove(title)
    entries = f"{removed.files:,} {'entry' if removed.files == 1 else 'entries'}"
    display.say(f"Removed {display.printable(title)}: {entries} in {display.counted(removed.archives, 'archive')}")


def _question(title: str, unfinished: Unfinished | None) -> str:
    name = display.printable(title)
    if unfinished is None:
        return f"Remove {name} from the catalogue?"
    folder = unfinished.run_folder if unfinished.is_run else unfinished.volumes[0][2]
    what = "the unfinished volumes of the run " if unfinished.is_run else ""
    return (
        f"Remove {what}{name} from the catalogue, and delete the unfinished files (*.partial) in "
        f"{display.printable(folder)}?"
    )


def _clean_up(catalogue: Catalogue, unfinished: Unfinished) -> Removed:
    """Remove unfinished files, then what the catalogue has of them; so that, stopped between, it can be done again."""
    from ..run.repair import remove_unfinished, volume_folders

    folder = unfinished.run_folder
    try:
        places = {(number, path) for _, number, path in unfinished.volumes}
        if unfinished.is_run and os.path.isdir(folder):
            complete = catalogue.complete_folders(unfinished.run_id)
            places |= {place for place in volume_folders(folder) if place[1] not in complete}
        stays = [path for number, place in sorted(places) for path in remove_unfinished(place, number)]
        if os.path.isdir(folder) and not os.listdir(folder):
            os.rmdir(folder)
    except OSError as error:
        raise RunError(
            f"{folder}: {error.filename}: {error.strerror}; nothing was removed from the catalogue"
        ) from None
    removed = catalogue.clean_up(unfinished)
    for path in stays:
        display.say(f"  stays: {display.printable(path)}")
    return removed
