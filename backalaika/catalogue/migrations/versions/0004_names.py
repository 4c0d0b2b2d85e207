"""Lists of names to search in, and an index of the digests of files that were cut."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import MEDIUMTEXT

from backalaika.catalogue.name_index import create_index

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_MYSQL = ("mysql", "mariadb")
_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_LONG_TEXT = sa.Text().with_variant(MEDIUMTEXT(collation="utf8mb4_bin"), *_MYSQL)


def upgrade() -> None:
    """Make them; the volumes that are there get their lists when something is searched for the first time."""
    op.create_table(
        "name_lists",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("volume_id", _ID, sa.ForeignKey("volumes.id"), nullable=False),
        sa.Column("first_id", sa.BigInteger, nullable=False, comment="of the volume's files, those from this id"),
        sa.Column("last_id", sa.BigInteger, nullable=False, comment="to this one are in the list; no foreign keys"),
        sa.Column("names", _LONG_TEXT, nullable=False, comment="/one/after/another/, folded for searching"),
    )
    op.create_index(op.f("ix_name_lists_volume_id"), "name_lists", ["volume_id"])
    has_one = sa.text("whole_digest IS NOT NULL")
    op.create_index(
        op.f("ix_files_whole_digest"), "files", ["whole_digest"], sqlite_where=has_one, postgresql_where=has_one
    )
    # Not as it was when this was written: what helps searching may be dropped and made anew at any time.
    create_index(op.get_bind())
