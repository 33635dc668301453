"""The shapes of `--json`: field to meaning. Commands and the API build from these names; the reference prints them.

A field is never taken away or given another meaning without a new major version; new ones may be added. Ids are
opaque. Times are ISO 8601 with zone, money is exact text in USD, null is "there is none".
"""

from __future__ import annotations

from remit.evidence.shapes import flow, programs
from remit.evidence.shapes.sessions import CHILD, FORK, LINE

SESSION = {
    "id": "Id of the session: `ses_…`.",
    "status": "`running`, `waiting`, `paused`, `finished`, `failed` or `cancelled`.",
    "agent": "The agent.",
    "agent_version": "Digest of the agent's files as the session began with them.",
    "workspace": "Workspace of the agent.",
    "workflow": "Workflow of the agent, or null.",
    "principal": "Who or what started it: `person:ID` or `trigger:ID`.",
    "on_behalf_of": "The person through whom an assisted agent acts, or null.",
    "trigger": "The trigger that started it, or `person` where a person did.",
    "request_id": "The id that the caller gave with `--request-id`, else the session's own.",
    "title": "A few words for lists; may be empty.",
    "simulated": "true if the person was named by `--as` in local development.",
    "labels": "What it has touched so far: `untrusted`, `private`.",
    "created_at": "When it started.",
    "updated_at": "When its status last changed.",
    "reason": "Why it has this status: what it waits for, or what ended it; may be empty.",
    "parent_id": "The session that delegated it, or null.",
    "depth": "How many delegations and events led to it.",
    "forked_from": "The session that it was forked from, or null.",
    "fork_point": "What it does anew: `TURN` or `TURN:KEY`; empty where it began with a new message; or null.",
}

TURN = {
    "id": "Id of the turn: `turn_…`.",
    "agent": "The agent that answers: the session's own, or the one that the message was addressed to.",
    "agent_version": "Digest of the agent's files.",
    "on_behalf_of": "The person through whom it acts, the author of its message, where it is assisted; or null.",
    "kind": "`agent`, or `undo` where the turn takes an action back.",
    "author": "Who wrote the message that the turn answers.",
    "status": "`queued`, `running`, `waiting`, `finished`, `failed` or `cancelled`.",
    "waiting_for": "What it waits for, such as `approval`, `question`, `limit`, `stop`; empty if it does not.",
    "run": "How many runs were asked for; each wait and each crash adds one.",
    "input": "The message; null if it was erased.",
    "output": "What the agent gave back, or null.",
    "error": "Why it failed, or null.",
    "created_at": "When the message was written.",
    "started_at": "When the first run began, or null.",
    "finished_at": "When it ended, or null.",
}

ACTION = {
    "id": "Id of the action: `act_…`; also its idempotency key.",
    "turn_id": "The turn that asked for it.",
    "key": "Its place in the turn: `7` a program's seventh call, `m3` the third model request, `m3.t1` its first call.",
    "mode": "`tool`, `model`, `ask` (a question to a person) or `note` (a value kept).",
    "action": "The action type, such as `payments.refund`.",
    "agent": "The agent that asked.",
    "agent_version": "Digest of its files.",
    "on_behalf_of": "The person through whom it acted, or null.",
    "status": "`waiting`, `limited`, `cleared`, `succeeded`, `failed`, `refused`, `unknown` or `cancelled`.",
    "reasons": "Why it was decided so: a list of `code`, `text` and `policy_id` (null where no policy said so).",
    "policy_ids": "The policies that determined the decision.",
    "policy_version": "Digest of all policies that it was decided by.",
    "roles": "Roles that had to approve, or have to.",
    "args": "The arguments as decided and executed; null if they were erased.",
    "asked_args": "The arguments as the agent asked; others than `args` where a person edited them.",
    "result": "What came back, or null.",
    "error": "What went wrong, or null.",
    "attempt": "How often it was let through; more than 1 after a crash, under the same idempotency key.",
    "why": "Why the agent asked, in its own words.",
    "item_id": "The inbox item that asks about it, or null.",
    "override": "What a person decided: `verdict`, `by`, `reason`, `at`, `simulated`; or null.",
    "undone_by": "The action that took it back, or null.",
    "input_tokens": "Tokens sent to a model.",
    "output_tokens": "Tokens received from a model.",
    "created_at": "When it was asked for.",
    "cleared_at": "When it was last let through, or null.",
    "settled_at": "When its outcome was known, or null.",
    "usd": "What it cost, in USD.",
}

