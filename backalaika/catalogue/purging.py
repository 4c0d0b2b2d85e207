"""Purging: delete the rows of volumes that were removed, some at a time, so that nobody waits long who wants to write.

Each page is a transaction, at whose end no row belongs to nothing: what makes its files known goes with them, and so
do the folders to which nothing refers any more. The volume itself goes last. So a removal may be cut off anywhere, and
whoever opens the catalogue to write goes on with it, unless the process that removes is still at it.
"""

from __future__ import annotations

import time

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, delete, exists, func, select

from .database import CoreTransaction, Database, execute_many
from .names import forget_names
from .owning import Owner
from .rows import REMOVING, Removed
from .schema import archives, entries, files, folders, frames, known, name_lists, trees, troubles, volumes
from .transaction import chunks

# At 50,000 rows a second others wait for two seconds.
_FILES = 100_000
_LISTS = 2000
_ARCHIVES = 2000
# SQLite's waiting writers look every 100 ms at least whether it is their turn; without a pause they never find it.
_PAUSE_S = 0.12
_KNOWN_AT_A_TIME = 5000


class Purging(Database):
    """The part of a catalogue that deletes what was removed."""

    def purge(self, volume_id: int) -> Removed:
        """Delete all rows of a volume that is marked as being removed; returns how many of each kind."""
        removed = Removed(0, 0, 0, 0)
        while True:
            with self._writing() as connection:
                page, is_last = _delete_page(connection, volume_id)
            removed = removed.plus(page)
            if is_last:
                return removed
            time.sleep(_PAUSE_S)

    def finish_removals(self) -> None:
        """Go on with removals that were cut off; those at which a process of this host is at work are left to it."""
        columns = (volumes.c.id, volumes.c.host, volumes.c.pid, volumes.c.pid_seen)
        with self._reading() as connection:
            found = connection.execute(select(*columns).where(volumes.c.state == REMOVING)).all()
        for volume_id, *owner in found:
            if not Owner(*owner).is_at_work:
                self.purge(volume_id)


def _delete_page(connection: Connection, volume_id: int) -> tuple[Removed, bool]:
    """Delete some rows of a volume; returns how many, and whether they were the last."""
    of_lists = select(name_lists.c.id).where(name_lists.c.volume_id == volume_id)
    last = _last_of_page(connection, of_lists, _LISTS)
    forget_names(CoreTransaction(connection), volume_id, *([] if last is None else [last]))
    is_last = last is None

    last = _last_of_page(connection, select(files.c.id).where(files.c.volume_id == volume_id), _FILES)
    which = files.c.volume_id == volume_id
    number, number_of_folders = delete_files(connection, which if last is None else and_(which, files.c.id <= last))
    is_last &= last is None

    of_archives = select(archives.c.id).where(archives.c.volume_id == volume_id)
    ids = list(connection.execute(of_archives.limit(_ARCHIVES)).scalars()) if is_last else []
    for chunk in chunks(ids):
        connection.execute(delete(frames).where(frames.c.archive_id.in_(chunk)))
        connection.execute(delete(archives).where(archives.c.id.in_(chunk)))
    is_last &= len(ids) < _ARCHIVES
    if is_last:
        connection.execute(delete(troubles).where(troubles.c.volume_id == volume_id))
        connection.execute(delete(volumes).where(volumes.c.id == volume_id, volumes.c.state == REMOVING))
    return Removed(number, len(ids), number_of_folders, 0), is_last


def _last_of_page(connection: Connection, ids: Select[tuple[int]], size: int) -> int | None:
    """The largest of the first so many numbers; None if there are fewer.

    In the order in which the index has them, which is about that of the numbers: told to sort them, a server may read
    all rows of other volumes that come before.
    """
    page = ids.limit(size).subquery()
    number, last = connection.execute(select(func.count(), func.max(page.c.id))).one()
    return None if number < size else int(last)


def delete_files(connection: Connection, which: ColumnElement[bool]) -> tuple[int, int]:
    """Delete files, and the folders that none is left in; returns how many of each."""
    folder_ids = list(connection.execute(select(files.c.folder_id).where(which).distinct()).scalars())
    _forget_contents(connection, which)
    deleted = connection.execute(delete(files).where(which)).rowcount
    # By their numbers: joined with the trees, SQLite would read all entries for each folder.
    tree_ids = list(connection.execute(select(trees.c.id)).scalars())
    pictured = exists().where(entries.c.tree_id.in_(tree_ids), entries.c.folder_id == folders.c.id)
    unused = and_(~exists().where(files.c.folder_id == folders.c.id), ~pictured)
    deleted_folders = 0
    for chunk in chunks(folder_ids):
        deleted_folders += connection.execute(delete(folders).where(folders.c.id.in_(chunk), unused)).rowcount
    return deleted, deleted_folders


def _forget_contents(connection: Connection, which: ColumnElement[bool]) -> None:
    """Delete what makes files known.

    By one statement on servers; row by row on SQLite, which looks only for the size of a row among those of a subquery.
    """
    if connection.dialect.name != "sqlite":
        joined = and_(known.c.size == files.c.size, known.c.digest == files.c.digest, known.c.file_id == files.c.id)
        connection.execute(delete(known).where(joined, which))
        return
    content = select(files.c.size, files.c.digest, files.c.id).where(which, files.c.digest.is_not(None))
    page = content.order_by(files.c.id).limit(_KNOWN_AT_A_TIME)
    forget = delete(known).where(
        known.c.size == bindparam("of_size"),
        known.c.digest == bindparam("of_digest"),
        known.c.file_id == bindparam("of_file"),
    )
    rows = connection.execute(page).all()
    while rows:
        execute_many(connection, forget, ("of_size", "of_digest", "of_file"), [tuple(row) for row in rows])
        rows = connection.execute(page.where(files.c.id > rows[-1].id)).all()
