"""``backalaika restore``: bring files back, from whatever discs they lie on."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import click

from ..errors import RunError, UsageError
from ..walk import Problem
from . import display
from .leaving import wait_for_nobody
from .questions import end_of

if TYPE_CHECKING:
    from ..catalogue import Catalogue
    from ..catalogue.state import State
    from ..restoring.asking import Asking
    from ..restoring.items import Item
    from ..restoring.report import Needed, RestoreReport
    from ..restoring.restore import Bring
    from ..restoring.selecting import Places, Selection
    from ..restoring.shelf import Shelf
    from .progress import Bar, Lines

_SHOWN = 20


class _Wanted(NamedTuple):
    """What the command line asks for."""

    paths: tuple[str, ...]
    job: str | None
    as_of_ns: int | None
    volume: str | None
    digest: bytes | None
    folders: tuple[str, ...]


class _Source(NamedTuple):
    """Where it is restored from."""

    selection: Selection
    shelf: Shelf
    places: Places
    problems: list[Problem]
    notes: list[str]


@click.command(
    epilog="""\b
Examples:
  backalaika restore /home/nando/2010/offer.odt --to /tmp/back
  backalaika restore /home/nando/2010 --as-of 2026-11-22 --to /tmp/back
  backalaika restore --job nandos-work --to /srv/back --dry-run
  backalaika restore --volume 2026-11-22_0915-office/vol001 --to /srv/back
  backalaika restore --volume 'Photos 2003' 'may.zip!/1.jpg' --to /tmp/back
  backalaika restore --from /media/cdrom --to /srv/back      with no catalogue

\b
In DIR every path starts with the last folder name of its source, as in the
archives: DIR/2010/offer.odt. Volumes that are still in the backup folder are
read there; the others are asked for, one after another, and known by what is
on them, wherever they are mounted.

\b
Exit status: 0 all done; 1 done, but some files could not be restored (they
are listed); 2 wrong usage or configuration; 3 media were missing, one hung,
or it failed; 130 interrupted."""
)
# No click.Path, which would look at them and wait for a drive that hangs.
@click.argument("paths", nargs=-1)
@click.option("--to", "target", metavar="DIR", type=click.Path(), help="The directory to restore to.")
@click.option("--job", metavar="NAME", help="All sources of this job; or PATHs as this job saved them.")
@click.option("--as-of", metavar="DATE", help="As it was then: 2026-11-22 (the end of that day), '2026-11-22 09:15'.")
@click.option("--volume", metavar="TITLE", help="All that is on this volume, or PATHs as 'files' shows them there.")
@click.option("--digest", metavar="HEX", help="A file with this content.")
@click.option("--from", "folders", multiple=True, metavar="DIR", help="Where volumes are, or an image; repeatable.")
@click.option(
    "--overwrite",
    type=click.Choice(["never", "older", "always"]),
    default="never",
    show_default=True,
    help="Which files that are there may be replaced.",
)
@click.option("--dry-run", is_flag=True, help="List the volumes needed, and write nothing.")
@click.option("-y", "--yes", is_flag=True, help="Ask nothing: start at once, and do without media that are not there.")
@click.option("--workers", type=click.IntRange(0, 1000), help="Processes that read and write; by default one a CPU.")
@click.option(
    "--timeout",
    default=120.0,
    show_default=True,
    type=click.FloatRange(0.1),
    help="Seconds after which a medium that gives nothing ends the restore; with --workers 0 it waits for ever.",
)
@click.option("--db", metavar="URI", help="The catalogue; by default db_uri of ~/.backalaika.")
@click.option("--json", "as_json", is_flag=True, help="Print a report for programs.")
def restore(
    paths: tuple[str, ...],
    target: str | None,
    job: str | None,
    as_of: str | None,
    volume: str | None,
    digest: str | None,
    folders: tuple[str, ...],
    overwrite: str,
    dry_run: bool,
    yes: bool,
    workers: int | None,
    timeout: float,
    db: str | None,
    as_json: bool,
) -> NoReturn:
    """Restore files and folders by the PATH where they were saved, or a job's sources, or a volume, into DIR."""
    from ..job.loading import load_user_config
    from ..restoring.running import Destination, plan
    from ..run.pool import available_cpus
    from ..run.stopping import StopSignals

    wanted = _wanted(paths, job, as_of, volume, digest, folders)
    if target is None and not dry_run:
        raise UsageError("restore: say where to: --to DIR")
    config = load_user_config()
    if workers is None:
        workers = available_cpus() if config.workers is None else config.workers
    with _asking(timeout if workers else None) as asking, ExitStack() as stack:
        source = _source(wanted, db or config.db_uri, asking, stack)
        needed = plan(source.selection, source.shelf, source.places)
        if not source.selection and not source.selection.links:
            raise UsageError("restore: there is nothing to restore in what was asked for")
        if dry_run or target is None:
            _show_plan(source.selection, needed, as_json)
            sys.exit(0)
        can_ask = display.can_ask() and not yes
        if can_ask and not as_json:
            _confirm(source.selection, needed, os.path.abspath(target))
        destination = Destination(target, overwrite, workers, timeout)
        signals = stack.enter_context(StopSignals())
        asking.stop = signals.check
        report = _run(source, destination, wanted.folders, can_ask, as_json, signals)
    if report.is_stuck:
        wait_for_nobody()
    sys.exit(report.exit_status)


