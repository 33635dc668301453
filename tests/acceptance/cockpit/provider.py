"""An identity provider of one company, small and wilful: it can be told to answer wrongly in every way that matters."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "remit", "the client's secret"


class Company:
    """The provider, and what it says of whoever logs in."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "k1"})
        self.signs_with = self.key
        self.who: dict[str, Any] = {"sub": "u-bo", "email": "bo@example.com", "email_verified": True}
        self.changed: dict[str, Any] = {}
        """Claims of ID tokens that are wrong: None leaves one out, times are seconds from now."""
        self.description: dict[str, Any] = {}
        self.header = {"alg": "RS256", "kid": "k1"}
        self.asked: list[str] = []
        self._codes: dict[str, dict[str, str]] = {}
        company = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                company.asked.append(self.path)
                parts = urlsplit(self.path)
                if parts.path == "/authorize":
                    self.send_response(303)
                    self.send_header("Location", company.authorize(self.path))
                    self.end_headers()
                    return
                self._send(200, company.documents().get(parts.path))

            def do_POST(self) -> None:
                company.asked.append(self.path)
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                given = {name: values[0] for name, values in parse_qs(body).items()}
                token = company.redeem(given, self.headers.get("authorization", ""))
                self._send(200 if token else 400, {"id_token": token, "access_token": "x", "token_type": "Bearer"})

            def _send(self, status: int, value: Any) -> None:
                body = json.dumps(value).encode()
                self.send_response(status if value is not None else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.issuer = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def documents(self) -> dict[str, Any]:
        return {
            "/.well-known/openid-configuration": {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
                **self.description,
            },
            "/keys": {"keys": [self.key.as_dict(private=False)]},
        }

    def authorize(self, url: str) -> str:
        """Whoever comes is logged in at once. Returns where they are sent back to."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert (asked["client_id"], asked["response_type"]) == (CLIENT, "code")
        assert asked["code_challenge_method"] == "S256"
        code = f"code{len(self._codes)}"
        self._codes[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def redeem(self, given: dict[str, str], authorization: str) -> str | None:
        """An ID token for a code, once, for the client whose code it is."""
        asked = self._codes.pop(given["code"], None)
        proof = hashlib.sha256(given["code_verifier"].encode()).digest()
        client = base64.b64decode(authorization.removeprefix("Basic ")).decode() if authorization else ""
        if authorization and client != f"{CLIENT}:{SECRET}":
            return None
        if not authorization and given.get("client_secret") != SECRET:
            return None
        if asked is None or base64.urlsafe_b64encode(proof).rstrip(b"=").decode() != asked["code_challenge"]:
            return None
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "exp": now + 300, "iat": now, "nonce": asked["nonce"], **self.who}
        changed = {n: now + v if n in {"exp", "iat"} and v is not None else v for n, v in self.changed.items()}
        claims = {name: value for name, value in (claims | changed).items() if value is not None}
        return jwt.encode(self.header, claims, self.signs_with, algorithms=[self.header["alg"]])

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def open_company() -> Iterator[Company]:
    company = Company()
    try:
        yield company
    finally:
        company.close()
