"""The third story: Acme's sellers, their morning lists, what becomes of them, and an idea that becomes a version."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from demo_parts import evidence
from demo_parts.chat import Chat, open_chat, text_of
from demo_parts.sales_books import Books
from demo_parts.seller_day import LEAD, SELLERS, Day, as_person
from demo_parts.stage import Stage, hold
from demo_parts.workers import Workers
from remit.bootstrap import Services, open_services
from remit.config.bundle import read_bundle
from remit.config.loader import parse_project
from remit.domain.inbox import InboxItem
from remit.governance import ideas
from remit.storage import ideas as stored_ideas
from remit.storage import rows
from remit.surfaces.cli.project import deploy_if_changed, put_in_force

AGENT = "daily-priorities"
EARLIER = "history/daily-priorities-1"
STALLED = {"acc_1004", "acc_1009", "acc_1012"}
"""Accounts in whose calls an agreement stands still; two more such calls belong to nobody."""
TODAY = "the owner answers today"
"""What the manager says about tickets that are handed up to her."""
FIRST = {"nora.quist": "acc_1001", "jack.doyle": "acc_1005", "hana.sato": "acc_1008"}
"""Who has to stand first on whose list: an urgent ticket of a large account."""
USD = {"USD": 1.0, "EUR": 1.1, "GBP": 1.3, "BRL": 0.18, "INR": 0.012, "JPY": 0.0067, "PLN": 0.25}
"""The revenue books' own rates."""


def play(stage: Stage) -> bool:
    """Run the story. True if everything came out right."""
    screen, workers = stage.screen, Workers(stage.folder, stage.place)
    screen.heading("Starting")
    screen.say("  Six sellers in six time zones, 350 accounts, and small agents that look after them.")
    try:
        with open_services(stage.folder) as services:
            stage.watch.phase("database")
            deploy_earlier(services)
            hold(services, "agreements", "meetings")
            screen.say("  Deployed with the first version of the daily list; the folder holds the second.")
            workers.start()
            with open_chat(services, stage.place) as chat:
                day = Day(services, screen, workers, Books(stage.folder))
                _calls(day)
                lists = _morning(day, chat)
                _escalations(day, chat, lists)
                _strangers(day)
                _call_log(day, chat)
                _trouble(day, chat)
                _idea(day, chat)
                _all_told(day, chat)
            stage.watch.phase("work")
            workers.end()
            return _conclude(stage, services, day)
    finally:
        workers.end()


def deploy_earlier(services: Services) -> str:
    """Deploy the project as it was before the idea: the agent's earlier files in place of the present ones."""
    files = read_bundle(services.folder)
    agent = {path: text for path, text in files.items() if path.startswith(f"agents/{AGENT}/")}
    earlier = services.folder / EARLIER
    changed = {f"agents/{AGENT}/{file.name}": file.read_bytes() for file in earlier.iterdir() if file.is_file()}
    later = {path for path in agent if path.endswith("/quiet.py")}
    kept = {path: text for path, text in files.items() if path not in later}
    project = parse_project({**kept, **changed})
    put_in_force(services, project, services.deploy_key, None)
    services.deployments.load()
    return project.agents[AGENT].digest


def _calls(day: Day) -> None:
    day.screen.heading("Half past four in the morning: what was said in calls")
    (session_id,) = day.fire("agreements").values()
    said = day.finish([session_id])[session_id]
    day.screen.line("read", "", f"{said['calls']} calls, {len(said['of_nobody'])} stalled agreements of nobody known")
    flagged = day.books.flagged()
    day.check("the CRM marks exactly the agreements that stand still", ok=flagged == STALLED, seen=sorted(flagged))


