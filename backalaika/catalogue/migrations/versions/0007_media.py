"""Who catalogues a medium, and how."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_TEXT = sa.Text().with_variant(sa.Text(collation="utf8mb4_bin"), "mysql", "mariadb")


def upgrade() -> None:
    """Add the columns; of a medium that is not complete nobody is known to write to it."""
    op.add_column("volumes", sa.Column("host", _TEXT, comment="where a medium is being catalogued"))
    op.add_column("volumes", sa.Column("pid", sa.BigInteger, comment="by which process there; null: by none"))
    op.add_column("volumes", sa.Column("pid_seen", sa.Double, comment="when it had that number, seconds since 1970"))
    op.add_column("volumes", sa.Column("options", _TEXT, comment="switches by which a medium is catalogued"))
