"""Volumes of which only a part of what makes their files known is entered yet; archives that are being removed."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_COMPLETE = "incomplete or complete"
_REMOVING = "incomplete, complete, or removing: its rows are being deleted"


def upgrade() -> None:
    """Add the column; until now all of a volume was entered, and all of an archive removed, in one transaction."""
    op.add_column(
        "volumes",
        sa.Column(
            "entering",
            sa.Boolean,
            nullable=False,
            server_default=sa.false(),
            comment="whether only some of its files are in known: then none of them counts",
        ),
    )
    if op.get_bind().dialect.name == "sqlite":
        return  # has no comments
    op.alter_column(
        "archives",
        "state",
        existing_type=sa.String(16),
        existing_nullable=False,
        existing_comment=_COMPLETE,
        comment=_REMOVING,
    )
