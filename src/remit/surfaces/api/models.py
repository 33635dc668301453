"""What the API answers, as pydantic models: names and meanings of the fields are those of `--json`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field, create_model

from remit.evidence.shapes import fields, flow, sessions

Model = type[BaseModel]
Text = str | None
Moment = datetime | None
Object = dict[str, Any]


def shaped(name: str, *shapes: dict[str, str], **types: Any) -> Model:
    """A model with exactly the fields of these shapes; text, unless `types` says otherwise."""
    meanings = {field: meaning for shape in shapes for field, meaning in shape.items()}
    unknown = types.keys() - meanings.keys()
    assert not unknown, f"{name} has no {unknown}"
    made = {field: (types.get(field, str), Field(description=meaning)) for field, meaning in meanings.items()}
    return create_model(name, **made)  # type: ignore[call-overload,no-any-return]


def page_of(model: Model) -> Model:
    """One page of a list."""
    return create_model(
        f"{model.__name__}Page",
        items=(list[model], Field(description="This page.")),  # type: ignore[valid-type]
        next=(Text, Field(description="Give it as `after` for the next page; null on the last one.")),
    )


_SESSION: dict[str, Any] = {
    "workflow": Text,
    "on_behalf_of": Text,
    "simulated": bool,
    "labels": list[str],
    "created_at": datetime,
    "updated_at": datetime,
    "parent_id": Text,
    "depth": int,
    "forked_from": Text,
    "fork_point": Text,
}
Session = shaped("Session", fields.SESSION, **_SESSION)
Turn = shaped(
    "Turn",
    fields.TURN,
    on_behalf_of=Text,
    run=int,
    input=Any,
    output=Any,
    error=Text,
    created_at=datetime,
    started_at=Moment,
    finished_at=Moment,
)
Action = shaped(
    "Action",
    fields.ACTION,
    on_behalf_of=Text,
    reasons=list[Object],
    policy_ids=list[str],
    policy_version=Text,
    roles=list[str],
    args=Any,
    asked_args=Any,
    result=Any,
    error=Text,
    attempt=int,
    why=Text,
    item_id=Text,
    override=Object | None,
    undone_by=Text,
    input_tokens=int,
    output_tokens=int,
    created_at=datetime,
    cleared_at=Moment,
    settled_at=Moment,
)
_ITEM: dict[str, Any] = {
    "session_id": Text,
    "turn_id": Text,
    "action_id": Text,
    "roles": list[str],
    "assignees": list[str],
    "created_at": datetime,
    "escalate_at": Moment,
    "expires_at": Moment,
    "escalations": int,
    "detail": Object,
    "decision": Object | None,
}
Item = shaped("Item", fields.ITEM, **_ITEM)
Child = shaped("Child", sessions.CHILD, turn_id=Text, key=Text)
MOST_SHOWN = 200
"""Most turns, actions and others that an answer about one session has; the lists themselves come in pages."""
_SHOWN = fields.SESSION_SHOWN | {
    "turns": f"Its newest {MOST_SHOWN} turns, oldest first; `/sessions/{{id}}/turns` has all of them.",
    "actions": f"Its newest {MOST_SHOWN} actions in the order in which they were asked for; "
    "`/sessions/{id}/actions` has all of them.",
    "items": f"Its newest {MOST_SHOWN} inbox items, oldest first; `/sessions/{{id}}/items` has all of them.",
    "children": f"The newest {MOST_SHOWN} sessions that it delegated and that you see, oldest first; "
    "`/sessions/{id}/children` has all of them.",
    "forks": f"Ids of the newest {MOST_SHOWN} sessions that were forked from it and that you see; "
    "`/sessions/{id}/forks` has all of them.",
}
SessionInFull = shaped(
    "SessionInFull",
    fields.SESSION,
    _SHOWN,
    **_SESSION,
    turns=list[Turn],  # type: ignore[valid-type]
    actions=list[Action],  # type: ignore[valid-type]
    items=list[Item],  # type: ignore[valid-type]
    children=list[Child],  # type: ignore[valid-type]
    forks=list[str],
    inherits=list[str],
    tokens=int,
)
ItemTold = shaped("ItemTold", fields.ITEM_TOLD, to=Text, sent_at=Moment, error=Text)


class _Told(Item):  # type: ignore[valid-type,misc]
    told: list[ItemTold] = Field(description="Who was told of it on which surface.")  # type: ignore[valid-type]


class ItemInFull(_Told):
    """An item; the fields from `action` on are there where it is about an action."""

    action: str = Field("", description=fields.ITEM_CONTEXT["action"])
    args: Any = Field(None, description=fields.ITEM_CONTEXT["args"])
    asked_args: Any = Field(None, description=fields.ITEM_CONTEXT["asked_args"])
    policies: list[Object] = Field([], description=fields.ITEM_CONTEXT["policies"])
    raci: dict[str, list[str]] = Field({}, description=fields.ITEM_CONTEXT["raci"])
    risk: Text = Field(None, description=fields.ITEM_CONTEXT["risk"])
    reversible: bool | None = Field(None, description=fields.ITEM_CONTEXT["reversible"])
    history: list[Object] = Field([], description=fields.ITEM_CONTEXT["history"])
    session_usd: str = Field("", description=fields.ITEM_CONTEXT["session_usd"])


Undone = shaped("Undone", fields.UNDONE, turn=Text, error=Text)
Stop = shaped("Stop", fields.STOP, at=datetime, released_at=Moment, released_by=Text)
Policy = shaped("Policy", fields.POLICY, effect=Text, where=Text, roles=list[str], actions=list[str], text=Text)
_VERDICT: dict[str, Any] = {
    "reasons": list[Object],
    "roles": list[str],
    "policy_ids": list[str],
    "policies": list[Policy],  # type: ignore[valid-type]
    "spoke": list[Object],
    "considered": list[str],
}
_TRIED = {"agent": "The agent.", "action": "The action type.", "args": "The arguments as judged."}
Tried = shaped("Tried", _TRIED, fields.VERDICT, args=Object, **_VERDICT)
Explained = shaped("Explained", fields.EXPLAINED, args=Any, recorded=Object, now=Object | None, policies_changed=bool)
Agent = shaped("Agent", fields.AGENT, model=Text, suspended=bool)
AgentCard = shaped(
    "AgentCard",
    fields.AGENT_CARD,
    model=Text,
    suspended=bool,
    in_force=bool,
    tools=list[str],
    skills=list[Object],
    knowledge=Object,
    workflow=Text,
    may_see=dict[str, str],
    may_touch=dict[str, str],
    never=list[str],
    needs_approval=list[Object],
    budget=Object,
    gates=list[Object],
    input=Any,
    granted_by=Text,
    signed_with=Text,
    versions=list[Object],
)
Person = shaped(
    "Person",
    fields.PERSON,
    email=Text,
    slack=Text,
    subject=Text,
    manager=Text,
    roles=list[str],
    workspaces=list[str],
    access=list[Object],
    reports_to=list[str],
)
Record = shaped(
    "Record",
    fields.RECORD,
    id=int,
    at=datetime,
    session_id=Text,
    turn_id=Text,
    action_id=Text,
    body=Object,
    leaf=int | None,
)
Token = shaped("Token", fields.TOKEN, issued_at=datetime, expires_at=datetime, revoked_at=Moment)
Fork = shaped(
    "Fork",
    sessions.FORK,
    id=Text,
    turns=list[str],
    history=list[Object],
    anew=list[Object],
    repeats=list[str],
)
Firing = shaped("Firing", flow.FIRING, due_at=datetime, session_id=Text, at=datetime)
Trigger = shaped(
    "Trigger",
    flow.TRIGGER,
    paused=bool,
    paused_by=Text,
    paused_reason=Text,
    next_at=Moment,
    last=Firing | None,
)
Fired = shaped("Fired", flow.FIRED, session_id=Text)
Idea = shaped(
    "Idea",
    flow.IDEA,
    words=Text,
    session_id=Text,
    item_id=Text,
    decided_by=Text,
    created_at=datetime,
    decided_at=Moment,
)
_OUTPUT: dict[str, Any] = {
    "action_id": Text,
    "version": int,
    "decided_by": Text,
    "created_at": datetime,
    "decided_at": Moment,
}
Output = shaped("Output", flow.OUTPUT, **_OUTPUT)
OutputInFull = shaped("OutputInFull", flow.OUTPUT, flow.OUTPUT_SHOWN, **_OUTPUT, body=Any, versions=list[Output])  # type: ignore[valid-type]
