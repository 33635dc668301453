"""A small company for tests: one agent, one till, whose own books say what really happened.

The till is a real MCP server in a process of its own. `till.pay` honours idempotency keys, `till.hand_out` does not and
cannot be looked up, `till.wire` honours none but has an authoritative lookup, `till.peek` reads.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from remit.bootstrap import Services, open_services
from remit.config.loader import load_project
from remit.config.settings import Settings
from remit.domain.connections import ToolDefinition, ToolPins
from remit.governance.deployments import deploy
from remit.governance.desk import Decider
from remit.governance.signing import generate_key
from remit.runtime.connections import render_pins, tool_digest
from remit.runtime.sessions import Start
from remit.storage import actions, inbox, sessions
from remit.storage.database import keeping_connections
from tests.acceptance.nursery import Nursery, Worker

SERVER = """
import json, os, sys, time

def books():
    try:
        return [json.loads(l) for l in open("books.jsonl")]
    except FileNotFoundError:
        return []

def write(entry):
    with open("books.jsonl", "a") as f:
        f.write(json.dumps(entry) + "\\n"); f.flush(); os.fsync(f.fileno())

def call(name, a):
    delay = float(open("delay").read()) if os.path.exists("delay") else 0
    if name == "peek":
        return {"balance": 1000 - sum(b["amount"] for b in books())}
    if name == "find":
        return {"entry": next((b for b in books() if b["ref"] == a["ref"]), None)}
    if name in ("pay", "unpay"):
        done = next((b for b in books() if b["key"] == a["key"]), None)
        if done:
            write_attempt(name, a); return done
    sign = -1 if name == "unpay" else 1
    entry = {"tool": name, "who": a.get("who"), "amount": sign * a["amount"], "key": a.get("key"), "ref": a.get("ref")}
    write_attempt(name, a); write(entry)
    time.sleep(delay)
    return entry

def write_attempt(name, a):
    with open("attempts.jsonl", "a") as f:
        f.write(json.dumps([name, a]) + "\\n")

def schema(**p):
    return {"type": "object", "properties": p, "required": list(p)}

S, N = {"type": "string"}, {"type": "number"}
TOOLS = [
    {"name": "pay", "description": "Pay somebody", "inputSchema": schema(who=S, amount=N, currency=S, key=S)},
    {"name": "unpay", "description": "Take a payment back", "inputSchema": schema(who=S, amount=N, key=S)},
    {"name": "hand_out", "description": "Hand out cash", "inputSchema": schema(who=S, amount=N)},
    {"name": "wire", "description": "Wire money", "inputSchema": schema(who=S, amount=N, ref=S)},
    {"name": "find", "description": "Find a wire", "inputSchema": schema(ref=S)},
    {"name": "peek", "description": "Look", "inputSchema": schema()},
]

def main():
    for line in sys.stdin:
        m = json.loads(line)
        if "id" not in m:
            continue
        if m["method"] == "initialize":
            r = {"protocolVersion": m["params"]["protocolVersion"], "capabilities": {"tools": {}},
                 "serverInfo": {"name": "till", "version": "1"}}
        elif m["method"] == "tools/list":
            r = {"tools": TOOLS}
        elif m["method"] == "tools/call":
            value = call(m["params"]["name"], m["params"]["arguments"])
            r = {"content": [{"type": "text", "text": json.dumps(value)}], "structuredContent": value}
        else:
            r = {}
        print(json.dumps({"jsonrpc": "2.0", "id": m["id"], "result": r}), flush=True)

if __name__ == "__main__":
    main()
"""

PROGRAM = """
async def run(session):
    done = []
    for step in session.input["steps"]:
        tool, args = step["tool"], {k: v for k, v in step.items() if k != "tool"}
        try:
            done.append(await session.call("till." + tool, **args))
        except session.Refused as refused:
            done.append({"refused": [r["code"] for r in refused.reasons]})
        except session.Failed as failed:
            done.append({"failed": str(failed)})
    return done
"""

FILES = {
    "remit.toml": """
[project]
name = "shop"
development = true
[deploy]
keys = ["{key}"]
[budget.day]
calls = 100000
[models."script:till"]
script = "model.py"
price = {{input = 1, output = 2}}
""",
    "directory.yaml": """
