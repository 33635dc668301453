"""The servers of examples/acme as real processes: books, idempotency, and the trouble they make on request."""

import json
import os
import select
import socket
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

ACME = Path(__file__).resolve().parents[2] / "examples" / "acme"
SERVERS = ACME / "servers"
CHARGE = {"charge_id": "ch_3r7uv15k", "amount": 120, "currency": "USD", "reason": "Ticket CS-19422"}
HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}


class ServerDiedError(Exception):
    """The process ended instead of answering."""


class Server:
    """A client that speaks JSON lines by hand, so that it also sees what no library would let through."""

    def __init__(self, name, data, *arguments, env=None):
        command = [sys.executable, str(SERVERS / f"{name}.py"), "--data", str(data), *arguments]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=env or {})
        self.strays = []
        self._rest = b""
        self._last = 0
        self.request("initialize", HELLO)
        self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def call(self, tool, wait=60.0, /, **arguments):
        """The structured answer. Raises AssertionError with the tool's words where it is an error."""
        result = self.request("tools/call", {"name": tool, "arguments": arguments}, wait)
        assert not result.get("isError"), result["content"][0]["text"]
        return result["structuredContent"]

    def refused(self, tool, **arguments):
        result = self.request("tools/call", {"name": tool, "arguments": arguments})
        assert result.get("isError"), result
        return result["content"][0]["text"]

    def request(self, method, params, wait=60.0):
        return json.loads(self.raw(method, params, wait))["result"]

    def raw(self, method, params, wait=60.0):
        """The line that answers. Raises TimeoutError or ServerDiedError."""
        self._last += 1
        self._send({"jsonrpc": "2.0", "id": self._last, "method": method, "params": params})
        deadline = time.monotonic() + wait
        while True:
            line = self._line(deadline)
            if f'"id":{self._last}' in line.replace(" ", "") and '"result"' in line:
                return line
            self.strays.append(line)

    def _send(self, message):
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def _line(self, deadline):
        while b"\n" not in self._rest:
            if not select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
                raise TimeoutError
            data = os.read(self.process.stdout.fileno(), 1 << 20)
            if not data:
                raise ServerDiedError(self.process.wait(10))
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()


def run(name, data, *arguments):
    command = [sys.executable, str(SERVERS / f"{name}.py"), "--data", str(data), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env={}, check=False)


def books(data):
    return json.loads(run("payments", data, "--books").stdout)


def executions(data, charge_id=CHARGE["charge_id"]):
    """How often money was really moved for a charge, read from the books without starting a process."""
    with closing(sqlite3.connect(data / "payments.sqlite")) as db:
        counted = "SELECT count(*) FROM attempts WHERE outcome = 'executed' AND charge_id = ?"
        return db.execute(counted, (charge_id,)).fetchone()[0]


