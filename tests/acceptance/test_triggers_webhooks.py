"""Webhooks: who may start a session by a request, what is refused, and what happens when one comes twice."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from remit.surfaces import webhooks
from tests.acceptance.shop import FILES, Shop

KEY = base64.b64encode(b"a key of the shop's own!").decode()
TRIGGERS = """
triggers:
  standard:
    kind: webhook
    agent: clerk
    title: $body.title
    input: {steps: $body.steps}
    verify: {scheme: standard, secret: "env:HOOK_STANDARD"}
  github:
    kind: webhook
    agent: clerk
    input: {steps: $body.steps}
    when: {headers.X-GitHub-Event: issues, body.action: [opened, reopened]}
    verify: {scheme: github, secret: "env:HOOK"}
  stripe: {kind: webhook, agent: clerk, input: {steps: $body.steps}, verify: {scheme: stripe, secret: "env:HOOK"}}
  slack: {kind: webhook, agent: clerk, input: {steps: $body.steps}, verify: {scheme: slack, secret: "env:HOOK"}}
  own:
    kind: webhook
    agent: clerk
    input: {steps: $body.steps}
    max_bytes: 1000
    verify:
      {scheme: hmac, secret: "env:HOOK", header: X-Sign, prefix: "v1 ", algorithm: sha512, encoding: base64,
       timestamp_header: X-Time, id_path: id}
  secretless: {kind: webhook, agent: clerk, verify: {scheme: github, secret: "env:HOOK_THAT_IS_NOT_SET"}}
"""
BODY = {"id": "m-1", "event_id": "m-1", "action": "opened", "title": "Peek", "steps": [{"tool": "peek"}]}
AGENT = (
    FILES["agents/clerk/agent.yaml"]
    + """
input:
  type: object
  properties: {steps: {type: array, items: {type: object}}}
  required: [steps]