@contextmanager
def _asking(timeout_s: float | None) -> Iterator[Asking]:
    """Who asks for what is on media.

    Raises:
        RunError: one hangs, and nothing is restored yet.
    """
    from ..restoring.asking import Asking, HangsError

    asking = Asking(timeout_s)
    try:
        with asking:
            yield asking
    except HangsError as error:
        raise RunError(
            f"{error.medium}: {error}; nothing was restored; give the same command again with the medium in another "
            "drive, or with a copy of it (--from DIR)"
        ) from None
    finally:
        if asking.is_stuck:
            wait_for_nobody()


def _wanted(
    paths: tuple[str, ...],
    job: str | None,
    as_of: str | None,
    volume: str | None,
    digest: str | None,
    folders: tuple[str, ...],
) -> _Wanted:
    """What is asked for, once and not twice.

    Raises:
        UsageError: nothing, too much, or not to be understood.
    """
    if (volume is not None and (job or as_of or digest)) or (digest and (paths or job or as_of)):
        raise UsageError("restore: --volume, with PATHs or not, and --digest stand alone; leave out the others")
    if not (paths or job or volume or digest or folders):
        raise UsageError("restore: say what: PATHs, --job NAME, --volume TITLE, --digest HEX, or --from DIR")
    if as_of and not paths and not job:
        raise UsageError("restore: --as-of goes with PATHs or with --job NAME")
    content = None
    if digest is not None:
        try:
            content = bytes.fromhex(digest)
        except ValueError:
            raise UsageError(f"{digest}: is no digest; give it in hexadecimal, as xxhsum -H2 prints it") from None
    return _Wanted(paths, job, end_of(as_of), volume, content, folders)


def _source(wanted: _Wanted, db_uri: str, asking: Asking, stack: ExitStack) -> _Source:
    """The selection, from the catalogue, or from manifests where there is none or nothing else is asked for."""
    for folder in wanted.folders:
        if not asking.is_folder(folder) and not asking.is_image(folder):
            raise UsageError(f"{folder}: is no folder and no image of a disc; give the place where the medium is")
    by_folders_alone = bool(wanted.folders) and not (wanted.job or wanted.volume or wanted.digest or wanted.as_of_ns)
    if by_folders_alone and (not wanted.paths or not _exists(db_uri)):
        return _by_manifests(wanted, asking)
    if not _exists(db_uri):
        raise UsageError("restore: there is no catalogue yet; with --from DIR the manifests of volumes do")
    try:
        return _by_catalogue(wanted, db_uri, asking, stack)
    except UsageError:
        if not by_folders_alone:
            raise
    return _by_manifests(wanted, asking)


def _exists(db_uri: str) -> bool:
    from ..catalogue.direct import direct_path

    if direct_path(db_uri) is not None:
        return True
    from ..catalogue.opening import catalogue_exists

    return catalogue_exists(db_uri)


