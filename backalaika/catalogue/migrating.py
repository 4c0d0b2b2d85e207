"""Migrating: bring an older catalogue to the present schema, by alembic.

The settings are made here, so that an installed program needs no ``alembic.ini``; the scripts are in ``migrations``.
All of it happens in the caller's transaction: on SQLite and PostgreSQL a migration that fails leaves nothing behind.

PostgreSQL changes a table when nobody reads it, and lets nobody begin to read one that is to be changed. So it does not
wait there for who reads long.

MySQL commits each change of a table at once. There a migration that was cut off is begun again from its start, and the
tables, columns and indexes that are there already, or gone already, are passed over. So a migration must make and drop
only what has a name, and bear that its changes of rows are made twice.
"""

from __future__ import annotations

import os
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.ddl.mysql import MariaDBImpl, MySQLImpl
from alembic.util.exc import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from ..errors import CatalogueError
from .reasons import shown

# MySQL's numbers for: a table, column or index is there already; a column, index or table is not there to be dropped.
_DONE_ALREADY = {1050, 1060, 1061, 1091, 1051}

# Others who want to read wait as long.
_READERS_TIMEOUT_MS = 5000
_LOCK_NOT_AVAILABLE = "55P03"


class _Repeatable:
    """What of a migration was done before it was cut off is not done again."""

    def _exec(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super()._exec(*args, **kwargs)  # type: ignore[misc]  # of the class beside this one
        except DBAPIError as error:
            if error.orig is None or not _DONE_ALREADY.intersection(error.orig.args[:1]):
                raise
            return None


class _RepeatableMySQL(_Repeatable, MySQLImpl):
    __dialect__ = "mysql"  # alembic takes the class that named it last


class _RepeatableMariaDB(_Repeatable, MariaDBImpl):
    __dialect__ = "mariadb"


def migration_config(connection: Connection) -> Config:
    """Alembic's settings, for a connection in which a transaction is open."""
    config = Config()
    folder = os.path.join(os.path.dirname(__file__), "migrations")
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def migrate(connection: Connection) -> None:
    """Bring the schema to the newest revision.

    Raises:
        CatalogueError: its revision is not known here, or somebody is reading what must be changed.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SET LOCAL lock_timeout = '{_READERS_TIMEOUT_MS}ms'"))
    try:
        command.upgrade(migration_config(connection), "head")
    except CommandError:
        raise CatalogueError(
            f"catalogue {shown(connection.engine.url)}: was made by a newer Backalaika; install that one"
        ) from None
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        raise CatalogueError(
            f"catalogue {shown(connection.engine.url)}: has to be updated, and another program is reading from it, as "
            "a list that is not shown to its end does; try again when that has ended"
        ) from None