"""
)


class Hooks:
    """The shop's webhooks, and senders that sign as theirs do."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.app = Starlette(routes=webhooks.routes(shop.services))
        self.client = TestClient(self.app)

    def post(self, name: str, body: Any = BODY, *, key: str | None = None, ago: float = 0, **headers: str) -> Any:
        """Send a message, signed with the trigger's own key or another one, at a time."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = str(int(time.time() - ago))
        signed = sign(name, raw, sent, key)
        return self.client.post(f"/hooks/{name}", content=raw, headers={**signed, **headers})

    def sessions(self) -> list[dict[str, Any]]:
        with self.shop.services.sessions.transaction() as db:
            return db.execute("select * from remit.sessions order by id").fetchall()

    def firings(self) -> list[tuple[str, str, str]]:
        with self.shop.services.sessions.transaction() as db:
            rows = db.execute("select * from remit.firings order by at").fetchall()
            return [(row["key"], row["status"], row["reason"]) for row in rows]


def sign(name: str, raw: bytes, sent: str, key: str | None) -> dict[str, str]:
    """The headers of a sender."""
    own = (key or "sesame").encode()

    def digest(what: bytes, kind: str = "sha256") -> bytes:
        return hmac.new(own, what, kind).digest()

    match name:
        case "standard":
            secret = base64.b64decode(key or KEY)
            mac = hmac.new(secret, b"m-1." + sent.encode() + b"." + raw, hashlib.sha256).digest()
            signature = f"v1a,x v1,{base64.b64encode(mac).decode()}"
            return {"webhook-id": "m-1", "webhook-timestamp": sent, "webhook-signature": signature}
        case "stripe":
            mac = digest(sent.encode() + b"." + raw)
            return {"Stripe-Signature": f"t={sent},v1={'0' * 64},v1={mac.hex()},v0=x"}
        case "slack":
            mac = digest(b"v0:" + sent.encode() + b":" + raw)
            return {"X-Slack-Request-Timestamp": sent, "X-Slack-Signature": f"v0={mac.hex()}"}
        case "own":
            mac = digest(sent.encode() + b"." + raw, "sha512")
            return {"X-Time": sent, "X-Sign": "v1 " + base64.b64encode(mac).decode()}
        case _:
            headers = {"X-GitHub-Delivery": "m-1", "X-GitHub-Event": "issues"}
            return {**headers, "X-Hub-Signature-256": f"sha256={digest(raw).hex()}"}


@pytest.fixture(scope="module")
def environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOOK", "sesame")
        patch.setenv("HOOK_STANDARD", f"whsec_{KEY}")
        yield


@pytest.fixture
def hooks(changed_shop: Callable[..., Shop], environment: None) -> Hooks:
    return Hooks(changed_shop(**{"triggers.yaml": TRIGGERS, "agents/clerk/agent.yaml": AGENT}))


SCHEMES = ("standard", "github", "stripe", "slack", "own")
TIMED = ("standard", "stripe", "slack", "own")


def test_each_scheme_starts_one_session_and_a_repeat_none(hooks: Hooks) -> None:
    for name in SCHEMES:
        first, again = hooks.post(name), hooks.post(name)
        assert (first.status_code, again.status_code) == (202, 200), (name, first.text, again.text)
        assert again.json() == {"session": first.json()["session"], "repeated": True}
    found = hooks.sessions()
    assert [s["trigger"] for s in found] == list(SCHEMES)
    assert {s["principal"] for s in found} == {f"trigger:{name}" for name in SCHEMES}
    assert [s["title"] for s in found] == ["Peek", "", "", "", ""]
    assert all(s["labels"] == ["untrusted"] and s["request_id"] == "m-1" for s in found)
    shown = hooks.shop.session(found[0]["id"])
    assert shown["turns"][0]["input"] == {"steps": [{"tool": "peek"}]}


def test_what_is_forged_old_or_unknown_looks_the_same(hooks: Hooks) -> None:
    forged = [hooks.post(name, key="b3RoZXI=") for name in SCHEMES]
    late = [hooks.post(name, ago=when) for name in TIMED for when in (301, -302)]
    unknown = [hooks.post("nothing"), hooks.post("secretless")]
    bare = [hooks.client.post(f"/hooks/{name}", json=BODY) for name in (*SCHEMES, "nothing", "secretless")]
    odd = [hooks.post("standard", **{"webhook-signature": "v1, v1,%%% ,"}), hooks.post("standard", b"\xff{}")]
    answers = {(a.status_code, a.text, tuple(sorted(a.headers))) for a in (*forged, *late, *unknown, *bare, *odd)}
    assert len(answers) == 1
    assert answers.pop()[0] == 401
    assert hooks.sessions() == []
    assert hooks.firings() == []


def test_a_signature_is_compared_as_a_whole_and_with_the_body(hooks: Hooks) -> None:
    raw = json.dumps(BODY).encode()
    headers = sign("github", raw, "", None)
    short = {**headers, "X-Hub-Signature-256": headers["X-Hub-Signature-256"][:-1]}
    assert hooks.client.post("/hooks/github", content=raw, headers=short).status_code == 401
    assert hooks.client.post("/hooks/github", content=raw + b" ", headers=headers).status_code == 401
    assert hooks.client.post("/hooks/github", content=raw, headers=headers).status_code == 202


def test_the_same_message_at_once_starts_one_session(hooks: Hooks) -> None:
    raw, sent = json.dumps(BODY).encode(), str(int(time.time()))
    headers = sign("standard", raw, sent, None)

    def post(_: int) -> Any:
        return TestClient(hooks.app).post("/hooks/standard", content=raw, headers=headers)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, range(8)))  # each on an event loop of its own, as several servers are
    assert sorted(a.status_code for a in answers) == [200] * 7 + [202]
    assert {a.json()["session"] for a in answers} == {hooks.sessions()[0]["id"]}
    assert len(hooks.sessions()) == 1


def test_messages_that_come_together_are_told_apart(hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some twice, one for a trigger that is paused, one that fits nothing, one that nobody can start."""
    hooks.shop.services.triggers.pause("slack", "person:ada", "holiday")
    whole = hooks.shop.services.sessions.planned

    def planned(start: Any, governance: Any) -> Any:
        if start.request_id == "bad":
            raise ZeroDivisionError
        return whole(start, governance)

    monkeypatch.setattr(hooks.shop.services.sessions, "planned", planned)

    async def together() -> list[int]:
        transport = httpx.ASGITransport(hooks.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://hooks") as client:

            async def post(name: str, body: Any) -> int:
                raw, sent = json.dumps(body).encode(), str(int(time.time()))
                return (
                    await client.post(f"/hooks/{name}", content=raw, headers=sign(name, raw, sent, None))
                ).status_code

            ids = ["a", "b", "a", "bad", "c", "b"]
            others = [post("slack", BODY), post("own", {"id": "d", "steps": 1})]
            return await asyncio.gather(*(post("own", {**BODY, "id": one}) for one in ids), *others)

    assert sorted(asyncio.run(together())) == [200, 200, 202, 202, 202, 422, 422, 503]
    assert sorted(hooks.firings()) == [
        ("a", "started", ""),
        ("b", "started", ""),
        ("bad", "refused", "ZeroDivisionError"),
        ("c", "started", ""),
        ("d", "refused", "the input at steps breaks the rule properties/steps/type of the agent's schema"),
    ]
    assert len(hooks.sessions()) == 3


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"[1]", 400, "invalid_input"),
        (b'{"id": NaN}', 400, "invalid_input"),
        (b'{"id": 1, "id": 2}', 400, "invalid_input"),
        (b'{"id":' + b"[" * 400 + b"]" * 400 + b"}", 400, "invalid_input"),
        (b"{", 400, "invalid_input"),
        (b'{"steps": []}', 400, "no_id"),
        (b'{"id": true}', 400, "no_id"),
        (b'{"id": "x", "pad": "' + b"a" * 1000 + b'"}', 413, "too_large"),
        (b'{"id": "x", "steps": "tok-secret"}', 422, "invalid_input"),
    ],
)
def test_what_is_signed_and_does_not_fit(hooks: Hooks, body: bytes, status: int, code: str) -> None:
    answer = hooks.post("own", body)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert "tok-secret" not in answer.text
    assert hooks.sessions() == []
    refused = [("x", "refused", answer.json()["detail"])] if status == 422 else []
    assert hooks.firings() == refused


