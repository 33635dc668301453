"""`python -m remit.fakes NAME`: serve a fake over standard input and output, one JSON message a line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import IO, Any

from remit import __version__
from remit.config.connection_templates import names, template
from remit.errors import NotFound
from remit.fakes.store import Refused, Store

_METHOD_NOT_FOUND = -32601
_PARSE_ERROR = -32700


def serve(name: str, lines: IO[str], out: IO[str], file: Path) -> None:
    """Answer MCP requests until the input ends. Raises NotFound if there is no such template."""
    found = template(name)
    store = Store(found, file)
    for line in lines:
        try:
            message = json.loads(line)
        except ValueError:
            answer: dict[str, Any] | None = _error(None, _PARSE_ERROR, "this is no JSON")
        else:
            answer = _answer(store, name, found.definitions, message)
        if answer is not None:
            out.write(json.dumps(answer, ensure_ascii=False) + "\n")
            out.flush()


def _answer(store: Store, name: str, definitions: list[dict[str, Any]], message: Any) -> dict[str, Any] | None:
    if not isinstance(message, dict) or "method" not in message or "id" not in message:
        return None  # a notification, or an answer to what was never asked
    params = message.get("params") or {}
    match message["method"]:
        case "initialize":
            result: dict[str, Any] = {
                "protocolVersion": params.get("protocolVersion", "2025-06-18"),
                "capabilities": {"tools": {}},
                "serverInfo": {"name": f"{name} (a local fake)", "version": __version__},
            }
        case "ping":
            result = {}
        case "tools/list":
            result = {"tools": definitions}
        case "tools/call":
            result = _call(store, params)
        case method:
            return _error(message["id"], _METHOD_NOT_FOUND, f"there is no method {method}")
    return {"jsonrpc": "2.0", "id": message["id"], "result": result}


def _call(store: Store, params: dict[str, Any]) -> dict[str, Any]:
    try:
        value = store.call(str(params.get("name")), params.get("arguments") or {})
    except Refused as refused:
        return {"content": [{"type": "text", "text": str(refused)}], "isError": True}
    return {"content": [{"type": "text", "text": json.dumps(value, ensure_ascii=False)}], "structuredContent": value}


def _error(ident: Any, code: int, text: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": ident, "error": {"code": code, "message": text}}


def main() -> int:
    """Serve the fake that the command names."""
    if len(sys.argv) != 2:
        sys.stderr.write(f"usage: python -m remit.fakes NAME; there are: {', '.join(names())}\n")
        return 2
    try:
        serve(sys.argv[1], sys.stdin, sys.stdout, Path("fake.sqlite"))
    except NotFound as error:
        sys.stderr.write(f"{error.message}\n  {error.advice}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
