"""Throw-away: an empty catalogue beside the configured one, to measure with; it is gone when its context ends.

Beside means on the same disk, or on the same server: a file in a folder of its own next to SQLite's, a schema of
PostgreSQL, a database of MySQL. The configured catalogue itself is not touched, and not made either.

Each is locked as long as it is in use: the folder by `flock(2)`, the others by an advisory lock of the server. Whatever
ends the process ends the lock; so the next one removes what a process that was killed has left, and nothing else.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from sqlalchemy.engine import URL

from .opening import Catalogue, make_engine, open_catalogue, parse_uri
from .reasons import readable_errors

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

try:
    import fcntl
except ImportError:  # Windows, where what a killed process leaves stays
    fcntl = None  # type: ignore[assignment]

_PREFIX = "backalaika_bench_"
_FILE = "catalogue.sqlite"


def nearest_folder(path: str) -> str:
    """The folder that is there already of a path that may have to be made."""
    path = os.path.abspath(path)
    while not os.path.isdir(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return path


@contextmanager
def throwaway_catalogue(db_uri: str) -> Iterator[Catalogue]:
    """An empty catalogue where ``db_uri`` has its own; others of which the process is gone are removed before.

    Raises:
        CatalogueError: the database cannot be reached, or does not let one be made.
        OSError: the folder cannot be written.
    """
    url = parse_uri(db_uri)
    if url.get_backend_name() == "sqlite":
        place = nearest_folder(os.path.dirname(os.path.expanduser(str(url.database))))
        _remove_old_folders(place)
        with (
            _new_folder(place) as folder,
            open_catalogue(str(URL.create("sqlite", database=os.path.join(folder, _FILE)))) as catalogue,
        ):
            yield catalogue
        return
    engine = make_engine(url)
    try:
        server = _Server(engine)
        server.remove_old()
        with server.new() as name:
            backend = url.get_backend_name()
            if server.is_postgresql:
                own = url.update_query_dict({"options": f"-csearch_path={name}"})
            else:
                own = url.set(database=name)
            with open_catalogue(own.set(drivername=backend).render_as_string(hide_password=False)) as catalogue:
                yield catalogue
    finally:
        engine.dispose()


def _remove_old_folders(place: str) -> None:
    """Remove them where one would be made now, and above: there one was made before the catalogue had its folder."""
    while True:
        names: list[str] = []
        with suppress(OSError):
            names = os.listdir(place)
        for name in names:
            if name.startswith(_PREFIX):
                with suppress(OSError):
                    _remove_if_old(os.path.join(place, name))
        if place == os.path.dirname(place):
            return
        place = os.path.dirname(place)


def _remove_if_old(folder: str) -> None:
    """Remove a folder that is one, and that nobody has locked."""
    if not all(name.startswith(_FILE) for name in os.listdir(folder)):
        return
    lock = _locked(folder)
    if lock is not None:
        try:
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)


@contextmanager
def _new_folder(place: str) -> Iterator[str]:
    while True:
        folder = tempfile.mkdtemp(prefix=_PREFIX, dir=place)
        try:
            lock = _locked(folder)
        except (BlockingIOError, FileNotFoundError):  # somebody took it for an old one, in that moment
            continue
        except OSError:  # the file system has no locks, so nobody else can lock it either
            lock = None
        if lock is None or os.path.isdir(folder):
            break
        os.close(lock)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _locked(folder: str) -> int | None:
    """A descriptor of a folder, which is locked until it is closed; None where there are no locks.

    Raises:
        BlockingIOError: somebody else has locked it.
        OSError: it cannot be opened, or locked.
    """
    if fcntl is None:
        return None
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


class _Server:
    """A server, on which a throw-away catalogue is a schema (PostgreSQL) or a database (MySQL)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.is_postgresql = engine.url.get_backend_name() == "postgresql"
        self._kind = "SCHEMA" if self.is_postgresql else "DATABASE"

    def remove_old(self) -> None:
        """Remove all that nobody has locked."""
        from sqlalchemy.exc import SQLAlchemyError

        with readable_errors(self._engine.url), self._engine.connect() as connection:
            names = connection.exec_driver_sql("SELECT schema_name FROM information_schema.schemata").scalars().all()
        for name in names:
            if re.fullmatch(_PREFIX + "[0-9a-f]{12}", name):
                with suppress(SQLAlchemyError):  # another user's, who will remove it
                    self._remove_if_old(name)

    def _remove_if_old(self, name: str) -> None:
        with self._engine.connect() as connection:
            if not self._lock(connection, name):
                return
            try:
                self._drop(connection, name)
            finally:
                connection.invalidate()  # which ends the lock, whatever state it is in

    @contextmanager
    def new(self) -> Iterator[str]:
        """The name of one that is made, and dropped in the end."""
        name = _PREFIX + uuid.uuid4().hex[:12]
        with readable_errors(self._engine.url):
            connection = self._engine.connect()
        with connection:  # the lock is as long as this is open
            with readable_errors(self._engine.url):
                self._lock(connection, name)
                connection.exec_driver_sql(f"CREATE {self._kind} {name}")
                connection.commit()
            try:
                yield name
            finally:
                with readable_errors(self._engine.url), self._engine.connect() as other:
                    self._drop(other, name)
                connection.invalidate()

    def _lock(self, connection: Connection, name: str) -> bool:
        """Lock a name, which need not be there yet; False if somebody else has."""
        number = int(name.removeprefix(_PREFIX), 16)
        call = f"pg_try_advisory_lock({number})" if self.is_postgresql else f"GET_LOCK('{name}', 0)"
        return bool(connection.exec_driver_sql(f"SELECT {call}").scalar())

    def _drop(self, connection: Connection, name: str) -> None:
        connection.exec_driver_sql(f"DROP {self._kind} IF EXISTS {name}{' CASCADE' if self.is_postgresql else ''}")
        connection.commit()
