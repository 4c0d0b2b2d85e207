"""Purging: delete the rows of volumes that were removed, some at a time, so that nobody waits long who wants to write.

Each page is a transaction, at whose end no row belongs to nothing: what makes its files known goes with them, and so
do the folders to which nothing refers any more. The volume itself goes last. So a removal may be cut off anywhere, and
whoever opens the catalogue to write goes on with it, unless the process that removes is still at it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import zip_longest

from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, exists, select

from . import paging
from .database import CoreTransaction, Database, execute_many
from .names import forget_names
from .paging import Page, Tell, tell_nobody
from .results import Removed
from .rows import REMOVING
from .schema import archives, entries, files, folders, frames, known, listings, trees, troubles, volumes
from .transaction import chunks

_ARCHIVES = 2000
_KNOWN_AT_A_TIME = 5000


class Purging(Database):
    """The part of a catalogue that deletes what was removed."""

    def purge(self, volume_id: int, name: str = "", tell: Tell = tell_nobody) -> Removed:
        """Delete all rows of a volume that is marked as being removed; returns how many of each kind.

        ``tell`` hears how it goes, by this name.
        """
        of_volume = {"volume": volume_id}
        with self._looking() as transaction:
            of_lists = paging.pages(transaction, "name_lists WHERE volume_id = :volume", of_volume, paging.LISTS)
            of_files = paging.pages(transaction, "files WHERE volume_id = :volume", of_volume, paging.FILES)
        steps = list(zip_longest(of_lists, of_files))
        number = len(of_files) * paging.FILES
        removed = Removed(0, 0, 0, 0)
        while True:
            tell(name, removed.files, number)
            with self._writing() as connection:
                page, is_last = _delete_page(connection, volume_id, *steps[0], is_last=len(steps) == 1)
            removed = removed.plus(page)
            if is_last:
                return removed
            steps = steps[1:] or [(None, None)]
            time.sleep(paging.PAUSE_S)


def _delete_page(
    connection: Connection, volume_id: int, lists: Page | None, of_files: Page | None, is_last: bool
) -> tuple[Removed, bool]:
    """Delete some rows of a volume, with the last of them some archives; returns how many, and whether all is gone."""
    if lists is not None:
        forget_names(CoreTransaction(connection), volume_id, lists.last)
    number, number_of_folders = 0, 0
    if of_files is not None:
        number, number_of_folders = delete_files(connection, and_(files.c.volume_id == volume_id, *within(of_files)))
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


def within(page: Page) -> tuple[ColumnElement[bool], ...]:
    """What the files of a page are like."""
    return files.c.id > page.after, files.c.id <= page.last


def delete_files(connection: Connection, which: ColumnElement[bool]) -> tuple[int, int]:
    """Delete files, and the folders that none is left in; returns how many of each."""
    folder_ids = list(connection.execute(select(files.c.folder_id).where(which).distinct()).scalars())
    _forget_contents(connection, which)
    deleted = connection.execute(delete(files).where(which)).rowcount
    return deleted, delete_unused(connection, folder_ids)


def delete_unused(connection: Connection, folder_ids: Sequence[int]) -> int:
    """Delete those of these folders to which nothing refers; returns how many."""
    # By their numbers: joined with the trees, SQLite would read all entries for each folder.
    tree_ids = list(connection.execute(select(trees.c.id)).scalars())
    pictured = exists().where(entries.c.tree_id.in_(tree_ids), entries.c.folder_id == folders.c.id)
    listed = exists().where(listings.c.tree_id.in_(tree_ids), listings.c.folder_id == folders.c.id)
    unused = and_(~exists().where(files.c.folder_id == folders.c.id), ~pictured, ~listed)
    deleted = 0
    for chunk in chunks(folder_ids):
        deleted += connection.execute(delete(folders).where(folders.c.id.in_(chunk), unused)).rowcount
    return deleted


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
