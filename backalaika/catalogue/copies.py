"""Copies: where else a content is, asked some thousands at a time through a temporary table."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sqlalchemy import Connection, and_, func, select

from .locating import Locating, located
from .parts import all_parts
from .queries import Queries, find_volume, wanted, wanting
from .results import Located
from .rows import COMPLETE
from .schema import archives, files, folders, frames, known, sources, volumes
from .transaction import chunks


class Copies(Queries, Locating):
    """The part of a catalogue that is asked by content."""

    def volume_id(self, title: str) -> int:
        """The number of the volume of this title.

        Raises:
            CatalogueError: there is none; the message names the nearest.
        """
        with self._reading() as connection:
            return find_volume(connection, title).id

    def files_with_digest(self, digest: bytes) -> Iterator[list[Located]]:
        """All files of this content on complete volumes, the newest first; of one that was cut, all parts together."""
        with self._reading() as connection:
            numbers = list(connection.execute(select(known.c.file_id).where(known.c.digest == digest)).scalars())
            found = [[row] for row in _rows(connection, numbers) if row.part is None]
            for last in connection.execute(select(files).where(files.c.whole_digest == digest)).all():
                # What was saved twice is there twice.
                parts = {row.part: row for row in _rows(connection, all_parts(connection, last))}
                if len(parts) == last.part:
                    found.append([parts[number] for number in sorted(parts, key=lambda part: part or 0)])
        yield from sorted(found, key=lambda rows: rows[-1].id, reverse=True)

    def places(self, pairs: Collection[tuple[int, bytes]]) -> dict[tuple[int, bytes], list[Located]]:
        """Where these contents are, one place on each volume that has them.

        Args:
            pairs: size and digest; best some thousands.
        """
        found: dict[tuple[int, bytes], list[Located]] = {}
        with self._reading() as connection:
            with wanting(connection, list(set(pairs))):
                one_a_volume = (
                    select(func.min(files.c.id))
                    .select_from(wanted)
                    .join(known, and_(known.c.size == wanted.c.size, known.c.digest == wanted.c.digest))
                    .join(files, files.c.id == known.c.file_id)
                    .group_by(wanted.c.size, wanted.c.digest, files.c.volume_id)
                )
                numbers = list(connection.execute(one_a_volume).scalars())
            for row in _rows(connection, numbers):
                if row.digest is not None:
                    found.setdefault((row.size, row.digest), []).append(row)
        return found


def _rows(connection: Connection, numbers: list[int]) -> Iterator[Located]:
    for chunk in chunks(numbers):
        asked = (
            select(
                files.c.id, files.c.volume_id, archives.c.name, archives.c.format, sources.c.label, sources.c.path,
                folders.c.path, files.c.name, files.c.kind, files.c.size, files.c.mtime_ns, files.c.digest,
                frames.c.offset, files.c.offset, files.c.target, files.c.part, files.c.part_offset,
                files.c.whole_size, files.c.whole_digest,
            )
            .select_from(files)
            .join(volumes, volumes.c.id == files.c.volume_id)
            .join(folders, folders.c.id == files.c.folder_id)
            .join(archives, archives.c.id == files.c.archive_id, isouter=True)
            .join(sources, sources.c.id == archives.c.source_id, isouter=True)
            .join(
                frames, and_(frames.c.archive_id == files.c.archive_id, frames.c.number == files.c.frame), isouter=True
            )
            .where(files.c.id.in_(chunk), volumes.c.state == COMPLETE)
        )  # fmt: skip
        yield from map(located, connection.execute(asked))
