"""Forgetting: delete the runs of a job, and how its sources were, when nothing of it can be restored any more.

A run may have none of its volumes left and still count: the pictures of later runs stand on what it saw first, and what
it knew by its content lies on volumes of other runs and other jobs. So runs that have a picture stay until the last of
their job: no volume of any is left, none could go on, and no content of their pictures is on any other volume. Then all
of them go in one short transaction, which leaves trees that belong to no run; their entries go some at a time, and
whoever opens the catalogue to write goes on with that.
"""

from __future__ import annotations

import os
import time
import uuid
from typing import Any

from sqlalchemy import Connection, and_, delete, exists, or_, select, update

from . import paging
from .paging import Tell, tell_nobody
from .purging import delete_unused
from .queries import Queries
from .rows import FAILED, INTERRUPTED, RUNNING
from .schema import entries, errors, listings, runs, sources, trees, volumes

_PAGE = 5000
_COUNT = "SELECT COUNT(*) FROM entries WHERE tree_id = :tree"
_DEAD = select(trees.c.id, trees.c.path).where(~exists().where(sources.c.tree_id == trees.c.id))


class Forgetting(Queries):
    """The part of a catalogue that forgets whole jobs."""

    def forget_lost_jobs(self) -> int:
        """Delete the runs of jobs that have pictures of which no content is left; returns how many runs."""
        with self._reading() as connection:
            jobs = list(connection.execute(_without_volumes()).scalars())
        number = 0
        for job in jobs:
            if self._is_lost(job):
                with self._writing() as connection:
                    # One of its runs may have begun meanwhile.
                    if connection.execute(_without_volumes(job)).first():
                        number += _delete_runs(connection, job)
        return number

    def _is_lost(self, job: str) -> bool:
        """Whether there was some content in the pictures of a job, and none of it is on a complete volume."""
        with self._reading() as connection:
            tree_ids = list(connection.execute(select(trees.c.id).where(trees.c.job == job)).scalars())
        sql = (
            "SELECT folder_id, name, from_run, size, digest, file_id FROM entries WHERE tree_id = :tree AND "
            "folder_id >= :folder AND (folder_id > :folder OR name > :name OR (name = :name AND from_run > :run)) "
            f"ORDER BY folder_id, name, from_run LIMIT {_PAGE}"
        )
        was_saved = False
        for tree_id in tree_ids:
            values: dict[str, Any] = {"tree": tree_id, "folder": -1, "name": b"", "run": -1}
            while True:
                with self._looking() as transaction:
                    rows = transaction.ask(sql, values)
                # All empty files have the same content, which says nothing of these.
                contents = {(size, bytes(digest)) for _, _, _, size, digest, _ in rows if size and digest is not None}
                if contents and self.known_digests(contents):
                    return False
                was_saved = was_saved or bool(contents) or any(file_id is not None for *_, file_id in rows)
                if len(rows) < _PAGE:
                    break
                folder, name, run, *_ = rows[-1]
                values |= {"folder": folder, "name": bytes(name), "run": run}
        return was_saved

    def delete_dead_trees(self, tell: Tell = tell_nobody) -> int:
        """Delete entries of trees that belong to no run, and folders to which nothing refers then; returns how many.

        ``tell`` hears how it goes with those of many entries.
        """
        with self._reading() as connection:
            found = connection.execute(_DEAD).all()
        folders = 0
        for tree_id, path in found:
            with self._looking() as transaction:
                ((there,),) = transaction.ask(_COUNT, {"tree": tree_id})
            done, is_last = 0, False
            while not is_last:
                if there > paging.FILES:
                    tell(os.fsdecode(bytes(path)), done, there)
                with self._writing() as connection:
                    number, is_last = _delete_entries(connection, tree_id)
                folders += number
                done += paging.FILES
                if not is_last:
                    time.sleep(paging.PAUSE_S)
        return folders


def _without_volumes(job: str | None = None) -> Any:
    """The jobs, or this one, that have pictures and no volume, and no run that may yet have one."""
    with_volume = select(runs.c.job).join_from(runs, volumes, volumes.c.run_id == runs.c.id)
    may_go_on = select(runs.c.job).where(runs.c.state.in_((RUNNING, INTERRUPTED, FAILED)))
    asked = select(trees.c.job).where(trees.c.last_run.is_not(None)).distinct()
    asked = asked.where(trees.c.job.not_in(with_volume), trees.c.job.not_in(may_go_on))
    return asked if job is None else asked.where(trees.c.job == job)


def _delete_runs(connection: Connection, job: str) -> int:
    """Delete all runs of a job; its trees are of no job from then on."""
    ids = list(connection.execute(select(runs.c.id).where(runs.c.job == job)).scalars())
    for run_id in ids:
        delete_run(connection, run_id)
    values = {"job": f"removed {uuid.uuid4()}", "last_run": None}
    connection.execute(update(trees).where(trees.c.job == job).values(values))
    return len(ids)


def delete_run(connection: Connection, run_id: int) -> None:
    """Delete a run that has no volume and no picture, or whose picture goes too."""
    connection.execute(delete(errors).where(errors.c.run_id == run_id))
    connection.execute(delete(sources).where(sources.c.run_id == run_id))
    connection.execute(delete(runs).where(runs.c.id == run_id))


def _delete_entries(connection: Connection, tree_id: int) -> tuple[int, bool]:
    """Delete some entries of a tree, with the last of them the tree; returns how many folders, and whether it is so."""
    of_tree = entries.c.tree_id == tree_id
    order = entries.c.folder_id, entries.c.name
    last = connection.execute(select(*order).where(of_tree).order_by(*order).offset(paging.FILES - 1).limit(1)).first()
    which, listed = of_tree, listings.c.tree_id == tree_id
    if last is not None:
        same_folder = and_(entries.c.folder_id == last.folder_id, entries.c.name <= last.name)
        which = and_(of_tree, or_(entries.c.folder_id < last.folder_id, same_folder))
        listed = and_(listed, listings.c.folder_id < last.folder_id)
    # A source's own folder may have no entry.
    folder_ids = set(connection.execute(select(entries.c.folder_id).where(which).distinct()).scalars())
    folder_ids.update(connection.execute(select(listings.c.folder_id).where(listed)).scalars())
    connection.execute(delete(entries).where(which))
    connection.execute(delete(listings).where(listed))
    if last is None:
        connection.execute(delete(trees).where(trees.c.id == tree_id))
    return delete_unused(connection, sorted(folder_ids)), last is None
