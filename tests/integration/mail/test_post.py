"""The way to the mail server: encrypted, checked, logged in; what its answers mean; and what an outage does."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.integration.mail.postroom import DIRECTORY, MailServer, Postroom, body

from remit.config.secrets import SecretUnavailable
from remit.domain.project import MailSection
from remit.errors import ConfigurationError
from remit.runtime.deliveries import RetryLater, Undeliverable
from remit.surfaces.mail.post import Post

TO, SENDER = "bo@shop.example", "remit@shop.example"


def message() -> EmailMessage:
    found = EmailMessage()
    found["Subject"] = "Öl"
    found.set_content("Grüße\n")
    return found


def send(server: MailServer, to: str = TO, *, secret: Callable[[str], str] = lambda _: "", **settings: Any) -> None:
    usual = {"host": server.host, "port": server.port, "security": "none", "sender": SENDER}
    post = Post(MailSection(**(usual | settings)), secret)
    asyncio.run(post.send(message(), SENDER, to))


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine trusts the authority."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))


def certified(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.fixture
def encrypted(authority: trustme.CA) -> Iterator[Callable[..., MailServer]]:
    started: list[MailServer] = []

    def make(name: str = "127.0.0.1", **more: Any) -> MailServer:
        started.append(MailServer(tls=certified(authority, name), **more))
        started[-1].start()
        return started[-1]

    yield make
    for server in started:
        server.stop()


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(("security", "implicit"), [("starttls", False), ("tls", True)])
def test_mails_go_encrypted_and_logged_in(encrypted: Any, security: str, *, implicit: bool) -> None:
    server = encrypted(implicit=implicit, logins={"remit": "pässword"})
    login = {"user": "remit", "password": "env:MAIL_PASSWORD"}
    asked: list[str] = []

    def secret(reference: str) -> str:
        asked.append(reference)
        return "pässword"

    send(server, security=security, secret=secret, **login)
    assert server.recipients == [TO]
    assert body(server.mails[0]) == "Grüße\n"
    assert asked == ["env:MAIL_PASSWORD"]


@pytest.mark.usefixtures("trusted")
def test_a_wrong_password_waits_for_somebody_to_correct_it(encrypted: Any) -> None:
    server = encrypted(logins={"remit": "right"})
    login = {"user": "remit", "password": "env:X", "security": "starttls"}
    with pytest.raises(RetryLater, match="does not let us in: 535") as raised:
        send(server, secret=lambda _: "wrong", **login)
    assert "wrong" not in raised.value.message
    assert server.recipients == []


def test_a_secret_that_is_missing_waits_too(server: MailServer) -> None:
    def missing(_: str) -> str:
        raise SecretUnavailable("the environment variable of env:X is not set, or empty")

    with pytest.raises(RetryLater, match="env:X is not set"):
        send(server, secret=missing, user="remit", password="env:X")


def test_a_server_that_this_machine_does_not_trust_gets_nothing(encrypted: Any) -> None:
    server = encrypted(logins={"remit": "right"})
    for security in ("starttls", "tls"):
        with pytest.raises(RetryLater):
            send(server, security=security, user="remit", password="env:X", secret=lambda _: "right")
    assert server.recipients == []


@pytest.mark.usefixtures("trusted")
def test_a_certificate_for_another_host_is_not_taken(encrypted: Any) -> None:
    server = encrypted("mail.evil.example")
    with pytest.raises(RetryLater, match="cannot be used"):
        send(server, security="starttls")
    assert server.recipients == []


@pytest.mark.usefixtures("trusted")
def test_a_server_that_offers_no_encryption_gets_nothing(server: MailServer) -> None:
    with pytest.raises(RetryLater, match="STARTTLS"):
        send(server, security="starttls")
    assert server.raw == []


def test_nothing_starts_that_would_send_in_the_clear_to_another_machine() -> None:
    settings = {"host": "mail.example", "security": "none", "sender": SENDER}
    with pytest.raises(ConfigurationError, match="would go unencrypted"):
        Post(MailSection(**settings), lambda _: "")
    Post(MailSection(**settings, allow_unencrypted=True), lambda _: "")


@pytest.mark.parametrize("answer", ["451 try again", "421 too busy", "452 no space"])
def test_4xx_is_for_now(server: MailServer, answer: str) -> None:
    server.answers.append(answer)
    with pytest.raises(RetryLater, match=answer):
        send(server)
    send(server)
    assert server.recipients == [TO]


@pytest.mark.parametrize("answer", ["550 no such user", "552 too large", "571 not taken"])
def test_5xx_is_for_good(server: MailServer, answer: str) -> None:
    server.answers.append(answer)
    with pytest.raises(Undeliverable, match=answer):
        send(server)


def test_a_server_that_is_away_is_tried_again(server: MailServer) -> None:
    server.stop()
    with pytest.raises(RetryLater, match=f"{server.host}:{server.port} cannot be used"):
        send(server)
    server.start()
    send(server)
    assert server.recipients == [TO]


def test_an_outage_only_delays_and_each_mail_comes_once(make_postroom: Callable[..., Postroom]) -> None:
    postroom = make_postroom(**{"directory.yaml": DIRECTORY})
    server = postroom.server
    postroom.tell()
    server.stop()
    runs = [postroom.asks() for _ in range(3)]
    for _ in range(3):
        postroom.overdue()
        asyncio.run(postroom.dispatcher.step(postroom.channels[0]))
    waiting = [r for r in postroom.rows() if r["status"] == "due"]
    assert len(waiting) == 6  # to Bo, who decides, and to Eve, who is consulted
    assert any("cannot be used" in r["error"] for r in waiting)
    postroom.world.decide(postroom.world.item(runs[0]), "bo", "deny", reason="meanwhile")
    server.start()
    postroom.overdue()
    postroom.tell()
    postroom.overdue()
    postroom.tell()
    assert len(server.to("bo@shop.example")) == 2  # what was decided meanwhile is not asked any more
    assert len(server.to("eve@shop.example")) == 3
    assert len({m["Message-ID"] for m in server.mails}) == len(server.mails)


def test_a_mail_that_is_sent_again_is_the_same_mail_with_the_same_link(make_postroom: Callable[..., Postroom]) -> None:
    postroom = make_postroom(**{"directory.yaml": DIRECTORY})
    postroom.asks()
    postroom.tell()
    first, path = postroom.server.to("bo@shop.example")[0], postroom.mailed()
    # As if the process had died between the server's yes and writing it down.
    postroom.world.db.execute("update remit.deliveries set status = 'due', next_at = clock_timestamp()")
    postroom.tell()
    again = postroom.server.to("bo@shop.example")[1]
    assert again["Message-ID"] == first["Message-ID"]
    assert postroom.mailed() == path
    assert postroom.browser.get(path).status_code == 200


def test_an_address_that_is_refused_for_good_is_dropped_and_said(make_postroom: Callable[..., Postroom]) -> None:
    postroom = make_postroom(**{"directory.yaml": DIRECTORY})
    run = postroom.world.run()
    postroom.world.waits(run, "till.pay", {"who": "kim", "amount": 200, "currency": "USD", "key": "k"})
    postroom.server.answers += ["550 no such user"] * 2
    postroom.tell()
    dropped = [r for r in postroom.rows() if r["status"] == "dropped"]
    assert dropped
    assert all("550 no such user" in r["error"] for r in dropped)
    assert "surface:delivery:dropped" in postroom.world.tags(run)
