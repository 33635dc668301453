"""The text of docs/reference/audit.md, from the code: every tag, and the shape of an export's lines."""

from __future__ import annotations

from remit.domain.records import MEANINGS, Tag

KEY_FIELDS = {
    "kind": "`key`",
    "verifier": "The sealer's public key, `NAME+KEYID+BASE64`.",
    "export": "Id of this export; the record that seals it carries the same. null where only the log was written out.",
}
RUN_FIELDS = {
    "kind": "`run`",
    "timestamp": "When the turn was asked for.",
    "turn_id": "Id of the turn.",
    "agent_id": "Name of the agent.",
    "agent_version": "Digest of the agent's version.",
    "workflow": "The workflow that the agent works in, or null.",
    "workspace": "The workspace.",
    "request_id": "The caller's own id, such as a ticket number; else the session's id.",
    "session_id": "Id of the session.",
    "principal": "Who or what started the session: `person:ID`, `trigger:ID`, `agent:ID`.",
    "simulated": "true if the principal was named with `--as` in local development.",
    "author": "Who wrote the message that this turn answers.",
    "on_behalf_of": "The person for whom the agent acts, or null.",
    "trigger": "What started the session.",
    "title": "The session's title.",
    "status": "`queued`, `running`, `waiting`, `finished`, `failed` or `cancelled`.",
    "started_at": "When its first run began, or null.",
    "finished_at": "When it ended, or null.",
    "inputs": "The message that it answers.",
    "tool_calls": "Its calls of tools and questions to people, in order; see below.",
    "model_requests": "Its requests to language models: `action_id`, `key`, `status`, `reasons`, `policy_ids`, tokens, "
    "`cost_usd`.",
    "output": "What it answered, or null.",
    "error": "Why it failed, or null.",
    "policy_version": "The policy version of its newest decision, or null.",
    "policy_versions": "Every policy version that it was judged under.",
    "human_override": "What people decided in it, or null: `item_id`, `kind`, `action_id`, `tool`, `verdict`, `by`, "
    "`simulated`, `at`, `reason`, `said`.",
    "cost_usd": "What its actions cost, in USD.",
    "tokens": "`input` and `output` tokens of its model requests.",
    "chain": "SHA-256 over the `chain` of the line before and this line without it.",
}
CALL_FIELDS = {
    "tool": "`connection.tool`, the action type.",
    "status": "`waiting`, `limited`, `cleared`, `succeeded`, `failed`, `refused`, `unknown` or `cancelled`.",
    "reason": "Code of the first reason why it was held up or refused; else of its verdict, or null.",
    "reasons": "All reasons, first those for which it was held up: `code`, `text`, `policy_id`.",
    "policy_ids": "The policies that determined its verdicts.",
    "policy_version": "The policy version of its newest verdict.",
    "action_id": "Id of the action, which is also its idempotency key.",
    "key": "Its place in the turn.",
    "mode": "`tool` or `ask`.",
    "attempts": "How often it was cleared.",
    "arguments": "What it was called with, as edited if a person edited it.",
    "result": "What it gave back.",
    "error": "What went wrong, or null.",
    "approved_by": "Approvals: `role`, `person`, `at`, `used_at`.",
    "undone_by": "Id of the action that took it back, or null.",
    "asked_at": "When the agent asked for it.",
    "settled_at": "When its outcome was known, or null.",
    "cost_usd": "What it cost, in USD.",
}
PAYLOAD_FIELDS = {
    "kind": "`payload`",
    "digest": "SHA-256 over salt and body, in hexadecimal; records name contents by it.",
    "state": "`present`; `erased`: salt and body are gone for good; `withheld`: they are not in this file.",
    "salt": "Base64; only if present.",
    "encoding": "`utf-8` or `base64`; only if present.",
    "body": "The contents; only if present.",
    "chain": "As in a run.",
}
RECORD_FIELDS = {
    "kind": "`record`",
    "index": "Leaf index in the log, from 0.",
    "body": "The exact text that the leaf covers: JSON with `v`, `tag`, `at`, `session_id`, `turn_id`, `action_id` and "
    "what belongs to the tag. null if the database lost it.",
    "leaf": "Base64 of SHA-256 over a zero byte and the body's UTF-8.",
    "root": "In a whole export: base64 of the tree's root after this record.",
    "proof": "In an excerpt: the RFC 6962 inclusion proof, base64, nearest sibling first.",
}
CHECKPOINT_FIELDS = {
    "kind": "`checkpoint`",
    "note": "The signed checkpoint (C2SP tlog-checkpoint in a signed note).",
    "final": "true for the one that covers the whole file.",
    "continues": "In an excerpt made with `--checkpoint`: that one's `size`, and the RFC 6962 consistency `proof`.",
}


_LINES = (
    "`remit audit export` writes one JSON object a line, in UTF-8, each in exactly one form: no spaces, keys in the "
    "order given here, no escapes but those that JSON demands. A whole export is a `key` line, `run` and `payload` "
    "lines, `record` lines with `checkpoint` lines between them, and the final checkpoint. An excerpt (`--session`) "
    "has its checkpoint before its records. Times are ISO 8601 in UTC. `[redacted]` stands for a declared field, "
    "`[erased]` for erased and `[withheld]` for withheld contents."
)


def audit_reference() -> str:
    """The page as Markdown."""
    parts = [
        "# Audit records and exports",
        "This page is generated from the code.",
        "## Tags",
        "A tag reads `source:subject:action`. Tags are stable: scripts may rely on them.",
        _table("tag", "meaning", {tag.value: MEANINGS[tag] for tag in Tag}),
        "## Lines of an export",
        _LINES,
    ]
    for title, fields in (
        ("key", KEY_FIELDS),
        ("run", RUN_FIELDS),
        ("run: tool_calls", CALL_FIELDS),
        ("payload", PAYLOAD_FIELDS),
        ("record", RECORD_FIELDS),
        ("checkpoint", CHECKPOINT_FIELDS),
    ):
        parts += [f"### {title}", _table("field", "meaning", fields)]
    return "\n\n".join(parts) + "\n"


def _table(left: str, right: str, rows: dict[str, str]) -> str:
    return "\n".join([f"| {left} | {right} |", "|---|---|", *(f"| `{name}` | {text} |" for name, text in rows.items())])
