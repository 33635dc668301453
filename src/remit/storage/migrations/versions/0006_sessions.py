"""Guests of sessions, and the indexes that finding sessions and actions needs."""

from pathlib import Path

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_INDEXES = (
    "sessions_by_principal",
    "sessions_on_behalf",
    "sessions_by_trigger",
    "sessions_labelled",
    "sessions_by_fork",
    "actions_by_type",
    "actions_asked_about",
)


def upgrade() -> None:
    """Mark the guests of sessions, and add the indexes."""
    op.execute(Path(__file__).with_name("0006_sessions.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Remove them."""
    for index in _INDEXES:
        op.execute(f"drop index remit.{index}")
    for table in ("turns", "messages"):
        op.execute(f"alter table remit.{table} drop column guest")
