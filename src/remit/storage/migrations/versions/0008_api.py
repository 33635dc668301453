"""Answers of the API that are given again, and logins at an identity provider that are under way."""

from pathlib import Path

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_TABLES = ("api_answers", "login_attempts")


def upgrade() -> None:
    """Add the tables, and open them to the application's role."""
    op.execute(Path(__file__).with_name("0008_api.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Remove them, with all that they hold."""
    for table in _TABLES:
        op.execute(f"drop table remit.{table}")
