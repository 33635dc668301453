"""A Slack of Acme's own: one workspace that speaks Slack's protocol to the app, and lets you be its members.

    python servers/slack_workspace.py --port 8300 --state slack.db --app http://127.0.0.1:8270/slack/events \
        --member U001=Amara --guest U900=Gus --channel sales

Point remit.toml at it with `[slack] api_url = "http://127.0.0.1:8300/api/"`. Team, tokens and signing secret are those
below unless `--team`, `--bot-token`, `--app-token` or `--signing-secret` say otherwise. With `--socket` it reaches the
app through socket mode and needs no `--app`.

It checks tokens, signatures' other side, sizes and rates as Slack does, and keeps every message in an SQLite file. What
members do, and what goes wrong, is said over HTTP as JSON:

    POST /control/say     {"user": "U001", "channel": "sales" | "dm", "text": "...", "thread_ts": null}
    POST /control/click   {"user": "U001", "channel": "D001", "ts": "...", "action": "remit_approve"}
    POST /control/submit  {"user": "U001", "view": "V1", "values": {"reason": "too much"}}
    POST /control/suggest {"user": "U001", "view": "V1", "block": "answer:...", "typed": "nord"}
    POST /control/down    {}    and /control/up, /control/limit {"method": "chat.postMessage", "seconds": 2}
    GET  /control/state   everything: messages, whispers (seen by one member only), forms, calls

A message's channel is `D` and the member's number for a direct message, else `C` and the channel's place, from 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import sqlite3
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

sys.path.insert(0, str(Path(__file__).parent))

from slack_members import Acts
from slack_rules import refused, refused_form

TEAM, BOT, APP_ID = "TACME0001", "UREMITBOT", "AREMIT001"
BOT_TOKEN, APP_TOKEN, SIGNING_SECRET = "xoxb-acme-bot", "xapp-acme-app", "acme-signing-secret"
_TABLES = """
create table if not exists messages (channel text, ts text, thread_ts text, user text, text text, blocks text,
                                     metadata text, edits integer default 0, primary key (channel, ts));
