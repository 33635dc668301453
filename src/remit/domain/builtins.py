"""The built-in connection `remit`: tools that every agent may be given, on the same road as all others.

They change nothing outside Remit, but for `remit.tell`, which writes to people: that one is classified, with who
answers for it, in the project's own actions.yaml. Any of them may be classified there, and then that counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Literal, get_args

from remit.domain.actions import ActionType, Effect, Idempotency, Label, Risk
from remit.domain.agents import AgentVersion
from remit.domain.connections import ToolDefinition

CONNECTION = "remit"
"""Name of the built-in connection; reserved."""
DELEGATE = "remit.delegate"
LOAD_SKILL = "remit.load_skill"
SEARCH_KNOWLEDGE = "remit.search_knowledge"
RUN_CODE = "remit.run_code"
TELL = "remit.tell"
OutputKind = Literal["draft", "report", "list", "file", "other"]
"""What `remit.publish` can say that an output is."""
OUTPUT_KINDS: tuple[OutputKind, ...] = get_args(OutputKind)

_TEXT = {"type": "string"}


def is_builtin(action: str) -> bool:
    """True for tools of the built-in connection."""
    return action.partition(".")[0] == CONNECTION


def _tool(name: str, description: str, required: Mapping[str, Any], optional: Mapping[str, Any]) -> ToolDefinition:
    schema = {
        "type": "object",
        "properties": {**required, **optional},
        "required": sorted(required),
        "additionalProperties": False,
    }
    return ToolDefinition(name=name, description=description, input_schema=schema, digest="builtin")


_SCOPE = {"enum": ["agent", "workspace", "person"], "description": "Who shares it; default: agent."}
_SUBJECT = {"type": "string", "description": "With scope `person`: whose; a person's id."}

TOOLS: dict[str, ToolDefinition] = {
    tool.name: tool
    for tool in (
        _tool(
            "delegate",
            "Have another agent do a piece of work in a session of its own, and get its output.",
            {"agent": _TEXT, "input": {}},
            {
                "title": _TEXT,
                "wait": {"type": "boolean", "description": "False: do not wait for the output; default: true."},
                "within_seconds": {"type": "integer", "minimum": 1, "maximum": 2_592_000},
            },
        ),
        _tool(
            "remember",
            "Keep a fact for later sessions, with the reason why it is kept.",
            {"key": {**_TEXT, "minLength": 1, "maxLength": 200}, "value": {}, "why": _TEXT},
            {"scope": _SCOPE, "subject": _SUBJECT, "keep_days": {"type": "integer", "minimum": 1, "maximum": 3650}},
        ),
        _tool(
            "recall",
            "Look up what was remembered under a key; `found` says whether there is any. Or list keys by a prefix.",
            {},
            {
                "key": {**_TEXT, "minLength": 1, "maxLength": 200},
                "prefix": {**_TEXT, "maxLength": 200, "description": "Instead of a key: keys that begin with this."},
                "scope": _SCOPE,
                "subject": _SUBJECT,
            },
        ),
        _tool(
            "ask",
            "Ask a person and wait for the answer. Ask when you are not sure, or when the decision is not yours.",
            {"question": {**_TEXT, "minLength": 1, "maxLength": 4_000}},
            {
                "kind": {"enum": ["choice", "text", "number", "yes-no"], "description": "What an answer is."},
                "choices": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": 200,
                    "description": "For `choice`: texts, or records with `id`, `title` and more; the answer is the id.",
                    "items": {
                        "anyOf": [
                            {**_TEXT, "maxLength": 400},
                            {
                                "type": "object",
                                "required": ["id", "title"],
                                "properties": {"id": _TEXT, "title": _TEXT},
                            },
                        ]
                    },
                },
                "min": {"type": "number", "description": "Least number, or fewest characters."},
                "max": {"type": "number", "description": "Greatest number, or most characters."},
                "whole": {"type": "boolean", "description": "For `number`: without a fraction."},
                "multiline": {"type": "boolean", "description": "For `text`: of several lines."},
                "to": {**_TEXT, "description": "A person's id, role:ID or channel:NAME; default: whoever helps you."},
                "context": {"description": "What the person has to know, with sources."},
                "confidence": {
                    "type": "number",
                    "minimum": 0,
                    "maximum": 1,
                    "description": "How sure you are yourself.",
                },
                "timeout_hours": {"type": "number", "exclusiveMinimum": 0, "maximum": 8_760},
                "default": {"description": "The answer if nobody answers within `timeout_hours`."},
                "remember": {
                    **_TEXT,
                    "minLength": 1,
                    "maxLength": 200,
                    "description": "Key of the answer: what is remembered under it is taken, and may be kept there.",
                },
                "scope": _SCOPE,
                "keep_days": {"type": "integer", "minimum": 1, "maximum": 3650},
            },
        ),
        _tool(
            "search_knowledge",
            "Search the agent's knowledge folder; passages come with file and line to cite.",
            {"query": {**_TEXT, "minLength": 1, "maxLength": 400}},
            {"limit": {"type": "integer", "minimum": 1, "maximum": 20}},
        ),
        _tool(
            "load_skill",
            "Read a skill's instructions, or one of its files, when the task at hand needs it.",
            {"name": _TEXT},
            {"file": {"type": "string", "description": "A file of the skill; default: its instructions."}},
        ),
        _tool(
            "run_code",
            "Run Python in a sandbox without files, network or packages. Its only function is call(tool, {arguments}), "
            "which gives the result of one of your tools, without await; each call is judged as your own. The value of "
            "the last expression is the result, and what is printed comes with it.",
            {"code": {**_TEXT, "maxLength": 50_000}},
            {"inputs": {"type": "object", "description": "Values of variables of the code, by name."}},
        ),
        _tool(
            "tell",
            "Send a message to a person of the directory or to a channel, over the surfaces that are turned on.",
            {"text": {**_TEXT, "minLength": 1, "maxLength": 12_000}},
            {"to": {"type": "string", "description": "A person's id or role:ID."}, "channel": _TEXT, "title": _TEXT},
        ),
        _tool(
            "publish",
            "Keep a draft, report or list as a reviewable output. The same name again is its next version.",
            {"name": {**_TEXT, "minLength": 1, "maxLength": 120}, "title": _TEXT, "body": {}},
            {"kind": {"enum": list(OUTPUT_KINDS)}},
        ),
        _tool(
            "reasons",
            "Look up why a row of this session's lists is there and why so high, from the reasons recorded with it.",
            {},
            {
                "row": {"type": "string", "maxLength": 400, "description": "Its key, its rank or words of its title."},
                "list": {
                    "type": "string",
                    "maxLength": 400,
                    "description": "The list's name, if there are several.",
                },
                "limit": {"type": "integer", "minimum": 1, "maximum": 50},
            },
        ),
        _tool(
            "match",
            "Find which of some names is meant by what somebody wrote. Scores from 0 to 1, best first.",
            {
                "query": {**_TEXT, "minLength": 1, "maxLength": 400},
                "candidates": {
                    "type": "array",
                    "maxItems": 5_000,
                    "items": {
                        "type": "object",
                        "properties": {
                            "id": {**_TEXT, "maxLength": 200},
                            "names": {"type": "array", "maxItems": 20, "items": {**_TEXT, "maxLength": 400}},
                        },
                        "required": ["id", "names"],
                        "additionalProperties": False,
                    },
                },
            },
            {"limit": {"type": "integer", "minimum": 1, "maximum": 50}},
        ),
        _tool(
            "suggest",
            "Pass on what somebody would like to see as an idea to the agent's owner.",
            {"idea": {**_TEXT, "minLength": 1, "maxLength": 4_000}},
            {},
        ),
    )
}
"""Name of the tool, without the connection's, to its definition."""


