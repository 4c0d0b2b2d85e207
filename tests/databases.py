"""Databases for tests: a new one for each test, which leaves nothing behind; SQLite, and the servers that are named.

BACKALAIKA_TEST_DB_URIS names them, separated by blanks, each with a database in which tests may make schemas
(PostgreSQL) or beside which they may make databases (MySQL):
``postgresql://postgres@127.0.0.1/test mysql://root@127.0.0.1/test``.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, MetaData, create_engine, make_url
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

SERVERS = os.environ.get("BACKALAIKA_TEST_DB_URIS", "").split()
# Of each database, its name and where it is; SQLite's are files in the test's own folder.
DATABASES = {"sqlite": "sqlite"} | {make_url(uri).get_backend_name(): uri for uri in SERVERS}
_DRIVERS = {
    "sqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
}


@dataclass
class TestDatabase:
    """A database of one test; ``uri`` is what a user would write in ``db_uri``."""

    __test__ = False
    backend: str
    uri: str

    def engine(self) -> Engine:
        """SQLAlchemy's, with nothing of ours; to look, or to do harm."""
        return _plain_engine(make_url(self.uri))

    def ask(self, sql: str) -> list[Any]:
        """Ask the database itself, with no code of ours between."""
        with self.engine().connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(sql)]

    def do(self, *statements: str) -> None:
        """Change the database behind our back."""
        with self.engine().begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def cut_off(self) -> None:
        """End all connections that are using the database in a transaction; a server's only."""
        if self.backend == "postgresql":
            self.do(
                "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_class ON pg_class.oid = relation"
                " WHERE relnamespace = current_schema()::regnamespace AND pid <> pg_backend_pid()"
            )
            return
        asked = "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
        self.do(*(f"KILL {number}" for (number,) in self.ask(asked)))

    def empty(self) -> None:
        """Drop all tables."""
        tables = MetaData()
        engine = self.engine()
        if self.backend == "sqlite":
            self.do("DROP TABLE IF EXISTS name_search")  # with the tables that are its own
        tables.reflect(engine)
        tables.drop_all(engine)


@contextmanager
def new_database(server: str, folder: Path) -> Iterator[TestDatabase]:
    """A new and empty database: a file in the folder, or a schema or database on the server."""
    if server == "sqlite":
        yield TestDatabase("sqlite", f"sqlite:///{folder}/catalogue.sqlite")
        return
    url = make_url(server)
    name = f"backalaika_test_{uuid.uuid4().hex[:12]}"
    is_postgresql = url.get_backend_name() == "postgresql"
    own = url.update_query_dict({"options": f"-csearch_path={name}"}) if is_postgresql else url.set(database=name)
    kind = "SCHEMA" if is_postgresql else "DATABASE"
    with _plain_engine(url).begin() as connection:
        connection.exec_driver_sql(f"CREATE {kind} {name}")
    try:
        yield TestDatabase(url.get_backend_name(), own.render_as_string(hide_password=False))
    finally:
        with _plain_engine(url).begin() as connection:
            connection.exec_driver_sql(f"DROP {kind} {name}{' CASCADE' if is_postgresql else ''}")


def _plain_engine(url: URL) -> Engine:
    return create_engine(url.set(drivername=_DRIVERS[url.get_backend_name()]), poolclass=NullPool)
