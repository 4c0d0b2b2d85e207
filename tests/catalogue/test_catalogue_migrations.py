from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import CreateIndex, CreateTable

from backalaika.catalogue import REVISION, open_catalogue
from backalaika.catalogue.migrating import migration_config
from backalaika.catalogue.schema import metadata
from backalaika.errors import CatalogueError

SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name"


def make_first_state(database: str) -> None:
    """A catalogue of alembic's before its first migration."""
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    connection.close()


def described(ask: Callable[[str], Any]) -> dict[str, set[Any]]:
    """What there is, however the text of its making is laid out: columns added later stand elsewhere in it."""
    names = [name for kind, name, *_ in ask(SCHEMA) if kind == "table" and name != "alembic_version"]
    found = {name: {tuple(row)[1:] for row in ask(f"PRAGMA table_info({name})")} for name in names}
    found |= {
        f"{name}'s references": {tuple(row)[2:] for row in ask(f"PRAGMA foreign_key_list({name})")} for name in names
    }
    return found | {"indexes": {tuple(row) for row in ask(SCHEMA) if row[0] == "index" and row[2] in names}}


def test_migrations_lead_to_the_schema_that_a_new_catalogue_gets(
    database: str, tmp_path: Path, ask: Callable[[str], list[Any]]
) -> None:
    make_first_state(database)
    with open_catalogue(f"sqlite:///{database}") as migrated, migrated._reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    with open_catalogue(f"sqlite:///{tmp_path}/new.sqlite") as new, new._reading() as connection:
        made = described(lambda sql: connection.exec_driver_sql(sql).all())

    assert described(ask) == made
    assert ask("SELECT version_num FROM alembic_version") == [(REVISION,)]


def test_the_newest_migration_is_the_revision_of_the_schema(database: str) -> None:
    with open_catalogue(f"sqlite:///{database}") as catalogue, catalogue._reading() as connection:
        assert ScriptDirectory.from_config(migration_config(connection)).get_current_head() == REVISION


def test_a_migration_that_fails_leaves_the_catalogue_as_it_was(database: str, ask: Callable[[str], list[Any]]) -> None:
    make_first_state(database)
    connection = sqlite3.connect(database)
    connection.execute("CREATE VIEW known AS SELECT 1")
    connection.close()
    before = ask(SCHEMA)
    with pytest.raises(CatalogueError, match="known"):
        open_catalogue(f"sqlite:///{database}")

    assert ask(SCHEMA) == before


@pytest.mark.parametrize("dialect", [postgresql.dialect(), mysql.dialect()], ids=["postgresql", "mysql"])
def test_every_table_and_index_can_be_written_for_the_other_databases(dialect: Dialect) -> None:
    for table in metadata.sorted_tables:
        assert "BLOB(" not in str(CreateTable(table).compile(dialect=dialect))
        for index in table.indexes:
            str(CreateIndex(index).compile(dialect=dialect))


def test_the_migrations_are_in_the_wheel_and_work_from_it(tmp_path: Path, database: str) -> None:
    pytest.importorskip("hatchling")
    root = Path(__file__).parents[2]
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=root, check=True, timeout=120, capture_output=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "100% of it"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    make_first_state(database)
    code = f"import backalaika.catalogue as c; print(c.__file__)\nc.open_catalogue('sqlite:///{database}').close()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=installed, env=os.environ | {"PYTHONPATH": str(installed)},
        check=True, timeout=60, capture_output=True, text=True,
    )  # fmt: skip

    assert done.stdout.startswith(str(installed))
    assert done.stderr == ""
