"""Acme's sales agents against its policies, its servers' books, and systems that do not answer.

The programs run in their walled child; what answers them here is a few lines. The whole story is an acceptance test.
"""

import asyncio
import json
import runpy
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from fastmcp.exceptions import ToolError

from remit.config.loader import load_project
from remit.domain import canonical
from remit.governance.policy import PolicyEngine, PolicyQuestion
from remit.runtime.programs import ProgramHost, ProgramSource, Reply, TurnSeed

ACME = Path(__file__).resolve().parents[2] / "examples" / "acme"
NINE = datetime(2026, 11, 20, 8, tzinfo=UTC)
"""Nine in the morning in Berlin."""
USER = {"user_id": "nora.quist", "name": "Nora", "manager": "", "active": True, "time_zone": "Europe/Berlin"}
ACCOUNT = {"account_id": "acc_1", "name": "Kessler GmbH", "domain": "kessler.example", "country": "DE"} | {
    "currency": "EUR",
    "time_zone": "Europe/Berlin",
    "owner": "nora.quist",
    "stage": "customer",
    "last_touch": "2026-10-01",
    "next_step_on": None,
    "open_deals": 0,
    "flags": [],
    "escalated": [],
}
TICKET = {"ticket_id": "SUP-1", "account_id": "acc_1", "subject": "x", "priority": "urgent"} | {
    "opened_on": "2026-11-01",
    "answered_on": None,
}
LARGE = {"account_id": "acc_1", "annual": 3e5, "currency": "EUR", "annual_usd": 330_000, "tier": "A"}
SYSTEMS = {
    "crm.list_accounts": {"user": USER, "accounts": [ACCOUNT]},
    "helpdesk.list_account_tickets": {"tickets": [TICKET]},
    "revenue.list_revenue": {"accounts": [LARGE]},
}


@pytest.fixture(scope="module")
def project():
    return load_project(ACME)


@pytest.fixture(scope="module")
def engine(project):
    agents = {name: version.spec for name, version in project.agents.items()}
    engine = PolicyEngine.load(project.policies, project.actions, project.tool, project.directory, agents)
    assert engine.problems == []
    return engine


def judge(engine, project, agent, action, args, *, person=None):
    spec = project.agents[agent].spec
    question = PolicyQuestion(
        agent=agent,
        person=person,
        assisted=spec.layer == "assisted",
        action=action,
        args=canonical.normalise(args),
        usd_micros=0,
        tokens=0,
        workspace=spec.workspace,
        workflow=spec.workflow,
        trigger="test",
        autonomy="supervised",
        labels=frozenset({"untrusted", "private"}),
        calls=0,
    )
    verdict = engine.judge(question, approved=frozenset())
    return verdict.kind, verdict.reasons[0].code if verdict.reasons else None


@pytest.mark.parametrize("agent", ["daily-priorities", "call-log"])
@pytest.mark.parametrize(
    ("person", "as_user", "kind", "reason"),
    [
        ("nora.quist", "nora.quist", "permit", None),
        ("nora.quist", "jack.doyle", "forbid", "not_their_accounts"),
        ("nora.quist", "NORA.QUIST", "forbid", "not_their_accounts"),
        ("nora.quist", "nora.quist ", "forbid", "not_their_accounts"),
        ("ingrid.solberg", "nora.quist", "forbid", "not_their_accounts"),
    ],
)
def test_a_person_s_accounts_are_read_for_that_person_only(engine, project, agent, person, as_user, kind, reason):
    found = judge(engine, project, agent, "crm.list_accounts", {"as_user": as_user}, person=person)
    assert found == (kind, reason) or (kind == "permit" and found[0] == kind)


def test_for_nobody_no_accounts_are_read(engine, project):
    found = judge(engine, project, "daily-priorities", "crm.list_accounts", {"as_user": "nora.quist"})
    assert found == ("forbid", "not_their_accounts")


