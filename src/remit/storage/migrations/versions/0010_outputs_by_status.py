"""Outputs by status: the few that are disputed are found without looking at all others."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index."""
    op.execute("create index outputs_by_status on remit.outputs (status, id desc)")


def downgrade() -> None:
    """Remove it."""
    op.execute("drop index remit.outputs_by_status")
