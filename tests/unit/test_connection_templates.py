"""Templates of connections: every one fits a project, its fake does what it says, and every undo is carried out."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from remit.config import adding
from remit.config.check import check_project
from remit.config.connection_templates import KEY_ARGUMENT, names, template
from remit.config.init import init_project
from remit.domain import canonical
from remit.domain.connections import ToolPins
from remit.domain.templates import filled
from remit.errors import Conflict, NotFound
from remit.fakes.__main__ import serve
from remit.fakes.store import Refused, Store
from remit.governance.policy_report import policy_report
from remit.governance.signing import generate_key
from remit.runtime.connections.pins import from_wire, render_pins
from remit.runtime.connections.scrub import Scrubber

SAMPLES = {"text": "something", "whole": 5, "number": 2.5, "yes_no": True, "texts": ["a", "b"]}
EVERY_WRITE = [(n, tool) for n in names() for tool, spec in template(n).tools.items() if spec.writes]


def test_there_is_one_for_each_system_that_people_name():
    assert set(names()) == {
        *("salesforce", "hubspot", "sharepoint", "zendesk", "stripe", "jira"),
        *("slack", "airtable", "intercom", "metabase", "servicenow", "github"),
    }
    with pytest.raises(NotFound, match="no connection template"):
        template("fax")


def test_all_of_them_together_fit_a_new_project(tmp_path):
    folder = tmp_path / "p"
    init_project(folder, make_key=generate_key, person="dana")
    from remit.config.loader import load_project

    project = load_project(folder)
    people = adding.people_for(project.directory)
    files = {name: (folder / name).read_text() for name in ("connections.yaml", "actions.yaml")}
    before = dict(files)
    pins = dict(project.pins.connections)
    for name in names():
        files |= adding.with_connection(files, name, template(name), name, people)
        tools = [from_wire(raw, Scrubber()) for raw in template(name).definitions]
        pins[name] = {t.name: t for t in tools if t is not None}
    for name, text in files.items():
        (folder / name).write_text(text)
        assert [line for line in before[name].splitlines() if line.strip() and line not in text.splitlines()] == []
    (folder / "tools.lock.json").write_text(render_pins(ToolPins(connections=pins)))
    report = check_project(folder, policy_check=policy_report)
    assert report.problems == ()
    assert report.passed
    assert report.project is not None
    assert report.project.actions["stripe.create_refund"].caps.each[0].amount == 500
    assert "# money that has left cannot be called back" in files["actions.yaml"]
    assert "url: https://mcp.stripe.com" in files["connections.yaml"]
    with pytest.raises(Conflict, match="a connection stripe already"):
        adding.with_connection(files, "stripe", template("stripe"), "stripe", people)


def sample(kind: str):
    return kind.rsplit("|", maxsplit=1)[-1] if "|" in kind else SAMPLES[kind]


def books(store: Store, name: str) -> dict:
    with store._work() as db:
        return {c: store._all(db, c) for c in template(name).collections}


def arguments(store: Store, name: str, tool: str) -> dict:
    """Arguments that the tool takes, about records that are there; one is made where there is none yet."""
    found = template(name)
    spec = found.tools[tool]
    made = {argument: sample(kind) for argument, kind in spec.arguments.items()}
    places = {**spec.refers, **({spec.by: spec.collection} if spec.by else {})}
    for argument, collection in places.items():
        if argument not in made:
            continue
        there = books(store, name)[collection]
        if not there:
            maker = next(t for t, s in found.tools.items() if s.do == f"create {collection}")
            store.call(maker, arguments(store, name, maker))
            there = books(store, name)[collection]
        made[argument] = there[0]["id"]
    if spec.fields:
        made["fields"] = {field: sample(kind) for field, kind in spec.fields.items()}
    return made


@pytest.mark.parametrize(("name", "tool"), EVERY_WRITE, ids=[f"{n}.{t}" for n, t in EVERY_WRITE])
def test_what_a_write_does_its_undo_takes_back(name: str, tool: str, tmp_path: Path):
    store, spec = Store(template(name), tmp_path / "fake.sqlite"), template(name).tools[tool]
    given = arguments(store, name, tool)
    before = books(store, name)
    answer = store.call(tool, {**given, KEY_ARGUMENT: "k1"})
    after = books(store, name)
    assert after != before, "it writes"
    assert store.call(tool, {**given, KEY_ARGUMENT: "k1"}) == answer
    assert books(store, name) == after, "the same key does it once"
    if spec.undo is None:
        assert spec.irreversible
        return
    values = {"args": canonical.normalise(given), "result": canonical.normalise(answer)}
    undo = canonical.plain(filled(dict(spec.undo.arguments), values))
    store.call(spec.undo.tool, undo)
    left = books(store, name)
    if tool == "create_deployment":  # a deployment is ended, not forgotten
        assert left["deployments"][-1]["state"] == "inactive"
    else:
        assert left == before


def test_a_fake_refuses_what_does_not_fit(tmp_path):
    store = Store(template("stripe"), tmp_path / "fake.sqlite")
    refund = {"charge_id": "ch_1001", "amount": 30, "currency": "USD"}
    store.call("create_refund", {**refund, KEY_ARGUMENT: "k"})
    assert store.call("get_charge", {"charge_id": "ch_1001"})["charge"]["refundable"] == 50
    for changed, said in (
        ({"amount": 60}, "50 is left"),
        ({"charge_id": "ch_none"}, "no charge ch_none"),
        ({"currency": "YEN"}, "do not fit"),
        ({"amount": 31, KEY_ARGUMENT: "k"}, "used for another request"),
        ({"amount": -1}, "cannot be taken"),
    ):
        with pytest.raises(Refused, match=said):
            store.call("create_refund", {**refund, **changed})
    assert store.call("list_refunds", {})["total"] == 1


def test_searching_and_listing(tmp_path):
    store = Store(template("zendesk"), tmp_path / "fake.sqlite")
    assert [t["id"] for t in store.call("search_tickets", {"query": "SITE down"})["tickets"]] == ["ZD-102"]
    assert store.call("list_tickets", {"status": "open"})["total"] == 1
    some = store.call("list_tickets", {"limit": 2})
    assert (len(some["tickets"]), some["total"]) == (2, 4)


def test_it_speaks_mcp_and_survives_what_is_none(tmp_path):
    asked = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18"}},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        "nonsense",
        {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
        {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "list_channels", "arguments": {}}},
        {"jsonrpc": "2.0", "id": 4, "method": "tools/call", "params": {"name": "fly", "arguments": {}}},
        {"jsonrpc": "2.0", "id": 5, "method": "resources/list"},
    ]
    lines = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in asked)
    out = io.StringIO()
    serve("slack", io.StringIO(lines), out, tmp_path / "fake.sqlite")
    first, broken, listed, channels, wrong, unknown = map(json.loads, out.getvalue().splitlines())
    assert first["result"]["serverInfo"]["name"] == "slack (a local fake)"
    assert broken["error"]["code"] == -32700
    assert listed["result"]["tools"] == json.loads(json.dumps(template("slack").definitions))
    assert channels["result"]["structuredContent"]["total"] == 3
    assert wrong["result"]["isError"]
    assert unknown["error"]["code"] == -32601
