"""A program that can be asked why: reasons, source, replay and reviewed outputs of one session on a real worker."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from remit.errors import Conflict, InvalidInput, NotEntitled, NotFound
from remit.evidence.programs import sources, why
from remit.evidence.replaying import Replayed, Replays
from remit.governance.answers import Decider
from remit.governance.reviews import review
from remit.runtime.programs import ProgramHost
from remit.runtime.sessions import Start
from remit.storage import inbox, outputs, tokens
from remit.surfaces.cli.common import digest_of
from remit.surfaces.cli.main import main
from tests.acceptance.shop import FILES, Shop, open_shop

PROGRAM = '''
"""Ranks accounts by what they bring."""
import asyncio

async def run(session):
    """Rank what the session is given, best first, down to the smallest that counts."""
    accounts = session.input["accounts"]
    counted = [a for a in accounts if a["revenue"] >= session.parameters.smallest]
    ranked = sorted(counted, key=lambda a: -a["revenue"])
    till = await session.call("till.peek")
    await session.explain_all("priorities", [(a, [f"{a['name']} brings {a['revenue']}"]) for a in ranked])
    await session.explain({"id": "till", "balance": till["balance"]}, ["the till was asked"], sources=[till])
    await session.publish("list", {"first": ranked[0]["id"]}, title="Priorities", kind="list")
    if len(ranked) < 3:
        await session.publish("note", "short", title="A short list")
    finished = []
    for done in asyncio.as_completed([session.call("till.peek"), session.call("till.find", ref="x")]):
        finished.append(sorted(await done))
    return {"first": ranked[0]["id"], "finished": finished}
'''
PARAMETERS = """
parameters:
  smallest:
    # what is below it is noise
    {type: number, value: 2, minimum: 0, maximum: 100, title: Smallest, meaning: Below it none counts, tune: bo}
  careful: {type: yes_no, value: true, title: Careful, meaning: Nothing yet, tune: bo, approve: cleo} # of the owner's
"""
MODEL = """
def respond(messages, tools):
    last = messages[-1]
    if last["role"] == "tool":
        return {"text": str(last["content"])}
    return {"tool_calls": [{"name": "remit.reasons", "arguments": {"row": "1", "list": "priorities"}}]}
