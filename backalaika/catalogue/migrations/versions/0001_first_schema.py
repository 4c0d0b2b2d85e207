"""The first schema; `schema` tells what the tables are for."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_MYSQL = ("mysql", "mariadb")
_ID: TypeEngine[int] = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_TEXT: TypeEngine[str] = sa.Text().with_variant(sa.Text(collation="utf8mb4_bin"), *_MYSQL)
_TITLE: TypeEngine[str] = sa.String(512).with_variant(sa.String(512, collation="utf8mb4_bin"), *_MYSQL)


def _short_bytes(length: int) -> TypeEngine[bytes]:
    return sa.LargeBinary().with_variant(sa.VARBINARY(length), *_MYSQL)


def upgrade() -> None:
    """Make all tables."""
    _create_runs()
    _create_volumes()
    _create_files()


def _create_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("job", _TEXT, nullable=False, comment="name of the job"),
        sa.Column("comment", _TEXT, nullable=False, comment="the user's, or empty"),
        sa.Column("folder", sa.LargeBinary, nullable=False, comment="absolute path of the run's folder"),
        sa.Column("started_at_ns", sa.BigInteger, nullable=False, comment="nanoseconds since 1970, UTC"),
        sa.Column("finished_at_ns", sa.BigInteger, comment="null until the run ends by itself"),
        sa.Column(
            "state", sa.String(16), nullable=False, comment="running, complete, incomplete, interrupted or failed"
        ),
        sa.Column("files", sa.BigInteger, nullable=False, comment="files and links saved"),
        sa.Column("bytes", sa.BigInteger, nullable=False, comment="content saved, before compression"),
        sa.Column("known_files", sa.BigInteger, nullable=False, comment="files not saved, being known"),
        sa.Column(
            "error_count",
            sa.BigInteger,
            nullable=False,
            comment="files and folders not saved, or not as they should be",
        ),
        sa.Column("host", _TEXT, nullable=False, comment="where it ran"),
        sa.Column("pid", sa.BigInteger, nullable=False, comment="its process there"),
        sa.Column("pid_seen", sa.Double, nullable=False, comment="when it had that number, seconds since 1970"),
    )
    op.create_table(
        "sources",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("run_id", _ID, sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("path", sa.LargeBinary, nullable=False, comment="absolute path of the source"),
        sa.Column("options", _TEXT, nullable=False, comment="as the job file has them"),
        sa.Column(
            "found_files",
            sa.BigInteger,
            nullable=False,
            comment="files and links there, before known ones were left out",
        ),
        sa.Column("found_bytes", sa.BigInteger, nullable=False, comment="content of those files"),
        sa.Column(
            "label",
            sa.LargeBinary,
            nullable=False,
            comment="top folder in archives: member = label/path below the source",
        ),
    )
    op.create_table(
        "errors",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("run_id", _ID, sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("path", sa.LargeBinary, comment="null if no file is to blame"),
        sa.Column("message", _TEXT, nullable=False),
        sa.Column("at_ns", sa.BigInteger, nullable=False, comment="nanoseconds since 1970, UTC"),
    )


def _create_volumes() -> None:
    op.create_table(
        "volumes",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("title", _TITLE, nullable=False, comment="of a run's volume: <run folder>/vol001"),
        sa.Column("run_id", _ID, sa.ForeignKey("runs.id"), comment="null for a medium added by hand"),
        sa.Column("number", sa.Integer, comment="in the run, from 1"),
        sa.Column("description", _TEXT, nullable=False, comment="the user's, or empty"),
        sa.Column("path", sa.LargeBinary, comment="absolute path where it was written or read"),
        sa.Column("capacity", sa.BigInteger, comment="bytes that the medium takes"),
        sa.Column("size", sa.BigInteger, nullable=False, comment="bytes on the medium when complete, else 0"),
        sa.Column(
            "state",
            sa.String(16),
            nullable=False,
            comment="incomplete, or complete: all its bytes are on disk and synced",
        ),
        sa.Column("added_at_ns", sa.BigInteger, nullable=False, comment="nanoseconds since 1970, UTC"),
        sa.Column(
            "digest", sa.String(16), nullable=False, comment="which digest its files have: xxh3-128, blake3 or sha256"
        ),
        sa.Column("files", sa.BigInteger, nullable=False, comment="files and links recorded so far"),
        sa.Column("bytes", sa.BigInteger, nullable=False, comment="their content"),
        sa.UniqueConstraint("title"),
    )
    op.create_table(
        "archives",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("volume_id", _ID, sa.ForeignKey("volumes.id"), nullable=False),
        sa.Column(
            "source_id", _ID, sa.ForeignKey("sources.id"), comment="null for an archive on a medium added by hand"
        ),
        sa.Column("name", sa.LargeBinary, nullable=False, comment="path on the volume"),
        sa.Column("format", sa.String(16), nullable=False, comment="zip, tar.gz, tar.bz2, tar.zst or tar.xz"),
        sa.Column("size", sa.BigInteger, nullable=False, comment="bytes of the archive when complete, else 0"),
        sa.Column("digest", _short_bytes(64), comment="XXH3-128 of the whole archive"),
        sa.Column("state", sa.String(16), nullable=False, comment="incomplete or complete"),
    )
    op.create_index(op.f("ix_archives_volume_id"), "archives", ["volume_id"])
    op.create_table(
        "frames",
        sa.Column("archive_id", _ID, sa.ForeignKey("archives.id"), primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False, comment="in the archive, from 0"),
        sa.Column("offset", sa.BigInteger, nullable=False, comment="in the archive"),
        sa.Column("size", sa.BigInteger, nullable=False, comment="bytes in the archive"),
        sa.Column("raw_size", sa.BigInteger, nullable=False, comment="bytes when decoded"),
        sqlite_with_rowid=False,
    )


def _create_files() -> None:
    op.create_table(
        "folders",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("path_key", _short_bytes(16), nullable=False, comment="BLAKE2b, 16 bytes, of the path"),
        sa.Column("path", sa.LargeBinary, nullable=False, comment="absolute path of the folder, where it was saved"),
        sa.UniqueConstraint("path_key"),
    )
    op.create_table(
        "files",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("volume_id", _ID, sa.ForeignKey("volumes.id"), nullable=False),
        sa.Column("archive_id", sa.BigInteger, comment="null for a loose file of a medium; no foreign key"),
        sa.Column("folder_id", _ID, sa.ForeignKey("folders.id"), nullable=False),
        sa.Column("name", sa.LargeBinary, nullable=False, comment="empty for the folder itself"),
        sa.Column("kind", sa.SmallInteger, nullable=False, comment="0 file, 1 directory, 2 symbolic link, 3 hard link"),
        sa.Column("size", sa.BigInteger, nullable=False, comment="bytes of content"),
        sa.Column("mtime_ns", sa.BigInteger, nullable=False, comment="nanoseconds since 1970, UTC"),
        sa.Column("ctime_ns", sa.BigInteger, comment="nanoseconds since 1970, UTC"),
        sa.Column("inode", sa.BigInteger, comment="the lower 64 bits, signed"),
        sa.Column("digest", _short_bytes(64), comment="of the content; volumes.digest tells which"),
        sa.Column("frame", sa.BigInteger, comment="number of the frame in the archive where the member starts"),
        sa.Column("offset", sa.BigInteger, comment="of the member in the decoded frame"),
        sa.Column("target", sa.LargeBinary, comment="of a link"),
    )
    op.create_index(op.f("ix_files_volume_id"), "files", ["volume_id"])
    op.create_index(op.f("ix_files_folder_id"), "files", ["folder_id"])
    op.create_table(
        "known",
        sa.Column(
            "size", sa.BigInteger, primary_key=True, autoincrement=False, comment="of a file on a complete volume"
        ),
        sa.Column("digest", _short_bytes(64), primary_key=True, comment="of its content"),
        sa.Column("file_id", sa.BigInteger, primary_key=True, autoincrement=False, comment="no foreign key"),
        sqlite_with_rowid=False,
    )
