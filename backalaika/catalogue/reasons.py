"""Reasons: what a database says, as one line for people: what is wrong, what to do, and never a password."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..errors import CatalogueError, CatalogueFullError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL
    from sqlalchemy.exc import SQLAlchemyError

LOCKED = "another program is writing to it; try again when that has ended"

_SERVER = "is the server running, and are host and port in db_uri right?"
_USER = "correct user and password in db_uri"
_DATABASE = "let it be made (CREATE DATABASE), or name another in db_uri"
_RIGHTS = "give the user of db_uri the right to make, change and read tables there"
# What a part of the message means; the first that fits. SQLite's messages, then those of PostgreSQL and MySQL.
_ADVICE = {
    r"^database (table )?is locked": LOCKED,
    r"^database or disk is full": "make room on its disk",
    r"^file is not a database": "name another file in db_uri",
    r"^unable to open database file": "is its folder there, and may you write in it? Correct db_uri",
    r"^attempt to write a readonly database": "you may not write to it; change its owner, or name another in db_uri",
    r"^database disk image is malformed": "it is damaged; put it aside and use a copy, or let a new one be made",
    r"lock timeout|Lock wait timeout": LOCKED,
    r'database ".*" does not exist|Unknown database': _DATABASE,
    r"password authentication failed|no password supplied|role \".*\" (does not exist|is not permitted)": _USER,
    r"no pg_hba.conf entry": "the server lets nobody in from here; change its pg_hba.conf, or db_uri",
    r"Access denied for user .*\(using password": _USER,
    r"[Pp]ermission denied|command denied|Access denied|no schema has been selected": _RIGHTS,
    r"Connection refused|Can't connect|could not translate host|resolve host|timeout expired|timed out": _SERVER,
    r"[Tt]oo many (clients|connections)": "wait until other programs have left it, or raise its limit",
    r"server closed the connection|Lost connection|gone away|terminating connection": "is the server still running?",
    r"No space left|disk is full|table .* is full": "make room on the server's disk",
}

# As SQLite says it, and as the system does.
_FULL = ("disk is full", "No space left on device")


@contextmanager
def readable_errors(url: URL) -> Iterator[None]:
    """Turn what SQLAlchemy raises into a `CatalogueError` of one line without the password."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except SQLAlchemyError as error:
        raise catalogue_error(shown(url), _said(error, url)) from None


def catalogue_error(place: str, reason: str) -> CatalogueError:
    """What is raised where a database says ``reason``; ``place`` is its URI as it may be shown."""
    advice = next((advice for pattern, advice in _ADVICE.items() if re.search(pattern, reason)), None)
    kind = CatalogueFullError if any(words in reason for words in _FULL) else CatalogueError
    return kind(f"catalogue {place}: {reason}; {advice}" if advice else f"catalogue {place}: {reason}")


def shown(url: URL) -> str:
    """The URI as the user has it, without password and query, which may hold one too."""
    return url.set(drivername=url.get_backend_name(), query={}).render_as_string(hide_password=True)


def _said(error: SQLAlchemyError, url: URL) -> str:
    """The one line of a driver's error, without secrets."""
    from sqlalchemy.exc import DBAPIError

    said: object = error
    if isinstance(error, DBAPIError) and error.orig:
        # PyMySQL has a number and a text; all others have a text only.
        arguments = error.orig.args
        said = arguments[1] if len(arguments) == 2 and isinstance(arguments[0], int) else error.orig
    reason = (str(said).strip() or type(error).__name__).splitlines()[0]
    secrets = [url.password, *(value for values in url.query.values() for value in _as_tuple(values))]
    for secret in secrets:
        if secret:
            reason = reason.replace(secret, "***")
    return reason


def _as_tuple(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value
