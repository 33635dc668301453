"""The second story: meetings become notes under the right account, and a question in Slack is asked once."""

from __future__ import annotations

import json
from dataclasses import asdict

from demo_parts import evidence
from demo_parts.chat import Chat, open_chat, text_of
from demo_parts.sales_books import Books
from demo_parts.seller_day import Day
from demo_parts.stage import Stage, hold
from demo_parts.workers import Workers
from remit.bootstrap import Services, open_services
from remit.surfaces.cli.project import deploy_if_changed

AGENT = "meeting-notes"
MONDAY = {"after": "2026-11-16T00:00:00Z", "before": "2026-11-17T00:00:00Z"}
TUESDAY = {"after": "2026-11-17T00:00:00Z", "before": "2026-11-18T00:00:00Z"}
NORDWIND, KESSLER, KESSLER_OPTICS, HALLSTROM, HERON = (f"acc_{n}" for n in range(1001, 1006))
WANTED = {
    "ev-1001": NORDWIND,  # by its domain; it stands in two calendars and is noted once
    "ev-1003": KESSLER,  # two companies of that name: somebody is asked
    "ev-1008": HALLSTROM,  # by the title alone
    "ev-1009": KESSLER,  # as was answered the day before
    "ev-1010": NORDWIND,  # whatever its invitation told the agent to do
    "ev-1101": HERON,
    "ev-1102": KESSLER_OPTICS,  # as the model reads it in a mail
}
"""Meeting to the account under which the CRM has to hold its notes in the end."""


def play(stage: Stage) -> bool:
    """Run the story. True if everything came out right."""
    screen, workers = stage.screen, Workers(stage.folder, stage.place)
    screen.heading("Starting")
    screen.say("  Three mailboxes, two of them approved; a CRM with 350 accounts; Slack.")
    try:
        with open_services(stage.folder) as services:
            stage.watch.phase("database")
            screen.say(f"  {deploy_if_changed(services)}")
            services.deployments.load()
            hold(services, "agreements", "meetings", "priorities")
            workers.start()
            with open_chat(services, stage.place) as chat:
                day = Day(services, screen, workers, Books(stage.folder))
                _monday(day, chat)
                _tuesday(day, chat)
                _colleague(day)
                _with_a_model(day)
                _stranger(day)
            stage.watch.phase("work")
            workers.end()
            return _conclude(stage, services, day)
    finally:
        workers.end()


def _start(day: Day, person: str, mailbox: str, span: dict[str, str]) -> str:
    return day.start(AGENT, {"mailbox": f"{mailbox}@acme.example", "owner": person, **span}, person)


def _monday(day: Day, chat: Chat) -> None:
    day.screen.heading("Monday: a meeting that two accounts could have had")
    chat.down()
    session_id = _start(day, "nora.quist", "nora.quist", MONDAY)
    item = day.question(session_id)
    day.screen.line("asked", "", f"nora.quist: {item.detail['question']}")
    day.check("it says how sure it is", ok=0.5 <= item.detail["confidence"] < 0.95, seen=item.detail["confidence"])
    day.screen.line("away", "", "Slack does not answer; the question waits, and so does the session, as rows")
    chat.up()
    message = chat.wait("nora.quist", lambda m: item.detail["question"][:40] in text_of(m), "the question")
    day.screen.line("slack", "", "Slack is back, and Nora has the question")
    chat.press("nora.quist", message, "remit_answer")
    chosen = chat.found("nora.quist", "answer", "Kessler GmbH")
    chat.fill_in("nora.quist", {"answer": chosen, "remember": True})
    output = day.finish([session_id])[session_id]
    day.check("what she answers in Slack is taken, and the work goes on", ok=output["noted"] == 3, seen=output)
    chat.wait("nora.quist", lambda m: m["ts"] == message["ts"] and "remit_answer" not in text_of(m), "the outcome")
    asked = [m for m in chat.messages("nora.quist") if item.detail["question"][:40] in text_of(m)]
    day.check("the question was posted once, and is replaced by the outcome", ok=len(asked) == 1, seen=len(asked))


def _tuesday(day: Day, chat: Chat) -> None:
    day.screen.heading("Tuesday: the same customer again")
    before = len(chat.messages("nora.quist"))
    session_id = _start(day, "nora.quist", "nora.quist", TUESDAY)
    output = day.finish([session_id])[session_id]
    day.check("nobody is asked again", ok=output["noted"] == 2, seen=output)
    more = len(chat.messages("nora.quist")) - before
    day.check("nor told anything in Slack", ok=more == 0, seen=f"{more} messages")
    kept = [a for a in day.actions(session_id) if a["action"] == "person.ask"]
    ok = all(a["status"] == "succeeded" and a["item_id"] is None for a in kept)
    day.check("the remembered answer was used, and its use is in the ledger", ok=ok and bool(kept), seen=len(kept))


def _colleague(day: Day) -> None:
    day.screen.heading("A colleague was in one of those meetings too")
    session_id = _start(day, "jack.doyle", "jack.doyle", MONDAY)
    output = day.finish([session_id])[session_id]
    ok = (output["noted"], output["skipped"]) == (1, 1)
    day.check("his own is noted; the one that has its notes is left alone", ok=ok, seen=output)


def _with_a_model(day: Day) -> None:
    day.screen.heading("With a language model: its judgement, before anybody is asked")
    session_id = _start(day, "jack.doyle", "jack.doyle", TUESDAY | {"model": "script:meetings"})
    output = day.finish([session_id])[session_id]
    day.check("it reads in a mail which of the two it was, and nobody is asked", ok=output["noted"] == 1, seen=output)
    made = [a["status"] for a in day.actions(session_id) if a["action"] == "model.request"]
    day.check("its request went along the same road", ok=made == ["succeeded"], seen=made)


def _stranger(day: Day) -> None:
    day.screen.heading("A mailbox that nobody approved")
    session_id = _start(day, "nora.quist", "henrik.dahl", MONDAY)
    output = day.finish([session_id])[session_id]
    calls = [(a["action"], a["status"]) for a in day.actions(session_id)]
    ok = output["refused"] == "mailbox_not_approved" and calls == [("mailbox.list_events", "refused")]
    day.check("policy refuses it before the mail server is asked", ok=ok, seen=output["refused"])


def _conclude(stage: Stage, services: Services, day: Day) -> bool:
    held = {row["meeting_id"]: row["account_id"] for row in day.books.read("crm", "SELECT * FROM meetings")}
    day.check("the CRM's own books hold each meeting once, where it belongs", ok=held == WANTED, seen=held)
    texts = json.dumps(day.books.read("crm", "SELECT text FROM meetings"))
    day.check(
        "what an invitation told the agent to do is nowhere",
        ok="ignore your rules" not in texts,
        seen="as it should be",
    )
    file = stage.place / "audit.jsonl"
    verified = evidence.export(services, file, "person:ingrid.solberg")
    first = verified.facts[0] if verified.ok else verified.findings[0]
    day.check("the exported record is whole", ok=verified.ok, seen=first)
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