def _morning(day: Day, chat: Chat) -> dict[str, str]:
    day.screen.heading("Nine o'clock, six times")
    day.screen.say("  By itself the trigger fires at these times. Now somebody asks for it.")
    due = day.until(lambda: day.clocks("priorities"), "the schedule has a clock for everybody")
    hold(day.services, "priorities")
    zones = {u["user_id"]: u["time_zone"] for u in day.books.read("crm", "SELECT * FROM users")}
    local = {person: at.astimezone(ZoneInfo(zones[person])) for person, at in due.items()}
    nine = all((at.hour, at.minute) == (9, 0) and at.weekday() < 5 for at in local.values())
    day.check(
        "it is due at nine of everybody's own next working day", ok=nine and set(due) == set(SELLERS), seen=len(due)
    )
    lists = day.fire("priorities")
    day.check("everybody in sales gets a list of their own", ok=set(lists) == set(SELLERS), seen=len(lists))
    outputs = day.finish(lists.values())
    accounts = day.books.accounts()
    made, foreign = [], 0
    for person, session_id in lists.items():
        listed = outputs[session_id]["priorities"]
        first = accounts[listed[0]]["name"] if listed else ""
        when = f"{local[person]:%a %H:%M} {zones[person]} ({due[person].astimezone(UTC):%H:%M} UTC)"
        made.append((person, when, str(len(listed)), first))
        if person != LEAD:  # who leads everybody sees everybody's
            foreign += len(set(listed) - day.books.owned(person))
    day.screen.table(("for", "due by itself", "rows", "first"), made)
    day.check("nobody is shown an account of somebody else", ok=foreign == 0, seen=f"{foreign} rows")
    for person in lists:
        chat.wait(person, lambda m: "Good morning" in text_of(m), "the list")
    told = {person: sum("Good morning" in text_of(m) for m in chat.messages(person)) for person in lists}
    day.check("each list is in Slack once", ok=set(told.values()) == {1}, seen=sum(told.values()))
    (message,) = [m for m in chat.messages("jack.doyle") if "Good morning" in text_of(m)]
    day.screen.say("  What Jack reads begins with: " + " ".join(text_of(message).split())[:300])
    tops = {person: outputs[lists[person]]["priorities"][0] for person in FIRST}
    day.check("the urgent tickets of large accounts come first", ok=tops == FIRST, seen=tops)
    return lists


def _escalations(day: Day, chat: Chat, lists: dict[str, str]) -> None:
    day.screen.heading("A large account, an urgent ticket, ten days without an answer")
    wanted = day.books.must_go_up(datetime.now(UTC).date(), USD)

    children = day.children(lists.values())
    asked = day.until(lambda: day.waiting(children), "every escalation asks or ends")
    for item in asked:
        day.screen.line("asked", "", f"{', '.join(item.assignees)}: {item.detail['question']}")
    for item in asked[1:]:
        day.answer(item, LEAD, TODAY)
    _answer_in_slack(chat, asked[0])
    day.finish(children)
    found = day.books.escalations()
    same = {row["ticket_id"] for row in found} == wanted and len(found) == len(asked) == len(wanted)
    day.check("exactly those tickets went to the manager, each once", ok=same, seen=sorted(wanted))
    decided = {row["decision"] for row in found}
    day.check("what she said stands in the CRM", ok=decided == {TODAY}, seen=decided)
    again = day.fire("priorities", "nora.quist")
    day.finish(again.values())
    more = day.children(again.values())
    day.check("the next list hands nothing up a second time", ok=not more, seen=f"{len(more)} more")


def _answer_in_slack(chat: Chat, item: InboxItem) -> None:
    words = item.detail["question"][:40]
    message = chat.wait(LEAD, lambda m: words in text_of(m) and "remit_answer" in text_of(m), "the question")
    chat.press(LEAD, message, "remit_answer")
    chat.fill_in(LEAD, {"answer": chat.choice(LEAD, "answer", TODAY)})


def _strangers(day: Day) -> None:
    day.screen.heading("Somebody asks for somebody else's list")
    session_id = day.start(AGENT, {"person": "jack.doyle"}, "nora.quist", on_behalf_of="nora.quist")
    day.finish([session_id])
    (refused,) = day.actions(session_id)
    codes = [reason["code"] for reason in refused["reasons"]]
    ok = refused["status"] == "refused" and codes == ["not_their_accounts"]
    day.check("policy refuses it, and the CRM is not even asked", ok=ok, seen=codes)


