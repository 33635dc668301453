"""`remit check` on `[mail]` and on people's addresses."""

from __future__ import annotations

import pytest

from remit.config.reading import read_files
from remit.config.references import check_references
from remit.domain.addresses import parse_address
from remit.errors import InvalidInput

MAIL = '[mail]\nhost = "mail.example"\nsender = "remit@example.com"\n'
PEOPLE = "people:\n  - {id: ada, name: Ada, email: %s}\n"


def told(mail: str, email: str = "ada@example.com", url: str = "https://remit.example") -> list[str]:
    settings = f'[project]\nname = "x"\n[server]\nurl = "{url}"\n{mail}'
    files = {"remit.toml": settings.encode(), "directory.yaml": (PEOPLE % email).encode()}
    loaded = read_files(files)
    problems = [*loaded.problems, *check_references(loaded)]
    return [str(p) for p in problems]


def test_what_is_right_is_not_told():
    assert told(MAIL) == []
    assert told("") == []
    assert told("", email="'not an address'") == []  # nobody is written to


def test_mails_go_unencrypted_to_this_machine_only_unless_it_is_said():
    none = MAIL + 'security = "none"\n'
    (said,) = told(none)
    assert "mails to mail.example would go unencrypted" in said
    assert said.startswith("remit.toml:8:")
    assert told(none + "allow_unencrypted = true\n") == []
    for host in ("localhost", "127.0.0.1", "::1"):
        assert told(none.replace("mail.example", host)) == []
    assert told(none.replace("mail.example", "localhost.evil.example"))


def test_half_a_login_is_none():
    assert "needs `user` and `password`" in told(MAIL + 'user = "remit"\n')[0]
    assert "needs `user` and `password`" in told(MAIL + 'password = "env:X"\n')[0]
    assert told(MAIL + 'user = "remit"\npassword = "env:X"\n') == []


def test_links_that_lead_nowhere_or_in_the_clear_are_warned_of():
    assert "lead to this machine only" in told(MAIL, url="http://127.0.0.1:8270")[0]
    assert "can be read on their way" in told(MAIL, url="http://remit.corp")[0]


@pytest.mark.parametrize("email", ["'ada'", "'a b@example.com'", "'ada@exam ple.com'", '"ada@example.com\\nBcc: x@y"'])
def test_addresses_that_are_none_are_told_at_their_place(email: str):
    (said,) = told(MAIL, email=email)
    assert said.startswith("directory.yaml:2:")
    assert "is no mail address" in said


def test_nobody_with_an_address_is_warned_of():
    assert "nobody has an `email`" in told(MAIL, email="null")[0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "a@",
        "@b",
        "a@b@c.de@",
        "<a@b.de>",
        "a@b.de\r\nBcc: c@d.de",
        "a\x00@b.de",
        "a@-b.de",
        "a@b..de",
        "x" * 300 + "@b.de",
    ],
)
def test_nothing_else_passes_for_an_address(text: str):
    with pytest.raises(InvalidInput, match="is no mail address"):
        parse_address(text)


def test_a_domain_in_another_script_becomes_ascii():
    assert parse_address("jürgen@straße.example").addr_spec == "jürgen@xn--strae-oqa.example"
    assert parse_address("a@例え.jp").addr_spec == "a@xn--r8jz45g.jp"
