"""How often decisions named each policy, and where actions went wrong: counted, and findable behind each count."""

from pathlib import Path

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_TABLES = ("policy_namings", "policy_counts", "trouble_counts")


def upgrade() -> None:
    """Add the tables, and open them to the application's role. A worker counts the whole record, from leaf 0."""
    op.execute(Path(__file__).with_name("0009_tallies.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Remove them; the record itself has all that they say."""
    op.execute("drop index remit.record_facets_of_trouble")
    for table in _TABLES:
        op.execute(f"drop table remit.{table}")
    op.execute("delete from remit.cursors where name = 'tallies'")
