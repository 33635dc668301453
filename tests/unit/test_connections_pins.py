"""Pins, what an agent sees of a tool, and how the idempotency key gets into a call."""

import json
from decimal import Decimal

import pytest

from remit.domain.actions import ActionType
from remit.domain.connections import ToolDefinition, ToolPins
from remit.runtime.connections import agent_view, changed_tools, render_pins, tool_digest, with_key
from remit.runtime.connections.pins import from_wire, state_of
from remit.runtime.connections.scrub import Scrubber

SCHEMA = {
    "type": "object",
    "properties": {"amount": {"type": "number", "minimum": 0.5}, "key": {"type": "string"}},
    "required": ["amount", "key"],
}


def live(name="refund", description="Pay back.", schema=None, **more):
    raw = {"name": name, "description": description, "inputSchema": SCHEMA if schema is None else schema, **more}
    return from_wire(raw, Scrubber())


def action(**idempotency):
    return ActionType(title="Refund", effect="read", idempotency=idempotency or None)


def test_a_digest_covers_name_description_and_schemas_and_nothing_else():
    same = [
        live(),
        live(annotations={"readOnlyHint": True}),
        live(title="Refund"),
        live(schema=dict(reversed(SCHEMA.items()))),
    ]
    assert len({d.digest for d in same}) == 1
    assert same[0].digest == tool_digest(same[0]) == tool_digest(same[0].model_copy(update={"digest": "x"}))
    others = [live(name="pay"), live(description="Pay"), live(schema={"type": "object"}), live(outputSchema={})]
    assert len({d.digest for d in [*same, *others]}) == 5


def test_pins_read_back_as_they_were_written():
    odd = live(schema={"properties": {"x": {"multipleOf": Decimal("0.01"), "maximum": 10**25, "enum": [1.0, 1e-9]}}})
    pins = ToolPins(connections={"pay": {"refund": odd, "other": live(name="other")}})
    text = render_pins(pins)
    again = ToolPins.model_validate_json(text)
    assert render_pins(again) == text
    assert text.endswith("}\n")
    assert changed_tools(again, {"pay": {"refund": odd, "other": live(name="other")}}) == []
    backwards = ToolPins(connections={"pay": dict(reversed(pins.connections["pay"].items()))})
    assert render_pins(backwards) == text
    assert list(json.loads(text)["connections"]["pay"]) == ["other", "refund"]


def test_changes_are_named():
    pins = ToolPins(connections={"pay": {"a": live("a"), "b": live("b"), "c": live("c")}, "idle": {"x": live("x")}})
    now = {"pay": {"a": live("a"), "b": live("b", "Other.", {"type": "object"}), "d": live("d")}}
    assert [str(change) for change in changed_tools(pins, now)] == [
        "pay.b: changed (description, input_schema)",
        "pay.c: missing",
        "pay.d: new",
    ]


def test_states():
    pin = live()
    assert state_of(None, {}, "refund") == "unpinned"
    assert state_of(pin, None, "refund") == "pinned"
    assert state_of(pin, {"refund": live()}, "refund") == "pinned"
    assert state_of(pin, {"refund": live(description="x")}, "refund") == "changed"
    assert state_of(pin, {}, "refund") == "missing"


def test_a_pin_that_was_edited_by_hand_does_not_hold():
    edited = live().model_copy(update={"description": "Harmless."})
    assert state_of(edited, None, "refund") == "changed"


@pytest.mark.parametrize(
    "raw",
    [
        None,
        {},
        {"name": "a"},
        {"name": "a", "inputSchema": []},
        {"name": "../a", "inputSchema": {}},
        {"name": "a" * 200, "inputSchema": {}},
        {"name": "a", "inputSchema": {}, "description": 5},
        {"name": "a", "inputSchema": {}, "outputSchema": "x"},
        {"name": "a", "inputSchema": {"x": float("nan")}},
        {"name": "a", "inputSchema": {}, "description": "x" * 300_000},
    ],
)
def test_a_definition_that_cannot_be_pinned_is_left_out(raw):
    assert from_wire(raw, Scrubber()) is None


def test_the_key_argument_is_hidden_from_agents():
    seen = agent_view(live(), action(argument="key"))
    assert seen.input_schema["properties"] == {"amount": {"type": "number", "minimum": 0.5}}
    assert seen.input_schema["required"] == ["amount"]
    assert "key" in live().input_schema["properties"]
    assert agent_view(live(), action(meta="key")) == live()
    assert agent_view(live(), action()) == live()
    bare = ToolDefinition(name="x", input_schema={"type": "object"})
    assert agent_view(bare, action(argument="key")) == bare


def test_the_key_goes_where_the_action_type_says():
    args = {"amount": Decimal("1.5")}
    assert with_key(args, action(argument="key"), "act_1") == ({**args, "key": "act_1"}, None)
    assert with_key({**args, "key": "forged"}, action(argument="key"), "act_1") == ({**args, "key": "act_1"}, None)
    assert with_key(args, action(meta="idem"), "act_1") == (args, {"idem": "act_1"})
    assert with_key(args, action(), "act_1") == (args, None)
    assert args == {"amount": Decimal("1.5")}
