"""Media: what is asked and changed when a medium is catalogued by hand."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, delete, select, update

from ..errors import CatalogueError
from .database import Database
from .owning import Owner, this_process
from .rows import COMPLETE, INCOMPLETE, KINDS, REMOVING, storable_text
from .schema import archives, files, folders, troubles, volumes
from .transaction import chunks

_FETCHED = 5000
_TAKEN = "{!r}: a volume of this title is in the catalogue; remove it or take another"


class UnfinishedMedium(NamedTuple):
    """A medium whose cataloguing was interrupted."""

    id: int
    path: str
    digest: str
    options: str | None
    owner: Owner


class Media(Database):
    """The part of a catalogue that cataloguing a medium needs besides recording."""

    def unfinished_medium(self, title: str) -> UnfinishedMedium | None:
        """The medium added by hand that has this title and is not complete."""
        with self._reading() as connection:
            return _unfinished(connection, title)

    def take_over(self, title: str) -> None:
        """Enter this process as the one that catalogues an unfinished medium.

        Raises:
            CatalogueError: another does, or does on another host as far as is known here.
        """
        with self._writing() as connection:
            found = _unfinished(connection, title)
            if found is None:
                raise CatalogueError(f"{title!r}: was finished or removed by another process meanwhile")
            owner = found.owner
            if owner.is_at_work:
                raise CatalogueError(f"{title!r}: is being catalogued by {owner}; wait for it, or stop it")
            if owner.is_elsewhere:
                raise CatalogueError(
                    f"{title!r}: is being catalogued by {owner}; wait for it, or, if it is gone, remove the volume "
                    "and add it again"
                )
            connection.execute(update(volumes).where(volumes.c.id == found.id).values(this_process()))

    def release(self, volume_id: int) -> None:
        """Enter that this process catalogues a medium no longer; anybody may go on with it."""
        with self._writing() as connection:
            connection.execute(update(volumes).where(volumes.c.id == volume_id).values(pid=None))

    def is_there(self, volume_id: int) -> bool:
        """Whether a volume is in the catalogue."""
        with self._reading() as connection:
            there = select(volumes.c.id).where(volumes.c.id == volume_id, volumes.c.state != REMOVING)
            return connection.execute(there).first() is not None

    def has_medium(self, title: str, path: str) -> bool:
        """Whether a medium of this title, from this place, was added by hand and is complete."""
        asked = select(volumes.c.path).where(
            volumes.c.title == storable_text(title), volumes.c.run_id.is_(None), volumes.c.state == COMPLETE
        )
        with self._reading() as connection:
            return connection.execute(asked).scalar() == os.fsencode(path)

    def loose_files(self, volume_id: int) -> Iterator[tuple[int, bytes, bytes, str, int, int]]:
        """Id, folder, name, kind, size and mtime_ns of all recorded of a medium outside archives; streamed."""
        asked = (
            select(files.c.id, folders.c.path, files.c.name, files.c.kind, files.c.size, files.c.mtime_ns)
            .join_from(files, folders)
            .where(files.c.volume_id == volume_id, files.c.archive_id.is_(None))
        )
        with self._reading() as connection:
            found = connection.execution_options(yield_per=_FETCHED).execute(asked)
            for number, folder, name, kind, size, mtime_ns in found:
                yield number, bytes(folder), bytes(name), KINDS[kind], size, mtime_ns

    def record_troubles(self, volume_id: int, found: Sequence[tuple[bytes, str]]) -> None:
        """Enter path and message of what could not be read of a medium, or not as it should be."""
        rows = [(volume_id, path, storable_text(message)) for path, message in found]
        with self._changing() as transaction:
            transaction.insert_many("troubles", ("volume_id", "path", "message"), rows)

    def troubles(self, volume_id: int) -> list[tuple[int, bytes, str]]:
        """Id, path and message of what could not be read of a medium, in the order it was found."""
        asked = select(troubles.c.id, troubles.c.path, troubles.c.message).where(troubles.c.volume_id == volume_id)
        with self._reading() as connection:
            found = connection.execute(asked.order_by(troubles.c.id))
            return [(number, bytes(path), message) for number, path, message in found]

    def drop_troubles(self, numbers: Sequence[int]) -> None:
        """Remove troubles, for what they tell of is read again."""
        with self._writing() as connection:
            for chunk in chunks(numbers):
                connection.execute(delete(troubles).where(troubles.c.id.in_(chunk)))

    def archives_of(self, volume_id: int) -> list[tuple[int, bytes]]:
        """Number and name of each archive recorded on a medium."""
        asked = select(archives.c.id, archives.c.name).where(archives.c.volume_id == volume_id)
        with self._reading() as connection:
            return [(number, bytes(name)) for number, name in connection.execute(asked)]

    def volume_with_archives(self, digests: Sequence[bytes]) -> str | None:
        """The title of the complete volume of a run that has just these archives, by their bytes; None if none is.

        Args:
            digests: XXH3-128 of each archive, whole; at least one.
        """
        found: dict[int, set[bytes]] = {}
        with self._reading() as connection:
            for chunk in chunks(list(digests)):
                asked = (
                    select(archives.c.volume_id, archives.c.digest)
                    .join_from(archives, volumes)
                    .where(archives.c.digest.in_(chunk), volumes.c.state == COMPLETE, volumes.c.run_id.is_not(None))
                )
                for volume_id, digest in connection.execute(asked):
                    found.setdefault(volume_id, set()).add(bytes(digest))
            for volume_id, there in found.items():
                all_of_it = connection.execute(select(archives.c.digest).where(archives.c.volume_id == volume_id))
                if there == set(digests) == {digest and bytes(digest) for [digest] in all_of_it}:
                    return str(
                        connection.execute(select(volumes.c.title).where(volumes.c.id == volume_id)).scalar_one()
                    )
        return None

    def check_title(self, title: str, but: str | None) -> None:
        """Look whether a medium could have this title.

        Args:
            title: the user's.
            but: the title of the volume that would change its own; None if none would.

        Raises:
            CatalogueError: a volume has it that is another, and not a medium whose cataloguing was interrupted.
        """
        taken = select(volumes.c.state, volumes.c.run_id).where(volumes.c.title == storable_text(title))
        with self._reading() as connection:
            found = connection.execute(taken).first()
        if found is None or title == but or (but is None and found.run_id is None and found.state == INCOMPLETE):
            return
        raise CatalogueError(_TAKEN.format(title))

    def retitle(self, title: str, new_title: str, description: str) -> None:
        """Give a volume another title, and a description if one is given.

        Raises:
            CatalogueError: the new title is taken.
        """
        values = {"title": storable_text(new_title)}
        if description:
            values["description"] = storable_text(description)
        with self._writing() as connection:
            taken = select(volumes.c.id).where(volumes.c.title == values["title"])
            if new_title != title and connection.execute(taken).first():
                raise CatalogueError(_TAKEN.format(new_title))
            connection.execute(update(volumes).where(volumes.c.title == storable_text(title)).values(values))


def _unfinished(connection: Connection, title: str) -> UnfinishedMedium | None:
    owner = (volumes.c.host, volumes.c.pid, volumes.c.pid_seen)
    columns = (volumes.c.id, volumes.c.path, volumes.c.digest, volumes.c.options, *owner)
    found = connection.execute(
        select(*columns).where(
            volumes.c.title == storable_text(title), volumes.c.run_id.is_(None), volumes.c.state == INCOMPLETE
        )
    ).first()
    if found is None:
        return None
    path = os.fsdecode(found.path or b"")
    return UnfinishedMedium(found.id, path, found.digest, found.options, Owner(*found[4:]))
