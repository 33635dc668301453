"""The shapes of `--json`, as in `fields`: walks through programs, tuning, starting points, templates."""

from __future__ import annotations

WALKTHROUGH = {
    "agent": "The agent.",
    "version": "Digest of its files.",
    "purpose": "What it is for.",
    "about": "What the program says of itself.",
    "parameters": "Name to parameter, as parameters.yaml has it.",
    "values": "Constants that it judges by: a list of `depth`, `text` and `at` (`FILE:LINE`).",
    "steps": "What it does, in order: a list of the same.",
    "helpers": "Functions that only work something out, with their rules: a list of the same.",
}

TUNED = {
    "agent": "The agent.",
    "values": "Name to `before` and `after`.",
    "approvers": "People of whom one has to approve; empty if whoever asks decides alone.",
    "tried": "Past cases: `session_id`, `turn_id`, `effect` (`same`, `changed`, `not_recorded`) and `differs`.",
    "done": "`nothing`, `asked` (somebody has to approve), `deployed` or `declined`.",
    "item": "The inbox item that asks for approval, or null.",
    "git": "What became of the commit, in words.",
}

NEW = {
    "agent": "The agent.",
    "kind": "The starting point.",
    "connections": "Connections that were added.",
    "written": "Files that were written, seen from the project.",
}

ADDED = {
    "connection": "What the connection is called.",
    "template": "Its template.",
    "written": "Files that were written, seen from the project.",
}
