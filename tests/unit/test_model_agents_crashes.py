"""A model agent's turn that dies at every point where a process can die, and is run again from the top."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from remit.domain.agents import AgentSpec, AgentVersion
from remit.domain.connections import ToolDefinition
from remit.domain.decisions import ActionStatus
from remit.runtime.model_agents import ModelTurn, run_model_turn
from remit.runtime.model_agents.scripts import respond_model
from remit.runtime.road import TurnSuspendedError
from remit.testing import FakeRoad

SPEC = AgentSpec(
    title="Refund desk",
    purpose="Pays back what is due.",
    owner="dana",
    escalation="dana",
    workspace="support",
    model="script:desk",
    tools=("payments.refund", "crm.look", "crm.note"),
)
VERSION = AgentVersion("refund-desk", "d" * 64, SPEC, {"prompt.md": b"Refund what is due. {no} {fields}"})


def tool(name: str, /, **properties: str) -> ToolDefinition:
    schema = {
        "type": "object",
        "properties": {key: {"type": kind} for key, kind in properties.items()},
        "required": list(properties),
        "additionalProperties": False,
    }
    return ToolDefinition(name=name, description=f"Does {name}.", input_schema=schema)


TOOLS = {
    "payments.refund": tool("refund", charge="string", amount="number"),
    "crm.look": tool("look", name="string"),
    "crm.note": tool("note", text="string"),
}


class Crash(Exception):
    """The process dies."""


class World:
    """A model and tools outside of the process: what they were asked for stays when the process dies."""

    def __init__(self, *, crash_at: str | None = None, shuffle: int | None = None) -> None:
        self.bought: Counter[int] = Counter()
        self.done: Counter[str] = Counter()
        self.crash_at = crash_at
        self.points: list[str] = []
        self.in_doubt: set[str] = set()
        self.road = FakeRoad(
            answers={
                "payments.refund": lambda args: self._do(f"refund {args['charge']} {args['amount']}"),
                "crm.look": lambda args: {"name": args["name"], "balance": 12.5},
                "crm.note": lambda args: self._do(f"note {args['text']}"),
            },
            approvals=frozenset({"payments.refund"}),
            boundary=self._boundary,
            shuffle=shuffle,
        )
        self.model = respond_model("script:desk", self._respond)

    def _do(self, what: str) -> str:
        self.done[what] += 1
        return f"did {what}"

    def _boundary(self, point: str) -> None:
        self.points.append(point)
        if point == self.crash_at:
            self.crash_at = None
            raise Crash(point)

    def _respond(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> dict[str, Any]:
        number = sum(1 for message in messages if message["role"] == "assistant")
        self.bought[number] += 1
        match number:
            case 0:
                wanted = [
                    ("crm.look", {"name": "ada"}),
                    ("payments.refund", {"charge": "ch_1", "amount": 120}),
                    ("crm.note", {"text": "asked"}),
                    ("crm.note", {"text": "seen"}),
                ]
            case 1:
                wanted = [("payments.refund", {"charge": "ch_2", "amount": 0.1}), ("crm.note", {"text": "paid"})]
            case _:
                return {"text": " | ".join(m["content"] for m in messages if m["role"] == "tool")}
        return {
            "text": "The customer asks for their money.",
            "tool_calls": [{"id": "call_0", "name": name, "arguments": arguments} for name, arguments in wanted],
        }

    def run(self, minute: int) -> ModelTurn:
        """Run from the top, at another time than before."""
        now = datetime(2026, 11, 21, 9, minute, tzinfo=UTC)
        return asyncio.run(run_model_turn(SPEC, VERSION, self.model, TOOLS, [], {"ticket": "CS-1"}, self.road, now=now))

    def finish(self) -> ModelTurn:
        """Run until the turn is finished: restart after a crash, approve what waits."""
        for minute in range(20):
            try:
                return self.run(minute)
            except TurnSuspendedError:
                for key in self.road.waiting:
                    self.road.approve(key)
            except Crash:
                ledger = self.road.ledger
                self.in_doubt = {key for key in self.road.executed if ledger[key].status is ActionStatus.CLEARED}
                self.road.revive()
        raise AssertionError("the turn does not end")


def every_point() -> list[str]:
    world = World()
    world.finish()
    return list(dict.fromkeys(world.points))


POINTS = every_point()
EXPECTED = World().finish()


def test_the_points_are_those_of_a_whole_turn() -> None:
    assert {point.rpartition(":")[2] for point in POINTS} == {"asked", "cleared", "executed", "settled"}
    keys = {point.rpartition(":")[0] for point in POINTS}
    assert keys == {"prompt", "tools", "m1", "m1.t1", "m1.t2", "m1.t3", "m1.t4", "m2", "m2.t1", "m2.t2", "m3"}
    assert EXPECTED.output.startswith('{"balance":12.5,"name":"ada"} | did refund ch_1 120 | did note asked')
    assert "did refund ch_2 0.1" in EXPECTED.output


@pytest.mark.parametrize("shuffle", [None, 1])
@pytest.mark.parametrize("point", POINTS)
def test_a_crash_at_any_point_changes_nothing(point: str, shuffle: int | None) -> None:
    world = World(crash_at=point, shuffle=shuffle)
    assert world.finish().output == EXPECTED.output
    assert world.crash_at is None, "the crash happened"
    # What had left and was not settled when the process died is all that a successor repeats, each once, under the
    # idempotency key that it had. Everything else was bought once and done once.
    again = {key: times for key, times in Counter(world.road.executed).items() if times > 1}
    assert set(again) == world.in_doubt
    assert set(again.values()) <= {2}
    assert world.bought.total() + world.done.total() == 8 + len(world.in_doubt - {"m1.t1"})
    assert {world.road.ledger[key].clearances for key in again} <= {2}
    if point.endswith(("asked", "settled")) and shuffle is None:
        assert world.in_doubt == set()


def test_a_finished_turn_run_again_does_nothing() -> None:
    world = World()
    first = world.finish()
    done, bought, executed = world.done.copy(), world.bought.copy(), list(world.road.executed)
    assert world.run(59).output == first.output
    assert (world.done, world.bought, world.road.executed) == (done, bought, executed)


def test_completion_order_does_not_move_keys() -> None:
    ledgers = []
    for shuffle in (None, 3, 4, 5):
        world = World(shuffle=shuffle)
        world.finish()
        ledgers.append({key: (entry.action, entry.args) for key, entry in sorted(world.road.ledger.items())})
    assert all(ledger == ledgers[0] for ledger in ledgers)
