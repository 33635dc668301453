"""The indexes that the cockpit's pages of agents, workflows and policies need."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_INDEXES = {
    # What is open and what failed of an agent, without a walk over all that it ever did.
    "sessions_open_of_agent": (
        "remit.sessions (agent, status, id desc) where status in ('running', 'waiting', 'paused')"
    ),
    "sessions_failed_of_agent": "remit.sessions (agent, updated_at desc) where status = 'failed'",
    "memories_of_agent": "remit.memories (agent, created_at desc, id desc)",
    "tokens_of_subject": "remit.tokens (subject, id desc)",
}


def upgrade() -> None:
    """Add the indexes."""
    for name, on in _INDEXES.items():
        op.execute(f"create index {name} on {on}")


def downgrade() -> None:
    """Remove them."""
    for name in _INDEXES:
        op.execute(f"drop index remit.{name}")
