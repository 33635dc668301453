"""Coming in by the company's identity provider: there, and back."""

from __future__ import annotations

import hmac
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import RedirectResponse, Response

from remit.bootstrap import Services
from remit.errors import NotFound
from remit.governance.logins import ATTEMPT_LIFETIME
from remit.governance.oidc import LoginRefused, Provider, ProviderUnavailable
from remit.surfaces.http import words
from remit.surfaces.http.guard import Open, Ours, entered
from remit.surfaces.web.login import inside, let_in
from remit.surfaces.web.rendering import HEADERS

router = APIRouter()
Anyone = Annotated[None, Depends(Open("whoever comes in is not known yet"))]
_COOKIE, _PATH = "remit_login_state", "/login/oidc"
"""The state is in a cookie too: only the browser that has begun a login can end it."""


@router.get(_PATH)
def there(request: Request, _: Anyone, services: Ours, next: str = "/inbox") -> Response:  # noqa: A002 - in the address
    """Send somebody to the identity provider."""
    provider = _provider(services)
    if entered(request) is not None:
        return RedirectResponse(inside(next), 303, headers=HEADERS)
    try:
        begun = provider.begin()
    except ProviderUnavailable:
        services.logins.turn_away("provider_unavailable")
        raise
    services.logins.begin_at_provider(begun, inside(next))
    answer = RedirectResponse(begun.url, 303, headers=HEADERS)
    answer.set_cookie(
        _COOKIE,
        begun.state,
        max_age=int(ATTEMPT_LIFETIME.total_seconds()),
        path=_PATH,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return answer


@router.get(f"{_PATH}/back")
def back(request: Request, _: Anyone, services: Ours, state: str = "", code: str = "", error: str = "") -> Response:
    """Take somebody whom the identity provider has sent back, and begin a login."""
    provider = _provider(services)
    if not hmac.compare_digest(state.encode(), request.cookies.get(_COOKIE, "").encode()) or not state:
        services.logins.turn_away("state_invalid")
        raise LoginRefused("this login was not begun in this browser, or it took too long")
    attempt = services.logins.back_from_provider(state)
    if attempt is None:
        services.logins.turn_away("state_invalid")
        raise LoginRefused("this login was used already, or it took too long")
    if error or not code:
        services.logins.turn_away("provider_refused", error=words.line(error, 100))
        raise LoginRefused(f"the identity provider did not log you in: {words.line(error, 100) or 'it gave no code'}")
    try:
        identity = provider.finish(code, attempt.nonce, attempt.verifier)
    except (LoginRefused, ProviderUnavailable) as failed:
        why = "provider_unavailable" if isinstance(failed, ProviderUnavailable) else "token_invalid"
        services.logins.turn_away(why)
        raise
    token = services.logins.enter_as(identity, provider.section.claim, request.headers.get("user-agent", ""))
    answer = let_in(request, token, attempt.next)
    answer.delete_cookie(_COOKIE, path=_PATH)
    return answer


def _provider(services: Services) -> Provider:
    if services.provider is None:
        raise NotFound("people do not log in by an identity provider here", advice="Use a link of `remit login`.")
    return services.provider
