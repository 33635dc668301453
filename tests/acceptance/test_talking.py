"""Several people and several agents in one session, forks of it, and finding and following it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from remit.config.loader import load_project
from remit.domain.records import Tag
from remit.errors import Conflict, InvalidInput, NotEntitled, NotFound
from remit.governance.deployments import deploy
from remit.governance.desk import Decider
from remit.runtime.sessions import Start
from remit.storage import session_search, sessions, stream
from remit.surfaces.cli.main import cli
from tests.acceptance.delegating import EXTRA, agent, job, until
from tests.acceptance.nursery import Nursery
from tests.acceptance.shop import FILES, Shop, open_shop
from tests.conftest import DatabaseFactory

STEPS = """
async def run(session):
    mark = session.uuid4().hex
    done = []
    for step in session.input["steps"]:
        if "ask" in step:
            done.append(await session.ask(step["ask"], schema={"type": "string"}))
        elif "do" in step:
            done.append((await session.delegate("hand", step["do"]))["session"])
        elif "fail" in step:
            raise ValueError("as told")
        else:
            done.append((await session.call("till.pay", currency="USD", **step))["amount"])
    return {"mark": mark, "done": done}
"""
PICKY = "input: {type: object, properties: {a: {type: integer}, b: {type: string}}, required: [a, b]}\n"
WORDY = "input: {type: object, properties: {question: {type: string}}, required: [question]}\n"
ECHO = """
async def run(session):
    return session.input
"""
PROMPTED = {
    "agents__chat__agent.yaml": FILES["agents/clerk/agent.yaml"].replace("title: Clerk", "title: chat"),
    "agents__chat__prompt.md": "Say what you know.",
    "model.py": """
def respond(messages, tools):
    said = [m["content"] for m in messages if m["role"] == "user"]
    return {"text": " | ".join(said)}
