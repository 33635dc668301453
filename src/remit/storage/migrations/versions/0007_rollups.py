"""What the sealed record says, findable by facets and counted by hour, and indexes for the cockpit's inbox."""

from pathlib import Path

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_TABLES = ("record_facets", "rollups", "rollup_decisions", "rollup_hours")
_INDEXES = ("inbox_open_newest", "inbox_in_workspace", "inbox_asked", "inbox_asked_open", "inbox_of_kind")


def upgrade() -> None:
    """Add the tables and indexes, and open them to the application's role. A worker fills them."""
    op.execute(Path(__file__).with_name("0007_rollups.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Remove them; the record itself has all that they say."""
    for index in _INDEXES:
        op.execute(f"drop index remit.{index}")
    for table in _TABLES:
        op.execute(f"drop table remit.{table}")
    op.execute("delete from remit.cursors where name = 'rollups'")
