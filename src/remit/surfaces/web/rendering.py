"""Templates, and what every page is given: who looks, what waits for them, and which stops are in force."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse, RedirectResponse, Response

from remit import __version__
from remit.domain import canonical
from remit.domain.access import Permission, Viewer
from remit.errors import InvalidInput, RemitError
from remit.storage import cockpit, stops, stream
from remit.storage.sessions import Db
from remit.surfaces.http import words
from remit.surfaces.http.guard import services
from remit.surfaces.web import once
from remit.surfaces.web.tables import tabled

FOLDER = Path(__file__).parent
HEADERS = {
    # form-action is not covered by default-src. Tabler draws its check marks and arrows from data: images.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""On every page: nothing is loaded from elsewhere, framed, kept, or told to other sites."""
_SAID = "remit_said"
_ACTION = re.compile(r"\bact_[0-9a-z]{26}\b")
MOST = 1_000
"""Counts are exact up to here, then `1,000+`."""


def page(request: Request, template: str, viewer: Viewer, db: Db, *, status: int = 200, **context: Any) -> HTMLResponse:
    """A whole page, in the frame that all pages share. `db` is read for what the frame shows."""
    project = services(request).deployments.current().project
    frame = {
        "viewer": viewer,
        "project": project.settings.project.name,
        "mine": capped(cockpit.open_for(db, viewer.person, MOST + 1)),
        "stops_in_force": _visible_stops(db, viewer),
        "position": getattr(request.state, "position", None) or stream.mark(db),
        "path": request.url.path,
        "here": _here(request),
        "may": viewer.may_somewhere,
        "Permission": Permission,
        "person_name": _names(request),
    }
    return render(request, template, status=status, **frame, **context)


def note_position(request: Request) -> None:
    """Where the record stands before a page looks at anything: what happens while it is drawn is told to it after."""
    if request.method == "GET" and not request.url.path.startswith(("/static/", "/login", "/live")):
        with services(request).sessions.transaction() as db:
            request.state.position = stream.mark(db)


def render(request: Request, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
    """A template with what even a page without a viewer needs."""
    # An open page that looks anew would use up a word that was meant for the page to which somebody is on the way.
    said = None if refreshes(request) else request.cookies.get(_SAID)
    text = TEMPLATES.get_template(template).render(
        theme=request.cookies.get("remit_theme", "auto"),
        version=__version__,
        said=words.line(unquote(said), 300) if said else "",
        **context,
    )
    answer = HTMLResponse(text, status, headers=HEADERS)
    if said:
        answer.delete_cookie(_SAID, samesite="strict")
    return answer


def refreshes(request: Request) -> bool:
    """Whether a page that is open already asks for itself anew, and nobody has gone to it."""
    return "hx-request" in request.headers


def refusal(error: RemitError) -> str:
    """What was wrong and what to do about it. That what is wrong is to be corrected goes without saying on a page."""
    return f"{error.message}." if error.advice == InvalidInput.advice else f"{error.message}. {error.advice}"


def back(request: Request, to: str, *, said: str = "") -> Response:
    """After something was done: show a page, with a word about it. To reload that page sends nothing again."""
    answer = RedirectResponse(to, status_code=303, headers=HEADERS)
    if said:
        answer.set_cookie(
            _SAID,
            quote(words.line(said, 300)),
            max_age=20,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
    return answer


def capped(count: int) -> str:
    """A count for people: exact up to a thousand."""
    return f"{MOST:,}+" if count > MOST else f"{count:,}"


def _visible_stops(db: Db, viewer: Viewer) -> list[Any]:
    """Stops that are in force; one of a workspace is shown to those who see it."""
    found = stops.in_force(db)
    return [s for s in found if s.scope != "workspace" or viewer.may(Permission.SEE, s.target)]


def _here(request: Request) -> str:
    query = request.url.query
    return f"{request.url.path}?{query}" if query else request.url.path


def _names(request: Request) -> Any:
    directory = services(request).deployments.current().project.directory

    def name(reference: str | None) -> str:
        """What people call somebody, for `person:ID`, `ID` or anything else."""
        if not reference:
            return ""
        found = directory.person(reference.removeprefix("person:"))
        return found.name if found is not None else words.line(reference, 80)

    return name


def _ago(at: datetime | None, now: datetime | None = None) -> str:
    """How long ago, or in how long, in one unit."""
    if at is None:
        return ""
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    size = abs(seconds)
    for limit, unit, name in ((60, 1, "s"), (3_600, 60, "min"), (86_400, 3_600, "h"), (float("inf"), 86_400, "d")):
        if size < limit:
            text = f"{int(size // unit)} {name}"
            break
    return f"{text} ago" if seconds >= 0 else f"in {text}"


def _time(at: datetime | str | None) -> Markup:
    """A moment: how long ago, with the exact time behind it."""
    if at is None:
        return Markup()
    if isinstance(at, str):
        at = datetime.fromisoformat(at)
    exact = f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(at.isoformat(), exact, _ago(at))


def _json(value: Any, limit: int = 20_000) -> str:
    """A JSON value on several lines, bounded."""
    if isinstance(value, str):
        return words.text(value, limit)
    return words.text(json.dumps(canonical.plain(value), indent=2, ensure_ascii=False, default=str), limit)


def _usd(micros: int | None) -> str:
    """Money in US dollars."""
    amount = (micros or 0) / 1_000_000
    return f"{amount:,.2f} USD" if amount >= 1 or not amount else f"{amount:.4f} USD"


def _day(at: datetime, by_hour: bool = False) -> str:
    """A day, or an hour of one, in UTC."""
    return f"{at.astimezone(UTC):{'%d %b %H:%M' if by_hour else '%d %b'}}"


def _minute(at: datetime) -> str:
    """A moment as forms send it, in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M}"


def _duration(took: timedelta) -> str:
    """How long something took, in one unit."""
    return _ago(datetime.now(UTC) - max(took, timedelta()), datetime.now(UTC)).removesuffix(" ago")


def _linked(told: str) -> Markup:
    """A text in which each action that it names leads to that action."""
    return Markup(_ACTION.sub(r'<a href="/actions/\g<0>">\g<0></a>', str(escape(told))))  # noqa: S704 - escaped


def _query(given: Mapping[str, Any], **changed: Any) -> str:
    """The given query with some of it changed; what is empty is left out."""
    merged = {**given, **changed}
    return urlencode({k: v for k, v in merged.items() if v not in {None, ""}})


TEMPLATES = Environment(
    loader=FileSystemLoader(FOLDER / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters |= {
    "ago": _ago,
    "time": _time,
    "json": _json,
    "usd": _usd,
    "day": _day,
    "minute": _minute,
    "duration": _duration,
    "instant": datetime.fromisoformat,
    "line": words.line,
    "text": words.text,
    "shown": words.shown,
    "capped": capped,
    "tabled": tabled,
    "linked": _linked,
}
TEMPLATES.globals |= {"query": _query, "escape": escape, "once": once.field}
