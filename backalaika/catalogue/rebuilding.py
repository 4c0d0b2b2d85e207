"""Rebuilding: what is asked and entered when a catalogue is made anew from volumes."""

from __future__ import annotations

import os

from .recording import Recording, source_values
from .rows import DIRECTORY, FILE, KINDS, SourceFound


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
