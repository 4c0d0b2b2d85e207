"""Parts of files that fit on no volume whole."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what a member that is a part tells of the whole."""
    digest = sa.LargeBinary().with_variant(sa.VARBINARY(64), "mysql", "mariadb")
    part = "from 1, if the member is a part of the file: size and digest are the part's"
    op.add_column("files", sa.Column("part", sa.Integer, comment=part))
    op.add_column("files", sa.Column("part_offset", sa.BigInteger, comment="of the part in the whole"))
    op.add_column("files", sa.Column("whole_size", sa.BigInteger, comment="of a file that was cut"))
    op.add_column("files", sa.Column("whole_digest", digest, comment="of a file that was cut; with its last part only"))
