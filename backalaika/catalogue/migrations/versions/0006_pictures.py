"""Pictures of sources: how they were as of each run."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_MYSQL = ("mysql", "mariadb")
_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_TEXT = sa.Text().with_variant(sa.Text(collation="utf8mb4_bin"), *_MYSQL)


def _short_bytes(length: int) -> sa.types.TypeEngine[bytes]:
    return sa.LargeBinary().with_variant(sa.VARBINARY(length), *_MYSQL)


def upgrade() -> None:
    """Make the tables; runs that are there have no pictures, and the next of each job makes its first."""
    op.add_column(
        "runs", sa.Column("digest", sa.String(16), comment="which digest it uses: xxh3-128, blake3 or sha256")
    )
    for name, comment in (
        ("tree_id", "the tree of which the run has a picture; null if it has none"),
        ("added", "entries that the picture before does not have; all if there is none"),
        ("changed", "entries that are different in the picture before"),
        ("deleted", "entries that only the picture before has"),
        ("moved", "of those added, files whose content was deleted elsewhere in the source"),
    ):
        op.add_column("sources", sa.Column(name, sa.BigInteger, comment=comment))
    op.create_table(
        "trees",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("job", _TEXT, nullable=False, comment="name of the job"),
        sa.Column(
            "path", sa.LargeBinary, nullable=False, comment="absolute path of the source, the same in all its runs"
        ),
        sa.Column("last_run", sa.BigInteger, comment="of the newest picture"),
        sa.Column(
            "removals", sa.BigInteger, nullable=False, comment="how often volumes were removed; then listings are void"
        ),
    )
    op.create_table(
        "entries",
        sa.Column("tree_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("folder_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("name", _short_bytes(1024), primary_key=True, comment="empty for the folder itself"),
        sa.Column(
            "from_run", sa.BigInteger, primary_key=True, autoincrement=False, comment="the first run that found it so"
        ),
        sa.Column(
            "until_run", sa.BigInteger, comment="the first that did not any more; null: it is so in the newest picture"
        ),
        sa.Column("kind", sa.SmallInteger, nullable=False, comment="0 file, 1 directory, 2 symbolic link"),
        sa.Column("size", sa.BigInteger, nullable=False, comment="bytes of content"),
        sa.Column("mtime_ns", sa.BigInteger, nullable=False, comment="nanoseconds since 1970, UTC"),
        sa.Column("ctime_ns", sa.BigInteger, comment="nanoseconds since 1970, UTC"),
        sa.Column("inode", sa.BigInteger, comment="the lower 64 bits, signed"),
        sa.Column(
            "digest", _short_bytes(64), comment="of a file, by the digest of from_run; null if it could not be saved"
        ),
        sa.Column("target", sa.LargeBinary, comment="of a symbolic link"),
        sa.Column(
            "file_id", sa.BigInteger, comment="the file as which from_run saved it; null if it was known by its content"
        ),
        sa.Column("mode", sa.Integer, comment="of one that was known by its content; others have it in their archive"),
        sa.Column("uid", sa.BigInteger, comment="likewise"),
        sa.Column("gid", sa.BigInteger, comment="likewise"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "listings",
        sa.Column("tree_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("folder_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("looks", _short_bytes(16), comment="XXH3-128 of how all in it looked; null if that is not all safe"),
        sqlite_with_rowid=False,
    )
