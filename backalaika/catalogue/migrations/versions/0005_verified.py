"""When volumes were seen whole."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add when a volume was last read and found to be what it was."""
    op.add_column(
        "volumes",
        sa.Column(
            "verified_at_ns",
            sa.BigInteger,
            comment="when all its bytes were last seen to be right, nanoseconds since 1970, UTC; null: never checked",
        ),
    )