def test_what_was_refused_may_be_sent_again(hooks: Hooks) -> None:
    services = hooks.shop.services
    with services.sessions.transaction() as db:
        db.execute("insert into remit.agent_state (agent, suspended, by, reason) values ('clerk', true, 'ada', 'x')")
        db.execute("update remit.governance set version = version + 1")
    answer = hooks.post("own")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "300")
    assert hooks.firings() == [("m-1", "refused", "agent clerk is suspended")]
    with services.sessions.transaction() as db:
        db.execute("update remit.agent_state set suspended = false")
        db.execute("update remit.governance set version = version + 1")
    services.sessions.stop("agent", "clerk", "careful", "ada")
    stopped = hooks.post("own")
    assert (stopped.status_code, stopped.json()["code"]) == (503, "stopped")
    services.sessions.release("agent", "clerk", "ada", "fine")
    services.triggers.pause("own", "person:ada", "holiday")
    paused = hooks.post("own")
    assert (paused.status_code, paused.json()["code"], paused.headers["retry-after"]) == (503, "paused", "60")
    services.triggers.resume("own", "person:ada", "back")
    assert hooks.post("own").status_code == 202
    assert [f[1] for f in hooks.firings()] == ["started"]


def test_conditions_and_handshakes(hooks: Hooks) -> None:
    closed = hooks.post("github", {**BODY, "action": "closed"})
    pinged = hooks.post("github", **{"X-GitHub-Event": "ping"})
    assert [(a.status_code, a.json()) for a in (closed, pinged)] == [(200, {"ignored": True})] * 2
    shaken = hooks.post("slack", {"type": "url_verification", "challenge": "c-1"})
    assert (shaken.status_code, shaken.json()) == (200, {"challenge": "c-1"})
    assert hooks.sessions() == []
    assert hooks.client.get("/hooks/github").status_code == 405


def test_twenty_megabytes_are_never_held(hooks: Hooks) -> None:
    """Neither where the size is announced nor where it is not; for any name."""
    for name in ("own", "nothing"):
        for announced in (True, False):
            status, taken = asyncio.run(_flood(hooks.app, name, announced=announced))
            assert status == 413
            assert taken <= (0 if announced else 1_100_000)
    assert hooks.sessions() == []


async def _flood(app: Any, name: str, *, announced: bool) -> tuple[int, int]:
    """Send 20 MB in pieces of 64 KiB; the answer's status and how much of it was taken."""
    size, piece, taken, status = 20_000_000, 65_536, 0, 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += piece
        return {"type": "http.request", "body": b"x" * piece, "more_body": taken < size}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)

    headers = [(b"content-length", str(size).encode())] if announced else []
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": f"/hooks/{name}", "raw_path": b"", "query_string": b"", "root_path": "", "headers": headers,
    }  # fmt: skip
    await app(scope, receive, send)
    return status, taken
