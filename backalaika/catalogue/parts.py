"""Parts: which rows are the parts of a file that was cut, found from its last one, which alone tells of the whole.

Parts belong together if one run saved them. A run that went on after the file had changed has saved some twice: the
newest before the last one is the right one. Where its volumes came from a rebuild, in whatever order, it may be after.
 A medium that was added by hand tells of no run: its parts belong to those
of the same path and time, on whatever media that were added by hand, if each begins where the one before it ends. Where
two of one number fit that have different contents, nobody can tell which is the right one, and none is taken.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from .rows import REMOVING
from .schema import files, volumes
from .transaction import chunks


def all_parts(connection: Connection, last: Any) -> list[int]:
    """The numbers of all parts of a file of which ``last`` is the last; of a part that is there twice, both.

    None if one is missing, or nobody can tell which it is: then the content is not there.

    Args:
        connection: in whose transaction.
        last: a row of files with its id, volume, folder, name, time and part, and the size of the whole.
    """
    # Files from one table alone: joined, a database without statistics may begin at the wrong end.
    asked = select(files.c.id, files.c.volume_id, files.c.part, files.c.part_offset, files.c.size, files.c.digest)
    same = files.c.folder_id == last.folder_id, files.c.name == last.name, files.c.mtime_ns == last.mtime_ns
    found = connection.execute(asked.where(*same, files.c.part <= last.part).order_by(files.c.id)).all()
    run_of: dict[int, int | None] = {}
    for chunk in chunks(list({row.volume_id for row in found})):
        there = select(volumes.c.id, volumes.c.run_id).where(volumes.c.id.in_(chunk), volumes.c.state != REMOVING)
        run_of.update((number, run_id) for number, run_id in connection.execute(there))
    if last.volume_id not in run_of:
        return []
    run_id = run_of[last.volume_id]
    of_number: dict[int, list[Any]] = {last.part: [row for row in found if row.id == last.id]}
    later: dict[int, list[Any]] = {}
    for row in found:
        if row.volume_id not in run_of or run_of[row.volume_id] != run_id or row.part == last.part:
            continue
        if run_id is None:
            of_number.setdefault(row.part, []).append(row)
        else:
            (of_number if row.id < last.id else later)[row.part] = [row]
    return _joined(later | of_number, last)


def _joined(of_number: dict[int, list[Any]], last: Any) -> list[int]:
    """The numbers of those parts of which each ends where the next begins, and the last at the end of the whole."""
    end = last.whole_size
    joined: list[int] = []
    for number in range(last.part, 0, -1):
        fitting = [
            row
            for row in of_number.get(number, [])
            if row.part_offset is not None and row.part_offset + row.size == end
        ]
        if len({(row.size, row.digest and bytes(row.digest)) for row in fitting}) != 1:
            return []
        joined += [row.id for row in fitting]
        end = fitting[0].part_offset
    return joined if end == 0 else []
