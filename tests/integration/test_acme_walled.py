"""Acme's servers as Remit starts them: behind the wall, with an empty environment, in folders of their own."""

import asyncio
import json
import shutil
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from remit.config.loader import load_project
from remit.runtime.connections import Connections, pin_tools, render_pins

ACME = Path(__file__).resolve().parents[2] / "examples" / "acme"
CHARGE = {"charge_id": "ch_3r7uv15k", "amount": 20, "currency": "USD", "reason": "Ticket CS-19422"}


@pytest.fixture
def folder(tmp_path):
    copy = tmp_path / "acme"
    shutil.copytree(ACME, copy, ignore=shutil.ignore_patterns(".remit", "__pycache__"))
    return copy


def no_secrets(reference):
    raise AssertionError(f"no server of Acme needs a secret: {reference}")


def connections(folder, *only):
    project = load_project(folder)
    specs = {name: spec for name, spec in project.connections.items() if name in only or not only}
    return Connections(folder, specs, no_secrets, pins=project.pins)


def refunds(folder):
    with closing(sqlite3.connect(folder / ".remit/connections/payments/payments.sqlite")) as db:
        return [key for (key,) in db.execute("SELECT key FROM refunds WHERE NOT seeded ORDER BY number")]


def test_the_pins_are_what_the_walled_servers_offer(folder):
    async def offered():
        open_connections = connections(folder)
        try:
            return await pin_tools(open_connections)
        finally:
            await open_connections.close()

    assert render_pins(asyncio.run(offered())) == (ACME / "tools.lock.json").read_text()


def test_trouble_ends_as_a_known_or_an_unknown_outcome_and_money_moves_once_for_a_key(folder):
    data = folder / ".remit/connections/payments"

    def trouble(**rule):
        rules = [{"tool": "refund", "times": 1, **rule}]
        (data / "faults.new").write_text(json.dumps({"rules": rules}))
        (data / "faults.new").replace(data / "faults.json")

    async def scenario():
        payments = connections(folder, "payments")

        async def refund(key, seconds=20.0):
            arguments = {**CHARGE, "idempotency_key": key}
            wait = timedelta(seconds=seconds)
            return await payments.call("payments", "refund", arguments, meta=None, timeout=wait, deadline=None)

        seen = {}
        try:
            seen["well"] = await refund("k0")
            for number, fault in enumerate(
                ("fail", "die_before_work", "die_after_work", "oversized", "strange_text"), 1
            ):
                trouble(fault=fault, bytes=1_500_000)
                seen[fault] = await refund(f"k{number}")
            seen["after"] = await refund("k3")
            trouble(fault="hang_after_work")
            seen["hang_after_work"] = await refund("k6", 1.0)
            (data / "faults.json").write_text('{"definition": {"refund": "changed"}}')
            trouble_free = connections(folder, "payments")
            try:
                seen["changed"] = await trouble_free.call(
                    "payments", "refund", {**CHARGE}, meta=None, timeout=timedelta(seconds=20), deadline=None
                )
            finally:
                await trouble_free.close()
        finally:
            await payments.close()
        return seen

    seen = asyncio.run(scenario())
    assert {name: answer.status for name, answer in seen.items()} == {
        "well": "succeeded",
        "fail": "failed",
        "die_before_work": "unknown",
        "die_after_work": "unknown",
        "oversized": "succeeded",
        "strange_text": "succeeded",
        "after": "succeeded",
        "hang_after_work": "unknown",
        "changed": "failed",
    }
    assert seen["oversized"].truncated
    assert (seen["changed"].reason, seen["changed"].sent) == ("tool_changed", False)
    assert refunds(folder) == ["k0", "k3", "k4", "k5", "k6"]
