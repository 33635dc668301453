"""Who is asking, and whether it is open to them.

Every page and endpoint declares what it needs as the type of a parameter: `viewer: Seeing` lets in whoever may see
something somewhere. Which workspaces that are is the viewer's to say, and every query is asked with them. A route that
declares neither a need nor that it is open is found by a contract test.
"""

from __future__ import annotations

from typing import Annotated, cast
from urllib.parse import urlsplit

from fastapi import Depends, Request

from remit.bootstrap import Services
from remit.domain.access import Permission, Viewer
from remit.errors import NotEntitled, NotFound, RemitError
from remit.governance.logins import Entered

COOKIE = "remit_login"
"""The cookie of a login. It holds a random token and nothing else."""
_SAFE = {"GET", "HEAD", "OPTIONS"}


class LoginNeeded(RemitError):
    """Nobody is logged in, or the login has ended."""

    code = "login_needed"
    http_status = 401
    advice = "Log in, or send a token of `remit token` as `Authorization: Bearer …`."


def services(request: Request) -> Services:
    """The services of the project that this application serves."""
    return cast(Services, request.app.state.services)


def entered(request: Request) -> Entered | None:
    """Who is asking: by a bearer token, or by a browser's cookie. Looked up once for each request."""
    if not hasattr(request.state, "entered"):
        request.state.entered = _find(request)
    return cast("Entered | None", request.state.entered)


def _find(request: Request) -> Entered | None:
    logins = services(request).logins
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme:
        return logins.by_token(token.strip()) if scheme.lower() == "bearer" else None
    cookie = request.cookies.get(COOKIE)
    if cookie is None:
        return None
    if request.method not in _SAFE and not is_same_origin(request):
        raise NotEntitled(
            "this was sent by another site", advice="Open the page here, and send it from there. Nothing was changed."
        )
    return logins.by_cookie(cookie)


def is_same_origin(request: Request) -> bool:
    """True if a browser says that a page of this server has sent this.

    Only what carries the browser's cookie is asked: a bearer token is nothing that another site could borrow.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    # Browsers send Sec-Fetch-Site to https and to this machine only; everywhere else a form at least has an Origin.
    declared = urlsplit(services(request).declared.server.url)
    here = {f"{request.url.scheme}://{request.headers.get('host', '')}", f"{declared.scheme}://{declared.netloc}"}
    return request.headers.get("origin") in here


class Needs:
    """Lets in whoever has a permission somewhere."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission

    def __call__(self, request: Request) -> Viewer:
        """The viewer. Raises LoginNeeded or NotEntitled."""
        found = entered(request)
        if found is None:
            raise LoginNeeded("you are not logged in")
        if not found.viewer.may_somewhere(self.permission):
            services(request).logins.refuse(found.viewer, self.permission, request.url.path)
            raise NotEntitled(
                f"{found.viewer.name} may not do this", advice=f"It takes the permission `{self.permission}`."
            )
        return found.viewer


class Open:
    """Lets in anybody; says why that is right."""

    def __init__(self, why: str) -> None:
        self.why = why

    def __call__(self) -> None:
        """Nothing is asked."""


Ours = Annotated[Services, Depends(services)]
Seeing = Annotated[Viewer, Depends(Needs(Permission.SEE))]
Working = Annotated[Viewer, Depends(Needs(Permission.WORK))]
Stopping = Annotated[Viewer, Depends(Needs(Permission.STOP))]
Releasing = Annotated[Viewer, Depends(Needs(Permission.RELEASE))]
Auditing = Annotated[Viewer, Depends(Needs(Permission.AUDIT))]


def must_see(viewer: Viewer, workspace: str | None, what: str) -> None:
    """Raise NotFound, as for something that does not exist, unless the viewer sees this workspace."""
    if not viewer.may(Permission.SEE, workspace):
        raise NotFound(f"there is no {what}", advice="Look at the list; what belongs to other workspaces is not shown.")


def must(viewer: Viewer, permission: Permission, workspace: str | None, what: str) -> None:
    """Raise NotEntitled unless the viewer may do this in a workspace; None: over the whole company."""
    if not viewer.may(permission, workspace):
        where = f"in the workspace {workspace}" if workspace is not None else "over the whole company"
        raise NotEntitled(f"{viewer.name} may not {what} {where}", advice=f"It takes the permission `{permission}`.")
