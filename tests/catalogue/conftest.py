from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backalaika.catalogue import Catalogue, open_catalogue


@pytest.fixture
def database(tmp_path: Path) -> str:
    """The path of a catalogue that does not exist yet."""
    return str(tmp_path / "catalogue.sqlite")


@pytest.fixture
def catalogue(database: str) -> Iterator[Catalogue]:
    with open_catalogue(f"sqlite:///{database}") as opened:
        yield opened


@pytest.fixture
def ask(database: str) -> Callable[[str], list[Any]]:
    """Asks the database file itself, with no code of ours between."""

    def ask(sql: str) -> list[Any]:
        connection = sqlite3.connect(database)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    return ask
