"""The company's identity provider: OpenID Connect, authorization code with PKCE.

Nothing that comes back is believed before it was checked: the state is the browser's own and works once, the code is
redeemed by us at the provider, and the ID token must carry its signature, issuer, audience, times and our nonce.
Sources: OpenID Connect Core 1.0, section 3.1.3.7; RFC 7636; RFC 9700.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx2
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from remit.domain.project import OidcSection
from remit.errors import NotEntitled, RemitError

_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Signatures by a key of which only the public half is known here. `none` and shared secrets are not among them."""
_PATIENCE = 10.0  # seconds
_LARGEST = 1024 * 1024  # bytes of one answer
_LOOK_AGAIN = 3_600.0  # seconds after which description and keys are fetched anew
_LEEWAY = 60  # seconds that clocks may differ


class ProviderUnavailable(RemitError):
    """The identity provider does not answer, or not as one."""

    code = "provider_unavailable"
    http_status = 503
    advice = "Try again; if it stays so, look at `[login.oidc]` and at the provider. Nobody was let in."


class LoginRefused(NotEntitled):
    """What came back from the identity provider does not hold."""

    code = "login_refused"
    advice = "Begin again on the page where you log in."


@dataclass(frozen=True, slots=True)
class Begun:
    """A login that is sent to the provider."""

    url: str
    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom the provider has named."""

    subject: str
    email: str | None
    email_verified: bool


@dataclass(frozen=True, slots=True)
class _Known:
    """What the provider says of itself."""

    authorization: str
    token: str
    posts_secret: bool
    """True: it takes the client's secret in the form only."""
    keys: KeySet
    at: float


class Provider:
    """One identity provider, as `[login.oidc]` names it."""

    def __init__(self, section: OidcSection, back: str, secret: Callable[[], str]) -> None:
        """`back` is where the provider sends people; `secret` gives the client's secret when it is needed."""
        self.section = section
        self._back = back
        self._secret = secret
        self._known: _Known | None = None
        self._asking = threading.Lock()

    def begin(self) -> Begun:
        """Where to send somebody who logs in, and what to keep until they are back. Raises ProviderUnavailable."""
        known = self._description()
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": self.section.client_id,
            "redirect_uri": self._back,
            "scope": "openid email" if self.section.claim == "email" else "openid",
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        joined = "&" if "?" in known.authorization else "?"
        return Begun(f"{known.authorization}{joined}{urlencode(asked)}", state, nonce, verifier)

    def finish(self, code: str, nonce: str, verifier: str) -> Identity:
        """Redeem the code that somebody has brought back. Raises LoginRefused, ProviderUnavailable."""
        known = self._description()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._back,
            "code_verifier": verifier,
        }
        client, secret = self.section.client_id, self._secret()
        if known.posts_secret:
            form |= {"client_id": client, "client_secret": secret}
        answer = self._ask("POST", known.token, data=form, auth=None if known.posts_secret else (client, secret))
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise LoginRefused("the identity provider gave no ID token for this code")
        return self._checked(token, nonce)

    def _checked(self, token: str, nonce: str) -> Identity:
        try:
            claims = self._decoded(token)
            jwt.JWTClaimsRegistry(
                leeway=_LEEWAY,
                iss={"essential": True, "value": self.section.issuer},
                aud={"essential": True, "value": self.section.client_id},
                sub={"essential": True},
                exp={"essential": True},
                iat={"essential": True},
                nonce={"essential": True, "value": nonce},
            ).validate(claims)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise LoginRefused(f"the identity provider's token does not hold: {type(error).__name__}") from None
        audience = claims["aud"]
        several = isinstance(audience, list) and len(audience) > 1
        if claims.get("azp", self.section.client_id if not several else None) != self.section.client_id:
            raise LoginRefused("the identity provider's token was made for somebody else")
        email = claims.get("email")
        return Identity(
            str(claims["sub"]),
            email if isinstance(email, str) else None,
            claims.get("email_verified") in {True, "true"},
        )

    def _decoded(self, token: str) -> dict[str, Any]:
        try:
            return jwt.decode(token, self._description().keys, algorithms=_ALGORITHMS).claims
        except (JoseError, ValueError):  # the keys may have been changed since they were fetched
            return jwt.decode(token, self._description(newer=True).keys, algorithms=_ALGORITHMS).claims

    def _description(self, *, newer: bool = False) -> _Known:
        with self._asking:
            known = self._known
            if known is None or time.monotonic() - known.at > (_PATIENCE if newer else _LOOK_AGAIN):
                known = self._known = self._ask_for_description()
            return known

    def _ask_for_description(self) -> _Known:
        issuer = self.section.issuer
        said = self._ask("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if said.get("issuer") != issuer:
            raise ProviderUnavailable(
                "the identity provider calls itself otherwise than `issuer` in `[login.oidc]`",
                advice="Write `issuer` exactly as the provider's description has it.",
            )
        places = [said.get(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
        scheme = "https://" if issuer.startswith("https://") else "http"
        if not all(isinstance(place, str) and place.startswith(scheme) for place in places):
            raise ProviderUnavailable("the identity provider's description lacks an address, or one is not encrypted")
        authorization, token, keys = map(str, places)
        methods = said.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        try:
            found = KeySet.import_key_set(self._ask("GET", keys))  # type: ignore[arg-type]
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise ProviderUnavailable(f"the identity provider's keys cannot be read: {type(error).__name__}") from None
        return _Known(authorization, token, "client_secret_basic" not in methods, found, time.monotonic())

    def _ask(self, method: str, url: str, **how: Any) -> dict[str, Any]:
        """An answer of the provider: a JSON object. Its words stay out of errors: they may hold a secret."""
        try:
            with (
                httpx2.Client(timeout=_PATIENCE, follow_redirects=False) as client,
                client.stream(method, url, headers={"accept": "application/json"}, **how) as answer,
            ):
                body = b""
                for part in answer.iter_bytes():
                    body += part
                    if len(body) > _LARGEST:
                        raise ProviderUnavailable("the identity provider answers with too much")
                if method == "POST" and answer.status_code in {400, 401, 403}:
                    raise LoginRefused("the identity provider did not take the code, or not from this client")
                if answer.status_code != 200:
                    raise ProviderUnavailable(f"the identity provider answers {answer.status_code}")
                found = httpx2.Response(200, content=body).json()
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, RecursionError) as error:
            raise ProviderUnavailable(f"the identity provider does not answer: {type(error).__name__}") from None
        if not isinstance(found, dict):
            raise ProviderUnavailable("the identity provider does not answer with a JSON object")
        return found