def _call_log(day: Day, chat: Chat) -> None:
    day.screen.heading("I called this account and left a message")
    said = [
        ("jack.doyle", "I called Blue Heron and left a message", "acc_1005", "voicemail"),
        ("hana.sato", "Spoke to 佐藤製作所 about the panel", "acc_1008", "call"),
    ]
    for person, text, account, kind in said:
        output = day.log(person, text)
        day.screen.line("logged", "", f"{person}: {text} -> {output.get('account')}")
        ok = (output.get("account_id"), output.get("kind")) == (account, kind)
        day.check("the account that was meant is found", ok=ok, seen=output.get("account_id"))
    _log_in_slack(day, chat)
    output = day.log("nora.quist", "Called Kessler again, spoke about the panel")
    day.check("and is not asked again", ok=output.get("account_id") == "acc_1002", seen=output.get("account_id"))
    entered = [(row["by"], row["account_id"], row["kind"]) for row in day.books.logged()]
    wanted = [
        ("jack.doyle", "acc_1005", "voicemail"),
        ("hana.sato", "acc_1008", "call"),
        ("nora.quist", "acc_1002", "voicemail"),
        ("nora.quist", "acc_1002", "call"),
    ]
    day.check("the CRM holds each of it once", ok=entered == wanted, seen=f"{len(entered)} entries")
    day.undo_last("nora.quist")
    entered = [(row["by"], row["account_id"], row["kind"]) for row in day.books.logged()]
    day.check("the last is taken back by its undo", ok=entered == wanted[:3], seen=f"{len(entered)} entries")


def _log_in_slack(day: Day, chat: Chat) -> None:
    """Nora writes to the app; two of her accounts have that name, so she is asked there, and picks one."""
    chat.say("nora.quist", "I called Kessler and left a message")
    session_id = day.newest("call-log", "nora.quist")
    item = day.question(session_id)
    day.screen.line("asked", "", f"nora.quist, in Slack: {item.detail['question']}")
    offered = {choice["const"] for choice in item.detail["schema"]["oneOf"]} - {"none"}
    day.check("where two fit, she is asked which", ok=offered == {"acc_1002", "acc_1003"}, seen=sorted(offered))
    words = item.detail["question"][:24]
    message = chat.wait("nora.quist", lambda m: words in text_of(m) and "remit_answer" in text_of(m), "the question")
    chat.press("nora.quist", message, "remit_answer")
    chosen = chat.found("nora.quist", "answer", "Kessler GmbH")
    chat.fill_in("nora.quist", {"answer": chosen, "remember": True})
    day.finish([session_id])


def _trouble(day: Day, chat: Chat) -> None:
    day.screen.heading("The CRM dies under the next list")
    crm = [sys.executable, str(day.services.folder / "servers" / "crm.py")]
    crm += ["--data", str(day.services.folder / ".remit" / "connections" / "crm")]
    rule = {"tool": "list_accounts", "fault": "die_before_work"}
    subprocess.run([*crm, "--fault", json.dumps(rule)], check=True)  # noqa: S603
    before = len(chat.messages("priya.raman"))
    (session_id,) = day.fire("priorities", "priya.raman").values()
    item = day.question(session_id)
    day.screen.line("waits", "", f"{', '.join(item.assignees)} is told: {item.detail['question']}")
    subprocess.run([*crm, "--no-faults"], check=True)  # noqa: S603
    day.answer(item, LEAD, "try again")  # without an answer it would try again by itself in ten minutes
    output = day.finish([session_id])[session_id]
    reads = [(a["status"], a["attempt"]) for a in day.actions(session_id) if a["action"] == "crm.list_accounts"]
    ok = [status for status, _ in reads] == ["failed", "succeeded"] and bool(output["priorities"])
    day.check("three tries, a word to a person, and then the list", ok=ok, seen=reads)
    chat.wait("priya.raman", lambda _: len(chat.messages("priya.raman")) > before, "the list")


