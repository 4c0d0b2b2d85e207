"""Media: what is asked and changed when a medium is catalogued by hand."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple

from ..errors import CatalogueError
from .owning import Owner, this_process
from .rows import COMPLETE, INCOMPLETE, KINDS, LONGEST_TITLE, REMOVING, storable_text
from .transaction import FETCHED, Transaction, Transactions

_TAKEN = "{!r}: a volume of this title is in the catalogue; remove it or take another"
_THERE = "SELECT title, state, run_id FROM volumes WHERE title = :title"
_LOOSE_FILES = (
    "SELECT f.id, folders.path, f.name, f.kind, f.size, f.mtime_ns FROM files f "
    "JOIN folders ON folders.id = f.folder_id "
    "WHERE f.volume_id = :volume AND f.archive_id IS NULL AND f.id > :after ORDER BY f.id LIMIT :most"
)


class UnfinishedMedium(NamedTuple):
    """A medium whose cataloguing was interrupted."""

    id: int
    path: str
    digest: str
    options: str | None
    owner: Owner


class EnteredArchive(NamedTuple):
    """An archive on a medium: its number and path; size, and XXH3-128 of all its bytes, if it was read whole."""

    id: int
    path: bytes
    size: int
    digest: bytes | None


class SavedArchive(NamedTuple):
    """An archive on a complete volume: the volume's number and title; name, size, and XXH3-128 of all its bytes."""

    volume_id: int
    title: str
    name: bytes
    size: int
    digest: bytes | None


