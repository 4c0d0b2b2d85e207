"""How many copies a run makes of each file, for it may go on another day."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; runs that go on from before take the number that the configuration has."""
    op.add_column(
        "runs",
        sa.Column(
            "copies", sa.Integer, comment="on how many volumes a file must be to be known; null if that was not kept"
        ),
    )