"""
ACCOUNTS = [
    {"id": "a1", "name": "Nord AG", "revenue": 5},
    {"id": "a2", "name": "Süd GmbH", "revenue": 8},
    {"id": "a3", "name": "West Ltd", "revenue": 2},
    {"id": "a4", "name": "Ost SA", "revenue": 1},
]


@pytest.fixture(scope="module")
def ranked(
    tmp_path_factory: pytest.TempPathFactory, database_factory: Any, migrated: str, nursery: Any
) -> Iterator[tuple[Shop, str]]:
    """The shop with a program that ranks, and its finished session."""
    database = database_factory.create(migrated)
    agent = FILES["agents/clerk/agent.yaml"].replace(
        "till.pay, till.unpay, till.hand_out, till.wire, till.find, till.peek",
        "till.find, till.peek, remit.publish, remit.reasons",
    )
    changed = {
        "agents/clerk/program.py": PROGRAM,
        "agents/clerk/parameters.yaml": PARAMETERS,
        "agents/clerk/agent.yaml": agent,
        "agents/talker/agent.yaml": agent.replace("title: Clerk", "title: Talker"),
        "agents/talker/prompt.md": "Say why.",
        "model.py": MODEL,
    }
    with open_shop(tmp_path_factory.mktemp("ranked") / "shop", database.url(), nursery, **changed) as shop:
        shop.worker()
        session = shop.services.sessions.start(Start("clerk", {"accounts": ACCOUNTS}, "person:dov"))
        found = shop.wait(session, "finished", "failed")
        assert found["status"] == "finished", found["turns"]
        shop.services.sessions.message(session, "person:dov", "@talker why is it first?")
        shop.wait(session, "finished", "failed")
        yield shop, session
    database_factory.drop(database)


def told(shop: Shop, session: str, *wanted: str) -> list[dict[str, Any]]:
    with shop.services.sessions.transaction() as db:
        return why(db, shop.services.deployments.version, session, *wanted)


def test_why_is_it_first_is_answered_from_the_record(ranked: tuple[Shop, str]) -> None:
    shop, session = ranked
    (first,) = (row for row in told(shop, session, "1") if row["list"] == "priorities")
    assert (first["key"], first["title"], first["rank"]) == ("a2", "Süd GmbH", 1)
    assert first["reasons"] == [{"code": "", "text": "Süd GmbH brings 8"}]
    assert first["at"] == "program.py:10"
    assert first["line"].startswith('await session.explain_all("priorities"')
    assert [a["action"] for a in first["before"]] == ["till.peek"]
    (till,) = told(shop, session, "till")
    assert till["from"] == [{"request": 1, "action": "till.peek", "path": "", "value": {"balance": 1000}}]
    assert [row["key"] for row in told(shop, session, "nord")] == ["a1"]
    with pytest.raises(NotFound, match="no row of session") as missed:
        told(shop, session, "nobody")
    assert "#1 Süd GmbH" in missed.value.advice


def test_the_source_is_the_one_that_ran(ranked: tuple[Shop, str]) -> None:
    shop, session = ranked
    with shop.services.sessions.transaction() as db:
        found = sources(db, shop.services.deployments.version, session)
    assert found[0]["files"]["program.py"] == PROGRAM.strip() + "\n"
    assert "smallest" in found[0]["files"]["parameters.yaml"]


def test_a_model_answers_from_the_recorded_reasons(ranked: tuple[Shop, str]) -> None:
    shop, session = ranked
    found = shop.wait(session, "finished", "failed")
    turn = found["turns"][-1]
    assert (turn["agent"], turn["status"]) == ("talker", "finished"), turn
    assert "Süd GmbH brings 8" in turn["output"]
    (asked,) = (a for a in found["actions"] if a["action"] == "remit.reasons")
    assert asked["result"]["rows"][0]["key"] == "a2"
    assert (asked["status"], asked["policy_ids"]) == ("succeeded", ["reads"]), "it is judged like every tool"


def replayed(shop: Shop, change: tuple[str, str] | None = None, **parameters: Any) -> Replayed:
    """The first turn run again, perhaps by a program that was changed since."""

    class Changed:
        def version(self, agent: str, digest: str) -> Any:
            version = shop.services.deployments.version(agent, digest)
            if change is None:
                return version
            assert change[0] in PROGRAM
            text = version.files["program.py"].decode().replace(*change)
            return replace(version, files={**version.files, "program.py": text.encode()})

    async def run() -> Replayed:
        host = ProgramHost("auto", 256, 20)
        replays = Replays(shop.services.url, Changed(), host)  # type: ignore[arg-type]
        with shop.services.sessions.transaction() as db:
            row = db.execute("select id from remit.turns where agent = 'clerk' order by id limit 1").fetchone()
        assert row is not None
        try:
            return await replays.turn(row["id"], parameters=parameters or None)
        finally:
            await replays.close()
            await host.close()

    return asyncio.run(run())


def test_a_replay_does_the_same_and_touches_nothing(ranked: tuple[Shop, str]) -> None:
    shop, session = ranked
    before = shop.session(session)["actions"]
    found = replayed(shop)
    assert (found.same, found.differs, found.requests) == (True, "", 6)
    assert found.output["first"] == "a2"
    assert shop.session(session)["actions"] == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('"till.peek")\n    await session.explain_all', '"till.find", ref="y")\n    await session.explain_all'), "1 "),
        (('"first": ranked[0]["id"], "fin', '"first": ranked[1]["id"], "fin'), 'at first: "a2" before, "a1" now'),
    ],
)
def test_a_program_that_diverges_is_told_with_its_place(
    ranked: tuple[Shop, str], change: tuple[str, str], said: str
) -> None:
    found = replayed(ranked[0], change)
    assert not found.same
    assert said in found.differs


def test_other_values_of_parameters_are_tried_as_far_as_the_record_reaches(ranked: tuple[Shop, str]) -> None:
    assert replayed(ranked[0], smallest=Decimal("1.5")).same, "what is there and why stays as it was"
    found = replayed(ranked[0], smallest=6)
    assert not found.same
    assert "remit.publish" in found.differs
    more = replayed(ranked[0], smallest=1)
    assert (more.same, more.missing, more.differs) == (False, "", "priorities: new: Ost SA")


def published(shop: Shop, session: str) -> str:
    """A fresh output, by a session of its own."""
    other = shop.services.sessions.start(Start("clerk", {"accounts": ACCOUNTS}, "person:dov"))
    shop.wait(other, "finished")
    with shop.services.sessions.transaction() as db:
        (found,) = outputs.listing(db, session_id=other)
    assert session != other
    return str(found["id"])


def decide(shop: Shop, output: str, verdict: Any, person: str, reason: str = "", **more: Any) -> dict[str, Any]:
    with shop.services.sessions.transaction() as db:
        return review(db, shop.services.deployments.load(), output, verdict, Decider(person), reason, **more)


def test_readers_accept_edit_reject_and_dispute(ranked: tuple[Shop, str]) -> None:
    shop, session = ranked
    output = published(shop, session)
    with pytest.raises(InvalidInput, match="say why"):
        decide(shop, output, "rejected", "dov")
    with pytest.raises(NotEntitled):
        decide(shop, output, "accepted", "mallory")
    edited = decide(shop, output, "edited", "dov", "better", body={"first": "a1"})
    assert (edited["version"], edited["by"], edited["status"]) == (2, "person:dov", "accepted")
    with pytest.raises(Conflict, match="dov has made version 2"):
        decide(shop, output, "accepted", "bo")
    decide(shop, edited["id"], "disputed", "cleo", "the numbers are of last year")
    with pytest.raises(Conflict, match="disputed already, by cleo"):
        decide(shop, edited["id"], "disputed", "bo", "me too")
    with shop.services.sessions.transaction() as db:
        (item,) = inbox.listing(db, session_id=edited["session_id"], status=None)
        assert (item.kind, item.assignees, item.status) == ("attention", ("bo",), "open")
    with pytest.raises(NotEntitled, match="may not settle"):
        decide(shop, edited["id"], "accepted", "dov")
    decide(shop, edited["id"], "rejected", "bo", "they are")
    with shop.services.sessions.transaction() as db:
        assert inbox.get(db, item.id).status == "decided"
        assert [v["status"] for v in outputs.versions(db, edited)] == ["edited", "rejected"]
        assert outputs.body(db, edited["id"]) == {"first": "a1"}
        tags = db.execute(
            "select tag from remit.records where session_id = %s and tag like '%%:output:%%' order by id",
            (edited["session_id"],),
        ).fetchall()
    assert [t["tag"].split(":")[2] for t in tags] == ["published", "edited", "published", "disputed", "rejected"]


def test_of_two_readers_at_once_the_first_counts_and_the_other_is_told(ranked: tuple[Shop, str]) -> None:
    shop, session = ranked
    output = published(shop, session)
    barrier, said = threading.Barrier(2), []

    def read(person: str, verdict: str) -> None:
        barrier.wait()
        try:
            said.append(decide(shop, output, verdict, person, "because")["status"])
        except Conflict as late:
            said.append(late.message)

    readers = [threading.Thread(target=read, args=a) for a in (("dov", "accepted"), ("bo", "rejected"))]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    done = [s for s in said if s in {"accepted", "rejected"}]
    assert len(done) == 1, said
    assert any(f"was {done[0]} already, by" in s for s in said)


def test_the_commands_say_the_same(ranked: tuple[Shop, str], capsys: pytest.CaptureFixture[str]) -> None:
    shop, session = ranked

    def remit(*arguments: str, code: int = 0) -> str:
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--project", str(shop.folder)])
        captured = capsys.readouterr()
        assert ended.value.code == code, captured
        return captured.out

    text = remit("session", "why", session, "1", "--list", "priorities")
    assert "because Süd GmbH brings 8" in text
    assert "program.py:10" in text
    assert json.loads(remit("session", "why", session, "--json"))[0]["key"]
    assert "Ranks accounts" in remit("session", "source", session)
    (row,) = (r for r in json.loads(remit("outputs", "--json")) if r["session_id"] == session)
    shown = json.loads(remit("outputs", "show", row["id"], "--json"))
    assert (shown["body"], shown["status"], shown["by"]) == ({"first": "a2"}, "open", "agent:clerk")
    assert "Smallest" in remit("agents", "walkthrough", "clerk")


@pytest.fixture
def tune(
    ranked: tuple[Shop, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """`tune(person, *arguments)`: the command as that person gives it."""
    shop, _ = ranked
    with shop.services.sessions.transaction() as db:
        for person in ("bo", "cleo", "dov"):
            tokens.issue(db, f"person:{person}", digest_of(person), "key:test", timedelta(hours=1))

    def tune(person: str, *arguments: str, code: int = 0) -> Any:
        monkeypatch.setenv("REMIT_TOKEN", person)
        with pytest.raises(SystemExit) as ended:
            main(["agents", "tune", *arguments, "--project", str(shop.folder), "--json"])
        said = capsys.readouterr()
        assert ended.value.code == code, said
        return said.err if code else json.loads(said.out)

    return tune


def test_parameters_are_tuned_tried_approved_and_recorded(ranked: tuple[Shop, str], tune: Callable[..., Any]) -> None:
    """Last in this file: it puts another version in force."""
    shop, _ = ranked
    file = shop.folder / "agents" / "clerk" / "parameters.yaml"
    git = ["git", "-C", str(shop.folder)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "agents"], check=True)
    subprocess.run([*git, "-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "first"], check=True)

    assert "may not tune" in tune("dov", "clerk", "smallest=3", "--reason", "r", code=1)
    assert "at most 100" in tune("bo", "clerk", "smallest=300", "--reason", "r", code=1)
    assert "no parameter 'largest'" in tune("bo", "clerk", "largest=3", "--reason", "r", code=1)

    tried = tune("bo", "clerk", "smallest=6", "--dry-run", "--preview", "1")
    assert (tried["done"], tried["tried"][0]["effect"]) == ("nothing", "not_recorded")
    assert "value: 2" in file.read_text()

    asked = tune("bo", "clerk", "smallest=6", "careful=no", "--reason", "too many", "--preview", "0")
    assert (asked["done"], asked["approvers"]) == ("asked", ["cleo"])
    assert "value: 2" in file.read_text(), "nothing happens before somebody approves"
    item = asked["item"]
    assert "waits for approval" in tune("bo", "clerk", "careful=no", "--reason", "again", code=1)
    with pytest.raises(InvalidInput, match="settled in another way"):
        shop.services.sessions.answer(item, Decider("cleo"), "continue", "")
    assert "may not approve" in tune("bo", "--apply", item, code=1)
    assert tune("cleo", "--apply", item)["done"] == "deployed"
    assert "is decided already" in tune("cleo", "--apply", item, code=1)

    text = file.read_text()
    assert "value: 6" in text
    assert "# what is below it is noise" in text
    assert "# of the owner's" in text
    log = subprocess.run([*git, "log", "-1", "--format=%an%n%B"], check=True, capture_output=True, text=True).stdout
    assert log.startswith("Bo\nTune clerk: careful from True to False, smallest from 2 to 6\n\ntoo many\n\nApproved by")
    session = shop.services.sessions.start(Start("clerk", {"accounts": ACCOUNTS}, "person:dov"))
    assert shop.wait(session, "finished", "failed")["status"] == "finished"
    assert [row["key"] for row in told(shop, session) if row["list"] == "priorities"] == ["a2"]
    with shop.services.sessions.transaction() as db:
        (tuned,) = db.execute("select body from remit.records where tag = 'person:parameters:tuned'").fetchall()
    body = json.loads(tuned["body"])
    assert (body["by"], body["approved_by"], body["item"]) == ("bo", "cleo", item)
    assert body["values"]["smallest"] == {"before": 2, "after": 6}

    (shop.folder / "directory.yaml").write_text((shop.folder / "directory.yaml").read_text() + "# changed\n")
    assert "not what is in force" in tune("bo", "clerk", "smallest=1", "--reason", "r", "--preview", "0", code=1)