ITEM = {
    "id": "Id of the item: `itm_…`.",
    "kind": "`approval`, `question`, `reconciliation` (did this happen?), `attention` (something stopped) or `idea`.",
    "status": "`open`, `decided`, `expired` or `withdrawn`.",
    "session_id": "The session that waits.",
    "turn_id": "The turn that waits.",
    "action_id": "The action that it is about, or null.",
    "workspace": "Workspace of the session.",
    "summary": "The request in a sentence.",
    "roles": "Roles of which each must answer; for an approval each by another person.",
    "assignees": "People who may answer now.",
    "created_at": "When it was asked.",
    "escalate_at": "When the next in the reporting line may answer too, or null.",
    "expires_at": "When it is too late, or null.",
    "escalations": "How often it was passed on already.",
    "detail": "What belongs to the kind: `why`, `reasons`, `question`, `schema`, `current`, `changes` and others.",
    "decision": "`verdict`, `by`, `reason`, `at`, `via`, `simulated` once somebody answered; of a question `value`, "
    "and `memory` if it is remembered; or null.",
}

ITEM_CONTEXT = {
    "action": "The action type.",
    "args": "The arguments as they would be executed.",
    "asked_args": "The arguments as the agent asked.",
    "policies": "The policies that asked: `id`, `where` (file:line) and `text`.",
    "raci": "Role to the people or roles that answer for this action type.",
    "risk": "`low`, `medium` or `high`.",
    "reversible": "true if its type declares how it is undone.",
    "history": "What became of the last ten actions of this type in this workspace that a person was asked about.",
    "session_usd": "What the session has cost so far, in USD.",
}

ITEM_TOLD = {
    "surface": "`slack` or `mail`.",
    "kind": "`item`: who may answer was asked; `notice`: somebody was told for information.",
    "to": "The person, channel or conversation.",
    "status": "`due` (it waits, or the surface is away), `sent` or `dropped` (nobody needs it, or it cannot arrive).",
    "sent_at": "When it was sent, or null.",
    "error": "Why it is not sent, or null.",
}

SESSION_SHOWN = {
    "turns": "Its turns, oldest first; see below.",
    "actions": "Its actions in the order in which they were asked for; see below.",
    "items": "Its inbox items, oldest first; see `remit inbox`.",
    "children": "The sessions that it delegated, oldest first; see below.",
    "forks": "Ids of the sessions that were forked from it.",
    "inherits": "Ids of the turns of other sessions that it has as its history.",
    "usd": "What all its actions cost, in USD.",
    "tokens": "Tokens of all its model requests.",
}

UNDONE = {
    "action": "The action that is taken back.",
    "type": "Its action type.",
    "session_id": "Its session.",
    "undo": "`asked`; with `--wait` `done`, `waits` (for a person) or `failed`; `irreversible` if it cannot be undone; "
    "`unsettled` if it is not known yet whether it happened.",
    "turn": "The turn that takes it back, or null.",
    "error": "Why that failed, or why it cannot be taken back; or null.",
}

STOP = {
    "id": "Id of the stop: `stop_…`.",
    "scope": "`all`, `workspace`, `agent` or `action`.",
    "target": "What is stopped; empty for `all`.",
    "reason": "Why.",
    "by": "Who stopped it.",
    "at": "When.",
    "released_at": "When it was released, or null.",
    "released_by": "Who released it, or null.",
}

PROBLEM = {
    "file": "The file, seen from the project.",
    "line": "Line, from 1.",
    "column": "Column, from 1.",
    "message": "What is wrong.",
    "mend": "What to do about it.",
    "severity": "`error` or `warning`.",
}

CHECKED = {
    "passed": "true if there are no errors and every managed agent passes its gates.",
    "errors": "A list of problems: " + ", ".join(f"`{name}`" for name in PROBLEM) + ".",
    "warnings": "The same for what does not stand in the way.",
    "agents": "Agent to its six gates: `gate`, `passed` and `findings` (`text`, `mend`, `blocking`).",
}

DEPLOYED = {
    "deployed": "false if exactly this was in force already, or if the check failed (then with its fields).",
    "bundle": "SHA-256 of the project's files.",
    "version": "Version of everything that decides; it rises with every change.",
    "agents": "Agent to the digest of its files.",
    "added": "Files that were not in force before.",
    "removed": "Files that are not in force any more.",
    "changed": "Files with other contents than before.",
}

POLICY = {
    "id": "Its `@id`.",
    "effect": "`permit` or `forbid`; null if the policy is not in force any more.",
    "where": "`file:line`, or null.",
    "roles": "Roles that its `@approval` asks.",
    "actions": "The action types and groups that its head names; empty for all.",
    "text": "The policy as written, or null.",
}

VERDICT = {
    "verdict": "`permit`, `forbid` or `needs_approval`.",
    "reasons": "A list of `code`, `text` and `policy_id`.",
    "roles": "Roles that must approve, or whose approval was supposed.",
    "policy_ids": "The policies that determined it.",
    "policies": "The same with their text; see `remit policy list`.",
    "spoke": "Every policy whose conditions held: `policy`, `where`, `principal`, `determining`.",
    "considered": "Every policy that was looked at.",
}

