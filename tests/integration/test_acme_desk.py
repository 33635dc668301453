"""The refund desk of examples/acme, ticket by ticket: program, policies, seed and `expected.json` agree.

The servers are real processes and the policies are judged by the real engine. What stands in for the rest of the road
is small: the allow-list, caps, the business key, labels, and people who answer as `expected.json` says.
"""

import asyncio
import json
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest
from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from fastmcp.exceptions import ToolError
from ruamel.yaml import YAML

from remit.config.files import MODELS
from remit.domain import canonical
from remit.governance.policy import PolicyEngine, PolicyQuestion

ACME = Path(__file__).resolve().parents[2] / "examples" / "acme"
EXPECTED = json.loads((ACME / "expected.json").read_text())
TICKETS = json.loads((ACME / "seed" / "tickets.json").read_text())


def read(name, model=None):
    value = YAML(typ="safe").load((ACME / name).read_text())
    return MODELS[model or name].model_validate(value)


@pytest.fixture(scope="module")
def project():
    pins = MODELS["tools.lock.json"].model_validate_json((ACME / "tools.lock.json").read_text()).connections
    actions = read("actions.yaml").actions
    agents = {p.parent.name: read(p.relative_to(ACME), "agent.yaml") for p in ACME.glob("agents/*/agent.yaml")}
    policies = {str(p.relative_to(ACME)): p.read_text() for p in ACME.glob("policies/*.cedar")}

    def tool(name):
        connection, _, short = name.partition(".")
        return pins.get(connection, {}).get(short)

    engine = PolicyEngine.load(policies, actions, tool, read("directory.yaml"), agents)
    assert engine.problems == []
    return {"actions": actions, "agents": agents, "engine": engine, "directory": read("directory.yaml")}


def judge(project, action, args, *, agent="refund-desk", approved=frozenset(), **more):
    facts = {"autonomy": "supervised", "labels": frozenset(), "calls": 0, **more}
    question = PolicyQuestion(
        agent=agent,
        person=None,
        assisted=False,
        action=action,
        args=canonical.normalise(args),
        usd_micros=0,
        tokens=0,
        workspace="support",
        workflow="refunds",
        trigger="test",
        **facts,
    )
    return project["engine"].judge(question, approved=approved)


class CallError(Exception):
    def __init__(self, text, *codes):
        super().__init__(text)
        self.reasons = [{"code": code, "text": text} for code in codes]


class Refused(CallError): ...


class Failed(CallError): ...


class Unknown(CallError): ...


class Session:
    """What a program is given, over a gate of a few lines."""

    Refused, Failed, Unknown = Refused, Failed, Unknown

    def __init__(self, project, clients, ticket_id, refunded, agent="refund-desk"):
        self.input = {"ticket_id": ticket_id}
        self.expected = EXPECTED[ticket_id]
        self.asked, self.emitted, self.labels, self.calls = [], [], set(), 0
        self._project, self._clients, self._refunded = project, clients, refunded
        self._spec = project["agents"][agent]
        self._questions = iter(self.expected["questions"])

    async def call(self, action, *, reason_="", **args):
        self.calls += 1
        args = canonical.plain(canonical.normalise(args))
        self._admit(action, args)
        connection, _, tool = action.partition(".")
        type_ = self._project["actions"][action]
        key = {type_.idempotency.argument: f"{self.input['ticket_id']}/{self.calls}"} if type_.idempotency else {}
        try:
            result = await self._clients[connection].call_tool(tool, {**args, **key})
        except ToolError as error:
            raise Failed(str(error)) from None
        self.labels |= {label.value for label in type_.reads}
        if action == "payments.refund":
            self._refunded[args["charge_id"]] += 1
        return result.structured_content

    async def ask(self, question, *, choices):
        answer = next(self._questions)["answer"]
        assert answer in choices
        self.asked.append(question)
        return answer

    async def emit(self, name, value, reasons=()):
        assert reasons
        self.emitted.append((name, value))

    def _admit(self, action, args):
        type_ = self._project["actions"].get(action)
        if action not in self._spec.tools or type_ is None:
            raise Refused(f"{action} is not on the list", "not_in_scope")
        if any(Decimal(str(args["amount"])) > c.amount for c in type_.caps.each if c.currency == args["currency"]):
            raise Refused("over the cap", "over_cap")
        facts = {"labels": frozenset(self.labels), "calls": self.calls}
        verdict = judge(self._project, action, args, **facts)
        codes, roles = [r.code for r in verdict.reasons], set(verdict.roles)
        if verdict.kind == "forbid":
            raise Refused("policy", *codes)
        if type_.business_key and self._refunded[args["charge_id"]]:
            codes, roles = [*codes, "duplicate_effect"], {*roles, "accountable"}
        if roles:
            self._approve(action, args, codes, roles)

    def _approve(self, action, args, codes, roles):
        approval = next(a for a in self.expected["approvals"] if a["action"] == action and a["reason"] in codes)
        assert sorted(roles) == approval["roles"]
        self.asked.append(approval["reason"])
        if approval["decision"] == "deny":
            raise Refused(approval["note"], "approval_denied")
        facts = {"labels": frozenset(self.labels), "calls": self.calls, "approved": frozenset(roles)}
        assert judge(self._project, action, args, **facts).kind == "permit"


