"""One process with everything between an agent and a tool, on a real PostgreSQL; only the tool itself is a fake.

`World` holds a real ledger, gate and road. Its snapshots are changed by `change`, as a deployment changes them.
The fake connections keep a book of what was really done and honour idempotency keys where the type declares one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, TypeVar

import psycopg
from psycopg.rows import dict_row

from remit.config.loader import parse_project
from remit.domain import canonical, ids
from remit.domain.connections import ToolDefinition, ToolPins
from remit.domain.decisions import Actor, Clearance, Outcome
from remit.domain.inbox import InboxItem
from remit.domain.project import Project
from remit.governance.desk import Decider, Desk
from remit.governance.gate import Gate
from remit.governance.judgement import Run
from remit.governance.policy import PolicyEngine
from remit.governance.state import Governance
from remit.runtime.attempts import Attempts
from remit.runtime.connections import ToolAnswer, render_pins, tool_digest
from remit.runtime.loops import LoopGuard
from remit.runtime.road import Performed, TurnSuspendedError
from remit.runtime.turn_road import TurnRoad, counts
from remit.storage import bundles, inbox, sessions, stops
from remit.storage.ledger import Ledger

T = TypeVar("T")
TEXT, NUMBER = {"type": "string"}, {"type": "number"}


def _tool(name: str, required: dict[str, Any], optional: dict[str, Any] | None = None) -> ToolDefinition:
    schema = {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required)}
    definition = ToolDefinition(name=name, description=name, input_schema=schema)
    return definition.model_copy(update={"digest": tool_digest(definition)})


TOOLS = [
    _tool("pay", {"who": TEXT, "amount": NUMBER, "currency": TEXT, "key": TEXT}, {"memo": {}}),
    _tool("unpay", {"who": TEXT, "key": TEXT}),
    _tool("hand_out", {"who": TEXT}),
    _tool("wire", {"who": TEXT, "ref": TEXT}),
    _tool("find", {"ref": TEXT}),
    _tool("once", {"invoice": TEXT, "amount": NUMBER, "key": TEXT}),
    _tool("lend", {"who": TEXT}, {"amount": NUMBER}),
    _tool("lease", {"who": TEXT}, {"amount": NUMBER}),
    _tool("peek", {}),
    _tool("file", {}),
    _tool("mail", {"to": TEXT}),
    _tool("often", {}),
    _tool("seldom", {}),
    _tool("narrow", {}),
    _tool("costly", {}),
]

FILES = {
    "remit.toml": """
[project]
name = "world"
[models."script:priced"]
script = "model.py"
price = {input = 1, output = 2}
[models."script:free"]
script = "model.py"
""",
    "model.py": "def respond(messages, tools):\n    return {'text': 'done'}\n",
    "directory.yaml": """
people:
  - {id: ada, name: Ada, roles: [risk], workspaces: [shop]}
  - {id: eve, name: Eve, roles: [risk], manager: ada, workspaces: [shop]}
  - {id: bo, name: Bo, manager: cleo, workspaces: [shop]}
  - {id: cleo, name: Cleo, manager: ada, workspaces: [shop]}
  - {id: dov, name: Dov, workspaces: [shop]}
roles: [{id: risk, title: Risk}]
workspaces: [{id: shop, title: Shop}]
""",
    "connections.yaml": """
connections:
  till: {transport: stdio, command: [python, till.py], trusted: true}
""",
    "actions.yaml": """
actions:
  till.pay:
    title: Pay
    effect: write
    raci: &raci {accountable: bo, system_owner: ada, risk_owner: "role:risk", informed: [dov], consulted: [eve]}
    resource: "Payee::{who}"
    require: [who, amount, currency]
    money: {amount: amount, currency: currency}
    caps: {each: [{amount: 500, currency: USD}], per_day: [{amount: 1000, currency: USD}]}
    idempotency: {argument: key, window: 24h}
    undo: {tool: till.unpay, arguments: {who: $args.who}}
    reversible: true
  till.unpay: {title: Take back, effect: write, raci: *raci, idempotency: {argument: key}}
  till.hand_out: {title: Hand out cash, effect: write, raci: *raci, resource: "Payee::{who}"}
  till.wire:
    title: Wire money
    effect: write
    raci: *raci
    idempotency: {argument: ref, window: 1ms}
    lookup: {tool: till.find, arguments: {ref: $action.id}, found: entry, authoritative: true}
  till.find: {title: Find a wire, effect: read}
  till.once:
    title: Settle an invoice
    effect: write
    raci: *raci
    idempotency: {argument: key}
    business_key: [invoice]
  till.lend: {title: Lend, effect: write, raci: *raci, require: [who, amount]}
  till.lease: {title: Lease, effect: write, raci: *raci, defaults: {amount: 1000000}}
  till.peek: {title: Look, effect: read}
  till.file: {title: Read a file, effect: read, reads: [private]}
  till.mail: {title: Send mail, effect: write, raci: *raci, sends: [external]}
  till.often: {title: Often, effect: read, rate: {per_second: 5, burst: 1}}
  till.seldom: {title: Seldom, effect: read, rate: {per_second: 0.1, burst: 1}}
  till.narrow: {title: Narrow, effect: read, concurrency: 2}
  till.costly: {title: Costly, effect: read, cost_usd: 1}