class Media(Transactions):
    """The part of a catalogue that cataloguing a medium needs besides recording."""

    def unfinished_medium(self, title: str) -> UnfinishedMedium | None:
        """The medium added by hand that has this title and is not complete."""
        with self._looking() as transaction:
            return _unfinished(transaction, title)

    def take_over(self, title: str, description: str = "") -> None:
        """Enter this process as the one that catalogues an unfinished medium, and a description if one is given.

        Raises:
            CatalogueError: another does, or does on another host as far as is known here.
        """
        with self._changing() as transaction:
            found = _unfinished(transaction, title)
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
            ours = "UPDATE volumes SET host = :host, pid = :pid, pid_seen = :pid_seen WHERE id = :id"
            transaction.change(ours, this_process() | {"id": found.id})
            if description:
                described = "UPDATE volumes SET description = :description WHERE id = :id"
                transaction.change(described, {"description": storable_text(description), "id": found.id})

    def release(self, volume_id: int) -> None:
        """Enter that this process catalogues a medium no longer; anybody may go on with it."""
        with self._changing() as transaction:
            transaction.change("UPDATE volumes SET pid = NULL WHERE id = :id", {"id": volume_id})

    def is_there(self, volume_id: int) -> bool:
        """Whether a volume is in the catalogue."""
        asked = "SELECT id FROM volumes WHERE id = :id AND state <> :removing"
        with self._looking() as transaction:
            return bool(transaction.ask(asked, {"id": volume_id, "removing": REMOVING}))

    def has_medium(self, title: str, path: str) -> bool:
        """Whether a medium of this title, from this place, was added by hand and is complete."""
        asked = "SELECT title, path FROM volumes WHERE title = :title AND run_id IS NULL AND state = :complete"
        wanted = storable_text(title)
        with self._looking() as transaction:
            found = transaction.ask(asked, {"title": wanted, "complete": COMPLETE})
        return [bytes(there) for title, there in found if title == wanted and there] == [os.fsencode(path)]

    def loose_files(self, volume_id: int) -> Iterator[tuple[int, bytes, bytes, str, int, int]]:
        """Id, folder, name, kind, size and mtime_ns of all recorded of a medium outside archives; some at a time."""
        after: int | None = 0
        while after is not None:
            with self._looking() as transaction:
                values = {"volume": volume_id, "after": after, "most": FETCHED}
                found = transaction.ask(_LOOSE_FILES, values)
            for number, folder, name, kind, size, mtime_ns in found:
                yield number, bytes(folder), bytes(name), KINDS[kind], size, mtime_ns
            after = found[-1][0] if len(found) == FETCHED else None

    def record_troubles(self, volume_id: int, found: Sequence[tuple[bytes, str]]) -> None:
        """Enter path and message of what could not be read of a medium, or not as it should be."""
        rows = [(volume_id, path, storable_text(message)) for path, message in found]
        with self._changing() as transaction:
            transaction.insert_many("troubles", ("volume_id", "path", "message"), rows)

    def troubles(self, volume_id: int) -> list[tuple[int, bytes, str]]:
        """Id, path and message of what could not be read of a medium, in the order it was found."""
        asked = "SELECT id, path, message FROM troubles WHERE volume_id = :volume ORDER BY id"
        with self._looking() as transaction:
            found = transaction.ask(asked, {"volume": volume_id})
        return [(number, bytes(path), message) for number, path, message in found]

    def drop_troubles(self, numbers: Sequence[int]) -> None:
        """Remove troubles, for what they tell of is read again."""
        with self._changing() as transaction:
            transaction.change_many("DELETE FROM troubles WHERE id = :id", [{"id": number} for number in numbers])

    def archives_of(self, volume_id: int) -> Iterator[EnteredArchive]:
        """The archives recorded on a medium; some at a time."""
        asked = (
            "SELECT id, name, size, digest FROM archives WHERE volume_id = :volume AND id > :after "
            "ORDER BY id LIMIT :most"
        )
        after: int | None = 0
        while after is not None:
            with self._looking() as transaction:
                found = transaction.ask(asked, {"volume": volume_id, "after": after, "most": FETCHED})
            for number, name, size, digest in found:
                yield EnteredArchive(number, bytes(name), size, digest and bytes(digest))
            after = found[-1][0] if len(found) == FETCHED else None

    def archives_of_runs(self, names: Sequence[bytes], digests: Sequence[bytes]) -> list[SavedArchive]:
        """All archives of those complete volumes of runs that have one of these; the oldest volume first.

        Args:
            names: of archives.
            digests: XXH3-128 of archives, whole.
        """
        volumes = "SELECT DISTINCT v.id, v.state FROM archives a JOIN volumes v ON v.id = a.volume_id "
        all_of_them = (
            "SELECT v.id, v.title, a.name, a.size, a.digest FROM volumes v JOIN archives a ON a.volume_id = v.id "
            "WHERE v.id IN :keys"
        )
        with self._looking() as transaction:
            found = transaction.ask_among(volumes + "WHERE a.name IN :keys AND v.run_id IS NOT NULL", names)
            found += transaction.ask_among(volumes + "WHERE a.digest IN :keys AND v.run_id IS NOT NULL", digests)
            complete = {number for number, state in found if state == COMPLETE}
            there = transaction.ask_among(all_of_them, sorted(complete))
        saved = [
            SavedArchive(number, title, bytes(name), size, digest and bytes(digest))
            for number, title, name, size, digest in there
        ]
        return sorted(saved, key=attrgetter("volume_id", "name"))

    def count_archives(self, volume_id: int) -> tuple[int, int]:
        """How many archives are recorded on a medium, and how many members in them."""
        archives = "SELECT COUNT(*) FROM archives WHERE volume_id = :volume"
        members = "SELECT COUNT(*) FROM files WHERE volume_id = :volume AND archive_id IS NOT NULL"
        with self._looking() as transaction:
            counts = [transaction.ask(asked, {"volume": volume_id}) for asked in (archives, members)]
        return counts[0][0][0], counts[1][0][0]

    def volume_with_archives(self, digests: Sequence[bytes]) -> str | None:
        """The title of the complete volume of a run that has just these archives, by their bytes; None if none is.

        Args:
            digests: XXH3-128 of each archive, whole; at least one.
        """
        asked = (
            "SELECT DISTINCT v.id, v.title, v.state FROM archives a JOIN volumes v ON v.id = a.volume_id "
            "WHERE a.digest IN :keys AND v.run_id IS NOT NULL"
        )
        all_of_it = "SELECT digest FROM archives WHERE volume_id = :volume"
        with self._looking() as transaction:
            for volume_id, title, state in sorted(set(transaction.ask_among(asked, list(digests)))):
                if state != COMPLETE:
                    continue
                found = transaction.ask(all_of_it, {"volume": volume_id})
                if {digest and bytes(digest) for (digest,) in found} == set(digests):
                    return str(title)
        return None

    def check_title(self, title: str, but: str | None) -> None:
        """Look whether a medium could have this title.

        Args:
            title: the user's.
            but: the title of the volume that would change its own; None if none would.

        Raises:
            CatalogueError: a volume has it that is another, and not a medium whose cataloguing was interrupted; or
                it is too long, or nobody would see all of it.
        """
        if title != title.strip():  # MySQL takes it for the one without
            raise CatalogueError(f"{title!r}: begins or ends with a blank, which nobody sees; take another title")
        number = len(storable_text(title))
        if number > LONGEST_TITLE:
            start = f"{title[:40]}..."
            raise CatalogueError(f"{start!r}: has {number:,} characters; take a title of at most {LONGEST_TITLE}")
        with self._looking() as transaction:
            found = transaction.ask(_THERE, {"title": storable_text(title)})
        if not found or title == but or (but is None and found[0][1:] == (INCOMPLETE, None)):
            return
        raise CatalogueError(_TAKEN.format(title))

    def retitle(self, title: str, new_title: str, description: str) -> None:
        """Give a volume another title, and a description if one is given.

        Raises:
            CatalogueError: the new title is taken.
        """
        values = {"title": storable_text(title), "new": storable_text(new_title)}
        with self._changing() as transaction:
            if new_title != title and transaction.ask(_THERE, {"title": values["new"]}):
                raise CatalogueError(_TAKEN.format(new_title))
            if description:
                values["description"] = storable_text(description)
                transaction.change("UPDATE volumes SET description = :description WHERE title = :title", values)
            transaction.change("UPDATE volumes SET title = :new WHERE title = :title", values)


def _unfinished(transaction: Transaction, title: str) -> UnfinishedMedium | None:
    asked = (
        "SELECT title, id, path, digest, options, host, pid, pid_seen FROM volumes "
        "WHERE title = :title AND run_id IS NULL AND state = :incomplete"
    )
    wanted = storable_text(title)
    found = [row for row in transaction.ask(asked, {"title": wanted, "incomplete": INCOMPLETE}) if row[0] == wanted]
    if not found:
        return None
    [(_, number, path, digest, options, *owner)] = found
    return UnfinishedMedium(number, os.fsdecode(bytes(path or b"")), digest, options, Owner(*owner))
