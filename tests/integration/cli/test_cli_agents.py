"""Versions of an agent, its skills and its knowledge, on the command line."""

import re

import pytest
from tests.acceptance.shop import write_shop
from tests.integration.cli.driver import Remit

from remit.evidence.shapes import fields as shapes

AGENT = "agents/clerk/agent.yaml"
SKILL = "---\nname: closing\ndescription: How to close\n  the till.\n---\nCount twice.\n"


def change(remit, path, text):
    target = remit.folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(text if isinstance(text, bytes) else text.encode())


@pytest.fixture(scope="module")
def shop(database_factory, migrated, tmp_path_factory):
    """A shop in two versions: the second has a skill, knowledge, another owner and reasoning."""
    folder = tmp_path_factory.mktemp("shop")
    write_shop(folder)
    database = database_factory.create(migrated)
    remit = Remit(folder, REMIT_DATABASE_URL=database.url())
    spec = re.sub(r"tools: .*", "tools: [till.pay, till.peek]", (folder / AGENT).read_text())
    change(remit, AGENT, spec)
    change(remit, "agents/clerk/logo.png", b"\x89PNG\xff")
    remit("deploy")
    change(
        remit,
        AGENT,
        spec.replace("owner: bo", "owner: ada\nreasoning: low").replace("tools: [", "tools: [remit.load_skill, "),
    )
    change(remit, "agents/clerk/skills/closing/SKILL.md", SKILL)
    change(
        remit,
        "agents/clerk/knowledge/hours.md",
        "# Opening hours\nFrom nine to five.\n\n# Returns\nWithin thirty days.\n",
    )
    change(remit, "agents/clerk/logo.png", b"\x89PNG\xfe")
    remit("deploy")
    yield remit
    database_factory.drop(database)


def test_a_card_shows_what_the_version_has(shop):
    card = shop("agents", "show", "clerk", "--json").json
    assert set(card) == set(shapes.AGENT_CARD)
    assert (card["reasoning"], card["owner"], card["in_force"]) == ("low", "ada", True)
    assert card["skills"] == [
        {"name": "closing", "description": "How to close the till.", "files": [], "allowed_tools": []}
    ]
    assert card["knowledge"] == {"files": 1, "passages": 2, "language": "english"}
    assert len(card["gates"]) == 6
    words = shop("agents", "show", "clerk").out
    assert "closing: How to close the till." in words
    assert "2 passages of 1 files" in words


def test_an_older_version_has_a_card_too(shop):
    newest, first = (v["digest"] for v in shop("agents", "show", "clerk", "--json").json["versions"])
    card = shop("agents", "show", "clerk", "--version", first[:10], "--json").json
    assert (card["version"], card["owner"], card["skills"], card["in_force"]) == (first, "bo", [], False)
    assert "(not in force)" in shop("agents", "show", "clerk", "--version", first[:10]).out
    assert shop("agents", "show", "clerk", "--version", newest, "--json").json["in_force"]
    assert "is no version of clerk" in shop.refused("agents", "show", "clerk", "--version", "0000")


def test_versions_are_compared_by_what_they_mean_and_by_their_files(shop):
    found = shop("agents", "diff", "clerk", "--json").json
    assert set(found) == set(shapes.AGENT_DIFF)
    fields = {f["field"]: (f["old"], f["new"]) for f in found["fields"]}
    assert fields["owner"] == ("bo", "ada")
    assert fields["reasoning"] == ("none", "low")
    assert set(fields) == {"owner", "reasoning", "tools"}
    files = {f["path"]: f["change"] for f in found["files"]}
    assert files == {
        "agent.yaml": "changed",
        "logo.png": "changed",
        "knowledge/hours.md": "added",
        "skills/closing/SKILL.md": "added",
    }
    words = shop("agents", "diff", "clerk").out
    assert "owner: bo -> ada" in words
    assert "+Count twice." in words
    assert "logo.png: changed, not text" in words


def test_knowledge_is_searched_as_the_agent_does_it(shop):
    (found,) = shop("agents", "knowledge", "clerk", "return", "--json").json
    assert set(found) == set(shapes.PASSAGE)
    assert (found["source"], found["heading"], found["text"]) == (
        "knowledge/hours.md:5",
        "Returns",
        "Within thirty days.",
    )
    assert "agents/clerk/knowledge/hours.md:2" in shop("agents", "knowledge", "clerk", "when is it open?").out
    assert "Nothing fits" in shop("agents", "knowledge", "clerk", "elephants").out
    first = shop("agents", "show", "clerk", "--json").json["versions"][-1]["digest"]
    assert "no knowledge folder" in shop("agents", "knowledge", "clerk", "return", "--version", first).out
