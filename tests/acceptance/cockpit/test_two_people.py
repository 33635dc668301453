"""Approvals that two people give, and items that go from hand to hand: who said and got what, and when."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.acceptance.cockpit.office import DIRECTORY, Office, open_office
from tests.acceptance.cockpit.test_decide import asked
from tests.acceptance.shop import FILES

BOTH = """
@id("pay_over_300")
@reason("needs_risk_over_300")
@approval("risk")
forbid (principal, action == Action::"till.pay", resource)
when { context.args.amount.greaterThan(decimal("300.0000")) }
unless { context.approved_by.contains("risk") };
"""


@pytest.fixture
def strict(changed_shop: Any) -> Any:
    """The office where a payment over 300 needs the risk owner as well."""
    policies = FILES["policies/shop.cedar"] + BOTH
    with open_office(changed_shop(**{"directory.yaml": DIRECTORY, "policies/shop.cedar": policies}), None) as office:
        yield office


def words(page: str) -> str:
    """What a page says, without its tags."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def decide(office: Office, who: str, item_id: str, reason: str) -> str:
    """Approve as somebody; returns what the next page says."""
    client = office.client(who)
    seal = re.findall(r'name="seen" value="(\w+)"', client.get(f"/inbox/{item_id}").text)[0]
    done = client.post(f"/inbox/{item_id}", data={"verdict": "approve", "seen": seal, "reason": reason})
    assert done.status_code == 303
    return words(client.get(f"/inbox/{item_id}").text)


def test_everybody_who_agreed_is_shown_with_their_role_and_reason(strict: Office) -> None:
    session_id, item_id = asked(strict, 400)
    first = decide(strict, "bo", item_id, "I know them.")
    assert "Done. It now waits for risk: Ada Lovell." in first
    assert "The work goes on by itself" not in first
    assert "You have agreed It waits for risk: Ada Lovell." in first
    assert re.search(r"Agreed already Bo Adeyemi as accountable, \d+ s ago : I know them\.", first), first
    assert "Agreed already Bo Adeyemi" in words(strict.client("ada").get(f"/inbox/{item_id}").text)
    last = decide(strict, "ada", item_id, "Within the limit.")
    assert "Done. The work goes on by itself." in last
    assert re.search(
        r"Who agreed Bo Adeyemi as accountable, \d+ s ago : I know them\. Ada Lovell as risk, \d+ s ago : Within", last
    ), last
    strict.shop.finish(session_id)


def test_an_item_is_handed_only_where_somebody_may_get_it(office: Office) -> None:
    _, item_id = asked(office)
    shown = words(office.client("bo").get(f"/inbox/{item_id}").text)
    assert "Nobody else may decide this now, so it cannot be handed over." in shown
    assert "Hand it to somebody else" not in shown


def test_who_gets_an_item_reads_why_on_its_page(strict: Office) -> None:
    _, item_id = asked(strict, 400)
    client = strict.client("bo")
    assert "Hand it to somebody else" in client.get(f"/inbox/{item_id}").text
    given = {"to": "ada", "reason": "You know the <payee>."}
    assert client.post(f"/inbox/{item_id}/hand", data=given).status_code == 303
    told = words(client.get(f"/inbox/{item_id}").text)
    assert "Handed to Ada Lovell." in told
    assert "Bo Adeyemi hands this to you" not in told
    theirs = words(strict.client("ada").get(f"/inbox/{item_id}").text)
    assert "Bo Adeyemi hands this to you. You know the &lt;payee&gt;." in theirs
    assert re.search(r"Handed over Bo Adeyemi to Ada Lovell \d+ s ago : You know the &lt;payee&gt;\.", theirs), theirs
