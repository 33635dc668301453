"""`/metrics`: how the system does, in the text form of Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

import psycopg
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from remit.bootstrap import Services
from remit.config.mail_checks import is_loopback
from remit.domain.access import Permission
from remit.errors import DatabaseUnavailable
from remit.storage import gauges

_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


def routes(services: Services) -> list[BaseRoute]:
    """The route. From this machine nobody has to log in; from elsewhere it takes a token with the audit permission."""

    def metrics(request: Request) -> Response:
        if not _is_local(request, services.declared.server.url):
            scheme, _, token = request.headers.get("authorization", "").partition(" ")
            found = services.logins.by_token(token.strip()) if scheme.lower() == "bearer" else None
            if found is None:
                return PlainTextResponse("send a token of `remit token` as `Authorization: Bearer …`\n", 401)
            if not found.viewer.may(Permission.AUDIT):
                return PlainTextResponse("this takes the permission `audit` over the whole company\n", 403)
        try:
            with services.sessions.transaction() as db:
                return PlainTextResponse(render(gauges.read(db)), media_type=_TYPE)
        except (DatabaseUnavailable, psycopg.Error):
            return PlainTextResponse("the database cannot be reached\n", 503)

    return [Route("/metrics", metrics)]


def _is_local(request: Request, declared: str) -> bool:
    """True if somebody on this machine asks, and no proxy for somebody else.

    A proxy on this machine is not told apart by its address. Where one is declared, by a public `[server] url`, or
    says so itself, nobody is local.
    """
    client = request.client.host if request.client is not None else ""
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    forwarded = any(name in request.headers for name in _FORWARDED)
    return not forwarded and all(is_loopback(name) for name in (client, host, urlsplit(declared).hostname or ""))


def render(found: Iterable[gauges.Metric]) -> str:
    """Metrics as text."""
    lines = []
    for metric in found:
        lines += [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}"]
        lines += [f"{metric.name}{_labels(labels)} {_number(value)}" for labels, value in metric.samples]
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(round(value, 6))


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    pairs = (f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return "{" + ",".join(pairs) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
