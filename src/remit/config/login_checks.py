"""Whether `[login.oidc]` can work: that nothing secret travels in the clear, and that whom it names is one person."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from remit.config import files as names
from remit.config.mail_checks import is_loopback
from remit.config.reading import Loaded
from remit.config.source import Source
from remit.domain.directory import PersonStatus
from remit.domain.project import OidcSection
from remit.errors import Problem

_SECTION = ("login", "oidc")


def check_login(loaded: Loaded) -> Iterator[Problem]:
    """What is wrong with `[login.oidc]` and with how the directory names the people who would log in by it."""
    source, oidc = loaded.sources.get(names.SETTINGS), loaded.project.settings.login.oidc
    if source is None or oidc is None:
        return
    yield from _provider(source, oidc)
    yield from _here(source, loaded.project.settings.server.url)
    directory = loaded.sources.get(names.DIRECTORY)
    if directory is not None:
        yield from _people(loaded, directory, oidc)


def _provider(source: Source, oidc: OidcSection) -> Iterator[Problem]:
    parts = urlsplit(oidc.issuer)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        said = "the client's secret and people's tokens would go unencrypted"
        yield source.problem((*_SECTION, "issuer"), said, "use https; http is for this machine only")
    if oidc.issuer.endswith("/.well-known/openid-configuration"):
        said = "this is the provider's description, not the provider"
        yield source.problem((*_SECTION, "issuer"), said, "leave out `/.well-known/openid-configuration`")


def _here(source: Source, url: str) -> Iterator[Problem]:
    parts = urlsplit(url)
    if is_loopback(parts.hostname or ""):
        said, mend = "the provider sends people back to this machine only", "set `[server] url` to how others reach it"
    elif parts.scheme != "https":
        said, mend = "people's logins can be read on their way", "use https, by a proxy in front of the server"
    else:
        return
    yield source.problem(("server", "url"), said, mend, severity="warning")


def _people(loaded: Loaded, directory: Source, oidc: OidcSection) -> Iterator[Problem]:
    field = "subject" if oidc.claim == "sub" else "email"
    seen: dict[str, str] = {}
    for position, person in enumerate(loaded.project.directory.people):
        named = person.subject if oidc.claim == "sub" else (person.email or "").casefold()
        if not named or person.status is not PersonStatus.ACTIVE:
            continue
        if named in seen:
            said = f"this is {seen[named]}'s {field} already: a login would be either's, so neither comes in"
            yield directory.problem(("people", position, field), said, "give each person their own")
        seen.setdefault(named, person.id)
    if not seen:
        said = f"`[login.oidc]` names people by `{field}`, and nobody has one"
        yield directory.problem(("people",), said, f"give people their `{field}`", severity="warning")