def _by_catalogue(wanted: _Wanted, db_uri: str, asking: Asking, stack: ExitStack) -> _Source:
    """Where the catalogue is an SQLite file, what most ask for is found without SQLAlchemy, in half the time."""
    from ..catalogue import REVISION
    from ..catalogue.direct import open_directly
    from ..restoring import by_volume, selecting
    from ..restoring.shelf import Shelf

    @lru_cache(maxsize=1)
    def full() -> Catalogue:
        from ..catalogue import open_catalogue

        return stack.enter_context(open_catalogue(db_uri, to_write=False))

    def places(items: list[Item]) -> dict[Item, dict[int, Item]]:
        return selecting.places_by_catalogue(full())(items)

    direct = open_directly(db_uri, REVISION) if wanted.volume is None and wanted.digest is None else None
    if direct is not None:
        stack.callback(direct.close)
    catalogue: State = full() if direct is None else direct
    if wanted.volume is not None:
        selection = by_volume.select_volume(full(), wanted.volume, [os.fsencode(path) for path in wanted.paths])
        _tell_parts(selecting.part_with_whole(selection))
    elif wanted.digest is not None:
        selection = selecting.select_digest(full(), wanted.digest)
    else:
        paths = [os.fsencode(os.path.abspath(path)) for path in wanted.paths]
        selection = selecting.select_state(catalogue, wanted.job, wanted.as_of_ns, paths)
    selecting.resolve_links(selection, selecting.find_by_catalogue(catalogue))
    shelf = Shelf(catalogue.complete_volumes(), catalogue.volumes_with_archives, wanted.folders, asking)
    notes: list[str] = []
    if wanted.folders:
        for number, folder in by_volume.media_in(wanted.folders, selection, catalogue, asking, notes.append).items():
            shelf.take(number, folder)
    if wanted.volume is not None and wanted.folders:
        shelf.believe(wanted.volume, wanted.folders[0])
    from .runs import notes_on_left_out

    if wanted.job is not None:
        notes += notes_on_left_out(catalogue, wanted.job, wanted.as_of_ns)
    for note in notes:
        display.say(f"note: {note}")
    return _Source(selection, shelf, places, [], notes)


def _by_manifests(wanted: _Wanted, asking: Asking) -> _Source:
    from ..restoring import by_manifests, selecting
    from ..restoring.shelf import Shelf, volume_folders

    folders = list(dict.fromkeys(found for folder in wanted.folders for found in volume_folders(folder, asking)))
    if not folders:
        raise UsageError(f"{', '.join(wanted.folders)}: no volume of Backalaika is there; none has MANIFEST.jsonl.gz")

    problems: list[Problem] = []

    def warn(path: str, message: str) -> None:
        problem = Problem(path, message)
        problems.append(problem)
        display.say(_problem_line(problem))

    paths = [os.fsencode(path) for path in wanted.paths]
    selection, volumes = by_manifests.select_manifests(folders, paths, warn, asking)
    _tell_parts(selecting.part_with_whole(selection))
    selecting.resolve_links(selection, by_manifests.find_by_manifests(volumes, asking))
    shelf, places = Shelf(volumes, None, asking=asking), by_manifests.places_by_manifests(volumes, asking)
    return _Source(selection, shelf, places, problems, [])


def _tell_parts(places: list[bytes]) -> None:
    for place in places[:_SHOWN]:
        name = display.printable(os.fsdecode(place))
        display.say(f"note: {name} is a part of a file whose other parts are on other volumes; cat joins them")
    if len(places) > _SHOWN:
        display.say(f"note: and {len(places) - _SHOWN:,} more parts")


def _show_plan(selection: Selection, needed: list[Needed], as_json: bool) -> None:
    if as_json:
        volumes = [one.as_json() for one in needed]
        click.echo(json.dumps({"files": selection.files, "bytes": selection.bytes, "volumes": volumes}))
        return
    away = sum(one.folder is None for one in needed)
    click.echo(f"To restore: {display.files(selection.files)}, {display.size(selection.bytes)}")
    click.echo(f"Volumes needed: {len(needed):,}, of which {away:,} must be brought")
    for one in needed:
        click.echo(f"  {_line_of(one)}")


def _line_of(needed: Needed) -> str:
    title = display.printable(needed.title)
    where = "to be brought" if needed.folder is None else "here"
    if needed.folder is not None and not needed.folder.endswith(needed.title):
        where = f"in {display.printable(needed.folder)}"
    return f"{_amount_of(needed)}  {title}  {where}"


def _amount_of(needed: Needed) -> str:
    """What is wanted from a volume, for a table; of a file that begins on another one, it has a part."""
    some = [display.files(needed.files)] if needed.files else []
    some += [display.counted(needed.parts, "part")] if needed.parts else []
    return f"{', '.join(some) or 'folders only':>22}  {display.size(needed.bytes):>8}"


def _confirm(selection: Selection, needed: list[Needed], target: str) -> None:
    from ..restoring.running import free_space

    display.say(f"Restore {display.files(selection.files)}, {display.size(selection.bytes)}, to {target}")
    for one in needed[:_SHOWN]:
        display.say(f"  {_line_of(one)}")
    if len(needed) > _SHOWN:
        display.say(f"  and {len(needed) - _SHOWN:,} more volumes")
    free = free_space(target)
    if free is not None:
        display.say(f"Free     {display.size(free)}{'  TOO LITTLE' if free < selection.bytes else ''}")
    click.prompt("Press Enter to start, CTRL-C to leave", default="", show_default=False, prompt_suffix=" ", err=True)


