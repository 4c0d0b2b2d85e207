"""Removal: take volumes and archives out of the catalogue, and leave no row behind that belongs to nothing.

One transaction each. The folders of what goes are noted first, and those to which nothing refers any more go last.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, exists, func, select, update

from ..errors import CatalogueError
from .changes import void_listings
from .database import CoreTransaction, execute_many
from .names import forget_names
from .queries import FoundVolume, Queries, find_volume
from .recording import Recording
from .rows import DIRECTORY, INCOMPLETE, KINDS, RUNNING, Removed, Unfinished
from .schema import archives, entries, errors, files, folders, frames, known, runs, sources, trees, troubles, volumes
from .transaction import chunks

_PAGE = 5000


class Removal(Recording, Queries):
    """The part of a catalogue that removes."""

    def remove(self, title: str) -> Removed:
        """Remove a volume, and its run with the last one; the media themselves are not touched.

        Raises:
            CatalogueError: no volume has this title, or its run is still writing, or it is being catalogued. A medium
                that another host catalogues, or did until it died, is removed.
        """
        with self._reading() as connection:
            writing = find_volume(connection, title).run_state == RUNNING
        if writing:
            self.mark_abandoned_runs()
        with self._writing() as connection:
            volume = find_volume(connection, title)
            if volume.run_state == RUNNING:
                raise CatalogueError(f"{title!r}: its run is still writing; remove it when that has ended")
            if volume.owner.is_at_work:
                raise CatalogueError(f"{title!r}: is being catalogued by {volume.owner}; wait for it, or stop it")
            return _remove_volume(connection, volume)

    def clean_up(self, unfinished: Unfinished) -> Removed:
        """Remove volumes that are not complete; their run can no longer go on, and goes too if nothing is left of it.

        Raises:
            CatalogueError: the run is writing.
        """
        with self._writing() as connection:
            of_run = runs.c.id == unfinished.run_id
            if connection.execute(select(runs.c.state).where(of_run)).scalar() == RUNNING:
                raise CatalogueError(f"{unfinished.run_folder}: the run is writing; clean up when it has ended")
            removed = Removed(0, 0, 0, 0)
            for title, _, _ in unfinished.volumes:
                volume = _remove_volume(connection, find_volume(connection, title))
                removed = Removed(*(so_far + now for so_far, now in zip(removed, volume, strict=True)))
            if connection.execute(select(volumes.c.id).where(volumes.c.run_id == unfinished.run_id)).first():
                connection.execute(update(runs).where(of_run).values(state=INCOMPLETE))
            else:
                _delete_run(connection, unfinished.run_id)
        return removed

    def drop_volume(self, volume_id: int) -> None:
        """Remove a volume that a run gives up, with all that was recorded on it; the run stays."""
        with self._writing() as connection:
            _delete_volume(connection, volume_id)

    def drop_archive(self, archive_id: int) -> None:
        """Remove an archive that a run gives up, with all that was recorded in it; its volume stays."""
        with self._writing() as connection:
            volume_id = connection.execute(select(archives.c.volume_id).where(archives.c.id == archive_id)).scalar_one()
            # The volume too, for there is no index on the archive alone.
            _delete_files(connection, and_(files.c.volume_id == volume_id, files.c.archive_id == archive_id))
            forget_names(CoreTransaction(connection), volume_id)
            connection.execute(delete(frames).where(frames.c.archive_id == archive_id))
            connection.execute(delete(archives).where(archives.c.id == archive_id))
            _recount(connection, volume_id)

    def drop_files(self, file_ids: Sequence[int]) -> None:
        """Remove files from volumes that are not complete, for newer ones take their places."""
        with self._writing() as connection:
            volume_ids: set[int] = set()
            for chunk in chunks(file_ids):
                which = files.c.id.in_(chunk)
                volume_ids.update(connection.execute(select(files.c.volume_id).where(which).distinct()).scalars())
                _delete_files(connection, which)
            for volume_id in volume_ids:
                forget_names(CoreTransaction(connection), volume_id)
                _recount(connection, volume_id)


def _remove_volume(connection: Connection, volume: FoundVolume) -> Removed:
    removed = _delete_volume(connection, volume.id)
    void_listings(CoreTransaction(connection))
    run_id = volume.run_id
    if run_id is None or connection.execute(select(volumes.c.id).where(volumes.c.run_id == run_id)).first():
        return removed
    pictured = select(sources.c.id).where(sources.c.run_id == run_id, sources.c.tree_id.is_not(None))
    if connection.execute(pictured).first():  # other runs have what is in the picture, or it is known to be lost
        return removed
    _delete_run(connection, run_id)
    return removed._replace(runs=1)


def _delete_run(connection: Connection, run_id: int) -> None:
    connection.execute(delete(errors).where(errors.c.run_id == run_id))
    connection.execute(delete(sources).where(sources.c.run_id == run_id))
    connection.execute(delete(runs).where(runs.c.id == run_id))


def _delete_volume(connection: Connection, volume_id: int) -> Removed:
    deleted_files, deleted_folders = _delete_files(connection, files.c.volume_id == volume_id)
    of_volume = select(archives.c.id).where(archives.c.volume_id == volume_id)
    connection.execute(delete(frames).where(frames.c.archive_id.in_(of_volume)))
    deleted_archives = connection.execute(delete(archives).where(archives.c.volume_id == volume_id)).rowcount
    forget_names(CoreTransaction(connection), volume_id)
    connection.execute(delete(troubles).where(troubles.c.volume_id == volume_id))
    connection.execute(delete(volumes).where(volumes.c.id == volume_id))
    return Removed(deleted_files, deleted_archives, deleted_folders, 0)


def _delete_files(connection: Connection, which: ColumnElement[bool]) -> tuple[int, int]:
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
    page = content.order_by(files.c.id).limit(_PAGE)
    forget = delete(known).where(
        known.c.size == bindparam("of_size"),
        known.c.digest == bindparam("of_digest"),
        known.c.file_id == bindparam("of_file"),
    )
    rows = connection.execute(page).all()
    while rows:
        execute_many(connection, forget, ("of_size", "of_digest", "of_file"), [tuple(row) for row in rows])
        rows = connection.execute(page.where(files.c.id > rows[-1].id)).all()


def _recount(connection: Connection, volume_id: int) -> None:
    number, size = connection.execute(
        select(func.count(), func.coalesce(func.sum(files.c.size), 0)).where(
            files.c.volume_id == volume_id, files.c.kind != KINDS.index(DIRECTORY)
        )
    ).one()
    connection.execute(update(volumes).where(volumes.c.id == volume_id).values(files=number, bytes=size))
