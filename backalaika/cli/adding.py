"""``backalaika add``: catalogue media that stand elsewhere, as ``-a`` did in version 0.2."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from contextlib import closing
from typing import TYPE_CHECKING, NoReturn

import click

from ..digests import DIGESTS
from ..errors import CatalogueError, CatalogueFullError, RunError, SourceError, UsageError
from . import display
from .encodings import Encoding

if TYPE_CHECKING:
    from ..reading.report import AddReport, Medium
    from ..reading.watched import WatchedTree
    from ..walk import Problem
    from .progress import Bar, Lines

# Of the archives that are not entered.
_SHOWN = 20


@click.command(
    epilog="""\b
Examples:
  backalaika add 'Holidays 2009' /media/cdrom -d 'in the blue box'
  backalaika add 'Holidays 2009' -n               the mounted disc, without reading files
  backalaika add 'Holidays 2010' holidays.iso     an image of a disc
  backalaika add --each /srv/old-discs            each folder or image there
  backalaika add Letters /media/cdrom --encoding cp866 --depth 2

\b
Archives are entered as if they were directories: zip, tar, tar.gz, tar.bz2,
tar.zst, tar.xz and images of discs (ISO 9660, UDF), whatever their names say.
Interrupted, the same command goes on where it stopped.

\b
Exit status: 0 all done; 1 done, but some of it could not be read (it is
listed); 2 wrong usage or configuration, nothing was recorded; 3 failed, and the
same command goes on; 130 interrupted."""
)
@click.argument("title", required=False)
@click.argument("path", required=False, type=click.Path())
@click.option("-d", "--description", default="", metavar="TEXT", help="What is on it, or where it lies.")
@click.option("-n", "--no-hash", is_flag=True, help="Do not read files: names, sizes and times only.")
@click.option("--depth", default=1, show_default=True, type=click.IntRange(0, 20), help="How deep to enter archives.")
@click.option("--encoding", type=Encoding(), help="Of old names that do not tell theirs; else guessed.")
@click.option("--each", metavar="DIR", type=click.Path(), help="Every folder or image in DIR is a medium.")
@click.option("--digest", type=click.Choice(DIGESTS), help="What names content; by default that of ~/.backalaika.")
@click.option("--workers", type=click.IntRange(0, 1000), help="Processes that read; by default one for each CPU.")
@click.option(
    "--timeout",
    default=120.0,
    show_default=True,
    type=click.FloatRange(0.1),
    help="Seconds to wait for a file or a folder; with --workers 0 for ever.",
)
@click.option("--db", metavar="URI", help="The catalogue; by default db_uri of ~/.backalaika.")
@click.option("--json", "as_json", is_flag=True, help="Print a report for programs, one JSON object for each medium.")
def add(
    title: str | None,
    path: str | None,
    description: str,
    no_hash: bool,
    depth: int,
    encoding: str | None,
    each: str | None,
    digest: str | None,
    workers: int | None,
    timeout: float,
    db: str | None,
    as_json: bool,
) -> NoReturn:
    """Catalogue the medium at PATH, a folder or an image of a disc, as the volume TITLE.

    Without PATH: the one disc or stick that is mounted.
    """
    from ..catalogue.direct import open_to_add
    from ..job.loading import load_user_config
    from ..reading.medium import add_medium
    from ..reading.messages import Settings
    from ..reading.report import FAILED, LEFT_OUT, REFUSED, AddReport
    from ..reading.watched import watched_tree
    from ..run.stopping import StopSignals
    from ..walk import Problem
    from .progress import RemovalLines

    _check_digest(digest)
    media = _media(title, path, description, each)
    config = load_user_config()
    settings = Settings(digest or config.digest, not no_hash, depth, encoding, config.max_ratio, config.max_members)
    workers = _workers(workers, config.workers)
    status = 0
    with closing(open_to_add(db or config.db_uri, RemovalLines())) as catalogue, StopSignals() as signals:
        for medium in media:
            if each is not None and catalogue.has_medium(medium.title, medium.path):
                _show(AddReport(medium.title, medium.path, LEFT_OUT), as_json)
                continue
            try:
                with (
                    watched_tree(medium.path, settings, signals.check, workers, timeout) as tree,
                    _watch(tree, hashing=settings.hashing) as observer,
                ):
                    report = add_medium(catalogue, medium, tree, settings, observer, signals.check, workers, timeout)
            except (SourceError, CatalogueError, UsageError, RunError) as error:
                if each is None or isinstance(error, CatalogueFullError) or getattr(error, "is_full", False):
                    raise
                # One bad disc does not end the pile.
                state = FAILED if isinstance(error, RunError) else REFUSED
                report = AddReport(medium.title, medium.path, state, problems=[Problem(medium.path, str(error))])
            _show(report, as_json)
            status = max(status, report.exit_status)
            if status == 130:
                break
    sys.exit(status)


def _workers(asked: int | None, configured: int | None) -> int:
    from ..run.pool import available_cpus

    wanted = configured if asked is None else asked
    return available_cpus() if wanted is None else wanted


def _check_digest(digest: str | None) -> None:
    if digest == "blake3" and importlib.util.find_spec("blake3") is None:
        raise UsageError("--digest blake3: its library is not installed; pip install 'backalaika[blake3]'")


def _media(title: str | None, path: str | None, description: str, each: str | None) -> list[Medium]:
    from ..reading.mounted import the_one_medium
    from ..reading.report import Medium

    if each is not None:
        if title is not None:
            raise UsageError("--each takes titles from the names of folders; leave out TITLE and PATH")
        return [Medium(os.path.basename(found), found, description, True) for found in _each(each)]
    if not title:
        raise UsageError("add: give a TITLE for the medium, such as: backalaika add 'Holidays 2009' /media/cdrom")
    return [Medium(title, the_one_medium() if path is None else os.path.abspath(path), description)]


def _each(each: str) -> list[str]:
    """Each folder and each image of a disc in a folder."""
    try:
        with os.scandir(os.path.abspath(each)) as entries:
            found = sorted(entry.path for entry in entries if entry.is_dir(follow_symlinks=False) or _is_image(entry))
    except OSError as error:
        raise SourceError(f"{each}: cannot be read: {error.strerror}") from None
    if not found:
        raise SourceError(
            f"{each}: has no folders and no images of discs (.iso, .udf), each of which would be a medium"
        )
    return found


def _is_image(entry: os.DirEntry[str]) -> bool:
    return entry.name.lower().endswith((".iso", ".udf")) and entry.is_file()


def _watch(tree: WatchedTree, hashing: bool) -> Bar | Lines:
    from ..reading.watched import count
    from .progress import Bar, Lines

    if not sys.stderr.isatty():
        return Lines(None, None, can_ask=False, line=_line)
    files, size = count(tree)
    return Bar(files, size if hashing else 0, can_ask=False, line=_line)


def _line(problem: Problem) -> str:
    return f"not read as it should be: {display.printable(problem.path)}: {display.printable(problem.message)}"


def _show(report: AddReport, as_json: bool) -> None:
    from ..reading.report import COMPLETE, FAILED, LEFT_OUT, REFUSED

    if as_json:
        click.echo(json.dumps(report.as_json()))
    title = display.printable(report.title)
    if report.state == LEFT_OUT:
        display.say(f"{title}: is in the catalogue already, and left out")
        return
    if report.state in (FAILED, REFUSED):
        display.say(f"not catalogued: {display.printable(report.problems[0].message)}")
        return
    for note in report.notes:
        display.say(f"note: {display.printable(note.path)}: {display.printable(note.message)}")
    for archive in report.not_entered[:_SHOWN]:
        display.say(f"  not entered: {display.printable(archive.path)}: {archive.kind}")
    if len(report.not_entered) > _SHOWN:
        display.say(f"  and {len(report.not_entered) - _SHOWN:,} more, which --json lists")
    if report.problems:
        number = len(report.problems)
        display.say(f"\n{number:,} problem{'' if number == 1 else 's'}:")
        for problem in report.problems:
            display.say(f"  {_line(problem)}")
    found = f"{display.files(report.files)}, {display.size(report.bytes)}, and {report.members:,} in archives"
    if report.state != COMPLETE:
        display.say(f"INTERRUPTED: {title} is not complete in the catalogue; the same command goes on with it")
        return
    if report.recognised:
        display.say(f"Recognised {display.printable(report.recognised)}: its title is now {title}")
        return
    if report.damaged_copy_of:
        display.say(f"Not catalogued: it is a damaged copy of {display.printable(report.damaged_copy_of)}")
        return
    before = f" ({display.files(report.resumed_files)} were recorded before)" if report.resumed_files else ""
    display.say(f"Catalogued {title}: {found}{before}, in {display.duration(report.seconds)}")
