"""The mails that people get: what stands in them, how they hang together, and what hostile text cannot do."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.integration.mail.postroom import BY_MAIL, DIRECTORY, Postroom, body

PAY = {"who": "kim", "amount": 200, "currency": "USD", "key": "k"}


@pytest.fixture
def postroom(make_postroom: Callable[..., Postroom]) -> Postroom:
    return make_postroom(**{"directory.yaml": DIRECTORY})


def test_who_may_approve_gets_one_mail_with_what_it_takes_to_decide(postroom: Postroom) -> None:
    run = postroom.asks()
    postroom.tell()
    postroom.tell()
    (mail,) = postroom.server.to("bo@shop.example")
    item = postroom.world.item(run)
    assert mail["From"] == "Remit world <remit@shop.example>"
    assert mail["To"].addresses[0].display_name == "Bo Öst"
    assert mail["Subject"].startswith("Your decision is asked for: clerk: Pay of 200 USD")
    for kind in ("plain", "html"):
        text = body(mail, kind)
        for wanted in ("kim", "200", "USD", "needs_human_approval_over_100", "policies/world.cedar", "Europe/Berlin"):
            assert wanted in text, (kind, wanted)
    assert f"remit decide {item.id} approve|deny" in body(mail)  # no mail_approval: the link decides nothing
    assert "src=" not in body(mail, "html")  # nothing is fetched


def test_mails_that_are_nobodys_own_business_are_marked_as_sent_by_a_program(postroom: Postroom) -> None:
    postroom.asks()
    postroom.tell()
    (mail,) = postroom.server.to("bo@shop.example")
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["List-Id"].endswith(".shop.example>")


def test_the_outcome_answers_the_mail_that_asked(postroom: Postroom) -> None:
    run = postroom.asks()
    item = postroom.world.item(run)
    with postroom.sessions.transaction() as db:
        db.execute("update remit.inbox_items set assignees = '{bo,cleo}' where id = %s", (item.id,))
    postroom.tell()
    postroom.world.decide(postroom.world.item(run), "bo", "deny", reason="too much")
    postroom.tell()
    postroom.tell()
    asked, ended = postroom.server.to("cleo@shop.example")
    assert ended["In-Reply-To"] == asked["Message-ID"]
    assert asked["References"] in ended["References"]  # the session's own thread
    assert ended["Subject"] == f"Re: {asked['Subject']}"
    assert "denied" in body(ended)
    assert "too much" in body(ended)
    assert len(postroom.server.to("bo@shop.example")) == 1  # who decided needs no mail


def test_everything_of_one_session_is_one_conversation(postroom: Postroom) -> None:
    run = postroom.asks()
    postroom.world.waits(run, "till.pay", {**PAY, "amount": 300}, key="2")
    other = postroom.asks()
    postroom.tell()
    threads = {m["References"] for m in postroom.server.to("bo@shop.example")}
    assert len(postroom.server.to("bo@shop.example")) == 3
    assert len(threads) == 2
    assert other.session_id != run.session_id


def test_hostile_text_adds_no_header_no_markup_and_no_line_of_ours(postroom: Postroom) -> None:
    evil = (
        "kim\r\nBcc: mallory@evil.example\r\n\r\n<img src=https://evil.example/x><script>1</script>"
        "\u202egpj.exe\u2028=?utf-8?q?=0D=0ABcc:_x@evil.example?=\x00"
    )
    postroom.world.waits(postroom.world.run(), "till.pay", {**PAY, "who": evil})
    postroom.tell()
    (raw,) = postroom.server.raw
    (mail,) = postroom.server.mails
    assert postroom.server.recipients == ["bo@shop.example"]
    assert mail["Bcc"] is None
    head = raw.partition(b"\r\n\r\n")[0].lower()
    assert b"\nbcc:" not in head
    assert "<img" not in body(mail, "html")
    assert "<script" not in body(mail, "html")
    assert "\u202e" not in body(mail)
    # What an outsider wrote over several lines is marked on every line.
    assert "\n| Bcc: mallory@evil.example" in body(mail)


def test_an_encoded_word_in_a_value_is_not_decoded_into_a_header(postroom: Postroom) -> None:
    postroom.world.waits(postroom.world.run(), "till.pay", {**PAY, "who": "=?utf-8?q?Paid=2C_all_is_well?="})
    postroom.tell()
    (mail,) = postroom.server.mails
    assert "Paid, all is well" not in mail["Subject"]
    assert "= ?utf-8?q?Paid" in mail["Subject"]


def test_a_very_long_text_is_cut(postroom: Postroom) -> None:
    postroom.world.waits(postroom.world.run(), "till.pay", {**PAY, "memo": "m" * 1_000_000})
    postroom.tell()
    (raw,) = postroom.server.raw
    assert len(raw) < 60_000
    assert "more characters" in body(postroom.server.mails[0])


def test_fields_that_the_project_redacts_stay_out_of_mails(make_postroom: Callable[..., Postroom]) -> None:
    actions = BY_MAIL.replace("    title: Pay\n", "    title: Pay\n    redact: [memo]\n")
    postroom = make_postroom(**{"directory.yaml": DIRECTORY, "actions.yaml": actions})
    postroom.world.waits(postroom.world.run(), "till.pay", {**PAY, "memo": {"iban": "SECRET-IBAN"}})
    postroom.tell()
    assert "SECRET-IBAN" not in body(postroom.server.mails[0])
    assert "SECRET-IBAN" in postroom.browser.get(postroom.mailed()).text  # who decides sees what is decided


def test_a_domain_in_another_script_goes_out_in_ascii(make_postroom: Callable[..., Postroom]) -> None:
    directory = DIRECTORY.replace("bo@shop.example", "bo@straße.example")
    postroom = make_postroom(**{"directory.yaml": directory})
    postroom.asks()
    postroom.tell()
    assert postroom.server.recipients == ["bo@xn--strae-oqa.example"]
    assert postroom.server.mails[0]["To"].addresses[0].addr_spec == "bo@xn--strae-oqa.example"


def test_a_mailbox_in_another_script_needs_a_server_that_takes_it(make_postroom: Callable[..., Postroom]) -> None:
    directory = DIRECTORY.replace("bo@shop.example", "bö@shop.example")
    postroom = make_postroom(**{"directory.yaml": directory})
    postroom.asks()
    postroom.tell()
    assert postroom.server.recipients == ["bö@shop.example"]
    postroom.server.stop()
    postroom.server.utf8 = False
    postroom.server.start()
    postroom.asks()
    postroom.tell()
    assert postroom.server.recipients.count("bö@shop.example") == 1
    (row,) = (r for r in postroom.rows() if r["status"] == "dropped")
    assert "takes no address with such characters" in row["error"]


def test_people_without_an_address_are_left_to_other_surfaces(postroom: Postroom) -> None:
    (channel,) = postroom.channels
    people = postroom.deployed.load().project.directory
    assert channel.covers(people.person("bo"), None)
    assert not channel.covers(people.person("dov"), None)
    assert not channel.covers(None, "#sales")
