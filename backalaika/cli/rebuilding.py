"""``backalaika rebuild``: make a catalogue from volumes."""

from __future__ import annotations

import json
import os
import sys
from typing import NoReturn

import click

from ..errors import UsageError
from ..walk import Problem
from . import display


@click.command(
    epilog="""\b
Examples:
  backalaika rebuild ~/backups                 all volumes in the backup folder
  backalaika rebuild /media/cdrom              the next disc; once for each

\b
Each volume is compared with its sums, and its rows come from its manifest.
Where a source lay, no medium knows: its files are found by their paths in the
archives, such as 2010/clients. A volume that is in the catalogue is left alone.

\b
Exit status: 0 all done; 1 some of it is damaged (it is listed); 2 wrong usage
or configuration; 3 failed; 130 interrupted."""
)
@click.argument("folders", nargs=-1, required=True, metavar="DIR...", type=click.Path())
@click.option("--workers", type=click.IntRange(0, 1000), help="Processes that read; by default one for each CPU.")
@click.option("--db", metavar="URI", help="The catalogue; by default db_uri of ~/.backalaika.")
@click.option("--json", "as_json", is_flag=True, help="Print a report for programs.")
def rebuild(folders: tuple[str, ...], workers: int | None, db: str | None, as_json: bool) -> NoReturn:
    """Enter the volumes in each DIR, or in folders in it, into the catalogue, from what is on them."""
    from ..catalogue import open_catalogue
    from ..job.loading import load_user_config
    from ..rebuilding import Rebuild
    from ..restoring.processes import processes
    from ..restoring.shelf import volume_folders
    from ..run.pool import available_cpus
    from ..run.stopping import StopSignals
    from ..verifying.checking import start_checking
    from .progress import Bar, Lines, RemovalLines

    found = list(dict.fromkeys(place for folder in folders for place in volume_folders(os.path.abspath(folder))))
    if not found:
        raise UsageError(f"{', '.join(folders)}: no volume of Backalaika is there; none has MANIFEST.jsonl.gz")
    config = load_user_config()
    if workers is None:
        workers = available_cpus() if config.workers is None else config.workers
    size = sum(entry.stat().st_size for folder in found for entry in os.scandir(folder) if entry.is_file())
    uri = db or config.db_uri
    with processes(workers, start_checking) as pool, open_catalogue(uri, tell=RemovalLines()) as catalogue:
        watch = Bar if sys.stderr.isatty() else Lines
        with StopSignals() as signals, watch(0, size, False, line=_problem_line) as observer:
            report = Rebuild(catalogue, pool, observer, signals.check).run(found)
    if as_json:
        click.echo(json.dumps(report.as_json()))
    if report.problems:
        display.say(f"\n{len(report.problems):,} problems:")
        for problem in report.problems:
            display.say(f"  {_problem_line(problem)}")
    done = f"{len(report.volumes):,} volumes, {display.files(report.files)}, {display.size(report.bytes)}"
    known = f"; {len(report.known):,} were there already" if report.known else ""
    state = "INTERRUPTED: entered" if report.interrupted else "Entered"
    display.say(f"{state} {done}{known}, in {display.duration(report.seconds)}")
    sys.exit(report.exit_status)


def _problem_line(problem: Problem) -> str:
    return f"damaged: {display.printable(problem.path)}: {display.printable(problem.message)}"
