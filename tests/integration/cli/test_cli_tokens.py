"""Proving who one is where naming oneself is not enough: a project on a database by URL."""

import pytest
from tests.integration.cli.driver import Remit

from remit.governance.signing import generate_key


@pytest.fixture(scope="module")
def shared(tmp_path_factory, database_factory):
    """A project on a PostgreSQL of its own, as in production: `development` has no effect there."""
    database = database_factory.create()
    folder = tmp_path_factory.mktemp("shared") / "desk"
    remit = Remit(folder, REMIT_DATABASE_URL=database.url())
    remit("init", str(folder), "--person", "ada")
    directory = folder / "directory.yaml"
    more = "people:\n  - {id: grace, name: Grace, workspaces: [home]}\n  - {id: left, name: Left, status: left}\n"
    directory.write_text(directory.read_text().replace("people:\n", more))
    remit("deploy")
    yield remit
    database_factory.drop(database)


@pytest.fixture
def key(shared):
    return str(shared.folder / ".remit" / "deploy.key")


def issue(remit, key, *who):
    found = remit("token", *who, "--key", key, "--json").json
    return found["id"], found["token"]


def test_nobody_acts_by_a_name_alone(shared):
    for person in ((), ("--as", "ada")):
        said = shared.refused("start", "hello", "--input", '{"text": "x"}', *person)
        assert "somebody has to prove who they are" in said
    assert "somebody has to prove" in shared.refused("stop", "--all", "--reason", "x", REMIT_AS_PERSON="ada")
    assert "somebody has to prove" in shared.refused("deploy", "--as", "ada")


def test_token_says_who_it_is(shared, key):
    _, token = issue(shared, key, "--person", "grace")
    assert token.startswith("remit_")
    start = ("start", "hello", "--input", '{"text": "x"}', "--json")
    session = shared(*start, REMIT_TOKEN=token).json["id"]
    shown = shared("session", "show", session, "--json").json
    assert (shown["principal"], shown["simulated"]) == ("person:grace", False)
    assert "is grace's, and `--as` names ada" in shared.refused(*start, "--as", "ada", REMIT_TOKEN=token)
    assert shared(*start, "--as", "grace", REMIT_TOKEN=token).json["id"]


@pytest.mark.parametrize("token", ["remit_wrong", "\udcff"])
def test_wrong_token_is_nobody(shared, token):
    said = shared.refused("stop", "--all", "--reason", "x", REMIT_TOKEN=token)
    assert "is no valid token of an active person" in said


def test_agents_token_is_no_persons(shared, key):
    _, token = issue(shared, key, "hello")
    assert "is no valid token" in shared.refused("stop", "--all", "--reason", "x", REMIT_TOKEN=token)


def test_token_of_somebody_who_left_since_is_worth_nothing(shared, key):
    _, token = issue(shared, key, "--person", "grace")
    directory = shared.folder / "directory.yaml"
    before = directory.read_text()
    directory.write_text(before.replace("name: Grace", "name: Grace, status: left"))
    shared("deploy")
    try:
        assert "is no valid token" in shared.refused("stop", "--all", "--reason", "x", REMIT_TOKEN=token)
    finally:
        directory.write_text(before)
        shared("deploy")
    assert shared("stop", "--agent", "hello", "--reason", "x", REMIT_TOKEN=token).code == 0
    shared("release", "--agent", "hello", "--reason", "x", REMIT_TOKEN=token)


def test_tokens_are_issued_by_who_may_deploy(shared, key, tmp_path):
    assert "tokens are issued by who may deploy" in shared.refused("token", "--person", "grace")
    generate_key(tmp_path / "other.key")
    said = shared.refused("token", "--person", "grace", "--key", str(tmp_path / "other.key"))
    assert "may not deploy here" in said
    _, token = issue(shared, key, "--person", "grace")
    assert "tokens are issued" in shared.refused("token", "--person", "ada", REMIT_TOKEN=token)


@pytest.mark.parametrize("who", [("--person", "left"), ("--person", "nobody"), ("nobody",)])
def test_token_needs_somebody_to_have_it(shared, key, who):
    assert "there is no " in shared.refused("token", *who, "--key", key)


def test_tokens_are_listed_and_revoked(shared, key):
    mine, token = issue(shared, key, "--person", "grace")
    other, _ = issue(shared, key, "--person", "ada")
    listed = {t["id"]: t for t in shared("token", "--list", "--json").json}
    assert listed[mine]["subject"] == "person:grace"
    assert listed[mine]["issued_by"].startswith("key:")
    assert not any("digest" in t or token in str(t) for t in listed.values())
    assert mine in shared("token", "--list").out
    assert "tokens are issued" in shared.refused("token", "--revoke", other, REMIT_TOKEN=token)
    assert shared("token", "--revoke", mine, REMIT_TOKEN=token).out == f"{mine} is revoked.\n"
    assert "is no valid token" in shared.refused("stop", "--all", "--reason", "x", REMIT_TOKEN=token)
    assert shared("token", "--revoke", other, "--key", key, "--json").json == {"revoked": other}
    assert "there is no valid token" in shared.refused("token", "--revoke", other, "--key", key)
    assert {t["id"] for t in shared("token", "--list", "--json").json if t["revoked_at"]} >= {mine, other}


def test_token_is_printed_once_and_alone(shared, key):
    said = shared("token", "--person", "ada", "--days", "1", "--key", key)
    assert said.out.startswith("remit_")
    assert said.out.count("\n") == 1
    assert "valid for 1 day(s)" in said.err


@pytest.mark.parametrize("arguments", [(), ("hello", "--list"), ("--person", "ada", "--revoke", "tok_0")])
def test_token_does_one_thing(shared, arguments):
    assert "say exactly one of" in shared.refused("token", *arguments, code=2)