people:
  - {id: ada, name: Ada, roles: [risk], workspaces: [shop]}
  - {id: bo, name: Bo, manager: cleo, workspaces: [shop]}
  - {id: cleo, name: Cleo, manager: ada, workspaces: [shop]}
  - {id: dov, name: Dov, workspaces: [shop]}
roles: [{id: risk, title: Risk}]
workspaces: [{id: shop, title: Shop}]
""",
    "connections.yaml": """
connections:
  till: {transport: stdio, command: [python, servers/till.py], timeout: 5s, trusted: true}
""",
    "actions.yaml": """
actions:
  till.pay:
    title: Pay
    effect: write
    raci: &raci {accountable: bo, system_owner: ada, risk_owner: "role:risk", informed: [dov]}
    resource: "Payee::{who}"
    require: [who, amount, currency]
    money: {amount: amount, currency: currency}
    caps: {each: [{amount: 500, currency: USD}], per_day: [{amount: 5000, currency: USD}]}
    idempotency: {argument: key, window: 24h}
    undo: {tool: till.unpay, arguments: {who: $args.who, amount: $args.amount}}
    reversible: true
    timeout: 2s
  till.unpay:
    title: Take a payment back
    effect: write
    raci: *raci
    idempotency: {argument: key}
    timeout: 2s
  till.hand_out:
    title: Hand out cash
    effect: write
    raci: *raci
    timeout: 2s
  till.wire:
    title: Wire money
    effect: write
    raci: *raci
    idempotency: {argument: ref, window: 1ms}
    lookup: {tool: till.find, arguments: {ref: $action.id}, found: entry, authoritative: true}
    timeout: 2s
  till.find: {title: Find a wire, effect: read}
  till.peek: {title: Look, effect: read}
""",
    "policies/shop.cedar": """
@id("reads")
permit (principal, action in Action::"read", resource);

@id("writes")
permit (principal == Agent::"clerk", action in Action::"write", resource);

@id("models")
permit (principal, action == Action::"model.request", resource);

@id("pay_over_100")
@reason("needs_human_approval_over_100")
@approval("accountable")
forbid (principal, action == Action::"till.pay", resource)
when { context.args.amount.greaterThan(decimal("100.0000")) }
unless { context.approved_by.contains("accountable") };
""",
    "agents/clerk/agent.yaml": """
title: Clerk
purpose: Does what its input says.
owner: bo
escalation: ada
workspace: shop
persistent: It is asked at any time.
tools: [till.pay, till.unpay, till.hand_out, till.wire, till.find, till.peek]
model: "script:till"
concurrency: 40
budget:
  session: {calls: 500, usd: 50}
  day: {calls: 50000}
