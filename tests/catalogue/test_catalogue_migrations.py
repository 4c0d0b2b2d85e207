from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from databases import DATABASES, TestDatabase, new_database
from sqlalchemy import inspect
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import CreateIndex, CreateTable

from backalaika.catalogue import REVISION, migrating, open_catalogue
from backalaika.catalogue.migrating import migration_config
from backalaika.catalogue.names import FTS
from backalaika.catalogue.schema import metadata
from backalaika.catalogue.servers import MYSQL
from backalaika.errors import CatalogueError

SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE tbl_name <> 'alembic_version' ORDER BY name"
# These make or change all tables or none.
TRANSACTIONAL = [name for name in DATABASES if name not in MYSQL]


def make_first_state(database: TestDatabase) -> None:
    """A catalogue of alembic's before its first migration."""
    database.do("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")


def differences(database: TestDatabase) -> list[Any]:
    """Where the tables differ from what `schema` says, but for what helps searching, which is no part of it."""
    with database.engine().connect() as connection:
        # Alembic does not ask for which databases an index is.
        elsewhere = "ix_files_volume_id" if connection.dialect.name == "postgresql" else "ix_files_volume_id_id"
        opts = {
            "compare_type": True,
            "include_name": lambda name, *_: not (name or "").startswith(FTS),
            "include_object": lambda _thing, name, kind, is_there, _other: is_there or name != elsewhere,
        }
        context = MigrationContext.configure(connection, opts=opts)
        return compare_metadata(context, metadata)


def test_a_new_catalogue_has_the_schema(database: TestDatabase) -> None:
    open_catalogue(database.uri).close()

    assert differences(database) == []


def test_migrations_lead_to_the_schema(database: TestDatabase) -> None:
    make_first_state(database)
    open_catalogue(database.uri).close()

    assert differences(database) == []
    assert database.ask("SELECT version_num FROM alembic_version") == [(REVISION,)]


def described(database: TestDatabase) -> dict[str, set[Any]]:
    """What there is, however the text of its making is laid out: columns added later stand elsewhere in it."""
    things = database.ask(SCHEMA)
    names = [name for kind, name, *_ in things if kind == "table"]
    found = {name: {tuple(row)[1:] for row in database.ask(f"PRAGMA table_info({name})")} for name in names}
    for name in names:
        found[f"references of {name}"] = {tuple(row)[2:] for row in database.ask(f"PRAGMA foreign_key_list({name})")}
    return found | {"indexes": {tuple(row) for row in things if row[0] == "index"}}


def test_on_sqlite_migrations_lead_to_the_very_schema(tmp_path: Path) -> None:
    migrated, made = (TestDatabase("sqlite", f"sqlite:///{tmp_path}/{name}.sqlite") for name in ("migrated", "made"))
    make_first_state(migrated)
    for one in (migrated, made):
        open_catalogue(one.uri).close()

    assert described(migrated) == described(made)


def test_the_newest_migration_is_the_revision_of_the_schema(db_uri: str) -> None:
    with open_catalogue(db_uri) as catalogue, catalogue._reading() as connection:
        assert ScriptDirectory.from_config(migration_config(connection)).get_current_head() == REVISION


@pytest.mark.parametrize("server", TRANSACTIONAL)
def test_a_migration_that_fails_leaves_the_catalogue_as_it_was(server: str, tmp_path: Path) -> None:
    with new_database(DATABASES[server], tmp_path) as database:
        make_first_state(database)
        database.do("CREATE VIEW known AS SELECT 1")
        with pytest.raises(CatalogueError, match="known"):
            open_catalogue(database.uri)

        assert inspect(database.engine()).get_table_names() == ["alembic_version"]
        assert database.ask("SELECT * FROM known") == [(1,)]


@pytest.mark.skipif("postgresql" not in DATABASES, reason="only PostgreSQL waits for readers")
def test_a_migration_does_not_wait_for_who_reads_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrating, "_READERS_TIMEOUT_MS", 100)
    with new_database(DATABASES["postgresql"], tmp_path) as database:
        open_catalogue(database.uri).close()
        database.do("ALTER TABLE volumes DROP COLUMN damaged_at_ns")
        database.do("DROP INDEX ix_files_volume_id_id")
        database.do("CREATE INDEX ix_files_volume_id ON files (volume_id)")
        database.do("UPDATE alembic_version SET version_num = '0010'")
        with database.engine().connect() as reader:
            reader.exec_driver_sql("SELECT id FROM files").all()
            with pytest.raises(CatalogueError, match=r"has to be updated, and another program is reading"):
                open_catalogue(database.uri)
        assert database.ask("SELECT version_num FROM alembic_version") == [("0010",)]
        open_catalogue(database.uri).close()
        assert differences(database) == []


@pytest.mark.parametrize("made", [1, 4, len(metadata.tables)])
def test_a_catalogue_whose_making_was_cut_off_is_finished_by_the_next_who_opens_it(
    database: TestDatabase, made: int
) -> None:
    if database.backend in TRANSACTIONAL:
        made = 0
    make_first_state(database)
    with database.engine().begin() as connection:
        for table in metadata.sorted_tables[:made]:
            connection.execute(CreateTable(table))
    open_catalogue(database.uri).close()

    assert differences(database) == []


@pytest.mark.parametrize("dialect", [postgresql.dialect(), mysql.dialect()], ids=["postgresql", "mysql"])
def test_every_table_and_index_can_be_written_for_the_other_databases(dialect: Dialect) -> None:
    for table in metadata.sorted_tables:
        assert "BLOB(" not in str(CreateTable(table).compile(dialect=dialect))
        for index in table.indexes:
            str(CreateIndex(index).compile(dialect=dialect))


def test_the_migrations_are_in_the_wheel_and_work_from_it(tmp_path: Path) -> None:
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
    database = TestDatabase("sqlite", f"sqlite:///{tmp_path}/catalogue.sqlite")
    make_first_state(database)
    code = f"import backalaika.catalogue as c; print(c.__file__)\nc.open_catalogue({database.uri!r}).close()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=installed, env=os.environ | {"PYTHONPATH": str(installed)},
        check=True, timeout=60, capture_output=True, text=True,
    )  # fmt: skip

    assert done.stdout.startswith(str(installed))
    assert done.stderr == ""
