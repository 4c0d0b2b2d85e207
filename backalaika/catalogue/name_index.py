"""Name index: how the lists of names, and the folders, are searched in each database.

SQLite has the lists in FTS5, which keeps of each trigram only in which lists it is; with the lists themselves, that is
a sixth of the time of recording (benchmarks/catalogue.py). PostgreSQL has them in an index by ``pg_trgm``, where that
may be used. MySQL, and where there is no such thing, reads them from first to last: they are a tenth of the rows of
the files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    LargeBinary,
    Select,
    Table,
    Text,
    cast,
    event,
    func,
    inspect,
    literal,
    literal_column,
    or_,
    select,
    table,
    text,
)
from sqlalchemy.exc import DBAPIError

from .names import FTS
from .schema import folders, name_lists
from .wanted import folded

# So many find it as well as all; a pattern of thousands of characters would make too long a query.
_TRIGRAMS = 60
_MATCH = text("name_search MATCH :query")
# All letters beyond ASCII which are looked for by letters of ASCII too: in a search, Straße is strasse.
FOLDED_TO_ASCII = "ßẞſﬅﬆﬀﬁﬂﬃﬄŉǰẖẗẘẙẚİ\u212a\u037e\u1fef"

_SQLITE = (
    "CREATE VIRTUAL TABLE name_search USING fts5"
    "(names, content='name_lists', content_rowid='id', tokenize='trigram', detail='none', columnsize=0)"
)
_WHERE_TRGM_IS = text(
    "SELECT nspname FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'pg_trgm'"
)
# Not into the catalogue's own schema, with which it would be dropped; in a database of its own the two are one.
_MAKE_TRGM = "CREATE EXTENSION IF NOT EXISTS pg_trgm"
_HAS_PUBLIC = text("SELECT count(*) FROM pg_namespace WHERE nspname = 'public'")


def create_index(connection: Connection) -> None:
    """Make what helps searching the lists; where the database cannot, they are read from first to last."""
    if connection.dialect.name == "sqlite":
        # SQLite before 3.34, or built without FTS5.
        _try(connection, _SQLITE)
    elif connection.dialect.name == "postgresql":
        place = " SCHEMA public" if connection.execute(_HAS_PUBLIC).scalar() else ""
        if connection.execute(_WHERE_TRGM_IS).scalar() is None:
            _try(connection, _MAKE_TRGM + place)
        schema = connection.execute(_WHERE_TRGM_IS).scalar()
        if schema is not None:
            operators = f"{connection.dialect.identifier_preparer.quote(schema)}.gin_trgm_ops"
            _try(connection, f"CREATE INDEX {FTS} ON name_lists USING gin (names {operators})")


def _try(connection: Connection, statement: str) -> None:
    try:
        with connection.begin_nested():
            connection.exec_driver_sql(statement)
    except DBAPIError as error:
        if error.connection_invalidated:
            raise


@event.listens_for(name_lists, "after_create")
def _with_table(_table: Table, connection: Connection, **_how: Any) -> None:
    create_index(connection)


def has_fts(connection: Connection) -> bool:
    """Whether the lists of an SQLite catalogue are indexed."""
    return connection.dialect.name == "sqlite" and inspect(connection).has_table(FTS)


def lists_with(connection: Connection, pieces: Sequence[str]) -> Select[Any]:
    """Id, volume and first and last file of the lists that hold all these pieces."""
    asked = select(name_lists.c.id, name_lists.c.volume_id, name_lists.c.first_id, name_lists.c.last_id)
    if connection.dialect.name != "sqlite":
        return asked.where(*(name_lists.c.names.like(f"%{_escaped(piece)}%") for piece in pieces))
    trigrams = {piece[i : i + 3] for piece in pieces for i in range(len(piece) - 2)}
    if trigrams and has_fts(connection):
        query = " AND ".join('"{}"'.format(trigram.replace('"', '""')) for trigram in sorted(trigrams)[:_TRIGRAMS])
        found: Select[Any] = (
            select(literal_column("rowid")).select_from(table(FTS)).where(_MATCH.bindparams(query=query))
        )
        asked = asked.where(name_lists.c.id.in_(found))
    return asked.where(*(func.instr(name_lists.c.names, piece) > 0 for piece in pieces))


def folders_with(connection: Connection, pieces: Sequence[str]) -> Select[Any]:
    """Id and path of the folders whose paths may hold all these pieces; capital letters are the same as small ones."""
    if connection.dialect.name == "sqlite":
        path: ColumnElement[str] = cast(folders.c.path, Text)
    elif connection.dialect.name == "postgresql":
        path = func.encode(folders.c.path, "escape")
        pieces = [piece.replace("\\", "\\\\") for piece in pieces]
    else:
        path = literal_column("CONVERT(folders.path USING latin1)")
    # Only PostgreSQL's LIKE tells capital letters from small ones.
    alike = path.ilike if connection.dialect.name == "postgresql" else path.like
    conditions = []
    for piece in pieces:
        # What is no ASCII may be written in several ways, and may be anything here.
        like = "%{}%".format(re.sub(r"[^\x01-\x7e]+", "%", _escaped(piece)))
        others = [_holds(connection, letter) for letter in FOLDED_TO_ASCII if {*folded(letter)} & {*folded(piece)}]
        conditions.append(or_(alike(like, escape="\\"), *others))
    return select(folders.c.id, folders.c.path).where(*conditions)


def _holds(connection: Connection, letter: str) -> ColumnElement[bool]:
    """Whether the path of a folder has this letter in it, in UTF-8."""
    letter_bytes = literal(letter.encode(), LargeBinary)
    if connection.dialect.name == "postgresql":
        return func.position(letter_bytes.op("IN")(folders.c.path)) > 0
    return func.instr(folders.c.path, letter_bytes) > 0


def _escaped(piece: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", piece)
