"""Glance: what must be asked and entered before a run may write, in an SQLite catalogue without SQLAlchemy.

Importing SQLAlchemy takes longer than compressing a small office's share. Before anything is written, two questions
must be answered, and the run be entered, or a crash would leave a folder that the catalogue does not know. Through
Python's own module that takes a millisecond, and the run begins while the catalogue is being opened for all the rest.
Where there is any doubt (another database, a new one, an older schema, one that may not be written), there is no
glance, and the run waits until the catalogue is open.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from ..errors import CatalogueError
from .rows import COMPLETE, RUNNING, RunStart, SourceFound, storable_text

Ask = Callable[[str, Mapping[str, Any]], list[tuple[Any, ...]]]

_PREFIX = "sqlite:///"
_TIMEOUT_S = 60


def last_found(ask: Ask, job: str) -> dict[str, int]:
    """Files found at each source by the last complete run of a job; empty if there was none.

    Args:
        ask: how a query with named values is put to the database, whichever it is.
        job: its name.
    """
    found = ask(
        "SELECT path, found_files FROM sources WHERE run_id = (SELECT id FROM runs "
        "WHERE job = :job AND state = :complete ORDER BY started_at_ns DESC, id DESC LIMIT 1)",
        {"job": storable_text(job), "complete": COMPLETE},
    )
    return {os.fsdecode(bytes(path)): number for path, number in found}


def has_titles_of(ask: Ask, run: str) -> bool:
    """Whether a volume has a title that starts with a run's name, wherever its folder stood."""
    start = f"{storable_text(run)}/"
    sql = "SELECT COUNT(*) FROM volumes WHERE SUBSTR(title, 1, :length) = :start"
    return ask(sql, {"length": len(start), "start": start}) != [(0,)]


def run_values(start: RunStart) -> dict[str, Any]:
    """The row of a run of this process that begins."""
    return {
        "job": storable_text(start.job),
        "comment": storable_text(start.comment),
        "folder": os.fsencode(start.folder),
        "started_at_ns": start.started_at_ns,
        "state": RUNNING,
        "files": 0,
        "bytes": 0,
        "known_files": 0,
        "error_count": 0,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "pid_seen": time.time(),
        "since_ns": start.since_ns,
        "skip_known": start.skip_known,
    }


def source_values(run_id: int, found: SourceFound) -> dict[str, Any]:
    """The row of what was found at a source."""
    return {
        "run_id": run_id,
        "path": os.fsencode(found.path),
        "options": storable_text(found.options),
        "found_files": found.found_files,
        "found_bytes": found.found_bytes,
        "label": os.fsencode(found.label),
    }


class Glance:
    """A short look into an SQLite file; each call opens and closes it. Raises what `Catalogue` would."""

    def __init__(self, path: str) -> None:
        self._path = path

    def last_complete_run(self, job: str) -> dict[str, int]:
        """As `Catalogue.last_complete_run`."""
        return last_found(self.ask, job)

    def has_run(self, name: str) -> bool:
        """As `Catalogue.has_run`."""
        return has_titles_of(self.ask, name)

    def start_run(self, start: RunStart) -> int:
        """As `Catalogue.start_run`."""
        with self._open("rw") as connection, connection:
            run_id = _insert(connection, "runs", run_values(start))
            for found in start.sources:
                _insert(connection, "sources", source_values(run_id, found))
        return run_id

    def ask(self, sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """The rows of a query.

        Raises:
            CatalogueError: no answer.
        """
        with self._open("ro") as connection:
            return connection.execute(sql, values).fetchall()

    @contextmanager
    def _open(self, mode: str) -> Iterator[sqlite3.Connection]:
        try:
            uri = f"{Path(self._path).absolute().as_uri()}?mode={mode}"
            with closing(sqlite3.connect(uri, uri=True, timeout=_TIMEOUT_S)) as connection:
                yield connection
        except sqlite3.Error as error:
            raise CatalogueError(f"catalogue {self._path}: {error}; is another program writing to it?") from None


def _insert(connection: sqlite3.Connection, table: str, values: Mapping[str, Any]) -> int:
    names = ", ".join(values)
    marks = ", ".join(f":{name}" for name in values)
    key = connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", values).lastrowid  # noqa: S608 - ours
    assert key is not None
    return key


def glance_at(db_uri: str, revision: str) -> Glance | None:
    """A glance at the catalogue; None unless it is an SQLite file of this revision that may be written."""
    path = os.path.expanduser(db_uri.removeprefix(_PREFIX))
    if not db_uri.startswith(_PREFIX) or set(path) & set("?%") or not os.access(path, os.R_OK | os.W_OK):
        return None
    glance = Glance(path)
    try:
        return glance if glance.ask("SELECT version_num FROM alembic_version", {}) == [(revision,)] else None
    except CatalogueError:
        return None