def set_faults(data, *rules, **more):
    data.mkdir(exist_ok=True)
    fresh = data / "faults.new"
    fresh.write_text(json.dumps({"rules": rules, **more}))
    fresh.replace(data / "faults.json")


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One process of each server, because starting one takes a second; each test takes a charge of its own."""
    data = tmp_path_factory.mktemp("shared")
    names = ("payments", "helpdesk", "crm", "transcripts", "revenue")
    with ExitStack() as stack:
        yield {"data": data, **{name: stack.enter_context(Server(name, data)) for name in names}}


@pytest.fixture
def payments(shared):
    yield shared["payments"]
    (shared["data"] / "faults.json").unlink(missing_ok=True)


def charge_of(charge_id):
    return {**CHARGE, "charge_id": charge_id}


def test_payments_refund_once_for_a_key_and_say_so_in_the_books(data):
    with Server("payments", data) as payments:
        first = payments.call("refund", **CHARGE, idempotency_key="k1")
        assert first == payments.call("refund", **CHARGE, idempotency_key="k1")
        assert "other arguments" in payments.refused("refund", **{**CHARGE, "amount": 20}, idempotency_key="k1")
        second = payments.call("refund", **{**CHARGE, "amount": 20}, idempotency_key="k2")
        assert second["refund_id"] != first["refund_id"]
        assert "can still be refunded" in payments.refused(
            "refund", **{**CHARGE, "amount": 120.01}, idempotency_key="k3"
        )
        assert "made in USD" in payments.refused("refund", **{**CHARGE, "currency": "EUR"}, idempotency_key="k4")
        assert payments.call("find_refund", idempotency_key="k1")["refund"] == first
        assert payments.call("find_refund", idempotency_key="k3")["refund"] is None
        charge = payments.call("get_charge", charge_id=CHARGE["charge_id"])
        assert (charge["amount"], charge["refunded"], charge["refundable"]) == (260, 140, 120)
    kept = books(data)
    assert kept["totals"] == {"USD": "140.00"}
    assert [r["idempotency_key"] for r in kept["refunds"]] == ["k1", "k2"]
    assert (kept["executions"], kept["attempts"]) == (2, 6)
    seen = {"attempts": 6, "executed": 2, "answered_again": 1, "rejected": 3}
    assert kept["by_charge"] == {CHARGE["charge_id"]: seen}


def test_without_a_key_money_flows_twice_and_a_cancelled_refund_flows_back(payments):
    charge = charge_of("ch_5t1kc67m")
    one, two = payments.call("refund", **charge), payments.call("refund", **charge)
    assert one["refund_id"] != two["refund_id"]
    for _ in range(2):
        assert payments.call("cancel_refund", refund_id=one["refund_id"])["status"] == "cancelled"
    assert "no refund" in payments.refused("cancel_refund", refund_id="re_9")
    listed = payments.call("list_refunds", charge_id=charge["charge_id"])["refunds"]
    assert [r["status"] for r in listed] == ["cancelled", "paid"]
    assert payments.call("get_charge", charge_id=charge["charge_id"])["refunded"] == 120


@pytest.mark.parametrize("amount", [0, -5, 10.001, 1e300])
def test_amounts_that_are_no_money_are_refused(amount, payments):
    assert "positive number" in payments.refused("refund", **{**CHARGE, "amount": amount})


def test_the_helpdesk_answers_in_the_thread_once_for_a_key(shared):
    reply, helpdesk = {"ticket_id": "CS-19422", "text": "Hello", "status": "solved"}, shared["helpdesk"]
    first = helpdesk.call("reply", **reply, idempotency_key="k1")
    assert first == helpdesk.call("reply", **reply, idempotency_key="k1")
    assert helpdesk.call("find_reply", idempotency_key="k1")["reply"] == first
    assert helpdesk.call("find_reply", idempotency_key="k2")["reply"] is None
    helpdesk.call("add_note", ticket_id="CS-19422", text="seen", idempotency_key="k2")
    ticket = helpdesk.call("get_ticket", ticket_id="CS-19422")
    assert ticket["status"] == "solved"
    assert [(e["kind"], e["recipient"]) for e in ticket["entries"]] == [("reply", ticket["email"]), ("note", "")]
    assert "CS-19422" not in [t["ticket_id"] for t in helpdesk.call("list_tickets")["tickets"]]
    assert "no ticket" in helpdesk.refused("reply", **{**reply, "ticket_id": "CS-1"}, idempotency_key="k9")
    outbox = json.loads(run("helpdesk", shared["data"], "--outbox").stdout)
    assert [(e["kind"], e["status"]) for e in outbox] == [("reply", "solved"), ("note", "solved")]


def test_the_crm_notes_twice_what_it_is_told_twice_and_shows_what_changed(shared):
    crm = shared["crm"]
    customer = crm.call("find_customer", email="Marta.Lindqvist@NORDLYS.example")["customer"]["customer_id"]
    for _ in range(2):
        crm.call("add_note", customer_id=customer, text="called")
    assert crm.call("get_customer", customer_id=customer)["notes"] == ["called", "called"]
    change = crm.call("update_tier", customer_id=customer, tier="platinum")
    assert (change["previous_tier"], change["tier"]) == ("gold", "platinum")
    taken = {"customer_id": customer, "email": "sasha.reed@mailbox.example"}
    assert "another customer" in crm.refused("update_email", **taken)
    assert crm.call("find_customer", email="nobody@mailbox.example")["customer"] is None
    changed = json.loads(run("crm", shared["data"], "--changes").stdout)
    assert [c["tier"] for c in changed["changed"]] == ["platinum"]
    assert len(changed["notes"]) == 2


def test_the_seed_is_loaded_once_kept_over_restarts_and_again_on_reset(data):
    with Server("payments", data) as payments:
        first = payments.call("refund", **CHARGE, idempotency_key="k1")
    with Server("payments", data) as payments:
        assert payments.call("refund", **CHARGE, idempotency_key="k1") == first
    with Server("payments", data, "--reset", "--serve") as payments:
        assert executions(data) == 0
        assert payments.call("get_charge", charge_id="ch_8f3vm91b")["refundable"] == 0


def test_several_processes_share_one_store_and_still_refund_once(data):
    with ThreadPoolExecutor(3) as pool:
        servers = list(pool.map(lambda _: Server("payments", data), range(3)))
        try:
            refunds = list(
                pool.map(lambda s: [s.call("refund", **CHARGE, idempotency_key="k") for _ in range(5)], servers)
            )
        finally:
            for server in servers:
                server.__exit__()
    assert len({r["refund_id"] for many in refunds for r in many}) == 1
    assert executions(data) == 1


@pytest.mark.parametrize(("fault", "executed"), [("die_before_work", 0), ("die_after_work", 1)])
def test_a_server_that_dies_of_a_call_has_done_the_work_or_not_and_is_well_when_it_comes_back(data, fault, executed):
    set_faults(data, {"tool": "refund", "fault": fault, "times": 1})
    with Server("payments", data) as payments, pytest.raises(ServerDiedError, match="137"):
        payments.call("refund", **CHARGE, idempotency_key="k1")
    assert executions(data) == executed
    with Server("payments", data) as payments:
        assert (payments.call("find_refund", idempotency_key="k1")["refund"] is not None) == bool(executed)
        payments.call("refund", **CHARGE, idempotency_key="k1")
    assert executions(data) == 1


def test_faults_are_read_before_every_call_and_strike_only_the_tools_they_name(shared, payments):
    data, charge = shared["data"], charge_of("ch_7g8nb02v")

    def refunded():
        return payments.call("get_charge", charge_id=charge["charge_id"])["refunded"]

    set_faults(data, {"tool": "refund", "fault": "fail", "times": 2})
    assert refunded() == 0
    for _ in range(2):
        assert "unavailable" in payments.refused("refund", **charge, idempotency_key="f1")
    payments.call("refund", **charge, idempotency_key="f1")
    set_faults(data, {"tool": "*", "fault": "slow", "seconds": 0.4, "times": 1})
    before = time.monotonic()
    assert refunded() == 120
    assert time.monotonic() - before >= 0.4
    set_faults(data, {"tool": "refund", "fault": "fail_after_work", "times": 1})
    assert "internal error" in payments.refused("refund", **charge, idempotency_key="f2")
    assert payments.call("find_refund", idempotency_key="f2")["refund"]["amount"] == 120
    (data / "faults.json").write_text('{"rules": [{"tool": "refund", "fault": "explode"}]}')
    assert "faults.json cannot be used" in payments.refused("get_charge", charge_id=charge["charge_id"])
    (data / "faults.json").unlink()
    assert refunded() == 240


@pytest.mark.parametrize(("fault", "executed"), [("hang", 0), ("hang_after_work", 1)])
def test_a_hanging_call_leaves_the_others_alone(shared, payments, fault, executed):
    set_faults(shared["data"], {"tool": "refund", "fault": fault, "times": 1})
    with pytest.raises(TimeoutError):
        payments.call("refund", 1.0, **charge_of("ch_4h6yq53j"), idempotency_key=fault)
    found = payments.call("find_refund", idempotency_key=fault)["refund"]
    assert (found is not None) == bool(executed)


def test_chance_is_drawn_from_a_seed_so_that_a_run_can_be_repeated(shared, payments):
    def outcomes(seed):
        set_faults(shared["data"], {"tool": "get_charge", "fault": "fail", "probability": 0.5}, seed=seed)
        call = {"name": "get_charge", "arguments": {"charge_id": CHARGE["charge_id"]}}
        return [payments.request("tools/call", call).get("isError", False) for _ in range(30)]

    first, again, other = outcomes(7), outcomes(7), outcomes(8)
    assert first == again != other
    assert 5 < sum(first) < 25


def test_faults_also_come_from_the_environment(data):
    rules = {"rules": [{"tool": "find_customer", "fault": "fail", "times": 1}]}
    with Server("crm", data, env={"ACME_FAULTS": json.dumps(rules)}) as crm:
        assert "unavailable" in crm.refused("find_customer", email="nobody@mailbox.example")
        assert crm.call("find_customer", email="nobody@mailbox.example")["customer"] is None


def test_answers_can_be_oversized_malformed_strange_and_beside_the_point(shared, payments):
    data, charge = shared["data"], {**charge_of("ch_8b5gx29q"), "idempotency_key": "o1"}
    set_faults(data, {"tool": "refund", "fault": "oversized", "bytes": 3_000_000, "times": 1})
    assert len(payments.call("refund", **charge)["padding"]) == 3_000_000
    set_faults(data, {"tool": "refund", "fault": "malformed", "times": 1})
    assert payments.call("refund", **charge)["refund_id"] == ["not", 1, "text"]
    set_faults(data, {"tool": "refund", "fault": "not_json", "times": 1})
    honest = payments.call("refund", **charge)
    assert any("Warning" in line for line in payments.strays)
    set_faults(data, {"tool": "refund", "fault": "strange_text", "times": 1})
    line = payments.raw("tools/call", {"name": "refund", "arguments": charge})
    assert '"number": 1e400000' in line
    structured = json.loads(line)["result"]["structuredContent"]
    assert structured["refund_id"] == honest["refund_id"]
    assert (structured["nul"], structured["surrogate"]) == ("a\0b", "\ud800")
    assert executions(data, charge["charge_id"]) == 1


def test_a_tool_can_describe_itself_otherwise(shared, payments):
    def described():
        return {t["name"]: t["description"] for t in payments.request("tools/list", {})["tools"]}

    before = described()
    set_faults(shared["data"], definition={"refund": "changed"})
    changed = described()
    assert [name for name in before if before[name] != changed[name]] == ["refund"]


def test_every_tool_is_pinned_as_its_server_describes_it(shared):
    pins = json.loads((ACME / "tools.lock.json").read_text())["connections"]
    for name, server in ((n, shared[n]) for n in ("payments", "helpdesk", "crm", "transcripts", "revenue")):
        live = {
            t["name"]: (t["description"], t["inputSchema"], t["outputSchema"])
            for t in server.request("tools/list", {})["tools"]
        }
        pinned = {tool: (p["description"], p["input_schema"], p["output_schema"]) for tool, p in pins[name].items()}
        assert live == pinned


def test_faults_are_arranged_from_the_command_line(data):
    assert run("crm", data, "--fault", '{"tool": "add_note", "fault": "fail", "times": 1}').returncode == 0
    assert json.loads((data / "faults.json").read_text())["rules"][0]["fault"] == "fail"
    wrong = run("crm", data, "--no-faults", "--fault", '{"tool": "add_note", "fault": "explode"}')
    assert wrong.returncode == 1
    assert "is no rule" in wrong.stderr
    assert not (data / "faults.json").exists()


@contextmanager
def over_http(name, data):
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, str(SERVERS / f"{name}.py"), "--data", str(data), "--http", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={})
    try:
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.kill()
        process.wait()


def test_the_same_server_speaks_streamable_http_on_loopback(data):
    with over_http("payments", data) as url:
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}

        def post(message, **more):
            request = Request(url, json.dumps({"jsonrpc": "2.0", **message}).encode(), {**headers, **more})
            with urlopen(request, timeout=20) as answer:
                return answer.headers.get("mcp-session-id", ""), answer.read().decode()

        session, _ = post({"id": 1, "method": "initialize", "params": HELLO})
        more = {"mcp-session-id": session} if session else {}
        post({"method": "notifications/initialized"}, **more)
        call = {"name": "refund", "arguments": {**CHARGE, "idempotency_key": "k1"}}
        _, text = post({"id": 2, "method": "tools/call", "params": call}, **more)
        assert '"refund_id":"re_' in text.replace(" ", "")
    assert executions(data) == 1
