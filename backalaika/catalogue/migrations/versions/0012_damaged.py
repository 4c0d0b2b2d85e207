"""When volumes were seen damaged."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add when a volume was found not to be what it was; until now nothing kept that."""
    op.add_column(
        "volumes",
        sa.Column(
            "damaged_at_ns",
            sa.BigInteger,
            comment="when some of it was seen to be wrong, nanoseconds since 1970, UTC; null: not since it was right",
        ),
    )
