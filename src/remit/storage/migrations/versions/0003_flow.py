"""Triggers, delegation, forks, memory, outputs, ideas, knowledge, and what is sent to people."""

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TABLES = (
    "trigger_state",
    "trigger_clocks",
    "firings",
    "events",
    "memory_uses",
    "memories",
    "outputs",
    "ideas",
    "deliveries",
    "surfaces",
    "threads",
    "links",
    "knowledge",
)
_COLUMNS = {
    "sessions": ("origin_turn", "origin_action", "depth", "fork_point", "search"),
    "turns": ("on_behalf_of", "inherits_turn", "inherits_until", "delivered"),
}


def upgrade() -> None:
    """Add the tables and columns, and open them to the application's role."""
    op.execute(Path(__file__).with_name("0003_flow.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Remove them, with all that they hold."""
    for table in _TABLES:
        op.execute(f"drop table remit.{table}")
    op.execute("drop index remit.notices_newest")
    op.execute("drop function remit.delivery_id(text)")
    for table, columns in _COLUMNS.items():
        for column in columns:
            op.execute(f"alter table remit.{table} drop column {column}")
