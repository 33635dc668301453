"""Whether `[mail]` can work: that nothing secret travels in the clear, and that people have addresses that can be."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from remit.config import files as names
from remit.config.reading import Loaded
from remit.config.source import Source
from remit.domain.addresses import parse_address
from remit.domain.project import MailSection
from remit.errors import InvalidInput, Problem


def check_mail(loaded: Loaded) -> Iterator[Problem]:
    """What is wrong with `[mail]` and with the addresses of the people it would write to."""
    source, mail = loaded.sources.get(names.SETTINGS), loaded.project.settings.mail
    if source is None or mail is None:
        return
    yield from _server(source, mail)
    yield from _address(source, ("mail", "sender"), mail.sender)
    yield from _links(source, loaded.project.settings.server.url)
    directory = loaded.sources.get(names.DIRECTORY)
    if directory is not None:
        yield from _people(loaded, directory)


def is_loopback(host: str) -> bool:
    """True for a host that is this machine for certain; a name other than localhost could be anybody."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _server(source: Source, mail: MailSection) -> Iterator[Problem]:
    if mail.security == "none" and not is_loopback(mail.host) and not mail.allow_unencrypted:
        yield source.problem(
            ("mail", "security"),
            f"mails to {mail.host[:80]} would go unencrypted, with the links in them",
            "use `starttls` or `tls`, or accept it with `allow_unencrypted = true`",
        )
    if (mail.user is None) != (mail.password is None):
        given = "user" if mail.user is not None else "password"
        yield source.problem(("mail", given), "to log in needs `user` and `password`", "give both, or neither")


def _links(source: Source, url: str) -> Iterator[Problem]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host):
        said, mend = "the links in mails lead to this machine only", "set `[server] url` to how others reach it"
    elif parts.scheme != "https":
        said, mend = "the links in mails can be read on their way", "use https, by a proxy in front of the server"
    else:
        return
    yield source.problem(("server", "url"), said, mend, severity="warning")


def _people(loaded: Loaded, directory: Source) -> Iterator[Problem]:
    people = loaded.project.directory.people
    listed = directory.get(("people",))
    for position, raw in enumerate(listed if isinstance(listed, list) else ()):
        email = raw.get("email") if isinstance(raw, dict) else None
        if isinstance(email, str):
            yield from _address(directory, ("people", position, "email"), email)
    if not any(person.email for person in people):
        yield directory.problem(
            ("people",), "`[mail]` is on, and nobody has an `email`", "give people their addresses", severity="warning"
        )


def _address(source: Source, path: tuple[str | int, ...], text: str) -> Iterator[Problem]:
    try:
        parse_address(text)
    except InvalidInput as wrong:
        yield source.problem(path, wrong.message, "write `name@example.com`")
