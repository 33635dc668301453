"""The ledger, sessions, people and audit."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the schema `remit` from the SQL files beside this one."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None, "alembic runs on a live connection"
    for part in ("tables", "functions", "roles"):
        connection.execute(Path(__file__).with_name(f"0001_{part}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """There is no way back from the first revision: restore a backup."""
    raise RuntimeError("the first revision has nothing before it; restore a backup instead")