def test_who_does_not_sell_logs_nothing_even_through_an_agent(engine, project):
    entry = {"as_user": "leo.brandt", "account_id": "acc_1", "kind": "call", "text": "x", "on_date": "2026-11-20"}
    kind, _ = judge(engine, project, "call-log", "crm.log_activity", entry, person="leo.brandt")
    assert kind == "forbid"
    entry["as_user"] = "nora.quist"
    assert judge(engine, project, "call-log", "crm.log_activity", entry, person="nora.quist")[0] == "permit"


@pytest.mark.parametrize(
    ("agent", "action", "args"),
    [
        ("daily-priorities", "crm.flag_agreement", {"account_id": "a", "call_id": "c", "since": "x", "quote": "q"}),
        ("daily-priorities", "remit.delegate", {"agent": "refund-desk", "input": {}}),
        ("call-log", "crm.open_escalation", {"account_id": "a", "ticket_id": "t"}),
        ("escalation", "helpdesk.reply", {"ticket_id": "CS-1", "text": "x", "status": "solved"}),
    ],
)
def test_each_agent_does_its_own_part_only(engine, project, agent, action, args):
    assert judge(engine, project, agent, action, args, person="nora.quist")[0] == "forbid"


class World:
    """What answers a program: systems that may be away, people who answer, and a list of what was asked."""

    def __init__(self, away=(), answer="try again"):
        self.away, self.answer = list(away), answer
        self.asked, self.calls, self.notes = [], [], []

    async def handle(self, request):
        payload = request.payload
        if request.op == "ask":
            self.asked.append(payload)
            return Reply("ok", self.answer)
        if request.op != "call":
            self.notes.append(payload)
            return Reply("ok")
        self.calls.append(payload["action"])
        if payload["action"] in self.away:
            self.away.remove(payload["action"])
            return Reply("failed", error="the server is gone")
        return Reply("ok", SYSTEMS.get(payload["action"], {}))


def run(project, agent, given, world, person="nora.quist"):
    version = project.agents[agent]
    values = {name: parameter.value for name, parameter in version.parameters.items()}

    async def work():
        host = ProgramHost("auto", 512, 60)
        try:
            source = ProgramSource(agent, version.digest, version.files, values)
            return (await host.run(source, TurnSeed("t", NINE, "s", person), given, [], world.handle)).output
        finally:
            await host.close()

    return asyncio.run(work())


@pytest.mark.parametrize("system", sorted(SYSTEMS))
def test_whichever_system_is_away_the_list_waits_tells_and_comes(project, system):
    world = World(away=[system, system])
    output = run(project, "daily-priorities", {"person": "nora.quist"}, world)
    assert output["priorities"] == ["acc_1"]
    assert [question["more"]["timeout"] for question in world.asked] == [600, 1800], "it tries by itself, ever later"
    assert all(question["more"]["default"] == "try again" for question in world.asked)
    assert system in world.asked[0]["text"]
    assert world.calls.count(system) == 3
    assert world.calls.count("remit.tell") == 1


def test_a_system_that_stays_away_ends_the_list_and_nobody_is_told_half_of_it(project):
    world = World(away=["revenue.list_revenue"] * 9)
    with pytest.raises(Exception, match="the server is gone"):
        run(project, "daily-priorities", {"person": "nora.quist"}, world)
    assert len(world.asked) == 3
    assert "remit.tell" not in world.calls


def test_where_slack_and_the_escalation_are_away_the_list_is_kept_and_the_record_says_so(project):
    world = World(away=["remit.tell", "remit.delegate"])
    output = run(project, "daily-priorities", {"person": "nora.quist"}, world)
    assert output["priorities"] == ["acc_1"]
    assert "remit.publish" in world.calls
    assert [note["name"] for note in world.notes] == ["priorities", "quiet", "not_escalated", "not_told"]