""",
    "policies/world.cedar": """
@id("reads")
permit (principal, action in Action::"read", resource);

@id("writes")
permit (principal == Agent::"clerk", action in Action::"write", resource);

@id("models")
permit (principal, action == Action::"model.request", resource);

@id("over_100")
@reason("needs_human_approval_over_100")
@approval("accountable")
forbid (principal, action == Action::"till.pay", resource)
when { context.args.amount.greaterThan(decimal("100.0000")) }
unless { context.approved_by.contains("accountable") };

@id("over_300")
@reason("needs_risk_over_300")
@approval("risk")
forbid (principal, action == Action::"till.pay", resource)
when { context.args.amount.greaterThan(decimal("300.0000")) }
unless { context.approved_by.contains("risk") };

@id("never_mallory")
@reason("blocked_payee")
forbid (principal, action == Action::"till.pay", resource == Payee::"mallory");

@id("big_loans")
@reason("loan_over_10")
forbid (principal, action in [Action::"till.lend", Action::"till.lease"], resource)
when { context.args.amount.greaterThan(decimal("10.0000")) };

@id("no_private_out")
@reason("private_stays_inside")
forbid (principal, action == Action::"till.mail", resource)
when { context.labels.contains("private") };
""",
    "agents/clerk/agent.yaml": """
title: Clerk
purpose: Does what it is told.
owner: bo
escalation: ada
workspace: shop
persistent: It is asked at any time.
tools: [till.pay, till.unpay, till.hand_out, till.wire, till.find, till.once, till.lend, till.lease, till.peek,
        till.file, till.mail, till.often, till.seldom, till.narrow, till.costly]
model: "script:priced"
concurrency: null
""",
    "agents/clerk/program.py": "async def run(session):\n    return None\n",
    "till.py": "# never started: the tests hold its books\n",
    "tools.lock.json": render_pins(ToolPins(connections={"till": {t.name: t for t in TOOLS}})),
}


def project(**changed: str) -> Project:
    """The world's project; `changed` replaces files by name, with `__` for `/` and `_DOT_` for a dot."""
    names = {name.replace("__", "/").replace("_DOT_", "."): text for name, text in changed.items()}
    return parse_project({path: text.strip().encode() + b"\n" for path, text in {**FILES, **names}.items()})


class Snapshots:
    """Governance as this process has it. `put` deploys: the process holds the old snapshot until the gate is told."""

    def __init__(self, url: str, first: Project) -> None:
        self._url = url
        self._newest = self._current = self._made(first, frozenset())

    def put(self, new: Project | None = None, *, suspended: frozenset[str] = frozenset()) -> Governance:
        """Put a project in force."""
        self._newest = self._made(new or self._newest.project, suspended)
        return self._newest

    def current(self) -> Governance:
        """What this process believes to be in force."""
        return self._current

    async def refresh(self) -> Governance:
        """What is in force."""
        self._current = self._newest
        return self._current

    def _made(self, new: Project, suspended: frozenset[str]) -> Governance:
        digest = canonical.digest([ids.new_id("x")])
        with psycopg.connect(self._url, row_factory=dict_row) as db:
            version = bundles.store(
                db,
                digest=digest,
                files={},
                key_id="test",
                signature=b"",
                by="test",
                agents={name: agent.digest for name, agent in new.agents.items()},
            )
        specs = {name: agent.spec for name, agent in new.agents.items()}
        engine = PolicyEngine.load(new.policies, new.actions, new.tool, new.directory, specs)
        return Governance(version, digest, new, engine, suspended)


