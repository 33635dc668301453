"""Logins of people, what they have looked at, comments, and the indexes that the cockpit's lists need."""

from pathlib import Path

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TABLES = ("login_links", "logins", "item_views", "comments")
_INDEXES = ("sessions_in_workspace", "sessions_in_workspace_by_status")


def upgrade() -> None:
    """Add the tables and indexes, and open them to the application's role."""
    op.execute(Path(__file__).with_name("0004_cockpit.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Remove them, with all that they hold."""
    for index in _INDEXES:
        op.execute(f"drop index remit.{index}")
    for table in _TABLES:
        op.execute(f"drop table remit.{table}")
