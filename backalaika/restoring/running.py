"""Running: a restore from its directory to its report, and the processes that do it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from ..errors import RunError, UsageError
from ..run.pool import stop_pool
from ..walk import describe_error
from .giving import Giving, Patience
from .placing import MAIN, Target
from .processes import make_turn, processes
from .report import Needed, Observer, RestoreReport
from .restore import Bring, Restore
from .selecting import Places, Selection
from .shelf import Shelf
from .signs import Signs
from .spreading import spread
from .worker import start_worker
from .writing import NoRoomError


@dataclass(frozen=True, slots=True)
class Destination:
    """Where to restore, and how.

    Attributes:
        root: the directory.
        overwrite: what becomes of files that are there.
        workers: how many processes read and write; 0: this one does, and waits for media as long as they like.
        timeout_s: seconds after which a medium that gives nothing ends the restore.
    """

    root: str
    overwrite: str
    workers: int
    timeout_s: float = 120.0


def plan(selection: Selection, shelf: Shelf, places: Places) -> list[Needed]:
    """The volumes that will be read, in this order; fewest of those that somebody has to bring.

    The selection is rearranged: it takes what is not at hand from volumes that are.
    """
    at_hand = {number for number in selection.volumes if shelf.folder(number) is not None}
    away = {number: work for number, work in selection.volumes.items() if number not in at_hand}
    order = sorted(at_hand)
    if away:
        spread_out, more, _ = spread(away, places, lambda number: shelf.folder(number) is not None)
        for number in away:
            del selection.volumes[number]
        for number, work in spread_out.volumes.items():
            if number in selection.volumes:
                for item in work.items():
                    selection.volumes[number].add(item)
                work.close()
            else:
                selection.volumes[number] = work
        order += [number for number in more if number not in at_hand]
    return [
        Needed(
            shelf.volumes[number].title,
            selection.volumes[number].files,
            selection.volumes[number].bytes,
            shelf.folder(number),
            selection.volumes[number].parts,
        )
        for number in sorted(order, key=lambda number: shelf.folder(number) is None)
    ]


def free_space(root: str) -> int | None:
    """Bytes that are free where a directory is or will be; None if the system does not tell."""
    path = os.path.abspath(root)
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    try:
        return shutil.disk_usage(path).free
    except OSError:
        return None


def run_restore(
    selection: Selection,
    destination: Destination,
    shelf: Shelf,
    places: Places,
    bring: Bring,
    observer: Observer,
    stop: Callable[[], None],
) -> RestoreReport:
    """Restore what is selected.

    Args:
        selection: with its links resolved.
        destination: where to.
        shelf: where volumes are.
        places: other places of contents.
        bring: asks for volumes.
        observer: is told how it goes.
        stop: called often; raises KeyboardInterrupt if the user wants to stop.

    Raises:
        UsageError: the directory cannot be made.
        RunError: the disk is full, or a process was killed.
    """
    root = os.path.abspath(destination.root)
    try:
        os.makedirs(root, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{root}: cannot be made: {describe_error(error)}; give another directory") from None
    token, workers = os.urandom(6).hex(), destination.workers  # `secrets` would load all of OpenSSL
    target = Target(root, destination.overwrite, token + MAIN)
    signs = Signs(2 * workers + 2) if workers else None
    try:
        turn = make_turn() if workers else None
        arguments = root, destination.overwrite, token, signs.name if signs is not None else "", workers, turn
        with processes(workers, start_worker, arguments) as pool:
            patience = None if signs is None else Patience(destination.timeout_s, signs, shelf.title)
            tasks = Giving(pool, stop, patience, observer.advance)
            restore = Restore(target, tasks, workers, shelf, places, bring, observer, stop)
            try:
                restore.run(selection)
            except NoRoomError:
                raise RunError(
                    f"{root}: the disk is full after {restore.report.files:,} files; make room there and give the "
                    "same command again: what is restored already is kept"
                ) from None
            except BrokenProcessPool:
                raise RunError(
                    f"{root}: a process of the restore was killed after {restore.report.files:,} files; give the same "
                    "command again, with fewer --workers if memory is short: what is restored already is kept"
                ) from None
            finally:
                stop_pool(pool, at_once=tasks.has_work)
                restore.finish()
        return restore.report
    finally:
        target.close()
        if signs is not None:
            signs.close()
