"""Schema: the tables, for tens of millions of files in SQLite, PostgreSQL or MySQL.

Names and paths are bytes: no database's collation then takes two of them for one, and undecodable ones survive. MySQL
cannot index long bytes, so a folder is found by the hash of its path. A folder's path is stored once, not with each of
its files.

The table of files is indexed by folder and by volume only, where new rows come at the end. An index by content, where
they come anywhere, took as long as all the rest: each batch wrote all of its pages anew. ``known`` stands in for it; it
takes a volume's files when the volume is complete, which is when they begin to count as known: up to a million at once,
sorted.
``files.archive_id`` and ``known.file_id`` are no foreign keys: having no index on the one, SQLite would read all files
to delete an archive; on the other, all of ``known`` to delete a file.

``name_lists`` is what names are searched in, some dozens of a volume together; it is made when the volume is complete.
`names` tells why, and what each database has besides.

``trees``, ``entries`` and ``listings`` tell how sources were as of each run; `pictures` has the way they are used. The
columns of ``entries`` that point to other tables are no foreign keys, for the same reason.

A change here needs a migration beside it, and its number in `catalogue.REVISION`; a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import (
    VARBINARY,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)
from sqlalchemy.dialects.mysql import MEDIUMTEXT
from sqlalchemy.types import TypeEngine

from .rows import LONGEST_TITLE

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

_MYSQL = ("mysql", "mariadb")
# SQLite gives out row numbers only to a column that is INTEGER to the letter; it holds 64 bits all the same.
_ID: TypeEngine[int] = BigInteger().with_variant(Integer, "sqlite")
# MySQL's usual collations take A for a, and é for e.
_TEXT: TypeEngine[str] = Text().with_variant(Text(collation="utf8mb4_bin"), *_MYSQL)
_LONG_TEXT: TypeEngine[str] = Text().with_variant(MEDIUMTEXT(collation="utf8mb4_bin"), *_MYSQL)
_TITLE: TypeEngine[str] = String(LONGEST_TITLE).with_variant(String(LONGEST_TITLE, collation="utf8mb4_bin"), *_MYSQL)


def short_bytes(length: int) -> TypeEngine[bytes]:
    """Bytes of at most this length, which MySQL can index too."""
    return LargeBinary().with_variant(VARBINARY(length), *_MYSQL)


runs = Table(
    "runs",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("job", _TEXT, nullable=False, comment="name of the job"),
    Column("comment", _TEXT, nullable=False, comment="the user's, or empty"),
    Column("folder", LargeBinary, nullable=False, comment="absolute path of the run's folder"),
    Column("started_at_ns", BigInteger, nullable=False, comment="nanoseconds since 1970, UTC"),
    Column("finished_at_ns", BigInteger, comment="null until the run ends by itself"),
    Column("state", String(16), nullable=False, comment="running, complete, incomplete, interrupted or failed"),
    Column("files", BigInteger, nullable=False, comment="files and links saved"),
    Column("bytes", BigInteger, nullable=False, comment="content saved, before compression"),
    Column("known_files", BigInteger, nullable=False, comment="files not saved, being known"),
    Column("error_count", BigInteger, nullable=False, comment="files and folders not saved, or not as they should be"),
    Column("host", _TEXT, nullable=False, comment="where it ran"),
    Column("pid", BigInteger, nullable=False, comment="its process there"),
    Column("pid_seen", Double, nullable=False, comment="when it had that number, seconds since 1970"),
    Column("since_ns", BigInteger, comment="only files modified since then; null for all"),
    Column("skip_known", Boolean, nullable=False, server_default=false(), comment="whether known files were left out"),
    Column("digest", String(16), comment="which digest it uses: xxh3-128, blake3 or sha256"),
    Column("copies", Integer, comment="on how many volumes a file must be to be known; null if that was not kept"),
)

sources = Table(
    "sources",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("run_id", ForeignKey("runs.id"), nullable=False),
    Column("path", LargeBinary, nullable=False, comment="absolute path of the source"),
    Column("options", _TEXT, nullable=False, comment="as the job file has them"),
    Column("found_files", BigInteger, nullable=False, comment="files and links there, before known ones were left out"),
    Column("found_bytes", BigInteger, nullable=False, comment="content of those files"),
    Column(
        "label", LargeBinary, nullable=False, comment="top folder in archives: member = label/path below the source"
    ),
    Column("tree_id", BigInteger, comment="the tree of which the run has a picture; null if it has none"),
    Column("added", BigInteger, comment="entries that the picture before does not have; all if there is none"),
    Column("changed", BigInteger, comment="entries that are different in the picture before"),
    Column("deleted", BigInteger, comment="entries that only the picture before has"),
    Column("moved", BigInteger, comment="of those added, files whose content was deleted elsewhere in the source"),
)

volumes = Table(
    "volumes",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("title", _TITLE, nullable=False, comment="of a run's volume: <run folder>/vol001"),
    Column("run_id", ForeignKey("runs.id"), comment="null for a medium added by hand"),
    Column("number", Integer, comment="in the run, from 1"),
    Column("description", _TEXT, nullable=False, comment="the user's, or empty"),
    Column("path", LargeBinary, comment="absolute path where it was written or read"),
    Column("capacity", BigInteger, comment="bytes that the medium takes"),
    Column("size", BigInteger, nullable=False, comment="bytes on the medium when complete, else 0"),
    Column(
        "state",
        String(16),
        nullable=False,
        comment="incomplete, complete: all its bytes are on disk and synced, or removing: its rows are being deleted",
    ),
    Column("added_at_ns", BigInteger, nullable=False, comment="nanoseconds since 1970, UTC"),
    Column("digest", String(16), nullable=False, comment="which digest its files have: xxh3-128, blake3 or sha256"),
    Column("files", BigInteger, nullable=False, comment="files and links recorded so far"),
    Column("bytes", BigInteger, nullable=False, comment="their content"),
    Column(
        "verified_at_ns",
        BigInteger,
        comment="when all its bytes were last seen to be right, nanoseconds since 1970, UTC; null: never checked",
    ),
    Column(
        "damaged_at_ns",
        BigInteger,
        comment="when some of it was seen to be wrong, nanoseconds since 1970, UTC; null: not since it was right",
    ),
    Column("host", _TEXT, comment="where a medium is being catalogued"),
    Column("pid", BigInteger, comment="by which process there; null: by none"),
    Column("pid_seen", Double, comment="when it had that number, seconds since 1970"),
    Column("options", _TEXT, comment="switches by which a medium is catalogued"),
    Column(
        "entering",
        Boolean,
        nullable=False,
        server_default=false(),
        comment="whether only some of its files are in known: then none of them counts",
    ),
    UniqueConstraint("title"),
)

archives = Table(
    "archives",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("volume_id", ForeignKey("volumes.id"), nullable=False, index=True),
    Column("source_id", ForeignKey("sources.id"), comment="null for an archive on a medium added by hand"),
    Column("name", LargeBinary, nullable=False, comment="path on the volume"),
    Column("format", String(16), nullable=False, comment="zip, tar.gz, tar.bz2, tar.zst or tar.xz"),
    Column("size", BigInteger, nullable=False, comment="bytes of the archive when complete, else 0"),
    Column("digest", short_bytes(64), comment="XXH3-128 of the whole archive"),
    Column(
        "state", String(16), nullable=False, comment="incomplete, complete, or removing: its rows are being deleted"
    ),
)

frames = Table(
    "frames",
    metadata,
    Column("archive_id", ForeignKey("archives.id"), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False, comment="in the archive, from 0"),
    Column("offset", BigInteger, nullable=False, comment="in the archive"),
    Column("size", BigInteger, nullable=False, comment="bytes in the archive"),
    Column("raw_size", BigInteger, nullable=False, comment="bytes when decoded"),
    sqlite_with_rowid=False,
)

folders = Table(
    "folders",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("path_key", short_bytes(16), nullable=False, comment="BLAKE2b, 16 bytes, of the path"),
    Column("path", LargeBinary, nullable=False, comment="absolute path of the folder, where it was saved"),
    UniqueConstraint("path_key"),
)

files = Table(
    "files",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("volume_id", ForeignKey("volumes.id"), nullable=False),
    Column("archive_id", BigInteger, comment="null for a loose file of a medium; no foreign key"),
    Column("folder_id", ForeignKey("folders.id"), nullable=False, index=True),
    Column("name", LargeBinary, nullable=False, comment="empty for the folder itself"),
    Column("kind", SmallInteger, nullable=False, comment="0 file, 1 directory, 2 symbolic link, 3 hard link"),
    Column("size", BigInteger, nullable=False, comment="bytes of content"),
    Column("mtime_ns", BigInteger, nullable=False, comment="nanoseconds since 1970, UTC"),
    Column("ctime_ns", BigInteger, comment="nanoseconds since 1970, UTC"),
    Column("inode", BigInteger, comment="the lower 64 bits, signed"),
    Column("digest", short_bytes(64), comment="of the content; volumes.digest tells which"),
    Column("frame", BigInteger, comment="number of the frame in the archive where the member starts"),
    Column("offset", BigInteger, comment="of the member in the decoded frame"),
    Column("target", LargeBinary, comment="of a link"),
    Column("part", Integer, comment="from 1, if the member is a part of the file: size and digest are the part's"),
    Column("part_offset", BigInteger, comment="of the part in the whole"),
    Column("whole_size", BigInteger, comment="of a file that was cut"),
    Column("whole_digest", short_bytes(64), comment="of a file that was cut; with its last part only"),
    Column(
        "raw_path", LargeBinary, comment="the path's bytes in an old zip; folder and name are what they may well mean"
    ),
)

# The files of a volume are read page by page, in the order of their numbers. An index has these in SQLite and MySQL
# anyhow; without them PostgreSQL sorted all of the volume for each page, and a million files took a minute.
Index("ix_files_volume_id", files.c.volume_id).ddl_if(dialect=("sqlite", *_MYSQL))  # type: ignore[arg-type]
Index("ix_files_volume_id_id", files.c.volume_id, files.c.id).ddl_if(dialect="postgresql")

# Most rows have none; MySQL has no index that leaves them out.
Index(
    "ix_files_whole_digest",
    files.c.whole_digest,
    sqlite_where=files.c.whole_digest.is_not(None),
    postgresql_where=files.c.whole_digest.is_not(None),
)

known = Table(
    "known",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False, comment="of a file on a complete volume"),
    Column("digest", short_bytes(64), primary_key=True, comment="of its content"),
    Column("file_id", BigInteger, primary_key=True, autoincrement=False, comment="no foreign key"),
    sqlite_with_rowid=False,
)

name_lists = Table(
    "name_lists",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("volume_id", ForeignKey("volumes.id"), nullable=False, index=True),
    Column("first_id", BigInteger, nullable=False, comment="of the volume's files, those from this id"),
    Column("last_id", BigInteger, nullable=False, comment="to this one are in the list; no foreign keys"),
    Column("names", _LONG_TEXT, nullable=False, comment="/one/after/another/, folded for searching"),
)

trees = Table(
    "trees",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("job", _TEXT, nullable=False, comment="name of the job"),
    Column("path", LargeBinary, nullable=False, comment="absolute path of the source, the same in all its runs"),
    Column("last_run", BigInteger, comment="of the newest picture"),
    Column("removals", BigInteger, nullable=False, comment="how often volumes were removed; then listings are void"),
)

entries = Table(
    "entries",
    metadata,
    Column("tree_id", BigInteger, primary_key=True, autoincrement=False),
    Column("folder_id", BigInteger, primary_key=True, autoincrement=False),
    Column("name", short_bytes(1024), primary_key=True, comment="empty for the folder itself"),
    Column("from_run", BigInteger, primary_key=True, autoincrement=False, comment="the first run that found it so"),
    Column("until_run", BigInteger, comment="the first that did not any more; null: it is so in the newest picture"),
    Column("kind", SmallInteger, nullable=False, comment="0 file, 1 directory, 2 symbolic link"),
    Column("size", BigInteger, nullable=False, comment="bytes of content"),
    Column("mtime_ns", BigInteger, nullable=False, comment="nanoseconds since 1970, UTC"),
    Column("ctime_ns", BigInteger, comment="nanoseconds since 1970, UTC"),
    Column("inode", BigInteger, comment="the lower 64 bits, signed"),
    Column("digest", short_bytes(64), comment="of a file, by the digest of from_run; null if it could not be saved"),
    Column("target", LargeBinary, comment="of a symbolic link"),
    Column("file_id", BigInteger, comment="the file as which from_run saved it; null if it was known by its content"),
    Column("mode", Integer, comment="of one that was known by its content; others have it in their archive"),
    Column("uid", BigInteger, comment="likewise"),
    Column("gid", BigInteger, comment="likewise"),
    sqlite_with_rowid=False,
)

listings = Table(
    "listings",
    metadata,
    Column("tree_id", BigInteger, primary_key=True, autoincrement=False),
    Column("folder_id", BigInteger, primary_key=True, autoincrement=False),
    Column("looks", short_bytes(16), comment="XXH3-128 of how all in it looked; null if that is not all safe"),
    sqlite_with_rowid=False,
)

errors = Table(
    "errors",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("run_id", ForeignKey("runs.id"), nullable=False),
    Column("path", LargeBinary, comment="null if no file is to blame"),
    Column("message", _TEXT, nullable=False),
    Column("at_ns", BigInteger, nullable=False, comment="nanoseconds since 1970, UTC"),
)

troubles = Table(
    "troubles",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("volume_id", ForeignKey("volumes.id"), nullable=False, index=True),
    Column("path", LargeBinary, nullable=False, comment="absolute, of a file on a medium or in its archives"),
    Column("message", _TEXT, nullable=False, comment="what could not be read, or not as it should be"),
)

# What alembic keeps; made here too, because importing alembic takes half a second.
alembic_version = Table(
    "alembic_version",
    MetaData(naming_convention={"pk": "%(table_name)s_pkc"}),
    Column("version_num", String(32), primary_key=True),
)