@dataclass
class Till:
    """The fake connection: what it was sent, what it did, and what it is told to do instead."""

    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    books: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    before: Callable[[str, dict[str, Any]], Awaitable[ToolAnswer | None]] | None = None
    """Called with tool and arguments before anything is done; an answer is given instead of doing it."""
    after: Callable[[str, dict[str, Any]], Awaitable[ToolAnswer | None]] | None = None

    async def get_ready(self, *_: Any) -> None: ...

    async def call(self, connection: str, tool: str, arguments: dict[str, Any], **_: Any) -> ToolAnswer:
        """What `Connections.call` does."""
        self.sent.append((tool, arguments))
        if self.before is not None and (said := await self.before(tool, arguments)) is not None:
            return said
        done = ToolAnswer("succeeded", result=canonical.normalise(self._do(tool, arguments)))
        return (self.after and await self.after(tool, arguments)) or done

    def _do(self, tool: str, arguments: dict[str, Any]) -> Any:
        if tool == "find":
            return {"entry": next((e for e in self.done("wire") if e["ref"] == arguments["ref"]), None)}
        done = self.books.setdefault(tool, [])
        if "key" in arguments and any(e["key"] == arguments["key"] for e in done):
            return {"again": True}
        done.append(arguments)
        return {"done": tool}

    def done(self, tool: str) -> list[dict[str, Any]]:
        """What was done by a tool."""
        return self.books.get(tool, [])


