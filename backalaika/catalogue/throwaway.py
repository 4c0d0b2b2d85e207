"""Throw-away: an empty catalogue beside the configured one, to measure with; it is gone when its context ends.

Beside means on the same disk, or on the same server: a file in a folder of its own next to SQLite's, a schema of
PostgreSQL, a database of MySQL. The configured catalogue itself is not touched, and not made either.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.engine import URL

from .opening import Catalogue, make_engine, open_catalogue, parse_uri
from .reasons import readable_errors

_PREFIX = "backalaika_bench_"


def nearest_folder(path: str) -> str:
    """The folder that is there already of a path that may have to be made."""
    path = os.path.abspath(path)
    while not os.path.isdir(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return path


@contextmanager
def throwaway_catalogue(db_uri: str) -> Iterator[Catalogue]:
    """An empty catalogue where ``db_uri`` has its own.

    Raises:
        CatalogueError: the database cannot be reached, or does not let one be made.
        OSError: the folder cannot be written.
    """
    url = parse_uri(db_uri)
    if url.get_backend_name() == "sqlite":
        place = nearest_folder(os.path.dirname(os.path.expanduser(str(url.database))))
        with (
            tempfile.TemporaryDirectory(prefix=_PREFIX, dir=place, ignore_cleanup_errors=True) as folder,
            open_catalogue(str(URL.create("sqlite", database=os.path.join(folder, "catalogue.sqlite")))) as catalogue,
        ):
            yield catalogue
        return
    is_postgresql = url.get_backend_name() == "postgresql"
    name = _PREFIX + uuid.uuid4().hex[:12]
    kind = "SCHEMA" if is_postgresql else "DATABASE"
    own = url.update_query_dict({"options": f"-csearch_path={name}"}) if is_postgresql else url.set(database=name)
    engine = make_engine(url)
    try:
        with readable_errors(url), engine.begin() as connection:
            connection.exec_driver_sql(f"CREATE {kind} {name}")
        try:
            backend = url.get_backend_name()
            with open_catalogue(own.set(drivername=backend).render_as_string(hide_password=False)) as catalogue:
                yield catalogue
        finally:
            with readable_errors(url), engine.begin() as connection:
                connection.exec_driver_sql(f"DROP {kind} {name}{' CASCADE' if is_postgresql else ''}")
    finally:
        engine.dispose()
