"""A collector for OTLP over HTTP, in the test's own process."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector:
    """Keeps every span that it was given while `status` was 200, in order; answers `delay` seconds late."""

    def __init__(self) -> None:
        self.status = 200
        self.delay = 0.0
        self.spans: list[dict[str, Any]] = []
        self.resources: list[dict[str, Any]] = []
        self.raw = b""
        self.refused = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait(self, enough: Callable[[list[dict[str, Any]]], bool], seconds: float = 30) -> list[dict[str, Any]]:
        """The spans, once there are enough."""
        until = time.monotonic() + seconds
        while not enough(self.spans):
            assert time.monotonic() < until, [span["name"] for span in self.spans]
            time.sleep(0.05)
        return self.spans

    def turn(self, spans: int) -> list[dict[str, Any]]:
        """The spans of one turn that has ended, once there are so many."""
        return self.wait(lambda got: len(got) >= spans and any(s["name"].startswith("invoke_agent") for s in got))

    def _take(self, path: str, body: bytes) -> int:
        time.sleep(self.delay)
        if self.status != 200 or path != "/v1/traces":
            self.refused += 1
            return self.status
        self.raw += body
        request = MessageToDict(ExportTraceServiceRequest.FromString(body))
        for resource in request["resourceSpans"]:
            self.resources.append(_attributes(resource["resource"]))
            for scope in resource["scopeSpans"]:
                for span in scope["spans"]:
                    self.spans.append({**span, "attributes": _attributes(span)})
        return 200

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                self.send_response(collector._take(self.path, body))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        return Handler


def _attributes(holder: dict[str, Any]) -> dict[str, Any]:
    return {one["key"]: _value(one["value"]) for one in holder.get("attributes", ())}


def _value(value: dict[str, Any]) -> Any:
    (kind, inner), *_ = value.items()
    if kind == "arrayValue":
        return [_value(item) for item in inner.get("values", ())]
    return int(inner) if kind == "intValue" else inner
