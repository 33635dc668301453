"""What members of the workspace do: write, click, fill in forms. Slack tells the app of it, signed, as it does."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import secrets
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any

from starlette.websockets import WebSocketDisconnect

if TYPE_CHECKING:
    from slack_workspace import Workspace
    from starlette.websockets import WebSocket

_TIMEOUT = 10  # seconds; Slack itself gives three, on faster machines than a test's


class Acts:
    """Members' acts. Each answers with what the app said to it: `status` and `body`."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._link: WebSocket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}

    def say(
        self, user: str, channel: str, text: str, thread_ts: str | None = None, times: int = 1, ts: str | None = None
    ) -> dict[str, Any]:
        """Write a message. `times`: how often Slack tells the app of it; `ts`: of an earlier message, told again."""
        team, place = self._workspace.team, self._workspace.place(user if channel == "dm" else channel)
        assert place is not None, f"there is no channel {channel}"
        written = ts or self._workspace.keep(place, user, text, thread_ts, [], {})
        event: dict[str, Any] = {"user": user, "text": text, "ts": written, "channel": place, "team": team}
        event["user_team"] = self._workspace.members[user]["team_id"]
        event |= {"thread_ts": thread_ts} if thread_ts else {}
        kinds = [{"type": "message", "channel_type": "im" if place.startswith("D") else "channel"}]
        if not place.startswith("D") and "<@UREMITBOT>" in text:
            kinds.append({"type": "app_mention"})
        said: dict[str, Any] = {}
        for kind in kinds:
            body = {
                "type": "event_callback",
                "team_id": team,
                "api_app_id": "AREMIT001",
                "event": {**event, **kind},
                "event_id": f"Ev{secrets.token_hex(5)}",
                "event_time": int(time.time()),
                "authorizations": [{"team_id": team, "user_id": "UREMITBOT", "is_bot": True}],
            }
            for number in range(times):
                said = self._told("events_api", body, retry=number)
        return {**said, "channel": place, "ts": written}

    def click(self, user: str, channel: str, ts: str, action: str, **more: Any) -> dict[str, Any]:
        """Click a button of a message, as it stands or, with `blocks`, as it stood when the member looked."""
        (message,) = (m for m in self._workspace.messages(channel) if m["ts"] == ts)
        blocks = more.pop("blocks", None) or message["blocks"]
        found = [e for b in blocks if b["type"] == "actions" for e in b["elements"] if e["action_id"] == action]
        assert found, f"the message has no button {action}"
        container = {"type": "message", "message_ts": ts, "channel_id": channel, "is_ephemeral": False}
        if message["thread_ts"]:
            container["thread_ts"] = message["thread_ts"]
        pressed = {"action_id": action, "value": found[0].get("value", ""), "type": "button", "block_id": "b"}
        return self._interact(
            user,
            {
                "type": "block_actions",
                "container": container,
                "channel": {"id": channel},
                "message": {"ts": ts, "blocks": blocks},
                "actions": [{**pressed, "action_ts": ts}],
            },
        )

    def submit(self, user: str, view: str, values: dict[str, Any]) -> dict[str, Any]:
        """Send a form. `values`: block to the text written, the option's value chosen, or True for a ticked box."""
        (found,) = self._workspace.rows("select * from forms where id = ? and open = 1", view)
        form = json.loads(found["view"])
        state = {b["block_id"]: _state(b, values.get(b["block_id"])) for b in form["blocks"] if b["type"] == "input"}
        said = self._interact(
            user, {"type": "view_submission", "view": {**form, "id": view, "state": {"values": state}}}
        )
        shown = json.loads(said["body"]) if said["body"].startswith("{") else {}
        if said["status"] == 200 and shown.get("response_action") not in {"errors", "update"}:
            self._workspace.close_form(view)
        elif shown.get("response_action") == "update":
            self._workspace.close_form(view, shown["view"])
        return {**said, "shown": shown}

    def suggest(self, user: str, view: str, block: str, typed: str) -> dict[str, Any]:
        """Type into a list that the app fills."""
        (found,) = self._workspace.rows("select * from forms where id = ?", view)
        element = next(b["element"] for b in json.loads(found["view"])["blocks"] if b.get("block_id") == block)
        asked = {"type": "block_suggestion", "block_id": block, "action_id": element["action_id"], "value": typed}
        return self._interact(user, {**asked, "view": {**json.loads(found["view"]), "id": view}})

    # -- how the app is told -------------------------------------------------------------------------------------

    def signed(self, body: bytes, *, at: float | None = None, secret: str | None = None) -> dict[str, str]:
        """The headers of a request that Slack signs."""
        stamp = str(int(time.time() if at is None else at))
        key = (secret or self._workspace.signing_secret).encode()
        mac = hmac.new(key, b"v0:" + stamp.encode() + b":" + body, hashlib.sha256).hexdigest()
        return {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={mac}"}

    def post(self, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
        """Send a request to the app in HTTP mode."""
        assert self._workspace.app is not None, "the workspace does not know where the app is"
        request = urllib.request.Request(self._workspace.app, body, headers)  # noqa: S310 - of this machine
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310
                return {"status": answer.status, "body": answer.read().decode()}
        except urllib.error.HTTPError as error:
            return {"status": error.code, "body": error.read().decode("utf-8", "replace")}

    def _interact(self, user: str, payload: dict[str, Any]) -> dict[str, Any]:
        trigger = f"{user}.{secrets.token_hex(6)}"
        self._workspace.triggers[trigger] = time.time()
        member = self._workspace.members[user]
        whole = {
            "user": {"id": user, "name": member["name"], "team_id": member["team_id"]},
            "team": {"id": self._workspace.team, "domain": "acme"},
            "api_app_id": "AREMIT001",
            "trigger_id": trigger,
            **payload,
        }
        return self._told("interactive", whole, retry=0)

    def _told(self, kind: str, payload: dict[str, Any], *, retry: int) -> dict[str, Any]:
        if self._workspace.socket:
            return self._over_link(kind, payload, retry)
        again = {"X-Slack-Retry-Num": str(retry), "X-Slack-Retry-Reason": "http_timeout"} if retry else {}
        if kind == "events_api":
            body, content = json.dumps(payload).encode(), "application/json"
        else:
            body = urllib.parse.urlencode({"payload": json.dumps(payload)}).encode()
            content = "application/x-www-form-urlencoded"
        return self.post(body, {"Content-Type": content, **self.signed(body), **again})

    # -- socket mode ---------------------------------------------------------------------------------------------

    async def linked(self, websocket: WebSocket) -> None:
        """Serve the app's connection until it ends."""
        self._link, self._loop = websocket, asyncio.get_running_loop()
        try:
            while True:
                said = json.loads(await websocket.receive_text())
                waiting = self._waiting.pop(said.get("envelope_id", ""), None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(said)
        except (WebSocketDisconnect, RuntimeError):
            self._link = None if self._link is websocket else self._link

    async def cut(self) -> None:
        """Cut the app's connection."""
        if self._link is not None:
            link, self._link = self._link, None
            await link.close()

    @property
    def connected(self) -> bool:
        """True while the app holds a connection in socket mode."""
        return self._link is not None

    def _over_link(self, kind: str, payload: dict[str, Any], retry: int) -> dict[str, Any]:
        envelope = {
            "envelope_id": secrets.token_hex(8),
            "type": kind,
            "payload": payload,
            "accepts_response_payload": kind == "interactive",
            **({"retry_attempt": retry, "retry_reason": "timeout"} if retry else {}),
        }

        async def ask() -> dict[str, Any]:
            assert self._link is not None, "the app is not connected"
            waiting = self._waiting[envelope["envelope_id"]] = asyncio.get_running_loop().create_future()
            await self._link.send_json(envelope)
            return await asyncio.wait_for(waiting, _TIMEOUT)

        assert self._loop is not None, "the app is not connected"
        said = asyncio.run_coroutine_threadsafe(ask(), self._loop).result(_TIMEOUT + 1)
        return {"status": 200, "body": json.dumps(said["payload"]) if said.get("payload") else ""}


def _state(block: dict[str, Any], given: Any) -> dict[str, Any]:
    """What a form's field says when it is sent."""
    element = block["element"]
    name, kind = element["action_id"], element["type"]
    if kind in {"static_select", "external_select", "radio_buttons"}:
        chosen = None if given is None else {"value": str(given), "text": {"type": "plain_text", "text": "-"}}
        return {name: {"type": kind, "selected_option": chosen}}
    if kind == "checkboxes":
        return {name: {"type": kind, "selected_options": element["options"] if given else []}}
    value = element.get("initial_value") if given is None else str(given)
    return {name: {"type": kind, "value": value}}