create table if not exists whispers (channel text, user text, text text, thread_ts text);
create table if not exists forms (id text primary key, user text, view text, open integer);
create table if not exists calls (method text, status integer, at real);
"""
Answer = tuple[int, dict[str, Any]]


@dataclass
class Workspace:
    """Everything that there is in the workspace."""

    state: Path
    app: str | None = None
    socket: bool = False
    team: str = TEAM
    bot_token: str = BOT_TOKEN
    app_token: str = APP_TOKEN
    signing_secret: str = SIGNING_SECRET
    members: dict[str, dict[str, Any]] = field(default_factory=dict)
    channels: list[str] = field(default_factory=list)
    burst: int = 20
    per_second: float = 1.0
    down: bool = False
    limited: dict[str, float] = field(default_factory=dict)
    """Method to the moment until which it is limited."""

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._db = sqlite3.connect(self.state, check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.executescript("pragma journal_mode = wal;" + _TABLES)
        self._buckets: dict[str, tuple[float, float]] = {}
        self._last = 0
        self.triggers: dict[str, float] = {}
        self.acts = Acts(self)

    def member(self, user: str, name: str, **more: Any) -> None:
        """Let somebody in; `is_restricted=True` for a guest, `team_id` for somebody of another team."""
        self.members[user] = {"id": user, "team_id": self.team, "name": name, "deleted": False, **more}

    # -- what is there -------------------------------------------------------------------------------------------

    def rows(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        """Rows of a query."""
        with self._lock:
            return [dict(row) for row in self._db.execute(sql, values).fetchall()]

    def messages(self, channel: str | None = None) -> list[dict[str, Any]]:
        """Messages as they stand now, oldest first."""
        found = self.rows("select * from messages where ? is null or channel = ? order by ts", channel, channel)
        return [{**m, "blocks": json.loads(m["blocks"]), "metadata": json.loads(m["metadata"])} for m in found]

    def whispers(self, user: str | None = None) -> list[str]:
        """What only one member saw."""
        found = self.rows("select text from whispers where ? is null or user = ? order by rowid", user, user)
        return [w["text"] for w in found]

    def form(self, user: str) -> dict[str, Any] | None:
        """The form that is open before a member."""
        found = self.rows("select * from forms where user = ? and open = 1 order by rowid desc limit 1", user)
        return {"id": found[0]["id"], **json.loads(found[0]["view"])} if found else None

    def place(self, channel: str) -> str | None:
        """A channel's or direct message's id, from its id or name."""
        name = channel.removeprefix("#")
        if name in self.channels:
            return f"C{self.channels.index(name) + 1:08d}"
        if channel.startswith("D") and f"U{channel[1:]}" in self.members:
            return channel
        if channel.startswith("C") and channel[1:].isdigit() and 1 <= int(channel[1:]) <= len(self.channels):
            return channel
        return f"D{channel[1:]}" if channel in self.members else None

    def stamp(self) -> str:
        """A time stamp that nothing else has."""
        with self._lock:
            self._last = max(self._last + 1, int(time.time() * 1_000_000))
            return f"{self._last // 1_000_000}.{self._last % 1_000_000:06d}"

    def keep(self, channel: str, user: str, words: str, thread: str | None, blocks: Any, metadata: Any) -> str:
        """Keep a message; its time stamp."""
        ts = self.stamp()
        with self._lock:
            self._db.execute(
                "insert into messages (channel, ts, thread_ts, user, text, blocks, metadata) values (?,?,?,?,?,?,?)",
                (channel, ts, thread, user, words, json.dumps(blocks), json.dumps(metadata)),
            )
        return ts

    def close_form(self, form: str, view: dict[str, Any] | None = None) -> None:
        """Close a form, or put another one in its place."""
        with self._lock:
            if view is None:
                self._db.execute("update forms set open = 0 where id = ?", (form,))
            else:
                self._db.execute("update forms set view = ? where id = ?", (json.dumps(view), form))

    # -- the app's calls -----------------------------------------------------------------------------------------

    def call(self, method: str, token: str, given: dict[str, Any]) -> Answer:
        """Answer a call of the API."""
        wanted = self.app_token if method == "apps.connections.open" else self.bot_token
        if token != f"Bearer {wanted}":
            return 200, {"ok": False, "error": "invalid_auth"}
        wait = self.limited.get(method, 0) - time.time()
        if wait > 0:
            return 429, {"ok": False, "error": "ratelimited", "wait": wait}
        do = getattr(self, "_" + method.replace(".", "_"), None)
        if do is None:
            return 200, {"ok": False, "error": "unknown_method"}
        answer: Answer = do(given)
        with self._lock:
            self._db.execute("insert into calls values (?, ?, ?)", (method, answer[0], time.time()))
        return answer

    def _apps_connections_open(self, _: dict[str, Any]) -> Answer:
        return 200, {"ok": True}

    def _auth_test(self, _: dict[str, Any]) -> Answer:
        return 200, {"ok": True, "team_id": self.team, "user_id": BOT, "bot_id": "BREMIT001"}

    def _users_info(self, given: dict[str, Any]) -> Answer:
        user = self.members.get(given.get("user", ""))
        return 200, {"ok": True, "user": user} if user else {"ok": False, "error": "user_not_found"}

    def _conversations_open(self, given: dict[str, Any]) -> Answer:
        place = self.place(given.get("users", "")) if given.get("users", "") in self.members else None
        return 200, {"ok": True, "channel": {"id": place}} if place else {"ok": False, "error": "user_not_found"}

    def _chat_postMessage(self, given: dict[str, Any]) -> Answer:  # noqa: N802 - Slack's name
        place = self.place(given.get("channel", ""))
        if place is None:
            return 200, {"ok": False, "error": "channel_not_found"}
        if not given.get("text") and not given.get("blocks"):
            return 200, {"ok": False, "error": "no_text"}
        why = refused(given.get("blocks", []), most=50)
        if why or len(given.get("text", "")) > 40_000:
            return 200, {"ok": False, "error": "invalid_blocks", "why": why}
        wait = self._over(place)
        if wait:
            return 429, {"ok": False, "error": "ratelimited", "wait": wait}
        blocks, metadata = given.get("blocks", []), given.get("metadata", {})
        ts = self.keep(place, BOT, given.get("text", ""), given.get("thread_ts"), blocks, metadata)
        return 200, {"ok": True, "channel": place, "ts": ts, "message": {"text": given.get("text", "")}}

    def _chat_update(self, given: dict[str, Any]) -> Answer:
        why = refused(given.get("blocks", []), most=50)
        if why:
            return 200, {"ok": False, "error": "invalid_blocks", "why": why}
        with self._lock:
            done = self._db.execute(
                """update messages set text = ?, blocks = ?, edits = edits + 1
                   where channel = ? and ts = ? and user = ?""",
                (
                    given.get("text", ""),
                    json.dumps(given.get("blocks", [])),
                    given.get("channel"),
                    given.get("ts"),
                    BOT,
                ),
            )
        return 200, {"ok": True} if done.rowcount else {"ok": False, "error": "message_not_found"}

    def _chat_postEphemeral(self, given: dict[str, Any]) -> Answer:  # noqa: N802 - Slack's name
        place = self.place(given.get("channel", ""))
        if place is None or not given.get("text"):
            return 200, {"ok": False, "error": "channel_not_found"}
        with self._lock:
            values = (place, given["user"], given["text"], given.get("thread_ts"))
            self._db.execute("insert into whispers values (?, ?, ?, ?)", values)
        return 200, {"ok": True}

    def _conversations_history(self, given: dict[str, Any]) -> Answer:
        since = float(given.get("oldest", 0))
        found = [m for m in self.messages(given.get("channel")) if float(m["ts"]) > since]
        return 200, {"ok": True, "messages": found[::-1][: int(given.get("limit", 100))]}

    def _conversations_replies(self, given: dict[str, Any]) -> Answer:
        found = [m for m in self.messages(given.get("channel")) if given.get("ts") in {m["ts"], m["thread_ts"]}]
        return 200, {"ok": True, "messages": found}

    def _views_open(self, given: dict[str, Any]) -> Answer:
        user, _, _ = str(given.get("trigger_id", "")).partition(".")
        if self.triggers.pop(given.get("trigger_id", ""), 0) < time.time() - 3:
            return 200, {"ok": False, "error": "expired_trigger_id"}
        why = refused_form(given["view"])
        if why:
            return 200, {"ok": False, "error": "invalid_arguments", "why": why}
        form = f"V{secrets.token_hex(4)}"
        with self._lock:
            self._db.execute("insert into forms values (?, ?, ?, 1)", (form, user, json.dumps(given["view"])))
        return 200, {"ok": True, "view": {"id": form}}

    def _over(self, place: str) -> float:
        """Seconds until this channel takes another message; 0: it does now."""
        with self._lock:
            left, at = self._buckets.get(place, (float(self.burst), time.time()))
            left = min(float(self.burst), left + (time.time() - at) * self.per_second)
            self._buckets[place] = (left - 1 if left >= 1 else left, time.time())
            return 0.0 if left >= 1 else (1 - left) / self.per_second


def application(workspace: Workspace) -> Starlette:
    """The workspace as Slack's servers show it, and the control beside it."""

    async def api(request: Request) -> Response:
        if workspace.down:
            return PlainTextResponse("upstream connect error", status_code=503)
        if request.headers.get("content-type", "").startswith("application/json"):
            given = json.loads(await request.body() or b"{}")
            if request.path_params["method"] in {"users.info", "conversations.history", "conversations.replies"}:
                given = {}  # Slack reads no JSON here
        else:
            given = {**request.query_params, **dict(await request.form())}
        token = request.headers.get("authorization", "")
        status, said = await asyncio.to_thread(workspace.call, request.path_params["method"], token, given)
        if said.get("ok") and request.path_params["method"] == "apps.connections.open":
            said = {
                **said,
                "url": str(request.base_url).replace("http", "ws", 1) + f"link/?ticket={secrets.token_hex(8)}",
            }
        headers = {"Retry-After": str(max(1, round(said.pop("wait"))))} if "wait" in said else {}
        return JSONResponse(said, status, headers)

    async def link(websocket: WebSocket) -> None:
        await websocket.accept()
        if workspace.down:
            await websocket.close()
            return
        await websocket.send_json({"type": "hello", "num_connections": 1})
        await workspace.acts.linked(websocket)

    async def control(request: Request) -> Response:
        given = json.loads(await request.body() or b"{}")
        match request.path_params["what"]:
            case "down" | "up" as how:
                workspace.down = how == "down"
                if workspace.down:
                    await workspace.acts.cut()
                return JSONResponse({"down": workspace.down})
            case "limit":
                workspace.limited[given["method"]] = time.time() + given["seconds"]
                return JSONResponse({})
            case "state":
                tables = {name: workspace.rows(f"select * from {name}") for name in ("whispers", "forms", "calls")}  # noqa: S608
                return JSONResponse({"messages": workspace.messages(), **tables})
            case what if hasattr(workspace.acts, what) and what in {"say", "click", "submit", "suggest"}:
                return JSONResponse(await asyncio.to_thread(getattr(workspace.acts, what), **given))
        return JSONResponse({"error": "nothing of that name"}, 404)

    return Starlette(
        routes=[
            Route("/api/{method}", api, methods=["GET", "POST"]),
            Route("/control/{what}", control, methods=["GET", "POST"]),
            WebSocketRoute("/link/", link),
        ]
    )


