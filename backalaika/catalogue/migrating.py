"""Migrating: bring an older catalogue to the present schema, by alembic.

The settings are made here, so that an installed program needs no ``alembic.ini``; the scripts are in ``migrations``.
All of it happens in the caller's transaction: on SQLite and PostgreSQL a migration that fails leaves nothing behind.
"""

from __future__ import annotations

import os

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import Connection

from ..errors import CatalogueError
from .database import shown


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
        CatalogueError: its revision is not known here.
    """
    try:
        command.upgrade(migration_config(connection), "head")
    except CommandError:
        raise CatalogueError(
            f"catalogue {shown(connection.engine.url)}: was made by a newer Backalaika; install that one"
        ) from None