EXPLAINED = {
    "id": "The action.",
    "action": "Its type.",
    "agent": "Its agent.",
    "session_id": "Its session.",
    "args": "Its arguments.",
    "recorded": "As decided then: `status`, `reasons`, `roles`, `override`, `policy_version`, `policies`.",
    "now": "As it would be decided now: the fields of `remit policy test`, and `policy_version`; null for "
    "questions and kept values, which no policy judges.",
    "policies_changed": "true if other policies are in force now than then; `policies` then have today's text.",
}

RACI = {
    "action": "The action type.",
    "title": "What it does.",
    "effect": "`read` or `write`.",
    "executor": "The agent.",
    "accountable": "The person who answers for the outcome, or null if there is nobody.",
    "system_owner": "The person who owns the system, or null.",
    "risk_owner": "The person who owns the risk, or null.",
    "consulted": "People who are asked for their opinion.",
    "informed": "People who are told.",
}

AGENT = {
    "agent": "Its name.",
    "title": "Its title.",
    "kind": "`program` or `model`.",
    "model": "The model, or null.",
    "layer": "`managed` or `assisted`.",
    "owner": "Who answers for it.",
    "workspace": "Its workspace.",
    "version": "Digest of its files.",
    "suspended": "true if a person suspended it.",
}

AGENT_CARD = {
    **AGENT,
    "purpose": "What it is for.",
    "reasoning": "How much its model thinks: `none`, `low`, `medium` or `high`.",
    "in_force": "false if another version is in force, or none.",
    "tools": "The action types on its list.",
    "skills": "A list of `name`, `description`, `files` and `allowed_tools`, which grant nothing.",
    "knowledge": "How many `files` and `passages` its knowledge has, and their `language`.",
    "escalation": "Who is asked when it is stuck.",
    "workflow": "Its workflow, or null.",
    "autonomy": "`observe`, `propose`, `supervised` or `autonomous`.",
    "may_see": "Action types that read, with their titles.",
    "may_touch": "Action types that write, with their titles.",
    "never": "What it must never do, in words.",
    "needs_approval": "A list of `action`, `roles`, `policy`, `where` and `says`.",
    "budget": "Its limits for a `session` and a `day`.",
    "gates": "A list of `gate`, `passed` and `findings`; empty for a version that is not in force.",
    "input": "JSON Schema of what a session starts with.",
    "granted_by": "Who deployed what is in force: `key:ID` or `person:ID`.",
    "signed_with": "Id of the deploy key.",
    "versions": "All versions that were ever deployed, newest first: `digest`, `bundle_digest`, `deployed_at`.",
}

AGENT_DIFF = {
    "agent": "Its name.",
    "old": "Digest of the version before.",
    "new": "Digest of the version after.",
    "fields": "Fields of agent.yaml that differ: `field`, `old` and `new`.",
    "files": "Files that differ: `path`, `change` (`added`, `removed`, `changed`) and `diff`, lines; none if not text.",
}

PASSAGE = {
    "source": "Where it stands, `knowledge/FILE:LINE`.",
    "heading": "The headings above it.",
    "text": "The passage.",
    "excerpt": "The part that fits, with the words marked by `**`.",
}

PERSON = {
    "id": "Id of the person.",
    "name": "Name.",
    "email": "Address, or null.",
    "slack": "Slack team and user, or null.",
    "subject": "The `sub` by which the identity provider knows the person, or null.",
    "time_zone": "IANA time zone that the person works in.",
    "status": "`active` or `left`.",
    "manager": "The next in the reporting line, or null.",
    "roles": "Roles that the person holds.",
    "workspaces": "Workspaces that the person belongs to.",
    "access": "What the person may see and do there or elsewhere: `role` and `workspace`, null for everywhere.",
    "reports_to": "The active managers above, nearest first.",
}

CONNECTION = {
    "connection": "Its name.",
    "title": "Its title.",
    "transport": "How its server is reached: `stdio`, `http` or another one that the project's files name.",
    "trusted": "false: what it returns labels the session `untrusted`.",
    "per_person": "true: called with the credential of the person on whose behalf the agent works.",
    "tools": "The pinned tools: `tool`, and `classified`, true if there is an action type for it.",
}

PINNED = {
    "written": "true if tools.lock.json was changed.",
    "changes": "A list of `connection`, `tool`, `what` (`new`, `changed`, `missing`) and the `parts` that changed.",
}

BUDGET = {
    "id": "`session:ID`, `agent:NAME:DAY`, `workflow:NAME:DAY`, `project:DAY` or `cap:ACTION:CURRENCY:DAY`.",
    "currency": "Currency of `money`: `USD`, or that of a cap.",
    "money": "`limit`, `reserved`, `spent` and `left`, as exact text; null is no limit.",
    "tokens": "The same for tokens.",
    "calls": "The same for calls.",
    "blocked": "true after an overrun, until its owner lets work go on.",
}