def _type(title: str, *, seconds: int = 10, reads: Iterable[Label] = ()) -> ActionType:
    return ActionType(
        title=title,
        effect=Effect.READ,
        risk=Risk.LOW,
        idempotency=Idempotency(meta="remit", window=timedelta(days=3650)),
        reads=frozenset(reads),
        timeout=timedelta(seconds=seconds),
    )


ACTION_TYPES: dict[str, ActionType] = {
    DELEGATE: _type("Have another agent do a piece of work"),
    "remit.ask": _type("Ask a person"),
    "remit.remember": _type("Remember a fact"),
    "remit.recall": _type("Look up what was remembered"),
    SEARCH_KNOWLEDGE: _type("Search the knowledge folder"),
    LOAD_SKILL: _type("Read a skill"),
    RUN_CODE: _type("Run code in the sandbox", seconds=60),
    "remit.publish": _type("Keep an output for review"),
    "remit.match": _type("Match a name to names"),
    "remit.reasons": _type("Look up the reasons for a row"),
    "remit.suggest": _type("Pass on an idea"),
}
"""What counts where actions.yaml says nothing. `remit.tell` is not here: it needs people who answer for it."""


def with_builtins(actions: Mapping[str, ActionType], agents: Mapping[str, AgentVersion]) -> dict[str, ActionType]:
    """A project's action types and those built-in ones that its agents name and it does not classify itself."""
    wanted = {tool for agent in agents.values() for tool in agent.spec.tools}
    return {**{n: t for n, t in ACTION_TYPES.items() if n in wanted and n not in actions}, **actions}