def main() -> None:
    """Read the command line and serve until ended."""
    options = argparse.ArgumentParser(description="A Slack workspace of Acme's own.")
    options.add_argument("--port", type=int, default=8300)
    options.add_argument("--state", type=Path, default=Path("slack.db"))
    options.add_argument("--app", help="where the app listens, in HTTP mode")
    options.add_argument("--socket", action="store_true", help="reach the app through socket mode")
    options.add_argument("--team", default=TEAM)
    options.add_argument("--bot-token", default=BOT_TOKEN)
    options.add_argument("--app-token", default=APP_TOKEN)
    options.add_argument("--signing-secret", default=SIGNING_SECRET)
    options.add_argument("--member", action="append", default=[], metavar="ID=NAME")
    options.add_argument("--guest", action="append", default=[], metavar="ID=NAME")
    options.add_argument("--channel", action="append", default=[], metavar="NAME")
    given = vars(options.parse_args())
    port, members, guests, channels = (given.pop(name) for name in ("port", "member", "guest", "channel"))
    workspace = Workspace(**given, channels=channels)
    for user, _, name in (m.partition("=") for m in members):
        workspace.member(user, name or user)
    for user, _, name in (m.partition("=") for m in guests):
        workspace.member(user, name or user, is_restricted=True)
    uvicorn.run(application(workspace), host="127.0.0.1", port=port, log_level="warning")


__all__ = ["WebSocketDisconnect", "Workspace", "application"]

if __name__ == "__main__":
    main()
