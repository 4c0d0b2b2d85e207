"""Rebuilding: what is asked and entered when a catalogue is made anew from volumes."""

from __future__ import annotations

import os
from collections.abc import Mapping

from .recording import Recording, path_key, source_values
from .rows import DIRECTORY, FILE, KINDS, SourceFound, storable_number

# By folders alone, which are indexed: joined to volumes, a database may begin at the wrong end.
_PARTS = (
    "SELECT id, volume_id, whole_size FROM files WHERE folder_id IN (SELECT id FROM folders WHERE path_key = :key)"
    " AND name = :name AND mtime_ns = :mtime AND part IS NOT NULL"
)


class Rebuilding(Recording):
    """The part of a catalogue that takes runs which are long over."""

    def run_of_folder(self, name: str) -> int | None:
        """The run whose folder has this name, wherever it stood."""
        with self._looking() as transaction:
            found = transaction.ask("SELECT id, folder FROM runs ORDER BY id", {})
        folders = {os.path.basename(os.fsdecode(bytes(folder))): number for number, folder in found}
        return folders.get(name)

    def source_with_label(self, run_id: int, found: SourceFound) -> int:
        """The index of a run's source of this label, for `add_archive`; it is entered if it is not there.

        The run must have been started or adopted here.
        """
        with self._looking() as transaction:
            labels = transaction.ask("SELECT label FROM sources WHERE run_id = :run ORDER BY id", {"run": run_id})
        there = [os.fsdecode(bytes(label)) for (label,) in labels]
        if found.label in there:
            return there.index(found.label)
        with self._changing() as transaction:
            transaction.insert("sources", source_values(run_id, found))
        self.adopt_run(run_id)
        return len(there)

    def enter_whole_sizes(self, run_id: int, sizes: Mapping[tuple[bytes, bytes, int], int | None]) -> None:
        """Give parts of files that were cut the size of the whole, which stands on the medium with the last part only.

        Args:
            run_id: of which these files are, on whatever volumes, in whatever order they are entered.
            sizes: of wholes by folder, name and time; None: that of the last part, if that is entered already.
        """
        with self._changing() as transaction:
            volumes = transaction.ask("SELECT id FROM volumes WHERE run_id = :run", {"run": run_id})
            of_run = {number for (number,) in volumes}
            for (folder, name, mtime_ns), size in sizes.items():
                rows = transaction.ask(
                    _PARTS, {"key": path_key(folder), "name": name, "mtime": storable_number(mtime_ns)}
                )
                rows = [row for row in rows if row[1] in of_run]
                size = next((told for _, _, told in rows if told is not None), None) if size is None else size
                if size is not None:
                    values = [{"size": size, "id": number} for number, _, told in rows if told is None]
                    transaction.change_many("UPDATE files SET whole_size = :size WHERE id = :id", values)

    def count_run(self, run_id: int) -> tuple[int, int]:
        """Files and links on the volumes of a run, and their content, as a run counts them; one that was cut is one."""
        with self._looking() as transaction:
            ((files, size),) = transaction.ask(
                "SELECT SUM(CASE WHEN files.kind <> :folder AND (part IS NULL OR part = 1) THEN 1 ELSE 0 END),"
                " SUM(CASE WHEN files.kind = :file THEN files.size ELSE 0 END)"
                " FROM files JOIN volumes ON volumes.id = files.volume_id WHERE volumes.run_id = :run",
                {"run": run_id, "folder": KINDS.index(DIRECTORY), "file": KINDS.index(FILE)},
            )
        return int(files or 0), int(size or 0)