def test_today_is_the_person_s_own_day(project):
    late = {**SYSTEMS["crm.list_accounts"], "user": {**USER, "time_zone": "Asia/Tokyo"}}
    world = World()

    async def handle(request):
        reply = await world.handle(request)
        is_book = request.op == "call" and request.payload["action"] == "crm.list_accounts"
        return Reply("ok", late) if is_book else reply

    version = project.agents["daily-priorities"]
    values = {name: parameter.value for name, parameter in version.parameters.items()}

    async def work():
        host = ProgramHost("auto", 512, 60)
        try:
            source = ProgramSource("daily-priorities", version.digest, version.files, values)
            evening = TurnSeed("t", datetime(2026, 11, 20, 22, tzinfo=UTC), "s", "nora.quist")
            await host.run(source, evening, {"person": "nora.quist"}, [], handle)
        finally:
            await host.close()

    asyncio.run(work())
    (rows,) = [note["rows"] for note in world.notes if note["name"] == "priorities"]
    assert "for 20 days" in rows[0]["reasons"][0]["text"], "in Tokyo it is the 21st"


def test_a_ticket_that_was_answered_meanwhile_does_not_go_up(project):
    world = World()
    SYSTEMS["crm.get_account"] = {**ACCOUNT, "manager": "ingrid.solberg"}
    try:
        output = run(project, "escalation", {"account_id": "acc_1", "ticket_id": "SUP-9"}, world)
    finally:
        del SYSTEMS["crm.get_account"]
    assert output == {"outcome": "answered_meanwhile"}
    assert "crm.open_escalation" not in world.calls


def test_the_crm_shows_each_person_what_is_theirs_and_refuses_the_rest(tmp_path):
    transport = StdioTransport(sys.executable, [str(ACME / "servers" / "crm.py"), "--data", str(tmp_path)], env={})

    async def look():
        async with Client(transport) as crm:

            async def call(tool, **args):
                return (await crm.call_tool(tool, args)).structured_content

            nora = await call("list_accounts", as_user="nora.quist")
            assert {row["owner"] for row in nora["accounts"]} == {"nora.quist"}
            lead = await call("list_accounts", as_user="ingrid.solberg")
            assert {"", "viktor.lang", "import-2019", "hana.sato"} < {row["owner"] for row in lead["accounts"]}
            with pytest.raises(ToolError, match="nobody who works"):
                await call("list_accounts", as_user="viktor.lang")
            entry = {"account_id": "acc_1005", "kind": "call", "text": "x", "on_date": "2026-11-20"}
            with pytest.raises(ToolError, match="has no account"):
                await call("log_activity", as_user="nora.quist", **entry)
            first = await call("log_activity", as_user="jack.doyle", **entry, idempotency_key="k")
            assert first == await call("log_activity", as_user="jack.doyle", **entry, idempotency_key="k")
            assert (await call("find_activity", idempotency_key="k"))["activity"] == first
            assert (await call("open_escalation", account_id="acc_1010", ticket_id="T"))["first"]
            again = await call("open_escalation", account_id="acc_1010", ticket_id="T")
            assert (again["first"], again["manager"]) == (False, "ingrid.solberg"), "the owner has left"

    asyncio.run(look())


def test_the_world_is_the_same_at_every_start_and_counts_back_from_the_day():
    sys.path.insert(0, str(ACME / "servers"))
    try:
        world = runpy.run_path(str(ACME / "servers" / "sales_world.py"))["world"]
    finally:
        sys.path.remove(str(ACME / "servers"))
    first = json.dumps(world(date(2026, 11, 20)))
    world.cache_clear()
    assert json.dumps(world(date(2026, 11, 20))) == first
    one, two = world(date(2026, 11, 20))["accounts"], world(date(2027, 3, 1))["accounts"]
    assert one == two
    assert len(one) >= 300
    opened = [world(day)["tickets"][0]["opened_on"] for day in (date(2026, 11, 20), date(2026, 11, 21))]
    assert opened == ["2026-11-08", "2026-11-09"]
