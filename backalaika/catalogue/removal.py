"""Removal: take volumes and archives out of the catalogue, and leave no row behind that belongs to nothing.

A volume has millions of rows, whose deletion takes minutes, and others want to write. So one short transaction marks
it: from then on no answer tells of it, and its title is free. `purging` then deletes its rows, and the volume's own
last; where that was cut off, the next who opens the catalogue to write goes on with it. So it is with an archive that
is given up. With the last volume of a job, `forgetting` deletes its runs.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterable, Sequence
from itertools import islice

from sqlalchemy import Connection, and_, delete, func, select, update

from ..errors import CatalogueError
from . import paging
from .database import CoreTransaction
from .forgetting import Forgetting, delete_run
from .owning import Owner, this_process
from .paging import Tell, tell_nobody
from .purging import Purging, delete_files, within
from .queries import FoundVolume, find_volume
from .recording import Recording
from .results import Removed, Unfinished
from .rows import DIRECTORY, INCOMPLETE, KINDS, REMOVING, RUNNING
from .schema import archives, files, frames, runs, sources, volumes
from .transaction import Transaction, chunks
from .undoing import Undoing


class Removal(Purging, Recording, Forgetting, Undoing):
    """The part of a catalogue that removes."""

    def check_removable(self, title: str) -> None:
        """Look whether `remove` would refuse.

        Raises:
            CatalogueError: it would; no volume has this title, or its run is still writing, or it is being catalogued.
        """
        with self._reading() as connection:
            writing = find_volume(connection, title).run_state == RUNNING
        if writing:
            self.mark_abandoned_runs()
        with self._reading() as connection:
            _removable(connection, title)

    def remove(self, title: str) -> Removed:
        """Remove a volume, and its run with the last one; if that has a picture, only with the last of its job.

        The media themselves are not touched.

        Raises:
            CatalogueError: as `check_removable` does. A medium that another host catalogues, or did until it died, is
                removed.
        """
        self.check_removable(title)
        with self._writing() as connection:
            volume = _removable(connection, title)
            number_of_runs = int(_hide_volume(connection, volume))
        return self._delete_hidden([volume.id], number_of_runs)

    def _delete_hidden(self, volume_ids: Sequence[int], number_of_runs: int) -> Removed:
        """Delete the rows of volumes that are marked as being removed, with which so many runs have gone."""
        removed = Removed(0, 0, 0, number_of_runs + self.forget_lost_jobs())
        for volume_id in volume_ids:
            removed = removed.plus(self.purge(volume_id))
        return removed._replace(folders=removed.folders + self.delete_dead_trees())

    def finish_removals(self, tell: Tell = tell_nobody) -> None:
        """Go on with removals that were cut off; those at which a process of this host is at work are left to it.

        Pictures of which the recording was cut off are taken back. ``tell`` hears how removals go.
        """
        self.undo_pictures()
        owner = volumes.c.host, volumes.c.pid, volumes.c.pid_seen
        asked = select(volumes.c.id, volumes.c.path, *owner).where(volumes.c.state == REMOVING)
        with self._reading() as connection:
            found = [row for row in connection.execute(asked) if not Owner(*row[2:]).is_at_work]
            of_archives = select(archives.c.id, archives.c.name).where(archives.c.state == REMOVING)
            given_up = connection.execute(of_archives).all()
        if found:
            self.forget_lost_jobs()
        for row in found:
            self.purge(row.id, os.fsdecode(row.path or b""), tell)
        for archive_id, name in given_up:
            self._delete_archive(archive_id, os.fsdecode(name), tell)
        self.delete_dead_trees(tell)

    def clean_up(self, unfinished: Unfinished) -> Removed:
        """Remove volumes that are not complete; their run can no longer go on, and goes too if nothing is left of it.

        Raises:
            CatalogueError: the run is writing.
        """
        self.undo_pictures()
        with self._writing() as connection:
            of_run = runs.c.id == unfinished.run_id
            if connection.execute(select(runs.c.state).where(of_run)).scalar() == RUNNING:
                raise CatalogueError(f"{unfinished.run_folder}: the run is writing; clean up when it has ended")
            found = [find_volume(connection, title) for title, _, _ in unfinished.volumes]
            number_of_runs = sum(_hide_volume(connection, volume) for volume in found)
            if connection.execute(select(volumes.c.id).where(volumes.c.run_id == unfinished.run_id)).first():
                connection.execute(update(runs).where(of_run).values(state=INCOMPLETE))
            else:
                delete_run(connection, unfinished.run_id)
        return self._delete_hidden([volume.id for volume in found], number_of_runs)

    def drop_volume(self, volume_id: int) -> None:
        """Remove a volume that a run or an `add` gives up, with all that was recorded on it; the run stays."""
        with self._writing() as connection:
            _hide(connection, volume_id)
        self.purge(volume_id)

    def drop_archive(self, archive_id: int) -> None:
        """Remove an archive that a run gives up, with all that was recorded in it; its volume stays.

        Until all is gone it is marked, and of no source: who goes on with the volume deletes the rest first.
        """
        with self._writing() as connection:
            marked = update(archives).where(archives.c.id == archive_id).values(state=REMOVING, source_id=None)
            connection.execute(marked)
        self._delete_archive(archive_id)

    def _delete_archive(self, archive_id: int, name: str = "", tell: Tell = tell_nobody) -> None:
        """Delete the rows of an archive that is marked as being removed."""
        with self._reading() as connection:
            of_archive = select(archives.c.volume_id).where(archives.c.id == archive_id)
            volume_id = connection.execute(of_archive).scalar()
        if volume_id is None:  # it went with its volume
            return
        self._forget_lists(volume_id)
        # The volume too, for there is no index on the archive alone.
        which = and_(files.c.volume_id == volume_id, files.c.archive_id == archive_id)
        with self._looking() as transaction:
            values = {"volume": volume_id, "archive": archive_id}
            found = paging.pages(
                transaction, "files WHERE volume_id = :volume AND archive_id = :archive", values, paging.FILES
            )
        for number, page in enumerate(found):
            tell(name, number * paging.FILES, len(found) * paging.FILES)
            with self._writing() as connection:
                delete_files(connection, and_(which, *within(page)))
                if page == found[-1]:
                    connection.execute(delete(frames).where(frames.c.archive_id == archive_id))
                    connection.execute(delete(archives).where(archives.c.id == archive_id))
                    _recount(connection, volume_id)
            if page != found[-1]:
                time.sleep(paging.PAUSE_S)

    def drop_files(self, file_ids: Iterable[int]) -> None:
        """Remove files from volumes that are not complete, for newer ones take their places.

        Where it is cut off, those that were not removed yet are in the way as before, and are found again.
        """
        pending = iter(file_ids)
        while some := list(islice(pending, paging.FILES)):
            volume_ids: set[int] = set()
            with self._reading() as connection:
                for chunk in chunks(some):
                    of_files = select(files.c.volume_id).where(files.c.id.in_(chunk)).distinct()
                    volume_ids.update(connection.execute(of_files).scalars())
            for volume_id in volume_ids:
                self._forget_lists(volume_id)
            with self._writing() as connection:
                for chunk in chunks(some):
                    delete_files(connection, files.c.id.in_(chunk))
                for volume_id in volume_ids:
                    _recount(connection, volume_id)
            if len(some) == paging.FILES:
                time.sleep(paging.PAUSE_S)


def _removable(connection: Connection, title: str) -> FoundVolume:
    """The volume of this title.

    Raises:
        CatalogueError: there is none, or somebody writes to it.
    """
    volume = find_volume(connection, title)
    if volume.run_state == RUNNING:
        raise CatalogueError(f"{title!r}: its run is still writing; remove it when that has ended")
    if volume.owner.is_at_work:
        raise CatalogueError(f"{title!r}: is being catalogued by {volume.owner}; wait for it, or stop it")
    return volume


def _hide_volume(connection: Connection, volume: FoundVolume) -> bool:
    """Mark a volume as being removed, and delete its run if nothing is left of it; returns whether that was so."""
    _hide(connection, volume.id)
    _void_listings(CoreTransaction(connection))
    run_id = volume.run_id
    if run_id is None or connection.execute(select(volumes.c.id).where(volumes.c.run_id == run_id)).first():
        return False
    pictured = select(sources.c.id).where(sources.c.run_id == run_id, sources.c.tree_id.is_not(None))
    if connection.execute(pictured).first():  # later pictures stand on it, and other volumes may have what is in it
        return False
    delete_run(connection, run_id)
    return True


def _hide(connection: Connection, volume_id: int) -> None:
    """Mark a volume as being removed by this process; neither its title nor its run has to do with it any more."""
    of_run = archives.c.volume_id == volume_id, archives.c.source_id.is_not(None)
    connection.execute(update(archives).where(*of_run).values(source_id=None))
    values = {"state": REMOVING, "title": f"removed {uuid.uuid4()}", "run_id": None} | this_process()
    connection.execute(update(volumes).where(volumes.c.id == volume_id).values(values))


def _recount(connection: Connection, volume_id: int) -> None:
    number, size = connection.execute(
        select(func.count(), func.coalesce(func.sum(files.c.size), 0)).where(
            files.c.volume_id == volume_id, files.c.kind != KINDS.index(DIRECTORY)
        )
    ).one()
    connection.execute(update(volumes).where(volumes.c.id == volume_id).values(files=number, bytes=size))


def _void_listings(transaction: Transaction) -> None:
    """What was safe may no longer be: let the next run of each job look at all entries."""
    transaction.change("UPDATE listings SET looks = NULL WHERE looks IS NOT NULL", {})
    transaction.change("UPDATE trees SET removals = removals + 1", {})
