"""A walk through a program: its rules in order, in words, with the values that it judges by."""

from pathlib import Path

import pytest

from remit.config.bundle import agent_version
from remit.config.loader import load_project
from remit.domain.agents import AgentSpec
from remit.domain.parameters import Parameter
from remit.errors import InvalidInput
from remit.evidence.walkthrough import walk_through

ACME = Path(__file__).resolve().parents[2] / "examples" / "acme" / "agents" / "refund-desk"
SPEC = AgentSpec(title="t", purpose="p", owner="a", escalation="a", workspace="w")
TITLES = {"payments.refund": "Refund a charge", "crm.add_note": "Add a note about a customer"}


def walked(files, **parameters):
    version = agent_version("desk", SPEC, files, parameters)
    return walk_through(version, TITLES.get)


def test_the_refund_desk_is_told_in_order_with_its_rules():
    told = walked({path.name: path.read_bytes() for path in ACME.iterdir() if path.is_file()})
    texts = [step.text for step in told.steps]
    assert "reads one ticket, decides by plain rules" in told.about
    assert any(step.text == "DAYS_TO_ASK is 180" for step in told.values)
    judge, pay = (next(i for i, t in enumerate(texts) if t.startswith(start)) for start in ("judge:", "pay:"))
    assert judge < pay, "what it decides comes before what it pays"
    assert "Gives up with Declined('no_charge_given')." in texts
    assert any(t.startswith("Refund a charge (payments.refund), with") for t in texts)
    assert "'too_old': days > DAYS_TO_ASK [DAYS_TO_ASK is 180]" in texts
    assert any(t.startswith("Asks a person") and "choices" in t for t in texts)
    assert any(t.startswith("Puts out 'decision'") and "because [asked, left]" in t for t in texts)
    assert any("crm.add_note" in t and t.startswith("afterwards (Add a note about a customer") for t in texts)
    assert any(step.text.startswith("asks_for_refund: True if") for step in told.helpers)
    file, _, line = next(s.at for s in told.steps if s.text.startswith("Refund a charge")).partition(":")
    assert "payments.refund" in (ACME / file).read_text().splitlines()[int(line) - 1]


def test_rules_that_only_work_something_out_are_told_with_their_parameters():
    program = b'''
MOST = 3

async def run(session):
    rows = [(row, why(session, row)) for row in session.input["rows"]]
    await session.explain_all("list", rows)

def why(session, row):
    """The reasons of a row."""
    if row["age"] > session.parameters.days:
        row["old"] = True
    elif row["age"] > MOST:
        return ["young"]
    return []

def unused():
    if True:
        return 1
'''
    days = Parameter(title="Days", meaning="m", type="whole", value=14, unit="days", tune="a")
    told = walked({"program.py": program}, days=days)
    assert [step.text for step in told.helpers] == [
        "why: The reasons of a row.",
        "If row['age'] > days [days is 14 days]:",
        "row['old'] = True",
        "If row['age'] > MOST [MOST is 3]:",
        "return ['young']",
    ]
    assert [step.text.split(",")[0] for step in told.steps] == ["Puts out the list 'list'"]


def test_what_calls_itself_ends():
    program = (
        b"async def run(session):\n    await again(session)\n\nasync def again(session):\n    await again(session)\n"
    )
    program += b"    await session.call('payments.refund')\n"
    texts = [step.text for step in walked({"program.py": program}).steps]
    assert texts == ["again", "again (as above)", "Refund a charge (payments.refund)."]


def test_a_models_agent_has_no_program_to_walk_through():
    with pytest.raises(InvalidInput, match="is no program"):
        walked({"prompt.md": b"Be kind."})
    assert load_project(ACME.parents[1]).agents["refund-desk"].is_program
