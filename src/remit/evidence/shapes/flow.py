"""The shapes of `--json`, as in `fields`: triggers, outputs and their reasons, memory, ideas."""

from __future__ import annotations

MEMORY = {
    "id": "Id of the memory: `mem_…`.",
    "status": "`in force`, `replaced`, `corrected`, `erased` or `expired`.",
    "agent": "The agent that remembered it.",
    "workspace": "Its workspace; nothing is seen outside of it.",
    "scope": "`agent`, `workspace` or `person`.",
    "subject": "The agent, workspace or person that it is remembered for.",
    "key": "What it is remembered under; `#ID` once it is erased.",
    "why": "Why it is remembered; empty once it is erased.",
    "by": "Who said it: `person:ID` or `agent:ID`.",
    "session_id": "The session in which it was learned, or null.",
    "item_id": "The question whose answer it is, or null.",
    "labels": "Labels of that session; whoever recalls it gets them.",
    "created_at": "When it was remembered.",
    "expires_at": "From when on it is gone.",
    "reviewed_by": "Who has reviewed it, or null.",
    "reviewed_at": "When, or null.",
    "ended_at": "Since when it is not in force any more, or null.",
    "ended_by": "By whom, or null.",
    "replaced_by": "The memory that is in its place, or null.",
    "erased_at": "When its contents were removed, or null.",
    "uses": "How often it was used.",
}

MEMORY_SHOWN = {
    "value": "What is remembered; null once it is gone.",
    "reviewers": "People who may review, correct and erase it.",
    "used": "Where it was used, oldest first; see below.",
}

MEMORY_USE = {
    "session_id": "The session.",
    "turn_id": "The turn.",
    "action_id": "The action that recalled it, or the question that it answered.",
    "action": "That action's type.",
    "agent": "The session's agent.",
    "at": "When.",
}

IDEA = {
    "id": "Id of the idea: `idea_…`.",
    "status": "`open`, `accepted`, `shipped` or `declined`.",
    "agent": "The agent that it is about.",
    "workspace": "The agent's workspace.",
    "requester": "Whose idea it is: `person:ID` or `agent:ID`.",
    "words": "What they would like to see; null if it was erased.",
    "session_id": "The session in which it came up, or null.",
    "item_id": "The inbox item that its owner was asked by.",
    "decided_by": "Who accepted, shipped or declined it last, or null.",
    "reason": "Why; may be empty.",
    "shipped_in": "The version, output or release that has it; empty until then.",
    "created_at": "When it was said.",
    "decided_at": "When it was decided last, or null.",
}

OUTPUT = {
    "id": "Id of this version: `out_…`.",
    "session_id": "The session that it came from.",
    "turn_id": "The turn.",
    "action_id": "The action that published it; of a person's version, that of the version that was edited.",
    "agent": "The agent.",
    "by": "Whose version it is: `agent:NAME` or `person:ID`.",
    "workspace": "Workspace of the session.",
    "name": "Its name; the same name in a session is the same output.",
    "version": "Number of the version, from 1.",
    "kind": "`draft`, `report`, `list`, `file` or `other`.",
    "title": "Its title.",
    "status": "`open`, `accepted`, `edited` (a person replaced it), `rejected` or `disputed`.",
    "decided_by": "The reader who decided, or null.",
    "reason": "Why; may be empty.",
    "created_at": "When it was published.",
    "decided_at": "When the reader decided, or null.",
}

OUTPUT_SHOWN = {
    "body": "What it says: text or JSON; null if it was erased.",
    "versions": "All its versions as above, oldest first.",
}

WHY = {
    "list": "The list that the row belongs to, or the name that it was emitted under.",
    "key": "The row's key; may be empty.",
    "rank": "Its place in the list, from 1.",
    "title": "Its title; may be empty.",
    "row": "The row itself.",
    "reasons": "A list of `code` and `text`, as the program recorded them.",
    "from": "Where its parts came from: a list of `request`, `action`, `path` and `value`.",
    "before": "What the program had asked by then: a list of `request`, `action` and `status`.",
    "at": "Where the program explained it, `FILE:LINE`; empty where that is not known.",
    "line": "The source of that line; empty where that is not known.",
    "turn_id": "The turn.",
    "agent": "The agent.",
    "agent_version": "Digest of its files.",
}

SOURCE = {
    "session_id": "The session.",
    "turn_id": "The turn.",
    "agent": "The agent.",
    "agent_version": "Digest of its files, as this turn ran them.",
    "files": "Path in the agent's folder to text.",
}

REPLAYED = {
    "session_id": "The session.",
    "turn_id": "The turn.",
    "agent": "The agent.",
    "agent_version": "Digest of its files, as this turn ran them.",
    "same": "true if the program did and gave back the same.",
    "requests": "How many requests were compared.",
    "waits_at": "Number of the request that nobody has answered yet, where the replay had to end; or null.",
    "differs": "What is different, in a sentence; empty if nothing is.",
    "output": "What it gave back now; null if it did not end.",
}

TRIGGER = {
    "trigger": "The trigger.",
    "kind": "`schedule`, `webhook` or `event`.",
    "agent": "The agent that it starts.",
    "when": "Cron and zone of a schedule, the path of a webhook, what an event trigger waits for.",
    "paused": "true if somebody has paused it.",
    "paused_by": "Who, or null.",
    "paused_reason": "Why, or null.",
    "next_at": "When a schedule is due next, for whoever is first; null for others, and until a worker has looked.",
    "last": "The newest thing that it did or left out, as below, or null.",
}

FIRING = {
    "trigger": "The trigger.",
    "key": "What made it fire, and only once: a due time in UTC, a message's id, an event's number.",
    "due_at": "When it was due, or came in.",
    "status": "`started`, `skipped` or `refused`.",
    "session_id": "The session that it started, or null.",
    "reason": "Why it was skipped or refused; empty if it was not.",
    "at": "When that was done.",
}

FIRED = {
    "status": "`started`, `skipped` or `refused`.",
    "session_id": "The session that was started, or null.",
    "reason": "Why none was; empty if one was.",
}

BACKFILLED = {
    "due_at": "When it was due.",
    "person": "Whose session it is, or null.",
    "status": "`started` or `refused`; with `--dry-run` `missing`.",
    "session_id": "The session, or null.",
    "reason": "Why there is none; empty otherwise.",
}
