"""Coverage: on how many volumes contents are, and which volumes hold nothing that is not elsewhere too.

Only complete volumes count. A file that was cut counts as often as there are runs that have all its parts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from sqlalchemy import and_, select

from .queries import Queries, cut_files, really_known, wanted, wanting
from .rows import COMPLETE, FILE, HARD_LINK, KINDS, SYMLINK
from .schema import files, known, volumes

_PAGE = 5000
_FILE = KINDS.index(FILE)
_LINKS = (KINDS.index(SYMLINK), KINDS.index(HARD_LINK))


class Copies(NamedTuple):
    """How often a content is there, and on which volumes."""

    number: int
    volumes: frozenset[int]


class Coverage(Queries):
    """The part of a catalogue that knows what would be lost."""

    def copies(self, pairs: Collection[tuple[int, bytes]]) -> dict[tuple[int, bytes], Copies]:
        """Where the contents of these sizes and digests are; best some thousands. What is nowhere is left out."""
        with self._reading() as connection:
            with wanting(connection, list(set(pairs))):
                asked = (
                    select(wanted.c.size, wanted.c.digest, files.c.volume_id)
                    .distinct()
                    .join(known, and_(known.c.size == wanted.c.size, known.c.digest == wanted.c.digest))
                    .join(files, files.c.id == known.c.file_id)
                    .where(*really_known(connection))
                )
                there: dict[tuple[int, bytes], set[int]] = {}
                for size, digest, volume_id in connection.execute(asked):
                    there.setdefault((size, bytes(digest)), set()).add(volume_id)
            found = {pair: Copies(len(places), frozenset(places)) for pair, places in there.items()}
            for pair, runs in cut_files(connection, set(pairs) - found.keys()).items():
                found[pair] = Copies(len(runs), frozenset().union(*runs.values()))
        return found

    def verified_at(self) -> dict[int, int | None]:
        """When each complete volume was last seen to be healthy, in nanoseconds since 1970; None: never."""
        seen = volumes.c.get("verified_at_ns")
        asked = select(volumes.c.id, seen) if seen is not None else select(volumes.c.id)
        with self._reading() as connection:
            rows = connection.execute(asked.where(volumes.c.state == COMPLETE)).all()
        return {row[0]: row[1] if len(row) > 1 else None for row in rows}

    def spare_volumes(self) -> list[str]:
        """The titles of complete volumes that could all be thrown away, and nothing would be lost; the oldest first.

        As many as there are if the oldest go first. Of files, content counts; of links and empty files, their place
        and name too. A file without digest may be anything, so its volume is never spare.
        """
        asked = select(volumes.c.id, volumes.c.title).where(volumes.c.state == COMPLETE)
        with self._reading() as connection:
            found = connection.execute(asked.order_by(volumes.c.added_at_ns, volumes.c.id))
            titles: dict[int, str] = {number: title for number, title in found}  # noqa: C416 - rows are no pairs
        groups: set[frozenset[int]] = set()
        for places in self._places_of_contents():
            groups.add(places)
        groups |= self._places_of_names()
        spare: list[str] = []
        left = set(titles)
        for number, title in titles.items():
            if all(len(group & left) > 1 for group in groups if number in group):
                left.discard(number)
                spare.append(title)
        return spare

    def _places_of_contents(self) -> Iterator[frozenset[int]]:
        """The volumes of each content that is not empty."""
        sql = (
            "SELECT k.size, k.digest, k.file_id, f.volume_id FROM known k JOIN files f ON f.id = k.file_id WHERE "
            "k.size >= :size AND (k.size > :size OR k.digest > :digest OR (k.digest = :digest AND k.file_id > :file)) "
            f"ORDER BY k.size, k.digest, k.file_id LIMIT {_PAGE}"
        )
        values: dict[str, Any] = {"size": 1, "digest": b"", "file": -1}
        content, places = None, set[int]()
        while True:
            with self._looking() as transaction:
                rows = transaction.ask(sql, values)
            for size, digest, _, volume_id in rows:
                if (size, digest) != content and places:
                    yield frozenset(places)
                    places = set()
                content = size, digest
                places.add(volume_id)
            if len(rows) < _PAGE:
                break
            values = {"size": rows[-1][0], "digest": bytes(rows[-1][1]), "file": rows[-1][2]}
        if places:
            yield frozenset(places)

    def _places_of_names(self) -> set[frozenset[int]]:
        """The volumes of each link and each empty file; those of a file without digest, one by one."""
        sql = (
            "SELECT f.id, f.volume_id, f.folder_id, f.name, f.kind, f.target FROM files f JOIN volumes v "
            f"ON v.id = f.volume_id WHERE v.state = '{COMPLETE}' AND f.id > :last AND (f.kind IN {_LINKS} OR "
            f"(f.kind = {_FILE} AND (f.size = 0 OR f.digest IS NULL))) ORDER BY f.id LIMIT {_PAGE}"
        )
        named: dict[tuple[Any, ...], frozenset[int]] = {}
        last = -1
        while True:
            with self._looking() as transaction:
                rows = transaction.ask(sql, {"last": last})
            for _, volume_id, folder_id, name, kind, target in rows:
                key = folder_id, bytes(name), kind, target and bytes(target)
                named[key] = named.get(key, frozenset()) | {volume_id}
            if len(rows) < _PAGE:
                return set(named.values())
            last = rows[-1][0]