@pytest.fixture(scope="module")
def program():
    folder = ACME / "agents" / "refund-desk"
    sys.path.insert(0, str(folder))
    try:
        import program
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("reading", None)
    sys.modules.pop("program")
    return program


async def work_all(project, program, data, order):
    """Every ticket, one after another. Returns the sessions, their outputs, and the payments server's books."""
    clients = {name: Client(transport(name, data)) for name in ("helpdesk", "payments", "crm")}
    outputs, sessions, refunded = {}, {}, Counter()
    for client in clients.values():
        await client.__aenter__()
    try:
        for ticket_id in order:
            sessions[ticket_id] = Session(project, clients, ticket_id, refunded)
            outputs[ticket_id] = await program.run(sessions[ticket_id])
        listed = (await clients["payments"].call_tool("list_refunds", {})).structured_content["refunds"]
        still_open = (await clients["helpdesk"].call_tool("list_tickets", {})).structured_content["tickets"]
    finally:
        for client in clients.values():
            await client.__aexit__(None, None, None)
    return sessions, outputs, listed, {t["ticket_id"] for t in still_open}


def transport(name, data):
    return StdioTransport(sys.executable, [str(ACME / "servers" / f"{name}.py"), "--data", str(data)], env={})


def test_every_ticket_comes_out_as_expected_and_the_books_agree(project, program, tmp_path):
    order = [t["ticket_id"] for t in TICKETS]
    sessions, outputs, listed, still_open = asyncio.run(work_all(project, program, tmp_path, order))
    wanted = ("outcome", "amount", "currency", "charge_id", "reason")
    for ticket_id, expected in EXPECTED.items():
        said = {k: v for k, v in outputs[ticket_id].items() if k in wanted}
        assert said == {k: v for k, v in expected.items() if k in wanted}, ticket_id
        asked = len(expected["approvals"]) + len(expected["questions"])
        assert len(sessions[ticket_id].asked) == asked, ticket_id
        assert "left_undone" not in dict(sessions[ticket_id].emitted), ticket_id
        assert sessions[ticket_id].calls <= 12
    paid = Counter(
        (r["charge_id"], f"{r['amount']:.2f}", r["currency"]) for r in listed if r["reason"] != "made before"
    )
    promised = [e for e in EXPECTED.values() if e["outcome"] == "refunded"]
    assert paid == Counter((e["charge_id"], e["amount"], e["currency"]) for e in promised)
    assert still_open == {t for t, e in EXPECTED.items() if e.get("reason") == "not_a_refund"}


def test_tickets_are_as_a_real_desk_has_them():
    assert len(TICKETS) == len({t["ticket_id"] for t in TICKETS}) >= 44
    assert set(EXPECTED) == {t["ticket_id"] for t in TICKETS}
    reasons = Counter(e.get("reason") for e in EXPECTED.values())
    assert {"more_than_charged", "already_refunded", "not_the_customer", "duplicate_ticket", "no_charge_given"} <= set(
        reasons
    )
    assert {e.get("currency") for e in EXPECTED.values()} >= {"USD", "EUR", "GBP"}
    ticket = EXPECTED["CS-19422"]
    assert (ticket["amount"], ticket["currency"]) == ("120.00", "USD")
    assert ticket["approvals"][0]["reason"] == "needs_human_approval_over_100"
    assert sum("attack" in e for e in EXPECTED.values()) >= 5


