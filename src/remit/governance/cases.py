"""A case: an inbox item with everything that a person needs to decide, gathered in one place for every surface."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from remit.domain.actions import ActionType, Risk
from remit.domain.inbox import InboxItem
from remit.governance.state import Governance
from remit.storage import actions, inbox
from remit.storage.sessions import Db


@dataclass(frozen=True, slots=True)
class CasePolicy:
    """A policy that asked for a person, as it is in force now."""

    id: str
    where: str
    """File and line."""
    text: str


@dataclass(frozen=True, slots=True)
class Case:
    """What is asked, about which action, by which policies, who answers for it, and how it went before."""

    item: InboxItem
    action: str | None = None
    """The action type, such as `payments.refund`; None where the item is about no action."""
    action_type: ActionType | None = None
    args: dict[str, Any] | None = None
    """The arguments as they would be executed; None where there is no action or they were erased."""
    asked_args: dict[str, Any] | None = None
    """The arguments as the agent asked."""
    policies: tuple[CasePolicy, ...] = ()
    raci: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Role to references of its holders."""
    history: tuple[dict[str, Any], ...] = ()
    """What became of earlier actions of this type in this workspace that a person was asked about, newest first."""
    usd_micros: int = 0
    """What the session has cost so far, in millionths of a US dollar."""

    @property
    def risk(self) -> Risk | None:
        """How bad the worst ordinary outcome of the action is."""
        return self.action_type.risk if self.action_type is not None else None

    @property
    def reversible(self) -> bool | None:
        """Whether the action can be taken back."""
        return self.action_type.reversible if self.action_type is not None else None


def case(governance: Governance, db: Db, item_id: str) -> Case:
    """Gather the case of an item. Raises NotFound."""
    item = inbox.get(db, item_id)
    if item.action_id is None:
        return Case(item)
    made = actions.get(db, item.action_id)
    action_type = governance.action_type(made["action"])
    found = ((p, governance.policy.policies[p]) for p in made["policy_ids"] if p in governance.policy.policies)
    raci = action_type.raci if action_type is not None else None
    return Case(
        item,
        made["action"],
        action_type,
        made["args"],
        made["asked_args"],
        tuple(CasePolicy(p, f"{c.statement.file}:{c.statement.line}", c.statement.text) for p, c in found),
        raci.holders() if raci is not None else {},
        tuple(actions.history(db, made["action"], before=made["id"], workspace=item.workspace)),
        actions.used(db, item.session_id)["usd_micros"],
    )
