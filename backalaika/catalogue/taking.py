"""Taking: a run enters how its sources were, and that it is complete.

Most runs do that by one transaction. Others wait for it, so where much has changed, as at a first run, what was written
so far is entered now and then. Nobody sees of it before the end: an entry counts for its run and those after it only,
the newest picture is told from the last run of the tree, and listings are changed at the end. Until then the run's
sources belong to their trees already, though it is not complete. That marks a picture that is begun: no other run
begins one of the same tree, and where the process dies, whoever opens the catalogue to write takes it back (`undoing`).
"""

from __future__ import annotations

from collections.abc import Sequence

from .changes import Recorded, SourcePicture, SourceRecording
from .paging import Pausing
from .results import Tree
from .rows import COMPLETE
from .transaction import Transaction

_BEGUN = (
    "SELECT s.tree_id FROM sources s JOIN runs r ON r.id = s.run_id WHERE s.tree_id IS NOT NULL AND r.state <> :state"
)


def record_picture(
    transaction: Pausing, run_id: int, source_ids: Sequence[int], sources: Sequence[SourcePicture]
) -> Recorded:
    """Record the picture of a run, whose volumes are all complete.

    Args:
        transaction: may pause; its end enters the run as complete.
        run_id: the run.
        source_ids: of its sources, in their order.
        sources: what was found at each.
    """
    recorded = Recorded()
    job = transaction.ask("SELECT job FROM runs WHERE id = :run", {"run": run_id})[0][0]
    begun = []
    for found in sources:
        tree_id = _begin(transaction, run_id, job, found)
        if tree_id is None:
            recorded.overtaken = True
            continue
        source_id = source_ids[found.source]
        transaction.change("UPDATE sources SET tree_id = :tree WHERE id = :id", {"tree": tree_id, "id": source_id})
        begun.append(SourceRecording(transaction, run_id, source_id, tree_id, found, recorded))
    for recording in begun:
        recording.record()
    for recording in begun:
        recorded.add(recording.finish())
    return recorded


def _begin(transaction: Pausing, run_id: int, job: str, found: SourcePicture) -> int | None:
    """The tree of a source, made if it is new; None if another run has recorded, or is recording, a later picture."""
    before = transaction.ask(
        "SELECT id, last_run, removals, path FROM trees WHERE job = :job ORDER BY id", {"job": job}
    )
    tree = next((Tree(*row) for *row, path in before if bytes(path) == found.path), None)
    if tree is None:
        return transaction.insert("trees", {"job": job, "path": found.path, "removals": 0})
    if found.tree is None or found.tree.last_run != tree.last_run or tree.last_run >= run_id:
        return None
    return None if (tree.id,) in transaction.ask(_BEGUN, {"state": COMPLETE}) else tree.id


def has_begun_picture(transaction: Transaction) -> bool:
    """Whether a picture is begun, by whoever that may be."""
    return bool(transaction.ask(_BEGUN, {"state": COMPLETE}))
