"""Coverage: on how many volumes contents are, and which volumes hold nothing that is not elsewhere too.

Only complete volumes count. A file that was cut counts as often as there are runs that have all its parts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

from sqlalchemy import and_, select

from .queries import Queries, cut_files, each_cut_file, really_known, wanted, wanting
from .rows import COMPLETE, FILE, HARD_LINK, KINDS, SYMLINK
from .schema import files, known, volumes
from .sparing import Ways, spare

_PAGE = 5000
_FILE = KINDS.index(FILE)
_WHOLES = select(files.c.whole_size, files.c.whole_digest).where(files.c.whole_digest > b"").distinct()
_LINKS = (KINDS.index(SYMLINK), KINDS.index(HARD_LINK))


class Copies(NamedTuple):
    """How often a content is there, and the volumes that it takes each time."""

    number: int
    ways: Ways


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
            found = {pair: Copies(len(places), _any_of(places)) for pair, places in there.items()}
            for pair, runs in cut_files(connection, set(pairs) - found.keys()).items():
                found[pair] = Copies(len(runs), frozenset(runs.values()))
        return found

    def verified_at(self) -> dict[int, int | None]:
        """When each complete volume was last seen to be healthy, in nanoseconds since 1970.

        None: never, or it was seen damaged since.
        """
        asked = select(volumes.c.id, volumes.c.verified_at_ns, volumes.c.damaged_at_ns)
        with self._reading() as connection:
            rows = connection.execute(asked.where(volumes.c.state == COMPLETE)).all()
        return {number: seen if damaged is None else None for number, seen, damaged in rows}

    def spare_volumes(self) -> list[str]:
        """The titles of complete volumes that could all be thrown away, and nothing would be lost; the oldest first.

        As many as there are if the oldest go first. Of files, content counts; of links and empty files, their place
        and name too. A file without digest may be anything, so its volume is never spare. Of a file that was cut, all
        parts that one run has stay, or an uncut one of its content; a part of which others are missing counts as what
        it is. What stays for it is on no volume that was last seen damaged.
        """
        asked = select(volumes.c.id, volumes.c.title, volumes.c.damaged_at_ns).where(volumes.c.state == COMPLETE)
        with self._reading() as connection:
            found = connection.execute(asked.order_by(volumes.c.added_at_ns, volumes.c.id)).all()
            titles: dict[int, str] = {number: title for number, title, _ in found}
            damaged = {number for number, _, damaged_at_ns in found if damaged_at_ns is not None}
            wholes = {(size, bytes(digest)) for size, digest in connection.execute(_WHOLES)}
            cut = list(each_cut_file(connection, wholes))
        contents: dict[tuple[int, bytes], set[frozenset[int]]] = {}
        for file in cut:
            contents.setdefault((file.size, file.digest), set()).add(frozenset(file.parts.values()))
        uncut: set[frozenset[int]] = set()
        for pair, places in self._places_of_contents(titles):
            if pair in contents:
                contents[pair] |= _any_of(places)
            else:
                uncut.add(places)
        needed: set[Ways] = {*map(_any_of, uncut), *map(frozenset, contents.values())}
        needed |= self._places_of_names({number for file in cut for number in file.parts})
        return [titles[number] for number in spare(list(titles), needed, damaged)]

    def _places_of_contents(self, complete: Collection[int]) -> Iterator[tuple[tuple[int, bytes], frozenset[int]]]:
        """Each content that is not empty, and the complete volumes that have it in files that were not cut."""
        sql = (
            "SELECT k.size, k.digest, k.file_id, f.volume_id, f.part FROM known k JOIN files f ON f.id = k.file_id "
            "WHERE k.size >= :size AND (k.size > :size OR k.digest > :digest OR (k.digest = :digest AND "
            f"k.file_id > :file)) ORDER BY k.size, k.digest, k.file_id LIMIT {_PAGE}"
        )
        values: dict[str, Any] = {"size": 1, "digest": b"", "file": -1}
        content, places = (0, b""), set[int]()
        while True:
            with self._looking() as transaction:
                rows = transaction.ask(sql, values)
            for size, digest, _, volume_id, part in rows:
                if (size, digest) != content:
                    if places:
                        yield content, frozenset(places)
                    content, places = (size, bytes(digest)), set()
                if part is None and volume_id in complete:
                    places.add(volume_id)
            if len(rows) < _PAGE:
                break
            values = {"size": rows[-1][0], "digest": bytes(rows[-1][1]), "file": rows[-1][2]}
        if places:
            yield content, frozenset(places)

    def _places_of_names(self, parts_of_wholes: Collection[int]) -> set[Ways]:
        """The volumes of each link and each empty file; those of a file without digest, one by one.

        Likewise those of the content of a part, unless it is of a file that is there with all its parts, and no other
        file has just that content. On media that were added by hand, what one has stands for that of another only if
        both may be the same part of one file.
        """
        sql = (
            "SELECT f.id, f.volume_id, v.run_id, f.folder_id, f.name, f.kind, f.target, f.size, f.digest, f.part, "
            "f.part_offset, f.mtime_ns FROM files f JOIN volumes v ON v.id = f.volume_id "
            f"WHERE v.state = '{COMPLETE}' AND f.id > :last AND (f.kind IN {_LINKS} OR (f.kind = {_FILE} AND "
            f"(f.size = 0 OR f.digest IS NULL OR f.part IS NOT NULL))) ORDER BY f.id LIMIT {_PAGE}"
        )
        named: dict[tuple[Any, ...], frozenset[int]] = {}
        of_parts: dict[tuple[Any, ...], frozenset[int]] = {}
        alone: set[tuple[Any, ...]] = set()
        last = -1
        while True:
            with self._looking() as transaction:
                rows = transaction.ask(sql, {"last": last})
            for number, volume_id, run_id, folder_id, name, kind, target, size, digest, part, *at in rows:
                key: tuple[Any, ...] = (folder_id, bytes(name), kind, target and bytes(target))
                there = named
                if kind == _FILE and digest is None:
                    key = (number,)
                elif part is not None:
                    there = of_parts
                    key = (size, bytes(digest)) if run_id is not None else (*key, size, bytes(digest), part, *at)
                    if number not in parts_of_wholes:
                        alone.add(key)
                there[key] = there.get(key, frozenset()) | {volume_id}
            if len(rows) < _PAGE:
                break
            last = rows[-1][0]
        alone |= self._pictured(key for key in of_parts if len(key) == 2)
        return {_any_of(places) for places in [*named.values(), *(of_parts[key] for key in alone)]}

    def _pictured(self, contents: Iterable[tuple[int, bytes]]) -> set[tuple[int, bytes]]:
        """Those of some contents that a file in any picture has."""
        wanted = set(contents)
        sizes = sorted({size for size, _ in wanted})
        with self._looking() as transaction:
            rows = transaction.ask_among(
                "SELECT DISTINCT size, digest FROM entries WHERE digest IS NOT NULL AND size IN :keys", sizes
            )
        return wanted.intersection((size, bytes(digest)) for size, digest in rows)


def _any_of(places: Collection[int]) -> Ways:
    """Each of these volumes is enough."""
    return frozenset(frozenset((volume,)) for volume in places)
