"""What a run needs to know to go on where it ended."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add how two of the questions were answered."""
    op.add_column("runs", sa.Column("since_ns", sa.BigInteger, comment="only files modified since then; null for all"))
    op.add_column(
        "runs",
        sa.Column(
            "skip_known",
            sa.Boolean,
            nullable=False,
            server_default=sa.false(),
            comment="whether known files were left out",
        ),
    )
