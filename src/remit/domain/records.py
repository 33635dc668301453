"""Audit records and their taxonomy, `source:subject:action`.

A record says who did what, to what, under which policy. It never holds contents: arguments, results and prompts
stand apart as payloads, of which a record holds salted digests, so that erasing a payload leaves the proof whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class Tag(StrEnum):
    """Everything that is recorded. The value is stable; docs/reference/audit.md lists them all."""

    ACTION_CLEARED = "gate:action:cleared"
    ACTION_REFUSED = "gate:action:refused"
    ACTION_WAITING = "gate:action:waiting"
    ACTION_LIMITED = "gate:action:limited"
    ACTION_REPEATED = "gate:action:repeated"
    NOTE_KEPT = "runtime:note:kept"
    ACTION_SETTLED = "runtime:action:settled"
    ACTION_UNKNOWN = "runtime:action:unknown"
    ACTION_RECONCILED = "person:action:reconciled"
    ACTION_UNDONE = "person:action:undone"
    APPROVAL_GIVEN = "person:approval:given"
    APPROVAL_EDITED = "person:approval:edited"
    APPROVAL_DENIED = "person:approval:denied"
    APPROVAL_EXPIRED = "clock:approval:expired"
    QUESTION_EXPIRED = "clock:question:expired"
    ITEM_ESCALATED = "clock:item:escalated"
    ITEM_OPENED = "runtime:item:opened"
    ITEM_ANSWERED = "person:item:answered"
    ITEM_TAKEN = "person:item:taken"
    ITEM_HANDED = "person:item:handed"
    ITEM_WITHDRAWN = "runtime:item:withdrawn"
    INFORMED_TOLD = "runtime:informed:told"
    CONSULTED_ASKED = "runtime:consulted:asked"
    SESSION_STARTED = "trigger:session:started"
    SESSION_MESSAGE = "person:session:message"
    SESSION_PAUSED = "person:session:paused"
    SESSION_RESUMED = "person:session:resumed"
    SESSION_CANCELLED = "person:session:cancelled"
    SESSION_FORKED = "person:session:forked"
    TURN_STARTED = "runtime:turn:started"
    TURN_WAITING = "runtime:turn:waiting"
    TURN_FINISHED = "runtime:turn:finished"
    TURN_FAILED = "runtime:turn:failed"
    TURN_RECOVERED = "runtime:turn:recovered"
    STOP_SET = "person:stop:set"
    STOP_RELEASED = "person:stop:released"
    BUNDLE_DEPLOYED = "person:bundle:deployed"
    BUNDLE_REFUSED = "runtime:bundle:refused"
    AGENT_SUSPENDED = "person:agent:suspended"
    AGENT_RESUMED = "person:agent:resumed"
    LOGIN_OFFERED = "person:login:offered"
    LOGIN_BEGUN = "person:login:begun"
    LOGIN_ENDED = "person:login:ended"
    LOGIN_REFUSED = "person:login:refused"
    COMMENT_WRITTEN = "person:comment:written"
    TOKEN_ISSUED = "person:token:issued"  # noqa: S105 - a tag, not a secret
    TOKEN_REVOKED = "person:token:revoked"  # noqa: S105 - a tag, not a secret
    PAYLOAD_ERASED = "person:payload:erased"
    AUDIT_EXPORTED = "person:audit:exported"
    BUDGET_OVERRUN = "runtime:budget:overrun"
    BUDGET_RELEASED = "person:budget:released"
    IDEA_SUBMITTED = "person:idea:submitted"
    IDEA_ACCEPTED = "person:idea:accepted"
    IDEA_SHIPPED = "person:idea:shipped"
    IDEA_DECLINED = "person:idea:declined"
    MEMORY_KEPT = "runtime:memory:kept"
    MEMORY_USED = "runtime:memory:used"
    MEMORY_CORRECTED = "person:memory:corrected"
    MEMORY_REVIEWED = "person:memory:reviewed"
    MEMORY_ERASED = "person:memory:erased"
    MEMORY_EXPIRED = "clock:memory:expired"
    MEMORY_EXPORTED = "person:memory:exported"
    OUTPUT_PUBLISHED = "runtime:output:published"
    OUTPUT_ACCEPTED = "person:output:accepted"
    OUTPUT_EDITED = "person:output:edited"
    OUTPUT_REJECTED = "person:output:rejected"
    OUTPUT_DISPUTED = "person:output:disputed"
    PARAMETERS_PROPOSED = "person:parameters:proposed"
    PARAMETERS_DECLINED = "person:parameters:declined"
    PARAMETERS_TUNED = "person:parameters:tuned"
    EVENT_HAPPENED = "runtime:event:happened"
    TRIGGER_FIRED = "trigger:firing:started"
    TRIGGER_SKIPPED = "trigger:firing:skipped"
    TRIGGER_REFUSED = "trigger:firing:refused"
    TRIGGER_PAUSED = "person:trigger:paused"
    TRIGGER_RESUMED = "person:trigger:resumed"
    CLOCKS_SET = "trigger:clocks:set"
    LINK_MADE = "mail:link:made"
    LINK_USED = "mail:link:used"
    LINK_REFUSED = "mail:link:refused"
    PEOPLE_TOLD = "agent:people:told"
    DELIVERY_SENT = "surface:delivery:sent"
    DELIVERY_DROPPED = "surface:delivery:dropped"
    DRILL_RUN = "person:drill:run"


MEANINGS: dict[Tag, str] = {
    Tag.ACTION_CLEARED: "The gate let an action through; names the policies, the budgets it reserved and its digests.",
    Tag.ACTION_REFUSED: "The gate, or a person, refused an action for good; names the reasons and policies.",
    Tag.ACTION_WAITING: "An action needs a person's approval; names the roles, the reasons and the policies.",
    Tag.ACTION_LIMITED: "An action is over a rate or concurrency limit and is tried again later.",
    Tag.ACTION_REPEATED: "The gate let an action through again after a crash, under the same idempotency key.",
    Tag.NOTE_KEPT: "A value was recorded at its first use, so that later runs of the turn get the same.",
    Tag.ACTION_SETTLED: "The outcome of an action is known: its status, cost, tokens and the digest of its result.",
    Tag.ACTION_UNKNOWN: "Nobody but the other side knows whether an action happened; its owner is asked.",
    Tag.ACTION_RECONCILED: "A person, or a look-up, said whether an action of unknown outcome happened.",
    Tag.ACTION_UNDONE: "An action was taken back by another one.",
    Tag.APPROVAL_GIVEN: "A person approved an action for a role.",
    Tag.APPROVAL_EDITED: "A person changed an action's arguments; it is judged anew as changed.",
    Tag.APPROVAL_DENIED: "A person denied an action.",
    Tag.APPROVAL_EXPIRED: "Nobody decided in time, or an approval was not used in time; the action does not happen.",
    Tag.QUESTION_EXPIRED: "Nobody answered a question in time: its default was taken, or the agent was told.",
    Tag.ITEM_ESCALATED: "An inbox item was not answered in time and goes to the next in the reporting line as well.",
    Tag.ITEM_OPENED: "A person is asked for something other than an approval: a question, or to look at a problem.",
    Tag.ITEM_ANSWERED: "A person answered an inbox item.",
    Tag.ITEM_TAKEN: "A person said that they look at an inbox item, or that they do not any more.",
    Tag.ITEM_HANDED: "A person handed an inbox item to another one, who is told; says why.",
    Tag.ITEM_WITHDRAWN: "An inbox item is no longer needed.",
    Tag.INFORMED_TOLD: "The people who are to be informed of an action were told.",
    Tag.CONSULTED_ASKED: "The people who are to be consulted on an action were asked.",
    Tag.SESSION_STARTED: "A session began: its agent and version, who or what started it, on whose behalf.",
    Tag.SESSION_MESSAGE: "A message was added to a session.",
    Tag.SESSION_PAUSED: "A person paused a session.",
    Tag.SESSION_RESUMED: "A person let a paused session go on.",
    Tag.SESSION_CANCELLED: "A person ended a session.",
    Tag.SESSION_FORKED: "A session was continued as another one from some point on.",
    Tag.TURN_STARTED: "An agent began its work on a message.",
    Tag.TURN_WAITING: "A turn waits for a person, a limit or a stop; nothing runs meanwhile.",
    Tag.TURN_FINISHED: "A turn is done; holds the digest of its output.",
    Tag.TURN_FAILED: "A turn ended by an error.",
    Tag.TURN_RECOVERED: "A turn whose worker died goes on elsewhere.",
    Tag.STOP_SET: "A person stopped everything, a workspace, an agent or an action type.",
    Tag.STOP_RELEASED: "A person released a stop.",
    Tag.BUNDLE_DEPLOYED: "A signed bundle of agents, policies and connections came into force.",
    Tag.BUNDLE_REFUSED: "A bundle was refused: its signature or a digest does not hold.",
    Tag.AGENT_SUSPENDED: "A person suspended an agent.",
    Tag.AGENT_RESUMED: "A person lifted an agent's suspension.",
    Tag.LOGIN_OFFERED: "A one-time link that logs somebody into the cockpit was made.",
    Tag.LOGIN_BEGUN: "A person logged into the cockpit; says how, and whether the person was only named.",
    Tag.LOGIN_ENDED: "A login ended: its person left, or somebody ended it.",
    Tag.LOGIN_REFUSED: "Somebody was not let in, or asked for something that is not open to them; says why.",
    Tag.COMMENT_WRITTEN: "A person wrote a comment on a session or an inbox item; holds its digest.",
    Tag.TOKEN_ISSUED: "A token was issued to a person or an agent.",
    Tag.TOKEN_REVOKED: "A token was revoked.",
    Tag.PAYLOAD_ERASED: "Contents were erased; names their digests, which stay.",
    Tag.AUDIT_EXPORTED: "The record was exported; seals the lines of the export that are not records themselves.",
    Tag.BUDGET_OVERRUN: "An action cost more than was reserved; the budgets named are blocked.",
    Tag.BUDGET_RELEASED: "A person released a blocked budget.",
    Tag.IDEA_SUBMITTED: "Somebody would like to see something; names the agent, the item and the digest of the words.",
    Tag.IDEA_ACCEPTED: "An idea was taken up by the agent's owner.",
    Tag.IDEA_SHIPPED: "What an idea asked for is there; names the version or output that has it.",
    Tag.IDEA_DECLINED: "An idea was declined, with the reason.",
    Tag.MEMORY_KEPT: "A fact was remembered, by an agent or as the answer to a question; names its key and scope.",
    Tag.MEMORY_USED: "A session used what was remembered; names the memory and the digest of what it got.",
    Tag.MEMORY_CORRECTED: "A person corrected a memory; names the one that replaces it.",
    Tag.MEMORY_REVIEWED: "A person has looked at a memory and vouches for it.",
    Tag.MEMORY_ERASED: "A person erased a memory; its digest stays.",
    Tag.MEMORY_EXPIRED: "A memory's time was over: it is not used any more, and its contents are gone.",
    Tag.MEMORY_EXPORTED: "Memories were exported with their contents.",
    Tag.OUTPUT_PUBLISHED: "An agent published an output; names it and its version.",
    Tag.OUTPUT_ACCEPTED: "A reader accepted an output as it is.",
    Tag.OUTPUT_EDITED: "A reader changed an output; names the version that replaces it.",
    Tag.OUTPUT_REJECTED: "A reader rejected an output.",
    Tag.OUTPUT_DISPUTED: "A reader disputes an output; the agent's owner is asked to look.",
    Tag.PARAMETERS_PROPOSED: "A person asked for another value of an agent's parameters; somebody else has to approve.",
    Tag.PARAMETERS_DECLINED: "A person declined another value of an agent's parameters.",
    Tag.PARAMETERS_TUNED: "A person changed an agent's parameters; names the values before and after.",
    Tag.EVENT_HAPPENED: "Something came in that triggers may wait for, such as a message; holds its digest.",
    Tag.TRIGGER_FIRED: "A trigger started a session; names the trigger and what made it fire.",
    Tag.TRIGGER_SKIPPED: "A trigger left something out, such as a time that nobody was there for; says why.",
    Tag.TRIGGER_REFUSED: "A trigger could not start a session; says why.",
    Tag.TRIGGER_PAUSED: "A person paused a trigger.",
    Tag.TRIGGER_RESUMED: "A person let a paused trigger fire again.",
    Tag.CLOCKS_SET: "Clocks of schedules were set, set anew or taken away, because what is deployed has changed.",
    Tag.LINK_MADE: "A link for one person to one inbox item was made, to be mailed to them; says until when it works.",
    Tag.LINK_USED: "A person decided or answered by the link in a mail; it does not work again.",
    Tag.LINK_REFUSED: "Something that was asked for by the link in a mail was refused; says why.",
    Tag.PEOPLE_TOLD: "An agent told people or channels something; names them, the surfaces and the digest.",
    Tag.DELIVERY_SENT: "A message arrived on a surface; names the surface and whom it was for.",
    Tag.DELIVERY_DROPPED: "A message was not sent, because nobody needs it any more or nobody can be reached there.",
    Tag.DRILL_RUN: "A drill was run, with its result.",
}
"""What each tag means, in a line; docs/reference/audit.md prints it."""


@dataclass(frozen=True, slots=True)
class Record:
    """One audit record as written: `body` is the exact text that the Merkle leaf covers."""

    id: int
    tag: Tag
    at: datetime
    session_id: str | None
    turn_id: str | None
    action_id: str | None
    body: dict[str, Any]