def _idea(day: Day, chat: Chat) -> None:
    day.screen.heading("An idea becomes a version")
    old = day.fire("priorities", "jack.doyle")
    first = day.finish(old.values())[old["jack.doyle"]]
    day.check("the first version knows no quiet accounts", ok="quiet" not in first, seen=sorted(first))
    wish = "my ten highest-revenue accounts with no touch in two weeks"
    idea = _suggested(day, old["jack.doyle"], f"I want to see {wish}")
    day.screen.line("idea", "", f"jack.doyle: {wish}")
    with day.services.sessions.transaction() as db:
        ideas.accept(db, day.services.deployments.load(), idea, as_person(LEAD), "Everybody could use that.")
    day.screen.say(f"  {deploy_if_changed(day.services)}")
    after = day.services.deployments.load().project.agents[AGENT].digest
    with day.services.sessions.transaction() as db:
        ideas.ship(db, day.services.deployments.load(), idea, as_person(LEAD), f"{AGENT} {after[:12]}")
        kept = stored_ideas.get(db, idea)
    ok = (kept["status"], kept["shipped_in"], kept["requester"]) == (
        "shipped",
        f"{AGENT} {after[:12]}",
        "person:jack.doyle",
    )
    day.check(
        "it is tracked until it is shipped, with its version", ok=ok, seen=f"{kept['status']}, {kept['shipped_in']}"
    )
    chat.wait("jack.doyle", lambda m: "shipped" in text_of(m).lower() or after[:12] in text_of(m), "the news")
    day.check("he who had it is told", ok=True, seen="in Slack")
    new = day.fire("priorities", "jack.doyle")
    output = day.finish(new.values())[new["jack.doyle"]]
    wanted = day.books.quiet("jack.doyle", datetime.now(UTC).astimezone(ZoneInfo("America/Chicago")).date(), USD)
    same = output["quiet"] == wanted and len(wanted) == 10
    day.check("the new version lists his ten largest quiet accounts", ok=same, seen=f"version {after[:12]}")
    _why(day, new["jack.doyle"], output["priorities"][0])


def _suggested(day: Day, session_id: str, words: str) -> str:
    """Somebody says in a session what they want to see. Returns the idea's id."""
    with day.services.sessions.transaction() as db:
        given = ideas.NewIdea(AGENT, "person:jack.doyle", words, session_id)
        return str(ideas.submit(db, day.services.deployments.load(), given)["id"])


def _why(day: Day, session_id: str, first: str) -> None:
    with day.services.sessions.transaction() as db:
        found = [row for row in rows.of_session(db, session_id) if (row.name, row.key) == ("priorities", first)]
    day.screen.heading("Why is that account first?")
    for row in found:
        for reason in row.reasons:
            day.screen.say(f"  {reason.code:<18} {reason.text}")
    ok = len(found) == 1 and found[0].rank == 1 and bool(found[0].reasons)
    day.check("the recorded row says why, and by which rules", ok=ok, seen=f"{first}, rank 1")


def _all_told(day: Day, chat: Chat) -> None:
    """Wait until every list is in Slack: it is sent after the session that wrote it has ended."""
    written = sum(a["action"] == "remit.tell" and "Good morning" in a["args"]["text"] for a in _actions(day))

    def there() -> int | None:
        shown = sum("Good morning" in text_of(m) for person in SELLERS for m in chat.messages(person))
        return shown if shown >= written else None

    day.check(
        "every list that was written is in Slack, once", ok=day.until(there, "all are told") == written, seen=written
    )


def _actions(day: Day) -> list[dict[str, Any]]:
    return [a for session_id in day.started for a in day.actions(session_id)]


def _conclude(stage: Stage, services: Services, day: Day) -> bool:
    file = stage.place / "audit.jsonl"
    verified = evidence.export(services, file, f"person:{LEAD}")
    first = verified.facts[0] if verified.ok else verified.findings[0]
    day.check("the exported record is whole", ok=verified.ok, seen=first)
    unknown = [a["id"] for s in day.started for a in day.actions(s) if a["status"] in {"unknown", "cleared"}]
    day.check("nothing is left in doubt", ok=not unknown, seen=f"{len(unknown)} actions")
    stage.watch.phase("evidence")
    stage.screen.say(f"\n  {len(day.started)} sessions, {stage.watch.seconds:.0f} s; record and summary: {stage.place}")
    summary = {
        "ok": day.findings.ok,
        "checks": [asdict(f) for f in day.findings.made],
        "sessions": day.started,
        "verify": verified.to_json(),
        "duration_seconds": round(stage.watch.seconds, 2),
        "phases_seconds": stage.watch.phases,
    }
    text = json.dumps(summary, indent=1, ensure_ascii=False)
    (stage.place / "summary.json").write_text(text + "\n", "utf-8")
    return day.findings.ok
