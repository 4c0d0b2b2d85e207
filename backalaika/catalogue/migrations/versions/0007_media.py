"""Who catalogues a medium, how, and what of it could not be read."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_TEXT = sa.Text().with_variant(sa.Text(collation="utf8mb4_bin"), "mysql", "mariadb")


def upgrade() -> None:
    """Add columns and table; of a medium that is not complete nobody is known to write to it."""
    op.add_column("volumes", sa.Column("host", _TEXT, comment="where a medium is being catalogued"))
    op.add_column("volumes", sa.Column("pid", sa.BigInteger, comment="by which process there; null: by none"))
    op.add_column("volumes", sa.Column("pid_seen", sa.Double, comment="when it had that number, seconds since 1970"))
    op.add_column("volumes", sa.Column("options", _TEXT, comment="switches by which a medium is catalogued"))
    op.create_table(
        "troubles",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("volume_id", _ID, sa.ForeignKey("volumes.id"), nullable=False),
        sa.Column("path", sa.LargeBinary, nullable=False, comment="absolute, of a file on a medium or in its archives"),
        sa.Column("message", _TEXT, nullable=False, comment="what could not be read, or not as it should be"),
    )
    op.create_index(op.f("ix_troubles_volume_id"), "troubles", ["volume_id"])
