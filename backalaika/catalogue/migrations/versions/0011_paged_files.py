"""The files of a volume in the order of their numbers, in PostgreSQL; in the others the index has them anyhow."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Put another index in the place of the one by volume."""
    if op.get_bind().dialect.name != "postgresql":
        return
    op.create_index("ix_files_volume_id_id", "files", ["volume_id", "id"])
    op.drop_index("ix_files_volume_id", "files")
