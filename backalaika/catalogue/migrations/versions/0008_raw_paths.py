"""The bytes of names whose encoding was guessed; and volumes that are being removed."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_COMPLETE = "incomplete, or complete: all its bytes are on disk and synced"
_REMOVING = "incomplete, complete: all its bytes are on disk and synced, or removing: its rows are being deleted"


def upgrade() -> None:
    """Add the column; of what was catalogued before, the bytes are not known any more."""
    op.add_column(
        "files",
        sa.Column(
            "raw_path",
            sa.LargeBinary,
            comment="the path's bytes in an old zip; folder and name are what they may well mean",
        ),
    )
    if op.get_bind().dialect.name == "sqlite":
        return  # has no comments
    op.alter_column(
        "volumes",
        "state",
        existing_type=sa.String(16),
        existing_nullable=False,
        existing_comment=_COMPLETE,
        comment=_REMOVING,
    )
