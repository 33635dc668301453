"""How far each reader of the log has come, so that a restart goes on where it was."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TABLE = """
create table remit.cursors (
    name     text primary key,                -- of the reader, such as `traces`
    position bigint not null                  -- the first leaf of the log that it has not dealt with
)
"""
_GRANT = """
do $$ begin
    if exists (select 1 from pg_roles where rolname = 'remit_app') then
        grant select, insert, update on remit.cursors to remit_app;
    end if;
end $$
"""


def upgrade() -> None:
    """Add the table and open it to the application's role."""
    op.execute(_TABLE)
    op.execute(_GRANT)


def downgrade() -> None:
    """Forget how far the readers have come."""
    op.execute("drop table remit.cursors")