def _run(
    source: _Source, destination: Any, folders: tuple[str, ...], can_ask: bool, as_json: bool, signals: Any
) -> RestoreReport:
    from ..restoring.running import run_restore
    from .progress import Bar, Lines

    selection = source.selection
    watch = Bar if sys.stderr.isatty() else Lines
    with watch(selection.files, selection.bytes, can_ask, line=_problem_line) as observer:
        bring = _bring(source.shelf, folders, observer) if can_ask else _nobody
        if can_ask:
            bring = _interruptibly(bring, signals)
        report = run_restore(selection, destination, source.shelf, source.places, bring, observer, signals.check)
    report.problems[:0] = source.problems
    report.notes[:0] = source.notes
    if as_json:
        click.echo(json.dumps(report.as_json()))
    _show(report)
    return report


def _nobody(order: list[int]) -> None:
    """There is nobody to ask."""


def _interruptibly(bring: Bring, signals: Any) -> Bring:
    def ask(order: list[int]) -> int | None:
        with signals.interruptible():
            return bring(order)

    return ask


def _bring(shelf: Shelf, folders: tuple[str, ...], observer: Bar | Lines) -> Bring:
    """Asks for a volume until one of those that are needed is there."""
    from ..reading.mounted import mounted_media
    from ..restoring.asking import HangsError

    def bring(order: list[int]) -> int | None:
        title = display.printable(shelf.volumes[order[0]].title)
        more = f" ({len(order) - 1:,} more after it)" if len(order) > 1 else ""
        while True:
            answer = observer.ask(
                f"Wanted: the volume {title}{more}. Mount it and press Enter, or type the folder where it is, "
                "or s to go on without it:"
            )
            if answer.lower() in ("s", "skip"):
                return None
            places = [answer] if answer else [*folders, *mounted_media()]
            try:
                seen = [one for place in places for one in shelf.look(place)]
                here = next((number for number in order if shelf.folder(number) is not None), None)
                if here is not None:
                    return here
                is_stranger = not seen and shelf.volumes[order[0]].run_id is None
                if answer and is_stranger and shelf.asking.is_folder(answer):
                    shelf.take(order[0], os.path.abspath(answer))  # a medium that this program did not write
                    return order[0]
            except HangsError as error:
                observer.note(f"{error.medium}: {error}")
                continue
            for one in seen:
                observer.note(f"In {one.folder} is {one.title}, which is not needed.")
            if not seen:
                where = answer or "any folder of --from or any medium that is mounted"
                observer.note(f"There is no volume of Backalaika in {where}.")

    return bring


def _problem_line(problem: Problem) -> str:
    return f"not restored as it should be: {display.printable(problem.path)}: {display.printable(problem.message)}"


def _show(report: RestoreReport) -> None:
    if report.problems:
        display.say(f"\n{display.counted(len(report.problems), 'problem')}:")
        for problem in report.problems:
            display.say(f"  {_problem_line(problem)}")
    if report.missing:
        verb = "is" if len(report.missing) == 1 else "are"
        display.say(f"\n{display.counted(len(report.missing), 'volume')} {verb} missing:")
        for needed in report.missing:
            display.say(f"  {_amount_of(needed)}  {display.printable(needed.title)}")
        again = "it is there, with --from DIR for where it is" if verb == "is" else (
            "they are there, with --from DIR for where they are"
        )  # fmt: skip
        display.say(f"Give the same command again when {again}.")
    if report.hung is not None:
        display.say(
            "\nThe medium hangs; what was restored stays. The same command goes on with the rest, with the medium in "
            "another\ndrive or with a copy of it (--from DIR for where it is). If neither is mounted, what other "
            "volumes have\nis taken from them."
        )
    if report.kept:
        stays = "was there already and stays as it is" if report.kept == 1 else (
            "were there already and stay as they are"
        )  # fmt: skip
        display.say(f"{display.files(report.kept)} {stays}; see --overwrite")
    done = f"{display.files(report.files)}, {display.size(report.bytes)}"
    where = display.printable(report.target)
    if report.state == "interrupted":
        # Of what processes were at, nobody has heard.
        display.say(f"INTERRUPTED: restored {done} or more to {where}; the same command goes on")
        return
    state = "Restored" if report.state == "complete" else "INCOMPLETE: restored"
    display.say(f"{state} {done} to {where} in {display.duration(report.seconds)}")
