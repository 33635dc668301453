"""Calls over streamable HTTP to local servers."""

import asyncio
import json
import ssl
import subprocess
import sys
import threading
import time
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from remit.domain.connections import HttpConnection
from remit.runtime.connections import Connections, pin_tools

TOKEN = "Bearer t0ken-of-the-vendor"


class Vendor(ThreadingHTTPServer):
    """An MCP server over HTTP whose answer to each method a test can replace."""

    daemon_threads = True
    request_queue_size = 100

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen = []
        self.calls = []
        self.answers = {}
        self.session = "s-1"
        self.description = "Say it back."
        self.notify = threading.Event()

    def last_call(self):
        """Headers of the last call of a tool; the stream of notifications is asked for at any time."""
        return next(headers for method, headers, _ in reversed(self.seen) if method == "tools/call")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/mcp"

    def handle_error(self, request, client_address):
        """A client that hangs up is part of the tests."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        """Be quiet."""

    def reply(self, status, body=b"", kind="application/json", **headers):
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def result(self, ident, result, **headers):
        self.reply(200, json.dumps({"jsonrpc": "2.0", "id": ident, "result": result}).encode(), **headers)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        message = json.loads(body)
        vendor, method, ident = self.server, message.get("method"), message.get("id")
        vendor.seen.append((method, {k.lower(): v for k, v in self.headers.items()}, body))
        if method == "tools/call":
            vendor.calls.append(message["params"])
        if method in vendor.answers:
            vendor.answers[method](self, ident)
        elif method == "initialize":
            self.result(ident, {"protocolVersion": "2025-06-18", "capabilities": {}}, Mcp_Session_Id=vendor.session)
        elif method == "tools/list":
            tool = {"name": "echo", "description": vendor.description, "inputSchema": {"type": "object"}}
            self.result(ident, {"tools": [tool]})
        elif method == "tools/call":
            self.result(ident, {"structuredContent": message["params"]["arguments"]})
        else:
            self.reply(202)

    def do_GET(self):
        self.server.seen.append(("GET", dict(self.headers), b""))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.server.notify.wait(5)
        self.wfile.write(b'data: {"jsonrpc":"2.0","method":"notifications/tools/list_changed"}\n\n')

    def do_DELETE(self):
        self.server.seen.append(("DELETE", dict(self.headers), b""))
        self.reply(200)


@contextmanager
def serving():
    vendor = Vendor()
    thread = threading.Thread(target=vendor.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield vendor
    finally:
        vendor.notify.set()
        vendor.shutdown()
        vendor.server_close()
        thread.join()


@pytest.fixture
def vendor():
    with serving() as server:
        yield server


@asynccontextmanager
async def connected(url, tmp_path, *, pins=None, token=TOKEN, **options):
    spec = HttpConnection(transport="http", url=url, headers={"Authorization": "env:TOKEN", "X-Plain": "p"}, **options)
    connections = Connections(tmp_path, {"vendor": spec}, {"env:TOKEN": token}.__getitem__, pins=pins)

    async def call(tool="echo", *, within=10.0, cleared=30.0, **arguments):
        return await connections.call(
            "vendor",
            tool,
            arguments,
            meta=None,
            timeout=timedelta(seconds=within),
            deadline=time.monotonic() + cleared,
        )

    call.connections = connections
    try:
        yield call
    finally:
        async with asyncio.timeout(10):
            await connections.close()


def test_calls_carry_the_credential_the_session_and_the_version(vendor, tmp_path):
    async def main():
        async with connected(vendor.url, tmp_path) as call:
            answers = await asyncio.gather(*(call(n=n) for n in range(50)))
            assert [a.result for a in answers] == [{"n": n} for n in range(50)]
            headers = vendor.last_call()
            assert headers["authorization"] == TOKEN
            assert headers["x-plain"] == "p"
            assert headers["mcp-session-id"] == "s-1"
            assert headers["mcp-protocol-version"] == "2025-06-18"
        assert vendor.seen[-1][0] == "DELETE"

    asyncio.run(main())


def test_a_server_of_the_usual_library(tmp_path):
    code = (
        "import sys\nfrom fastmcp import FastMCP\ns = FastMCP('x')\n"
        "@s.tool\ndef add(a: int, b: int) -> dict[str, int]:\n    return {'sum': a + b}\n"
        "s.run(transport='http', host='127.0.0.1', port=int(sys.argv[1]), show_banner=False, log_level='ERROR')\n"
    )
    with serving() as free:
        port = free.server_port
    server = subprocess.Popen([sys.executable, "-c", code, str(port)], stderr=subprocess.DEVNULL)

    async def main():
        async with connected(f"http://127.0.0.1:{port}/mcp", tmp_path) as call:
            until = time.monotonic() + 20
            while (answer := await call("add", a=2, b=3)).reason == "not_connected":
                assert time.monotonic() < until
                await asyncio.sleep(0.1)
            assert answer.result == {"sum": 5}
            assert "there" not in (await call("missing")).status

    try:
        asyncio.run(main())
    finally:
        server.kill()
        server.wait()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["initialize", "tools/call"])
def test_no_redirect_is_followed(vendor, tmp_path, status, method):
    with serving() as thief:
        places = iter([thief.url, vendor.url + "/", "//" + thief.url.partition("//")[2]] * 3)
        vendor.answers[method] = lambda handler, _: handler.reply(status, Location=next(places))

        async def main():
            async with connected(vendor.url, tmp_path) as call:
                for _ in range(2):
                    answer = await call()
                    assert answer.status == "failed"
                    assert "redirect" in answer.error
                    assert answer.sent == (method == "tools/call")

        asyncio.run(main())
        assert thief.seen == []


@pytest.mark.parametrize(
    ("status", "outcome"), [(400, "failed"), (403, "failed"), (429, "failed"), (500, "unknown"), (503, "unknown")]
)
def test_http_errors_are_known_or_unknown(vendor, tmp_path, status, outcome):
    vendor.answers["tools/call"] = lambda handler, _: handler.reply(status, b"<html>", kind="text/html")

    async def main():
        async with connected(vendor.url, tmp_path) as call:
            answer = await call()
            assert (answer.status, answer.reason, answer.sent) == (outcome, "http_error", True)
            assert str(status) in answer.error

    asyncio.run(main())


def test_a_refused_credential_is_resolved_anew(vendor, tmp_path):
    vendor.answers["tools/call"] = lambda handler, _: handler.reply(401)

    async def main():
        async with connected(vendor.url, tmp_path) as call:
            assert (await call()).status == "failed"
            del vendor.answers["tools/call"]
            call.connections._secrets = {"env:TOKEN": "Bearer rotated"}.__getitem__
            assert (await call()).status == "succeeded"
            assert vendor.last_call()["authorization"] == "Bearer rotated"

    asyncio.run(main())


def test_an_ended_session_is_opened_again_and_the_call_goes_out_once_more(vendor, tmp_path):
    def gone(handler, _):
        del vendor.answers["tools/call"]
        vendor.calls.clear()
        vendor.session = "s-2"
        handler.reply(404)

    async def main():
        async with connected(vendor.url, tmp_path) as call:
            assert (await call(n=1)).status == "succeeded"
            vendor.answers["tools/call"] = gone
            assert (await call(n=2)).result == {"n": 2}
            assert len(vendor.calls) == 1
            assert vendor.last_call()["mcp-session-id"] == "s-2"

    asyncio.run(main())


def test_a_time_out_and_a_lost_connection_are_unknown(vendor, tmp_path):
    def hang(handler, _):
        time.sleep(0.6)
        handler.close_connection = True

    def hang_up(handler, _):
        handler.close_connection = True
        handler.connection.close()

    async def main():
        async with connected(vendor.url, tmp_path) as call:
            await call()
            vendor.answers["tools/call"] = hang
            slow = await call(within=0.2)
            assert (slow.status, slow.reason, slow.sent) == ("unknown", "timeout", True)
            vendor.answers["tools/call"] = hang_up
            lost = await call()
            assert (lost.status, lost.reason, lost.sent) == ("unknown", "connection_lost", True)

    asyncio.run(main())


def test_no_server_means_nothing_sent(tmp_path):
    with serving() as gone:
        url = gone.url

    async def main():
        async with connected(url, tmp_path) as call:
            answer = await call()
            assert (answer.status, answer.reason, answer.sent) == ("failed", "not_connected", False)

    asyncio.run(main())


def test_nothing_is_sent_after_the_deadline(vendor, tmp_path):
    async def main():
        async with connected(vendor.url, tmp_path) as call:
            await call()
            vendor.calls.clear()
            assert (await call(cleared=0.0)).reason == "clearance_expired"
            peer = await next(iter(call.connections._links.values())).ready(time.monotonic() + 5)
            wire = peer.wire
            original = wire._headers

            def paused():
                time.sleep(0.2)  # as if the process had been stopped between the check for readiness and the send
                return original()

            wire._headers = paused
            late = await call(cleared=0.1)
            assert (late.status, late.reason, late.sent) == ("failed", "clearance_expired", False)
            assert vendor.calls == []

    asyncio.run(main())


def event(ident, text):
    answer = {"jsonrpc": "2.0", "id": ident, "result": {"content": [{"type": "text", "text": text}]}}
    asking = {"jsonrpc": "2.0", "id": 7, "method": "sampling/createMessage", "params": {}}
    lines = f": hello\r\nevent: message\r\ndata: {json.dumps(asking)}\r\n\r\nid: 3\r\n"
    return (
        lines + "".join(f"data: {part}\r\n" for part in json.dumps(answer, indent=1).splitlines()) + "\r\n"
    ).encode()


def test_an_answer_in_a_stream_of_events(vendor, tmp_path):
    vendor.answers["tools/call"] = lambda h, ident: h.reply(200, event(ident, "done"), kind="text/event-stream")

    async def main():
        async with connected(vendor.url, tmp_path) as call:
            assert (await call()).result == {"text": "done"}
            until = time.monotonic() + 3
            while not any(b"-32601" in body for _, _, body in vendor.seen):
                assert time.monotonic() < until, "the server's request was not refused"
                await asyncio.sleep(0.01)

    asyncio.run(main())


def test_a_stream_that_ends_without_an_answer_is_unknown(vendor, tmp_path):
    vendor.answers["tools/call"] = lambda h, _: h.reply(200, b": nothing\n\n", kind="text/event-stream")

    async def main():
        async with connected(vendor.url, tmp_path) as call:
            answer = await call()
            assert (answer.status, answer.reason) == ("unknown", "connection_lost")

    asyncio.run(main())


def test_large_and_malformed_bodies(vendor, tmp_path):
    big = b'{"jsonrpc":"2.0","id":%d,"result":{"content":[{"type":"text","text":"' + b"x" * 9_000_000 + b'"}]}}'
    vendor.answers["tools/call"] = lambda h, ident: h.reply(200, big % ident)

    async def main():
        async with connected(vendor.url, tmp_path) as call:
            answer = await call()
            assert (answer.status, answer.result["result_unstorable"]) == ("succeeded", True)
            data = b"data: " + big
            vendor.answers["tools/call"] = lambda h, i: h.reply(200, data % i + b"\n\n", kind="text/event-stream")
            assert (await call()).result["result_unstorable"] is True
            vendor.answers["tools/call"] = lambda h, i: h.reply(200, b'{"id":%d,"result":{"a":NaN}' % i)
            assert (await call()).result["result_unstorable"] is True
            vendor.answers["tools/call"] = lambda h, _: h.reply(200, b"hello")
            assert (await call()).status == "unknown"
            vendor.answers["tools/call"] = lambda h, _: h.reply(200, b"\x1f\x8b", Content_Encoding="gzip")
            assert (await call()).status == "unknown"

    asyncio.run(main())


def test_changed_tools_are_heard_of(vendor, tmp_path):
    async def main():
        async with connected(vendor.url, tmp_path) as call:
            pins = await pin_tools(call.connections)
        async with connected(vendor.url, tmp_path, pins=pins) as call:
            assert (await call()).status == "succeeded"
            vendor.description = "Say it back, twice."
            vendor.notify.set()
            until = time.monotonic() + 3
            while (answer := await call()).status == "succeeded":
                assert time.monotonic() < until
                await asyncio.sleep(0.01)
            assert (answer.reason, answer.sent) == ("tool_changed", False)

    asyncio.run(main())


def test_a_secret_that_is_no_header_value_is_not_repeated(vendor, tmp_path):
    async def main():
        async with connected(vendor.url, tmp_path, token="abc-first\nabc-second") as call:
            answer = await call()
            assert (answer.status, answer.sent) == ("failed", False)
            assert "abc" not in answer.error

    asyncio.run(main())


def test_an_unknown_certificate_is_refused(tmp_path, certificate):
    with serving() as vendor:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        vendor.socket = context.wrap_socket(vendor.socket, server_side=True)

        async def main():
            async with connected(f"https://localhost:{vendor.server_port}/mcp", tmp_path) as call:
                answer = await call()
                assert (answer.status, answer.sent) == ("failed", False)
                assert "certificate" in answer.error.lower()

        asyncio.run(main())
        assert vendor.seen == []