""",
}
FILES_ = {
    **EXTRA,
    **agent("steps", STEPS),
    **agent("picky", ECHO, more=PICKY),
    **agent("wordy", ECHO, more=WORDY),
    **PROMPTED,
}


@pytest.fixture(scope="module")
def shop(
    database_factory: DatabaseFactory, migrated: str, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    database = database_factory.create(migrated)
    files = {
        **FILES_,
        "directory.yaml": FILES_["directory.yaml"].replace(
            "  - {id: dov",
            "  - {id: eva, name: Eva, workspaces: [elsewhere]}\n  - {id: fay, name: Fay, status: left}\n  - {id: dov",
        ),
    }
    with open_shop(tmp_path_factory.mktemp("shop") / "shop", database.url(), nursery, **files) as opened:
        opened.worker()
        yield opened
    database_factory.drop(database)


def begin(shop: Shop, name: str, given: Any, principal: str = "person:dov", **more: Any) -> str:
    return shop.services.sessions.start(Start(name, given, principal, **more))


def say(shop: Shop, session: str, text: Any, who: str = "dov", **more: Any) -> str:
    return shop.services.sessions.message(session, f"person:{who}", text, **more)


def ended(shop: Shop, session: str, turn: str) -> dict[str, Any]:
    def found() -> dict[str, Any]:
        return next(t for t in shop.session(session)["turns"] if t["id"] == turn)

    until(lambda: found()["status"] in {"finished", "failed"})
    return found()


# -- addressed -----------------------------------------------------------------------------------------------------


def test_a_message_is_answered_by_the_agent_it_names_and_the_next_by_the_session_s_own(shop: Shop) -> None:
    session = begin(shop, "hand", "first")
    turns = [
        say(shop, session, "@wordy, why?", "ada"),
        say(shop, session, "again"),
        say(shop, session, '@picky {"a": 1, "b": "x"}'),
    ]
    answers = [ended(shop, session, turn) for turn in turns]
    assert [(t["agent"], t["author"], t["output"]) for t in answers] == [
        ("wordy", "person:ada", {"question": "why?"}),
        ("hand", "person:dov", "AGAIN"),
        ("picky", "person:dov", {"a": 1, "b": "x"}),
    ]


def test_an_addressed_model_runs_with_its_own_remit_and_knows_what_was_said_before(shop: Shop) -> None:
    session = begin(shop, "hand", "first")
    turn = ended(shop, session, say(shop, session, "@chat what happened?"))
    assert turn["output"] == '[person:dov to agent hand]\n{"text":"first"} | what happened?'
    asked = [a for a in shop.session(session)["actions"] if a["mode"] == "model"]
    assert [(a["agent"], a["args"]["model"]) for a in asked] == [("chat", "script:till")]


@pytest.mark.parametrize(
    ("text", "error", "why"),
    [
        ("@stranger hi", InvalidInput, "no agent @stranger can be addressed"),
        ("@nobody hi", InvalidInput, "no agent @nobody can be addressed"),
        ("@picky hi", InvalidInput, "takes no plain text"),
        ("@wordy", InvalidInput, "nothing to say to @wordy"),
        ("  ", InvalidInput, "nothing to say"),
        ({"a": "?"}, None, ""),
    ],
)
def test_what_fits_no_agent_is_refused(shop: Shop, text: Any, error: type[Exception] | None, why: str) -> None:
    session = begin(shop, "hand", "first")
    if error is None:
        assert ended(shop, session, say(shop, session, text))["status"] == "failed"
        return
    with pytest.raises(error, match=why):
        say(shop, session, text)


def test_a_suspended_agent_is_not_addressed_and_a_redeployed_one_keeps_its_version_here(shop: Shop) -> None:
    session = begin(shop, "hand", "first")
    first = ended(shop, session, say(shop, session, "@wordy one"))
    file = shop.folder / "agents/wordy/agent.yaml"
    file.write_text(file.read_text().replace("title: wordy", "title: Wordy, once more"))
    with shop.services.sessions.transaction() as db:
        deploy(db, load_project(shop.folder), shop.folder / ".remit" / "deploy.key", "person:ada")
    second = ended(shop, session, say(shop, session, "@wordy two"))
    other = begin(shop, "hand", "first")
    third = ended(shop, other, say(shop, other, "@wordy three"))
    assert first["agent_version"] == second["agent_version"] != third["agent_version"]


@pytest.mark.parametrize(
    ("who", "why"), [("eva", "not in the workspace"), ("fay", "not an active"), ("zoe", "not an active")]
)
def test_who_has_no_business_here_may_not_write_or_fork(shop: Shop, who: str, why: str) -> None:
    session = begin(shop, "hand", "first")
    with pytest.raises(NotEntitled, match=why):
        say(shop, session, "hello", who)
    with pytest.raises(NotEntitled, match=why):
        shop.services.sessions.fork(session, f"person:{who}", message="hello")


def test_whoever_started_it_may_write_from_anywhere(shop: Shop) -> None:
    session = begin(shop, "hand", "first", "person:eva")
    assert ended(shop, session, say(shop, session, "mine", "eva"))["output"] == "MINE"


# -- on whose behalf -----------------------------------------------------------------------------------------------


def test_two_people_write_at_once_and_each_turn_acts_for_its_author(shop: Shop) -> None:
    session = begin(shop, "aide", {"ask": "go?"}, "person:dov")
    turns = {who: say(shop, session, f"from {who}", who) for who in ("ada", "bo")}
    for who, turn in turns.items():
        assert (ended(shop, session, turn)["output"], ended(shop, session, turn)["on_behalf_of"]) == (
            f"FROM {who.upper()}",
            who,
        )
    shop.services.sessions.answer(shop.item(session, "question"), Decider("ada"), "yes")
    assert [t["on_behalf_of"] for t in shop.wait(session, "finished")["turns"]] == ["dov", "ada", "bo"]


def test_what_b_asks_for_b_does_not_approve_and_a_may(shop: Shop) -> None:
    """Dov started it, Bo asked for the payment: Bo is the accountable, so his manager decides."""
    session = begin(shop, "hand", "first", "person:dov")
    say(shop, session, {"pay": "bea", "amount": 300}, "bo")
    shop.wait_for(session, "approval")
    item = shop.item(session, "approval")
    with pytest.raises(NotEntitled, match="bo asked for this work"):
        shop.services.sessions.approve(item, Decider("bo"), "mine")
    shop.services.sessions.approve(item, Decider("cleo"), "fine")
    shop.wait(session, "finished")


def test_an_assisted_agent_addressed_by_b_acts_for_b_in_any_session(shop: Shop) -> None:
    session = begin(shop, "hand", "first", "person:dov")
    turn = say(shop, session, {"pay": "abe", "amount": 10}, "bo", to="aide")
    assert ended(shop, session, turn)["on_behalf_of"] == "bo"
    assert [a["on_behalf_of"] for a in shop.session(session)["actions"]] == ["bo"]


# -- forks ---------------------------------------------------------------------------------------------------------


def pays(*names: str) -> list[dict[str, Any]]:
    return [{"who": name, "amount": 10} for name in names]


def times(shop: Shop, who: str) -> int:
    return sum(1 for b in shop.books() if b["who"] == who)


def fork(shop: Shop, session: str, **more: Any) -> tuple[str, Any]:
    return shop.services.sessions.fork(session, "person:ada", **more)


def test_a_fork_in_the_middle_does_nothing_of_its_history_again(shop: Shop) -> None:
    session = begin(shop, "steps", {"steps": [*pays("f1"), {"do": "x"}, *pays("f2", "f3")]})
    first = shop.wait(session, "finished")["turns"][0]
    at = f"{first['id']}:4"
    planned = shop.services.sessions.plan_fork(session, at)
    made, plan = fork(shop, session, at=at)
    assert planned == plan
    assert [e.key for e in plan.history] == ["1", "2", "3"]
    assert [(e.key, e.writes) for e in plan.anew] == [("4", True)]
    assert [e.key for e in plan.repeats] == ["4"]
    found = shop.wait(made, "finished")
    assert found["turns"][0]["output"] == first["output"]  # the same chance, the same delegated session
    assert [times(shop, who) for who in ("f1", "f2", "f3")] == [1, 1, 2]
    assert [a["key"] for a in found["actions"]] == ["4"]
    again, plan = fork(shop, made, at=f"{found['turns'][0]['id']}:3")
    assert [e.key for e in plan.history] == ["1", "2"]
    shop.wait(again, "finished")
    assert [times(shop, who) for who in ("f1", "f2", "f3")] == [1, 2, 3]
    with shop.services.sessions.transaction() as db:
        assert sessions.get(db, again).forked_from == made


def test_a_fork_of_a_whole_turn_begins_it_anew_and_one_with_a_message_goes_on(shop: Shop) -> None:
    session = begin(shop, "steps", {"steps": pays("w1")})
    turn = shop.wait(session, "finished")["turns"][0]
    made, plan = fork(shop, session, at=turn["id"])
    assert (plan.history, [e.key for e in plan.repeats]) == ((), ["1"])
    assert shop.wait(made, "finished")["turns"][0]["output"]["mark"] != turn["output"]["mark"]
    assert times(shop, "w1") == 2
    made, plan = fork(shop, session, message="@chat what was done?")
    assert plan.turns == (turn["id"],)
    answer = shop.wait(made, "finished")["turns"][0]["output"]
    assert '"who":"w1"' in answer
    assert answer.endswith("what was done?")


@pytest.mark.parametrize(
    "status", ["running", "waiting", "approval", "paused", "failed", "cancelled", "stopped", "delegation"]
)
def test_a_session_is_forked_in_every_status(shop: Shop, status: str) -> None:
    who = f"s-{status}"
    last = {
        "approval": {"who": f"big-{status}", "amount": 200},
        "failed": {"fail": True},
        "delegation": {"do": {"ask": "inner?"}},
    }.get(status, {"ask": "go on?"})
    session = begin(shop, "steps", {"steps": [*pays(who), last]})
    shop.wait(session, "failed" if status == "failed" else "waiting")
    verbs = shop.services.sessions
    match status:
        case "paused" | "cancelled":
            getattr(verbs, {"paused": "pause", "cancelled": "cancel"}[status])(session, "person:ada", "test")
        case "stopped":
            verbs.stop("agent", "steps", "test", "ada")
        case "running":
            until(lambda: shop.session(session)["turns"][0]["status"] == "waiting")
            say(shop, session, {"steps": [{"ask": "another?"}]})
    before = shop.session(session)
    key = "end" if status == "failed" else "2"
    made, plan = fork(shop, session, at=f"{before['turns'][0]['id']}:{key}")
    assert [e.key for e in plan.history] == ["1"]
    if status == "stopped":
        shop.wait_for(made, "stop")
        verbs.release("agent", "steps", "ada", "test")
    _through(shop, made, status)
    assert times(shop, who) == 1
    after = shop.session(session)
    assert [(t["status"], t["run"]) for t in after["turns"][:1]] == [
        (t["status"], t["run"]) for t in before["turns"][:1]
    ] or (status in {"stopped", "running"})


def _through(shop: Shop, made: str, status: str) -> None:
    """Answer whatever the fork waits for, until it has ended."""
    if status == "failed":
        shop.wait(made, "failed")
        return
    if status == "approval":
        shop.wait_for(made, "approval")
        shop.services.sessions.approve(shop.item(made, "approval"), Decider("bo"), "fine")
    elif status == "delegation":
        shop.wait_for(made, "delegation")
        with shop.services.sessions.transaction() as db:
            rows = db.execute("select id from remit.sessions where parent_id = %s", (made,)).fetchall()
        assert len(rows) == 1  # its own, not the one that the other session waits for
        shop.wait_for(rows[0]["id"], "question")
        shop.services.sessions.answer(shop.item(rows[0]["id"], "question"), Decider("ada"), "yes")
    else:
        shop.wait_for(made, "question")
        shop.services.sessions.answer(shop.item(made, "question"), Decider("ada"), "yes")
    shop.wait(made, "finished")


def test_a_fork_without_a_point_goes_on_where_it_stood(shop: Shop) -> None:
    session = begin(shop, "steps", {"steps": [*pays("stood"), {"ask": "go on?"}]})
    shop.wait_for(session, "question")
    made, plan = fork(shop, session)
    assert plan.point.endswith(":2")
    _through(shop, made, "waiting")
    assert times(shop, "stood") == 1


def test_a_fork_that_would_have_nothing_to_do_or_no_such_point_is_refused(shop: Shop) -> None:
    session = begin(shop, "hand", "x")
    turn = shop.wait(session, "finished")["turns"][0]["id"]
    with pytest.raises(InvalidInput, match="nothing to do"):
        fork(shop, session)
    with pytest.raises(NotFound, match="nothing at 9"):
        fork(shop, session, at=f"{turn}:9")
    with pytest.raises(NotFound, match="no turn turn_x"):
        fork(shop, session, at="turn_x")
    with pytest.raises(InvalidInput, match="in the middle of a turn"):
        fork(shop, session, at=f"{turn}:1", message="hi")


def test_a_fork_of_an_assisted_session_acts_for_whoever_forked_it(shop: Shop) -> None:
    session = begin(shop, "aide", {"ask": "go?"}, "person:dov")
    shop.wait_for(session, "question")
    made, _ = fork(shop, session)
    shop.wait_for(made, "question")
    assert [t["on_behalf_of"] for t in shop.session(made)["turns"]] == ["ada"]


# -- moves that are refused ----------------------------------------------------------------------------------------


def test_illegal_moves_say_what_to_do_instead(shop: Shop) -> None:
    session = begin(shop, "hand", {"ask": "?"})
    shop.wait_for(session, "question")
    shop.services.sessions.pause(session, "ada", "test")
    with pytest.raises(Conflict) as paused:
        say(shop, session, "hello")
    assert "remit session resume" in paused.value.advice
    shop.services.sessions.resume(session, "ada", "test")
    assert shop.wait_for(session, "question")["status"] == "waiting"
    shop.services.sessions.cancel(session, "ada", "test")
    for verb in (lambda: say(shop, session, "x"), lambda: shop.services.sessions.resume(session, "ada", "x")):
        with pytest.raises(Conflict) as cancelled:
            verb()
        assert "remit session fork" in cancelled.value.advice


# -- finding and following -----------------------------------------------------------------------------------------


def test_sessions_are_found_by_words_people_agents_and_status(shop: Shop) -> None:
    session = begin(shop, "hand", "Zanzibar shipment", title="Quarterly wombat")
    say(shop, session, "@wordy about the platypus", "bo")
    shop.wait(session, "finished")

    def found(**wanted: str) -> bool:
        with shop.services.sessions.transaction() as db:
            return session in {s.id for s in session_search.find(db, session_search.Wanted(**wanted))}

    assert all(
        found(text=text) for text in ("zanzibar", "WOMBAT", "platypus", '"zanzibar shipment"', "zanzibar -koala")
    )
    assert not any(found(text=text) for text in ("koala", '"shipment zanzibar"', "zanzibar -wombat"))
    assert all(found(text="zanzibar", person=person) for person in ("dov", "bo"))
    assert not found(text="zanzibar", person="ada")
    assert found(text="zanzibar", agent="wordy", status="finished", trigger="person")
    assert not found(text="zanzibar", agent="chat")
    assert not found(text="zanzibar", label="private")


def test_the_stream_gives_every_record_once_in_the_order_of_commits(shop: Shop) -> None:
    with shop.services.sessions.transaction() as db:
        start_ = stream.now(db)
    with shop.services.sessions.transaction() as slow:
        sessions.record(slow, Tag.DRILL_RUN, by="slow")
        session = begin(shop, "hand", "hello")
        shop.wait(session, "finished")
        with shop.services.sessions.transaction() as db:
            seen, position = stream.after(db, start_)
    assert seen == []  # what a running transaction wrote may still come before
    with shop.services.sessions.transaction() as db:
        until(lambda: any(r["tag"] == Tag.TURN_FINISHED for r in stream.after(db, start_, session_id=session)[0]))
        rest, position = stream.after(db, position)
        one_by_one, at = [], start_
        while len(one_by_one) < len(rest):
            (record,), at = stream.after(db, at, limit=1)
            one_by_one.append(record)
    assert rest[0]["tag"] == Tag.DRILL_RUN
    assert [r["id"] for r in one_by_one] == [r["id"] for r in rest]
    assert at == position


@pytest.fixture
def remit(shop: Shop) -> Callable[..., str]:
    def run(*arguments: str) -> str:
        done = CliRunner().invoke(cli, [*arguments, "--project", str(shop.folder)], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    return run


def test_the_command_line_follows_forks_finds_and_shows(shop: Shop, remit: Callable[..., str]) -> None:
    session = begin(shop, "boss", {"jobs": [job("marmalade")]}, title="Marmalade")
    lines = [json.loads(line) for line in remit("session", "follow", session, "--json").splitlines()]
    assert (lines[0]["tag"], lines[-1]["tag"]) == (Tag.SESSION_STARTED, Tag.TURN_FINISHED) or len(lines) > 1
    shop.wait(session, "finished")
    shown = json.loads(remit("session", "show", session, "--json"))
    turn = shown["turns"][0]["id"]
    (child,) = shown["children"]
    assert (child["agent"], child["turn_id"], child["key"]) == ("hand", turn, "1")
    assert json.loads(remit("session", "show", child["id"], "--json"))["parent_id"] == session
    planned = json.loads(remit("session", "fork", session, "--at", f"{turn}:1", "--dry-run", "--json"))
    assert (planned["id"], planned["history"], [e["key"] for e in planned["anew"]]) == (None, [], ["1"])
    assert [s["id"] for s in json.loads(remit("sessions", "--text", "marmalade", "--agent", "boss", "--json"))] == [
        session
    ]
    assert "delegated: " + child["id"] in remit("session", "show", session)
    assert "what that session did behind this point" in remit("session", "fork", session, "--at", turn, "--dry-run")
    assert Tag.SESSION_STARTED in remit("sessions", "follow", "--after", stream.BEGINNING, "--timeout", "0")