""",
    "agents/clerk/program.py": PROGRAM,
    "servers/till.py": SERVER,
    "model.py": "def respond(messages, tools):\n    return {'text': 'done'}\n",
}


class Shop:
    """The company in a folder, with its database open."""

    def __init__(self, folder: Path, services: Services, nursery: Nursery) -> None:
        self.folder = folder
        self.services = services
        self._nursery = nursery
        self._workers: list[Worker] = []

    # -- processes

    def worker(self, *, wait: bool = True, **env: str) -> Worker:
        """Start a worker process; `env` such as REMIT_KILL_AT."""
        process = self._nursery.worker(self.folder, self.folder / "worker.log", {**os.environ, **SPEED, **env})
        self._workers.append(process)
        return process.ready() if wait else process

    def doomed(self, **env: str) -> Worker:
        """Start a worker whose lease is short, so that others soon notice its end."""
        return self.worker(REMIT_LEASE="3s", REMIT_HEARTBEAT="300ms", **env)

    def zombie(self, **env: str) -> Worker:
        """Start a worker that will not notice that its lease has run out; `bury` lets it run out."""
        return self.worker(REMIT_LEASE="2h", REMIT_HEARTBEAT="1h", **env)

    def bury(self, worker: Worker) -> None:
        """Let the time of a worker's lease, and of what it has under way, run out now."""
        with self.services.sessions.transaction() as db:
            db.execute(
                """with dead as (
                       update remit.executors set expires_at = clock_timestamp() where pid = %s returning id)
                   update remit.actions set expires_at = clock_timestamp()
                   where status = 'cleared' and executor in (select id from dead)""",
                (worker.pid,),
            )

    def end_workers(self) -> None:
        for process in self._workers:
            process.kill()
        self._workers.clear()

    # -- work

    def start(self, *steps: dict[str, Any], principal: str = "person:dov") -> str:
        return self.services.sessions.start(Start("clerk", {"steps": list(steps)}, principal))

    def session(self, session_id: str) -> dict[str, Any]:
        with self.services.sessions.transaction() as db:
            found = sessions.get(db, session_id)
            return {
                "status": str(found.status),
                "reason": found.reason,
                "turns": sessions.turns(db, session_id),
                "actions": actions.of_session(db, session_id),
                "items": inbox.listing(db, status=None, session_id=session_id),
            }

    def wait(self, session_id: str, *statuses: str, seconds: float = 60) -> dict[str, Any]:
        until = time.monotonic() + seconds
        while True:
            found = self.session(session_id)
            if found["status"] in statuses:
                return found
            log = (self.folder / "worker.log").read_text() if (self.folder / "worker.log").exists() else ""
            assert time.monotonic() < until, f"{found}\n{log[-4000:]}"
            time.sleep(0.05)

    def wait_for(self, session_id: str, reason: str) -> dict[str, Any]:
        """Wait until a session waits for something, such as `reconciliation`."""
        until = time.monotonic() + 60
        while True:
            found = self.wait(session_id, "waiting")
            if found["reason"] == reason:
                return found
            assert time.monotonic() < until, found
            time.sleep(0.05)

    def finish(self, session_id: str) -> dict[str, Any]:
        """Wait until a session has finished; what became unknown is answered by a look into the till's books."""
        while True:
            found = self.wait(session_id, "finished", "failed", "waiting")
            if found["status"] != "waiting":
                return found
            for item in (i for i in found["items"] if i.kind == "reconciliation" and i.status == "open"):
                (action,) = (a for a in found["actions"] if a["id"] == item.action_id)
                effect = (action["action"].partition(".")[2], action["args"]["who"])
                paid = any((b["tool"], b["who"]) == effect for b in self.books())
                decider, said = Decider("ada"), "happened" if paid else "did-not-happen"
                self.services.sessions.answer(item.id, decider, said, "looked")
            time.sleep(0.05)

    def item(self, session_id: str, kind: str) -> str:
        found = [i.id for i in self.session(session_id)["items"] if i.kind == kind and i.status == "open"]
        assert len(found) == 1, found
        return found[0]

    # -- what really happened

    def books(self) -> list[dict[str, Any]]:
        return _lines(self.folder / ".remit/connections/till/books.jsonl")

    def attempts(self) -> list[Any]:
        return _lines(self.folder / ".remit/connections/till/attempts.jsonl")


SPEED = {"REMIT_CLEARANCE": "1s", "REMIT_LEASE": "10s", "REMIT_HEARTBEAT": "300ms", "REMIT_QUEUE_POLL": "100ms"}


def write_shop(folder: Path, **changed: str) -> None:
    """Write the project's files; `changed` replaces files by name with `__` for `/`."""
    public = generate_key(folder / ".remit" / "deploy.key")
    files = {**FILES, **{name.replace("__", "/"): text for name, text in changed.items()}}
    for path, text in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text.format(key=public).strip() + "\n" if path == "remit.toml" else text.strip() + "\n")
    scope: dict[str, Any] = {"__name__": "till"}
    exec(files["servers/till.py"], scope)
    tools = {}
    for tool in scope["TOOLS"]:
        definition = ToolDefinition(
            name=tool["name"], description=tool["description"], input_schema=tool["inputSchema"]
        )
        tools[tool["name"]] = definition.model_copy(update={"digest": tool_digest(definition)})
    (folder / "tools.lock.json").write_text(render_pins(ToolPins(connections={"till": tools})))


@contextmanager
def open_shop(folder: Path, database_url: str, nursery: Nursery, **changed: str) -> Iterator[Shop]:
    """The company, deployed, on a database of its own."""
    write_shop(folder, **changed)
    os.environ["REMIT_DATABASE_URL"] = database_url
    try:
        with keeping_connections(database_url), open_services(folder, Settings(database_url=database_url)) as services:
            with services.sessions.transaction() as db:
                deploy(db, load_project(folder), folder / ".remit" / "deploy.key", "person:ada")
            shop = Shop(folder, services, nursery)
            try:
                yield shop
            finally:
                shop.end_workers()
    finally:
        del os.environ["REMIT_DATABASE_URL"]


def _lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
