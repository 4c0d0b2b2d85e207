"""Taking: a run enters how its sources were, and that it is complete.

Most runs do that by one transaction. Others wait for it, so where much has changed, as at a first run, what was written
so far is entered now and then. Nobody sees of it before the end: an entry counts for its run and those after it only,
the newest picture is told from the last run of the tree, and listings are changed at the end. Until then the run's
sources belong to their trees already, though it is not complete. That marks a picture that is begun: no other run
begins one of the same tree, and where the process dies, whoever opens the catalogue to write takes it back (`undoing`).
After each pause the process enters that it is at work, and looks whether it was taken for dead meanwhile.

Hashes of listings are all entered by the last transaction. That takes long where nearly all of a large source are new,
as after a volume was removed: with a million folders, others wait for a minute or two.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from ..errors import CatalogueError
from .changes import Recorded, SourcePicture, SourceRecording
from .owning import Owner
from .paging import Pausing
from .results import Tree
from .rows import COMPLETE, RUNNING
from .transaction import Transaction


def record_picture(
    transaction: Pausing, run_id: int, source_ids: Sequence[int], sources: Sequence[SourcePicture]
) -> Recorded:
    """Record the picture of a run, whose volumes are all complete.

    Args:
        transaction: may pause; its end enters the run as complete.
        run_id: the run.
        source_ids: of its sources, in their order.
        sources: what was found at each.

    Raises:
        CatalogueError: another process has taken the picture back.
    """
    recorded = Recorded()
    job = transaction.ask("SELECT job FROM runs WHERE id = :run", {"run": run_id})[0][0]
    transaction.check_after_pauses(_claim(transaction, run_id))
    asked = "SELECT path, id, last_run, removals FROM trees WHERE job = :job ORDER BY id DESC"
    trees = {bytes(path): Tree(*row) for path, *row in transaction.ask(asked, {"job": job})}
    owners = begun_pictures(transaction)
    begun: list[SourceRecording] = []
    pictured: set[bytes] = set()
    for found in sources:
        if found.path in pictured:  # a job may save it in two formats
            continue
        pictured.add(found.path)
        tree = trees.get(found.path)
        if tree is not None and (tree.id in owners or _is_overtaken(tree, run_id, found)):
            recorded.overtaken = True
            recorded.begun_by = owners.get(tree.id, recorded.begun_by)
            continue
        new = {"job": job, "path": found.path, "removals": 0}
        tree_id = transaction.insert("trees", new) if tree is None else tree.id
        source_id = source_ids[found.source]
        transaction.change("UPDATE sources SET tree_id = :tree WHERE id = :id", {"tree": tree_id, "id": source_id})
        begun.append(SourceRecording(transaction, run_id, source_id, tree_id, found, recorded))
    for recording in begun:
        recording.record()
    for recording in begun:
        recorded.add(recording.finish())
    return recorded


def _is_overtaken(tree: Tree, run_id: int, found: SourcePicture) -> bool:
    """Whether another run has recorded a picture since the sources were compared."""
    return found.tree is None or found.tree.last_run != tree.last_run or tree.last_run >= run_id


def _claim(transaction: Pausing, run_id: int) -> Callable[[], None]:
    """Enter that the run is at work; returns what does so again.

    Both raise CatalogueError if another process took this one for dead.
    """
    at_work = "UPDATE runs SET pid_seen = :now WHERE id = :run AND state = :running AND host = :host AND pid = :pid"
    # As it was called when the run began: a computer may get another name meanwhile.
    ((host,),) = transaction.ask("SELECT host FROM runs WHERE id = :run", {"run": run_id})
    values = {"run": run_id, "running": RUNNING, "host": host, "pid": os.getpid()}

    def check() -> None:
        if not transaction.change(at_work, values | {"now": time.time()}):
            raise CatalogueError(
                "another process took this one for dead, as if the clock was set or two computers have one name, and "
                "has taken back how the sources were; what is saved stays: go on with --resume"
            )

    check()
    return check


def begun_pictures(transaction: Transaction) -> dict[int, Owner]:
    """The trees of which a picture is begun, and by whom.

    Nearly all runs are complete. Their sources, which have no index by run, are looked through only if some are not.
    """
    asked = "SELECT id, host, pid, pid_seen FROM runs WHERE state <> :state"
    owners = {run_id: Owner(*owner) for run_id, *owner in transaction.ask(asked, {"state": COMPLETE})}
    of_runs = "SELECT tree_id, run_id FROM sources WHERE tree_id IS NOT NULL AND run_id IN :keys"
    return {tree_id: owners[run_id] for tree_id, run_id in transaction.ask_among(of_runs, list(owners))}