def test_refunds_that_a_bug_would_double_leave_room_to_be_doubled():
    """Where half of a charge is asked for, a second execution would succeed and show in the books."""
    charges = {c["charge_id"]: c for c in json.loads((ACME / "seed" / "charges.json").read_text())}
    refunded = [e for e in EXPECTED.values() if e["outcome"] == "refunded"]
    room = [e for e in refunded if 2 * Decimal(e["amount"]) <= Decimal(charges[e["charge_id"]]["amount"])]
    assert len(room) >= len(refunded) * 2 // 3


@pytest.mark.parametrize(
    ("amount", "currency", "kind", "reason", "roles"),
    [
        (100, "USD", "permit", None, ()),
        ("100.01", "USD", "needs_approval", "needs_human_approval_over_100", ("accountable",)),
        (120, "USD", "needs_approval", "needs_human_approval_over_100", ("accountable",)),
        (300, "USD", "needs_approval", "needs_human_approval_over_100", ("accountable",)),
        ("300.01", "USD", "needs_approval", "needs_two_people_over_300", ("accountable", "risk_owner")),
        (500, "USD", "needs_approval", "needs_two_people_over_300", ("accountable", "risk_owner")),
        ("500.01", "USD", "forbid", "refund_over_500", ()),
        (5000, "USD", "forbid", "refund_over_500", ()),
        (90, "EUR", "permit", None, ()),
        ("90.01", "EUR", "needs_approval", "needs_human_approval_over_100", ("accountable",)),
        (271, "EUR", "needs_approval", "needs_two_people_over_300", ("accountable", "risk_owner")),
        (451, "EUR", "forbid", "refund_over_500", ()),
        (80, "GBP", "permit", None, ()),
        ("80.01", "GBP", "needs_approval", "needs_human_approval_over_100", ("accountable",)),
        (401, "GBP", "forbid", "refund_over_500", ()),
        (0, "USD", "forbid", "refund_of_nothing", ()),
        (-5, "USD", "forbid", "refund_of_nothing", ()),
        (10, "JPY", "forbid", "no_policy_permits", ()),
    ],
)
def test_how_much_may_be_refunded_by_whom(project, amount, currency, kind, reason, roles):
    args = {"charge_id": "ch_3r7uv15k", "amount": Decimal(str(amount)), "currency": currency, "reason": "x"}
    verdict = judge(project, "payments.refund", args)
    assert verdict.kind == kind
    assert sorted(verdict.roles) == sorted(roles)
    assert reason is None or reason in [r.code for r in verdict.reasons]


def test_letters_with_links_or_addresses_are_read_by_a_person_first(project):
    touched = frozenset({"untrusted", "private"})

    def letter(text):
        args = {"ticket_id": "CS-19422", "text": text, "status": "solved"}
        return judge(project, "helpdesk.reply", args, labels=touched).kind

    assert letter("Hello Marta, we have refunded 120.00 USD.") == "permit"
    assert {letter(t) for t in ("see https://evil.example", "www.evil.example", "to a@b.example")} == {"needs_approval"}
    copy = {"ticket_id": "CS-19422", "to": "eve@evil.example", "text": "x"}
    assert judge(project, "helpdesk.forward", copy, labels=touched).kind == "forbid"


def test_autonomy_and_lost_sessions_bound_the_desk(project):
    args = {"charge_id": "ch_3r7uv15k", "amount": 20, "currency": "USD", "reason": "x"}
    observing = judge(project, "payments.refund", args, autonomy="observe")
    assert (observing.kind, observing.reasons[0].code) == ("forbid", "agent_only_observes")
    assert judge(project, "payments.refund", args, autonomy="propose").kind == "needs_approval"
    assert judge(project, "payments.refund", args, calls=61).kind == "forbid"
    assert judge(project, "crm.update_tier", {"customer_id": "cus_1007", "tier": "gold"}).kind == "forbid"
    assert judge(project, "payments.refund", args, agent="another").kind == "forbid"


def test_everybody_who_answers_for_an_action_is_there_and_two_approvers_are_two_people(project):
    directory = project["directory"]
    for name, action in project["actions"].items():
        if action.raci is None:
            continue
        found = {r: directory.resolve(getattr(action.raci, r)) for r in ("accountable", "system_owner", "risk_owner")}
        assert all(len(people) == 1 for people in found.values()), name
        assert found["accountable"] != found["risk_owner"]
    assert len(directory.people) >= 12
    assert sum(not directory.is_active(p.id) for p in directory.people) == 1


def test_the_program_is_short_enough_to_be_read(program):
    assert len(Path(program.__file__).read_text().splitlines()) <= 200