class World:
    """A process that acts."""

    def __init__(
        self,
        url: str,
        *,
        clearance: timedelta = timedelta(seconds=5),
        snapshots: Snapshots | None = None,
        **changed: str,
    ) -> None:
        self.url = url
        self.runner = asyncio.Runner()
        self.snapshots = snapshots or Snapshots(url, project(**changed))
        self.executor = ids.new_id("exe")
        self.ledger = Ledger(url, self.executor)
        self.changed_tools: set[str] = set()
        self.gate = Gate(
            self.ledger, self.snapshots, clearance=clearance, tool_changed=lambda name: name in self.changed_tools
        )
        self.till = Till()
        self.attempts = Attempts(self.gate, self.snapshots, lambda: self.till, self._show)  # type: ignore[arg-type]
        self.db: psycopg.Connection[dict[str, Any]] = psycopg.connect(url, row_factory=dict_row, autocommit=True)
        self.resumed: list[str] = []

    def close(self) -> None:
        """Let go of everything."""
        self.do(self.ledger.close())
        self.runner.close()
        self.db.close()

    def do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run something on this process's event loop."""
        return self.runner.run(coroutine)

    # -- runs ------------------------------------------------------------------------------------------------------

    def run(
        self,
        agent: str = "clerk",
        *,
        principal: str = "person:dov",
        on_behalf_of: str | None = None,
        assisted: bool = False,
        trigger: str = "test",
        session_of: Run | None = None,
    ) -> Run:
        """A session with a turn, or another turn of a session, owned by this process."""
        version = self.snapshots.current().project.agents[agent]
        if session_of is not None:
            turn_id, _ = sessions.add_turn(self.db, session_of.session_id, principal, agent, version.digest, {})
            return replace(self.again(session_of), turn_id=turn_id)
        new = sessions.NewSession(
            agent=agent,
            agent_version=version.digest,
            workspace=version.spec.workspace,
            workflow=None,
            principal=principal,
            on_behalf_of=on_behalf_of,
            trigger=trigger,
            request_id=None,
            title="",
            simulated=False,
            assisted=assisted,
            input={},
        )
        session_id, turn_id = sessions.create(self.db, new)
        self._own(session_id)
        actor = Actor(agent, version.digest, on_behalf_of, assisted)
        return Run(session_id, turn_id, 1, actor, version.spec.workspace, None, trigger, principal, frozenset())

    def again(self, run: Run) -> Run:
        """The next run of the same turn, as a worker takes it up after a wait or a crash."""
        row = self._own(run.session_id)
        return replace(run, epoch=row["epoch"], labels=frozenset(row["labels"]))

    def _own(self, session_id: str) -> dict[str, Any]:
        row = self.db.execute(
            "update remit.sessions set epoch = epoch + 1, executor = %s where id = %s returning epoch, labels",
            (self.executor, session_id),
        ).fetchone()
        assert row is not None
        return row

    async def road(self, run: Run, *, allowance: int = 0) -> TurnRoad:
        """The road of a run, with everything that the ledger holds of its turn."""
        rows = await self.ledger.turn(run.turn_id)
        spec = self.snapshots.current().project.agents[run.actor.agent].spec
        said = inbox.approvals(self.db, run.turn_id)
        guard = LoopGuard(spec, counts(rows), allowance)
        return TurnRoad(self.gate, self.snapshots, self.attempts, run, rows, said, guard)

    def call(
        self, run: Run, action: str, args: dict[str, Any] | None = None, *, key: str = "1", **more: Any
    ) -> Performed:
        """Make one call on a fresh road of this run."""

        async def made() -> Performed:
            return await (await self.road(run)).tool(key, action, args or {}, **more)

        return self.do(made())

    def waits(self, run: Run, action: str, args: dict[str, Any] | None = None, **more: Any) -> TurnSuspendedError:
        """Make a call that must suspend the turn; what suspended it."""
        try:
            done = self.call(run, action, args, **more)
        except TurnSuspendedError as wait:
            return wait
        raise AssertionError(f"it did not wait: {done}")

    def refused(self, run: Run, action: str, args: dict[str, Any] | None = None, **more: Any) -> list[str]:
        """Make a call that must be refused without anything being sent; the reasons' codes."""
        before = len(self.till.sent)
        done = self.call(run, action, args, **more)
        assert done.status == "refused", done
        assert len(self.till.sent) == before
        return [r.code for r in done.reasons]

    # -- people ----------------------------------------------------------------------------------------------------

    def desk(self) -> Desk:
        """The desk on what is in force."""
        return Desk(self.do(self.snapshots.refresh()), lambda _db, turn: self.resumed.append(turn))

    def decide(self, item: InboxItem | str, person: str, verb: str = "approve", **more: Any) -> InboxItem:
        """Approve or deny, in a transaction of its own."""
        item_id = item if isinstance(item, str) else item.id
        with self.db.transaction():
            return getattr(self.desk(), verb)(self.db, item_id, Decider(person), more.pop("reason", "said so"), **more)

    def answer(self, item: InboxItem, person: str, value: Any) -> InboxItem:
        """Answer an item that is no approval."""
        with self.db.transaction():
            return self.desk().answer(self.db, item.id, Decider(person), value, "looked")

    def items(self, run: Run, *, kind: str | None = None, status: str | None = "open") -> list[InboxItem]:
        """Inbox items of the run's session."""
        return inbox.listing(self.db, status=status, session_id=run.session_id, kind=kind)

    def item(self, run: Run, kind: str = "approval") -> InboxItem:
        """The one open item."""
        (item,) = self.items(run, kind=kind)
        return item

    def tick(self, *, after: timedelta = timedelta(0)) -> int:
        """Let time pass for all open items, and do what is due."""
        self.db.execute(
            "update remit.inbox_items set escalate_at = escalate_at - %(t)s, expires_at = expires_at - %(t)s "
            "where status = 'open'",
            {"t": after},
        )
        with self.db.transaction():
            row = self.db.execute("select clock_timestamp() as now").fetchone()
            assert row is not None
            return self.desk().tick(self.db, row["now"])

    # -- what stands in the database -------------------------------------------------------------------------------

    def rows(self, sql: str, *params: Any) -> list[dict[str, Any]]:
        """Rows of a query."""
        return self.db.execute(sql, params).fetchall()

    def action(self, run: Run, key: str = "1") -> dict[str, Any]:
        """The ledger's row at a place of the turn."""
        (row,) = self.rows("select * from remit.actions where turn_id = %s and key = %s", run.turn_id, key)
        return row

    def tags(self, run: Run) -> list[str]:
        """Audit records of the run's actions, in order."""
        return [
            r["tag"]
            for r in self.rows(
                "select tag from remit.records where session_id = %s and action_id is not null order by id",
                run.session_id,
            )
        ]

    def stop(self, scope: Any = "all", target: str = "") -> None:
        """Set a stop."""
        with self.db.transaction():
            stops.put(self.db, scope, target, "test", "ada")

    def release(self, scope: Any = "all", target: str = "") -> None:
        """Release it."""
        with self.db.transaction():
            stops.release(self.db, scope, target, "ada", "test")

    def expire_clearances(self, run: Run) -> None:
        """Let the time of every clearance of a session run out."""
        self.db.execute(
            "update remit.actions set expires_at = clock_timestamp() - interval '1 second' where session_id = %s",
            (run.session_id,),
        )

    def budgets(self) -> dict[str, dict[str, Any]]:
        """All budgets by id."""
        return {r["id"]: r for r in self.rows("select * from remit.budgets")}

    def _show(self, item_id: str, detail: dict[str, Any]) -> None:
        inbox.amend(self.db, item_id, detail)


class Died(BaseException):
    """Raised by a fake to end a run where a process would have died."""


def dies(at: Sequence[str]) -> Callable[[str, dict[str, Any]], Awaitable[None]]:
    """A hook for the till that ends the run once at the first call of any of these tools."""
    left = list(at)

    async def hook(tool: str, _: dict[str, Any]) -> None:
        if tool in left:
            left.remove(tool)
            raise Died(tool)

    return hook


def outcome(result: Any = None, **more: Any) -> Callable[[Clearance], Awaitable[Outcome]]:
    """An execution that ends in a given way."""

    async def execute(_: Clearance) -> Outcome:
        return Outcome(more.pop("status", "succeeded"), result, **more)

    return execute