RECORD = {
    "id": "Number of the record; numbers may be missing.",
    "at": "When it was written.",
    "tag": "What happened: `source:subject:action`.",
    "session_id": "The session, or null.",
    "turn_id": "The turn, or null.",
    "action_id": "The action, or null.",
    "body": "The record itself, as the log covers it.",
    "leaf": "Its index in the Merkle log, or null until it is sealed.",
}

TOKEN = {
    "id": "Id of the token: `tok_…`.",
    "subject": "Whose it is: `person:ID` or `agent:ID`.",
    "issued_by": "Who issued it: `key:ID`, or `local` in local development.",
    "issued_at": "When.",
    "expires_at": "Until when it is valid.",
    "revoked_at": "When it was revoked, or null.",
}

VERIFIED = {
    "ok": "true if everything that was looked at holds.",
    "findings": "What does not: `line` of the file, `index` of the first record that is meant, `text`.",
    "facts": "What was shown.",
    "limits": "What could not be shown.",
    "key": "The key that signatures were held against.",
    "tree_size": "Records that the final checkpoint covers, or null.",
    "excerpt": "true for an export of one session.",
    "counts": "Lines by kind, and payloads by state.",
}

REFERENCE: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("remit sessions", "A list of sessions, newest first.", SESSION),
    ("remit session show ID", "A session as above (also by `remit start --wait`), and:", SESSION_SHOWN),
    ("remit session show ID: turns", "", TURN),
    ("remit session show ID: actions", "", ACTION),
    ("remit session show ID: children", "", CHILD),
    ("remit session fork ID", "", FORK),
    (
        "remit session follow ID",
        "One object for each line, in the order of commits; `remit sessions follow` too.",
        LINE,
    ),
    ("remit session why", "A list of rows, best first.", flow.WHY),
    ("remit session source", "", flow.SOURCE),
    ("remit session replay", "A list, one for each turn.", flow.REPLAYED),
    ("remit outputs", "A list, newest first.", flow.OUTPUT),
    ("remit outputs show", "An output as above, and:", flow.OUTPUT_SHOWN),
    ("remit triggers", "A list, by name.", flow.TRIGGER),
    ("remit triggers history", "A list, newest first.", flow.FIRING),
    ("remit triggers fire", "A list, one for each session.", flow.FIRED),
    ("remit triggers backfill", "A list, in the order of time.", flow.BACKFILLED),
    ("remit inbox", "A list of items, oldest first. `remit decide` and `remit answer` print one.", ITEM),
    ("remit inbox ITEM", "An item as above, `told` as below, and where it is about an action:", ITEM_CONTEXT),
    ("remit inbox ITEM: told", "Who was told of it on which surface.", ITEM_TOLD),
    ("remit memory", "A list, newest first.", flow.MEMORY),
    ("remit memory show", "A memory as above, and:", flow.MEMORY_SHOWN),
    ("remit memory show: used", "", flow.MEMORY_USE),
    ("remit ideas", "A list, newest first; `remit idea` and its other verbs print one.", flow.IDEA),
    ("remit undo", "A list, newest action first.", UNDONE),
    ("remit stop", "The stop; with `--list` a list of those in force.", STOP),
    ("remit check", "", CHECKED),
    ("remit deploy", "", DEPLOYED),
    ("remit policy list", "A list of policies.", POLICY),
    ("remit policy test", "`agent`, `action`, `args` as judged, and:", VERDICT),
    ("remit policy explain", "", EXPLAINED),
    ("remit raci", "A list, one for every action type that the agent can take.", RACI),
    ("remit agents", "A list of agents.", AGENT),
    ("remit agents show", "", AGENT_CARD),
    ("remit agents diff", "", AGENT_DIFF),
    ("remit agents knowledge", "A list of passages, best first.", PASSAGE),
    ("remit agents walkthrough", "", programs.WALKTHROUGH),
    ("remit agents tune", "Without values its parameters by name; else:", programs.TUNED),
    ("remit new", "With `--list` the starting points; else:", programs.NEW),
    ("remit people", "A list of people.", PERSON),
    ("remit connections", "A list of connections.", CONNECTION),
    ("remit connections pin", "", PINNED),
    ("remit connections add", "With `--list` the templates; else:", programs.ADDED),
    ("remit budgets", "A list, newest first.", BUDGET),
    ("remit audit records", "A list, in the order in which they were written.", RECORD),
    ("remit audit verify", "", VERIFIED),
    ("remit token --list", "A list, newest first.", TOKEN),
)
"""Command, what it prints, and the fields."""
