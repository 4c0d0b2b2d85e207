"""``backalaika verify``: are volumes still what was written?"""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, NoReturn

import click

from ..errors import UsageError
from ..walk import Problem
from . import display

if TYPE_CHECKING:
    from ..catalogue import Catalogue
    from ..restoring.shelf import Shelf
    from ..verifying.finding import ToCheck
    from ..verifying.verify import VerifyReport

_SHOWN = 5


@click.command(
    epilog="""\b
Examples:
  backalaika verify                                   all volumes that are here
  backalaika verify /media/cdrom                      the disc in the drive
  backalaika verify 2026-11-22_0915-office/vol001 --deep
  backalaika verify /media/cdrom --repair --to ~/whole

\b
All files of a volume are compared with SUMS.xxh128 and with the catalogue, and
the manifest with the catalogue; of a damaged archive it is told which files
are lost. The catalogue then knows when a volume was last seen whole, or
damaged, and 'volumes' shows it.

\b
A volume with PAR2 recovery files can be repaired by them: of a damaged one it
is told whether they suffice. --repair makes a copy of it and repairs that; the
volume itself is only read.

\b
Exit status: 0 all whole, or the repaired copy is; 1 something is damaged (it is
listed); 2 wrong usage or configuration; 3 a volume is not here, or it failed;
130 interrupted."""
)
@click.argument("volumes", nargs=-1, metavar="[TITLE|FOLDER]...")
@click.option("--deep", is_flag=True, help="Decode every file in the archives, and compare its digest.")
@click.option("--repair", is_flag=True, help="If the volume is damaged, make a copy of it whole by its recovery files.")
@click.option(
    "--to", "target", metavar="DIR", type=click.Path(), help="With --repair: where the copy is to be; a new folder."
)
@click.option(
    "--from", "folders", multiple=True, metavar="DIR", type=click.Path(), help="Where volumes are; repeatable."
)
@click.option("--workers", type=click.IntRange(0, 1000), help="Processes that read; by default one for each CPU.")
@click.option("--db", metavar="URI", help="The catalogue; by default db_uri of ~/.backalaika.")
@click.option("--json", "as_json", is_flag=True, help="Print a report for programs, one JSON object for each volume.")
def verify(
    volumes: tuple[str, ...],
    deep: bool,
    repair: bool,
    target: str | None,
    folders: tuple[str, ...],
    workers: int | None,
    db: str | None,
    as_json: bool,
) -> NoReturn:
    """Check volumes, by TITLE or in a FOLDER; without either, all of the catalogue that are here."""
    from ..job.loading import load_user_config
    from ..restoring.processes import processes
    from ..run.pool import available_cpus
    from ..run.stopping import StopSignals
    from ..verifying.checking import start_checking
    from ..verifying.finding import Finding
    from ..verifying.verify import Verify
    from .progress import Bar, Lines
    from .repairing import check_repair, repaired

    if repair is (target is None):
        raise UsageError("verify: --repair and --to DIR belong together; the copy comes into DIR")
    config = load_user_config()
    if workers is None:
        workers = available_cpus() if config.workers is None else config.workers
    watch = Bar if sys.stderr.isatty() else Lines
    status = 0
    with ExitStack() as stack:
        catalogue = _catalogue(db or config.db_uri, stack)
        finding = Finding(_shelf(catalogue, folders), catalogue, folders)
        found = finding.named(volumes) if volumes else finding.all()
        if not volumes and not found.volumes:
            raise UsageError("verify: no volume is here; name a FOLDER, or give --from DIR")
        _check_single(repair, len(found.volumes) + len(found.missing))
        program = "" if target is None else check_repair(target, found.volumes)
        pool = stack.enter_context(processes(workers, start_checking))
        signals = stack.enter_context(StopSignals())
        for folder, volume in found.volumes.items():
            with watch(*_count(folder), False, line=_problem_line) as observer:
                check = Verify(folder, volume, catalogue, pool, workers, observer, signals.check)
                report = check.run(deep)
                copied = None
                if target is not None and report.problems and report.state != "interrupted":
                    again = (volume, catalogue, pool, workers)
                    copied = repaired(check, target, program, again, observer, signals, deep)
            if as_json:
                click.echo(json.dumps(report.as_json() | (copied.as_json() if copied else {})))
            _show(report)
            if copied is not None:
                copied.show()
            status = max(status, report.exit_status if copied is None else copied.exit_status)
            if status == 130:
                sys.exit(130)
    _show_missing(found)
    sys.exit(3 if found.missing else status)


def _catalogue(uri: str, stack: ExitStack) -> Catalogue | None:
    """The catalogue, open as long as the stack is; None if there is none."""
    from ..catalogue.opening import catalogue_exists

    if not catalogue_exists(uri):
        return None
    from ..catalogue import open_catalogue

    return stack.enter_context(open_catalogue(uri, to_write=False))


def _show_missing(found: ToCheck) -> None:
    for title, why in found.missing.items():
        display.say(
            f"{display.printable(title)}: {display.printable(why)}; mount it, and give --from DIR for where it is"
        )
    if found.away:
        some = ", ".join(map(display.printable, found.away[:_SHOWN]))
        more = f" and {len(found.away) - _SHOWN:,} more" if len(found.away) > _SHOWN else ""
        display.say(f"note: not here, and not checked: {some}{more}")


def _check_single(repair: bool, volumes: int) -> None:
    if repair and volumes != 1:
        raise UsageError(f"verify: --repair takes one volume, and {volumes} are meant; name one")


def _shelf(catalogue: Catalogue | None, folders: tuple[str, ...]) -> Shelf:
    from ..restoring.shelf import Shelf

    for folder in folders:
        if not os.path.isdir(folder):
            raise UsageError(f"{folder}: is no folder; give the place where the medium is mounted")
    if catalogue is None:
        return Shelf({}, lambda digests: {}, folders)
    return Shelf(catalogue.complete_volumes(), catalogue.volumes_with_archives, folders)


def _count(folder: str) -> tuple[int, int]:
    files = size = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    files, size = files + 1, size + entry.stat(follow_symlinks=False).st_size
    except OSError:
        return files, size  # only the bar needs them; the check tells what cannot be read
    return files, size


def _problem_line(problem: Problem) -> str:
    return f"damaged: {display.printable(problem.path)}: {display.printable(problem.message)}"


def _show(report: VerifyReport) -> None:
    for note in report.notes:
        display.say(f"note: {display.printable(note)}")
    title = display.printable(report.title or report.folder)
    if report.recovery is not None:
        display.say(f"recovery: {report.recovery.line()}")
    done = f"{display.files(report.files)}, {display.size(report.bytes)}"
    if report.members:
        done += f", {display.counted(report.members, 'member')}"
    took = display.duration(report.seconds)
    if report.state == "interrupted":
        display.say(f"INTERRUPTED: {title}: checked {done}")
    elif report.problems:
        problems = display.counted(len(report.problems), "problem")
        display.say(f"DAMAGED: {title}: {problems} in {done}, in {took}; see above")
    elif report.without_digest:
        display.say(f"Whole as far as sizes tell: {title}: {done}, in {took}")
    else:
        display.say(f"Whole: {title}: {done}, in {took}")
