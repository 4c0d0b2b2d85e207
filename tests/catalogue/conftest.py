from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from databases import DATABASES, TestDatabase, new_database

from backalaika.catalogue import Catalogue, open_catalogue


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TestDatabase]:
    """A database with nothing in it; the test runs on each there is."""
    with new_database(DATABASES[request.param], tmp_path) as made:
        yield made


@pytest.fixture
def db_uri(database: TestDatabase) -> str:
    """The URI of a catalogue that does not exist yet."""
    return database.uri


@pytest.fixture
def catalogue(db_uri: str) -> Iterator[Catalogue]:
    with open_catalogue(db_uri) as opened:
        yield opened


@pytest.fixture
def ask(database: TestDatabase) -> Callable[[str], list[Any]]:
    """Asks the database itself, with no code of ours between."""
    return database.ask


@pytest.fixture
def sqlite_file(tmp_path: Path) -> str:
    """The path of an SQLite catalogue that does not exist yet."""
    return str(tmp_path / "catalogue.sqlite")
