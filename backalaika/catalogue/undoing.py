"""Undoing: take back pictures of which the recording was cut off between two pages, as by a process that was killed.

Such a picture is that of a run which is not complete, though a source of it belongs to a tree. Of a tree that it would
have been the first picture of, all goes (`forgetting`). Of another, what it entered goes, and what it ended has not
ended, some entries at a time; listings were not touched yet. Files as which older entries were found again stay so.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, bindparam, delete, or_, select, update

from . import paging
from .database import Database, row_cost
from .owning import Owner, is_running
from .purging import delete_unused
from .rows import COMPLETE, INTERRUPTED, RUNNING
from .schema import entries, runs, sources, trees

_PLACE = (entries.c.folder_id, entries.c.name, entries.c.from_run)


class _Begun(NamedTuple):
    """A picture that is not complete."""

    source_id: int
    run_id: int
    tree_id: int
    last_run: int | None


class Undoing(Database):
    """The part of a catalogue that takes back what was begun."""

    def undo_pictures(self) -> None:
        """Take back all pictures that were begun by processes that are gone; of other hosts, if silent for a day."""
        with self._reading() as connection:
            begun = _cut_off(connection)
        for picture in begun:
            folder: int | None = -1
            while folder is not None:
                with self._writing() as connection:
                    # Another process may have undone it, and gone on with the run, in between.
                    there = picture in _cut_off(connection)
                    folder = _undo_some(connection, picture, folder) if there else None
                if folder is not None:
                    time.sleep(paging.PAUSE_S)


def _cut_off(connection: Connection) -> list[_Begun]:
    asked = (
        select(sources.c.id, sources.c.run_id, sources.c.tree_id, trees.c.last_run)
        .add_columns(runs.c.state, runs.c.host, runs.c.pid, runs.c.pid_seen)
        .join_from(sources, runs, runs.c.id == sources.c.run_id)
        .join(trees, trees.c.id == sources.c.tree_id)
        .where(runs.c.state != COMPLETE)
    )
    begun = []
    for source_id, run_id, tree_id, last_run, state, *owner in connection.execute(asked):
        host, pid, seen = owner
        there = Owner(host, pid, seen)
        if state != RUNNING or there.is_silent or not (there.is_elsewhere or is_running(pid, seen)):
            begun.append(_Begun(source_id, run_id, tree_id, last_run))
    return begun


def _undo_some(connection: Connection, picture: _Begun, folder: int) -> int | None:
    """Take back some of a picture, from a folder on; returns from which one on there may be more, None if none is."""
    size = max(paging.ENTRIES // row_cost(connection), 1)
    is_running_yet = runs.c.id == picture.run_id, runs.c.state == RUNNING
    connection.execute(update(runs).where(*is_running_yet).values(state=INTERRUPTED))
    if picture.last_run is None:  # nothing stands on the tree
        removed = {"job": f"removed {uuid.uuid4()}"}
        connection.execute(update(trees).where(trees.c.id == picture.tree_id).values(removed))
        rows: Sequence[Any] = []
    else:
        changed = or_(entries.c.from_run == picture.run_id, entries.c.until_run == picture.run_id)
        asked = select(*_PLACE).where(entries.c.tree_id == picture.tree_id, entries.c.folder_id >= folder, changed)
        rows = connection.execute(asked.order_by(*_PLACE).limit(size)).all()
        _take_back(connection, picture, rows)
    if len(rows) == size:
        return int(rows[-1].folder_id)
    connection.execute(update(sources).where(sources.c.id == picture.source_id).values(tree_id=None))
    return None


def _take_back(connection: Connection, picture: _Begun, rows: Sequence[Any]) -> None:
    """Delete those of these entries that the run entered; the others are of the newest picture again."""
    of_tree = entries.c.tree_id == picture.tree_id
    same = and_(
        of_tree,
        entries.c.folder_id == bindparam("of_folder"),
        entries.c.name == bindparam("of_name"),
        entries.c.from_run == bindparam("since"),
    )
    new: list[dict[str, Any]] = []
    ended: list[dict[str, Any]] = []
    for folder_id, name, since in rows:
        (new if since == picture.run_id else ended).append({"of_folder": folder_id, "of_name": name, "since": since})
    if new:
        connection.execute(delete(entries).where(same), new)
    if ended:
        connection.execute(update(entries).where(same).values(until_run=None), ended)
    delete_unused(connection, sorted({row["of_folder"] for row in new}))
