"""Coming in and going out: one-time links, the login page, the theme."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import RedirectResponse, Response

from remit.domain.directory import PersonStatus
from remit.errors import NotEntitled, RemitError
from remit.governance.logins import LIFETIME
from remit.surfaces.http.guard import COOKIE, Open, Ours, entered, is_same_origin
from remit.surfaces.web.rendering import HEADERS, render

router = APIRouter()
_OFFER = "remit login"
_BY_LINK = "Make a link on the machine where the project runs, and open it in this browser within a quarter of an hour."
Anyone = Annotated[None, Depends(Open("whoever comes in is not known yet"))]


@router.get("/login")
def ask(request: Request, _: Anyone, services: Ours, next: str = "/inbox") -> Response:  # noqa: A002 - in the address
    """Say how somebody comes in."""
    if entered(request) is not None:
        return RedirectResponse(inside(next), 303, headers=HEADERS)
    provider = services.declared.login.oidc
    text = _BY_LINK if provider is None else "Log in as your company knows you."
    return render(
        request,
        "login.html",
        heading="Log in",
        text=text,
        people=None,
        next=next,
        reader="",
        command=_OFFER if provider is None else "",
        provider=provider.title if provider is not None else "",
        status=200 if services.local else 401,
    )


@router.get("/login/{token}")
def show(request: Request, _: Anyone, services: Ours, token: str, next: str = "/inbox") -> Response:  # noqa: A002
    """Show whom a one-time link is for. To look at it does not use it up."""
    found = services.logins.offered(token)
    if found is None:
        raise NotEntitled("this link does not work any more", advice=f"Make another one with `{_OFFER}`.")
    directory = services.deployments.load().project.directory
    named = directory.person(found.person) if found.person is not None else None
    people = [p for p in directory.people if p.status is PersonStatus.ACTIVE] if named is None else []
    text = "This link works once." if named is not None else "Say who you are; then the cockpit opens."
    reader = named.name if named is not None else ""
    return render(
        request,
        "login.html",
        heading="Welcome",
        text=text,
        people=people,
        next=next,
        reader=reader,
        command="",
        provider="",
    )


@router.post("/login/{token}")
def enter(
    request: Request,
    _: Anyone,
    services: Ours,
    token: str,
    person: Annotated[str | None, Form()] = None,
    next: Annotated[str, Form()] = "/inbox",  # noqa: A002
) -> Response:
    """Use a one-time link up and begin a login."""
    if not is_same_origin(request):
        raise NotEntitled("this was sent by another site", advice="Open the link here, and log in from its page.")
    return let_in(request, services.logins.redeem(token, person, request.headers.get("user-agent", "")), next)


def let_in(request: Request, token: str, after: str) -> Response:
    """Give a browser the token of its new login, and go to a page of this server."""
    answer = RedirectResponse(inside(after), 303, headers=HEADERS)
    answer.set_cookie(
        COOKIE,
        token,
        max_age=int(LIFETIME.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return answer


@router.post("/logout")
def leave(request: Request, _: Anyone, services: Ours) -> Response:
    """End the login of this browser."""
    found = entered(request)
    if found is not None and found.login is not None:
        services.logins.leave(found.login, f"person:{found.viewer.person}")
    answer = RedirectResponse("/login", 303, headers=HEADERS)
    answer.delete_cookie(COOKIE)
    return answer


@router.post("/theme")
def theme(
    request: Request,
    _: Anyone,
    theme: Annotated[str, Form()],
    next: Annotated[str, Form()] = "/inbox",  # noqa: A002
) -> Response:
    """Keep a theme in this browser."""
    answer = RedirectResponse(inside(next), 303, headers=HEADERS)
    if theme in {"light", "dark", "auto"} and is_same_origin(request):
        answer.set_cookie("remit_theme", theme, max_age=31_536_000, samesite="lax", httponly=True)
    return answer


def login_page(request: Request, error: RemitError) -> Response:
    """Where somebody goes who has to log in first; they come back to where they were."""
    del error
    came = urlsplit(request.headers.get("referer", ""))
    if request.method == "GET":
        wanted = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
    elif came.netloc == request.headers.get("host"):
        wanted = came.path  # where the form stands that could not be taken
    else:
        wanted = "/inbox"
    return RedirectResponse(f"/login?next={quote(wanted)}", 303, headers=HEADERS)


def inside(path: str) -> str:
    """A place on this server, whatever the address says."""
    plain = path.startswith("/") and not path.startswith(("//", "/\\")) and "\\" not in path and path.isprintable()
    return path if plain else "/inbox"
