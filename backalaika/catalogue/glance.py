"""Glance: what a run must know before it starts, asked of an SQLite catalogue without SQLAlchemy.

Importing SQLAlchemy takes longer than compressing a small office's share. Two questions must be answered before
anything is written; asked through Python's own module, they let the run begin while the catalogue is being opened for
all the rest. Where there is any doubt (another database, a new one, an older schema, one that may not be written),
there is no glance, and the run waits until the catalogue is open.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from ..errors import CatalogueError
from .rows import COMPLETE, storable_text

Ask = Callable[[str, Mapping[str, Any]], list[tuple[Any, ...]]]

_PREFIX = "sqlite:///"
_TIMEOUT_S = 5


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


class Glance:
    """Answers of an SQLite file, read only; each question opens and closes it. Raises what `Catalogue` would."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._uri = Path(path).absolute().as_uri() + "?mode=ro"

    def last_complete_run(self, job: str) -> dict[str, int]:
        """As `Catalogue.last_complete_run`."""
        return last_found(self.ask, job)

    def has_run(self, name: str) -> bool:
        """As `Catalogue.has_run`."""
        return has_titles_of(self.ask, name)

    def ask(self, sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """The rows of a query.

        Raises:
            CatalogueError: no answer.
        """
        try:
            with closing(sqlite3.connect(self._uri, uri=True, timeout=_TIMEOUT_S)) as connection:
                return connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise CatalogueError(f"catalogue {self._path}: {error}") from None


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
