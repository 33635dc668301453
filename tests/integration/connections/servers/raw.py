"""An MCP server of nothing but the standard library, which does whatever a test asks of it, good or bad."""

import base64
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time

MODE = os.environ.get("MODE", "")
LOCK = threading.Lock()
TOOLS = {"echo": "Say it back."}
ANSWERS: dict[str, list] = {}


def write(data: bytes) -> None:
    with LOCK:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def send(message: dict) -> None:
    write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")


def reached(action) -> str:
    try:
        action()
    except OSError as error:
        return type(error).__name__
    return "reached"


def structured(value) -> dict:
    return {"content": [], "structuredContent": value}


def log(text: str) -> None:
    with pathlib.Path("calls.log").open("a") as file:
        file.write(text + "\n")


class Tools:
    def echo(self, ident, **args):
        return structured(args)

    def env(self, ident):
        return structured(dict(os.environ))

    def read(self, ident, path):
        return structured({"outcome": reached(lambda: pathlib.Path(path).read_bytes())})

    def write(self, ident, path):
        return structured({"outcome": reached(lambda: pathlib.Path(path).write_text("x"))})

    def sockets(self, ident, port, unix):
        def tcp():
            socket.create_connection(("127.0.0.1", port), timeout=2).close()

        def udp():
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", port))

        def on_file_system():
            socket.socket(socket.AF_UNIX).connect(unix)

        return structured({"tcp": reached(tcp), "udp": reached(udp), "unix": reached(on_file_system)})

    def descriptors(self, ident):
        return structured({"open": sorted(path.name for path in pathlib.Path("/proc/self/fd").iterdir())})

    def capabilities(self, ident):
        lines = pathlib.Path("/proc/self/status").read_text().splitlines()
        return structured(dict(line.split(":\t") for line in lines if line.startswith(("Cap", "NoNewPrivs"))))

    def work_then(self, ident, then, seconds=0.0):
        log(f"worked {then}")
        time.sleep(seconds)
        if then == "die":
            os._exit(3)
        if then == "hang":
            threading.Event().wait()
        return structured({"then": then})

    def text(self, ident, text, error=False):
        return {"content": [{"type": "text", "text": text}], "isError": error}

    def blocks(self, ident):
        return {"content": [{"type": "text", "text": "a"}, {"type": "image", "mimeType": "image/png", "data": "AAAA"}]}

    def secret(self, ident):
        value = os.environ["TOKEN"]
        sys.stderr.write(f"here it is: {value}\n")
        encoded = base64.b64encode(value.encode()).decode()
        return structured({value: [value, f"Bearer {value}!", encoded], "number": 5})

    def secret_error(self, ident):
        return self.text(ident, f"login with {os.environ['TOKEN']} failed", error=True)

    def bytes(self, ident, data):
        write(base64.b64decode(data).replace(b"%ID%", str(ident).encode()) + b"\n")

    def big(self, ident, megabytes, error=False):
        filling = b"x" * (megabytes * 1_000_000)
        flag = b"true" if error else b"false"
        body = b'"result":{"content":[{"type":"text","text":"' + filling + b'"}],"isError":' + flag + b"}}\n"
        write(b'{"jsonrpc":"2.0","id":' + str(ident).encode() + b"," + body)

    def flood(self, ident, lines):
        line = b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}\n'
        for _ in range(lines // 100):
            write(line * 100)
        return structured({"flooded": lines})

    def endless(self, ident):
        while True:
            write(b"x" * 1_000_000)

    def ask(self, ident, method):
        ANSWERS[method] = []
        send({"id": f"s-{method}", "method": method, "params": {}})
        for _ in range(200):
            if ANSWERS[method]:
                return structured({"answer": ANSWERS[method][0]})
            time.sleep(0.01)
        return structured({"answer": None})

    def change(self, ident, description, tell=True):
        TOOLS["echo"] = description
        if tell:
            send({"method": "notifications/tools/list_changed"})
        return structured({})

    def drop(self, ident):
        TOOLS.pop("echo")
        send({"method": "notifications/tools/list_changed"})
        return structured({})

    def child(self, ident):
        process = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
        return structured({"pid": process.pid, "me": os.getpid()})

    def meta(self, ident):
        raise AssertionError("answered where the request is at hand")


def definitions() -> list[dict]:
    names = [name for name in vars(Tools) if not name.startswith("_") and name != "echo"]
    return [
        {"name": name, "description": TOOLS.get(name, ""), "inputSchema": {"type": "object", "properties": {"x": {}}}}
        for name in [*TOOLS, *names]
    ]


def call(ident, params) -> None:
    name, args = params["name"], params.get("arguments", {})
    log(f"called {name}")
    if name == "meta":
        result = structured({"meta": params.get("_meta")})
    elif not hasattr(Tools, name):
        send({"id": ident, "error": {"code": -32602, "message": f"unknown tool {name}"}})
        return
    else:
        result = getattr(Tools(), name)(ident, **args)
    if result is not None:
        send({"id": ident, "result": result})


def handle(message: dict) -> None:
    ident, method = message.get("id"), message.get("method")
    if method is None:
        if str(ident).startswith("s-"):
            ANSWERS[ident[2:]].append(message.get("error") or message.get("result"))
        return
    if MODE == "modern" and method != "server/discover" and "_meta" not in message["params"]:
        send({"id": ident, "error": {"code": -32022, "message": "unsupported", "data": {"supported": ["2026-07-28"]}}})
    elif method == "server/discover":
        send({"id": ident, "result": {"supportedVersions": ["2026-07-28"], "capabilities": {}}})
    elif method == "initialize" and MODE == "wrong_ids":
        send({"id": ident + 1000, "result": {"protocolVersion": "2025-11-25"}})
    elif method == "initialize" and MODE != "mute":
        send({"id": ident, "result": {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {}}})
    elif method == "tools/list":
        send({"id": ident, "result": {"tools": definitions()}})
    elif method == "ping":
        send({"id": ident, "result": {}})
    elif method == "tools/call":
        threading.Thread(target=call, args=(ident, message["params"]), daemon=True).start()


if MODE == "slow":
    time.sleep(1.5)
if MODE == "crash":
    sys.exit(4)
if MODE == "garbage":
    write(b"this is no JSON\n\xff\xfe\n[1,2]\n{}\nnull\n" * 50)
if MODE == "flood":
    while True:
        write(b'{"jsonrpc":"2.0","method":"notifications/message","params":{}}\n' * 1000)
for line in sys.stdin.buffer:
    pathlib.Path("last.line").write_bytes(line)
    handle(json.loads(line))
    if MODE == "frozen" and b'"freeze"' in line:
        threading.Event().wait()
