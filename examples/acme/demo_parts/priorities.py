"""The third story: Acme's sellers, their morning lists, what becomes of them, and an idea that becomes a version."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from demo_parts import evidence
from demo_parts.sales_books import Books
from demo_parts.seller_day import LEAD, SELLERS, Day
from demo_parts.stage import Stage
from demo_parts.workers import Workers
from remit.bootstrap import Services, open_services
from remit.config.bundle import read_bundle
from remit.config.loader import parse_project
from remit.surfaces.cli.project import deploy_if_changed, put_in_force

AGENT = "daily-priorities"
EARLIER = "history/daily-priorities-1"
STALLED = {"acc_1004", "acc_1009", "acc_1012"}
"""Accounts in whose calls an agreement stands still; two more such calls belong to nobody."""
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
            screen.say("  Deployed with the first version of the daily list; the folder holds the second.")
            workers.start()
            day = Day(services, screen, workers, Books(stage.folder))
            _calls(day)
            lists = _morning(day)
            _escalations(day, lists)
            _strangers(day)
            _call_log(day)
            _idea(day)
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


def _morning(day: Day) -> dict[str, str]:
    day.screen.heading("Nine o'clock, six times")
    now = datetime.now(UTC)
    for listed in day.services.triggers.listing():
        if listed.name == "priorities" and listed.next_at is not None:
            day.screen.say(f"  The trigger fires by itself next at {listed.next_at:%a %H:%M} UTC. Now it is asked to.")
    lists = day.fire("priorities")
    day.check("everybody in sales gets a list of their own", ok=set(lists) == set(SELLERS), seen=len(lists))
    outputs = day.finish(lists.values())
    accounts = day.books.accounts()
    rows, foreign = [], 0
    for person, session_id in lists.items():
        listed = outputs[session_id]["priorities"]
        zone = next(u["time_zone"] for u in day.books.read("crm", "SELECT * FROM users") if u["user_id"] == person)
        first = accounts[listed[0]]["name"] if listed else ""
        rows.append((person, f"{now.astimezone(ZoneInfo(zone)):%H:%M} {zone}", str(len(listed)), first))
        if person != LEAD:  # who leads everybody sees everybody's
            foreign += len(set(listed) - day.books.owned(person))
    day.screen.table(("for", "there it is", "rows", "first"), rows)
    day.check("nobody is shown an account of somebody else", ok=foreign == 0, seen=f"{foreign} rows")
    tops = {person: outputs[lists[person]]["priorities"][0] for person in FIRST}
    day.check("the urgent tickets of large accounts come first", ok=tops == FIRST, seen=tops)
    return lists


def _escalations(day: Day, lists: dict[str, str]) -> None:
    day.screen.heading("A large account, an urgent ticket, ten days without an answer")
    wanted = day.books.must_go_up(datetime.now(UTC).date(), USD)

    children = day.children(lists.values())
    asked = day.until(lambda: day.waiting(children), "every escalation asks or ends")
    for item in asked:
        day.screen.line("asked", "", f"{', '.join(item.assignees)}: {item.detail['question']}")
        day.answer(item, LEAD, "the owner answers today")
    day.finish(children)
    found = day.books.escalations()
    same = {row["ticket_id"] for row in found} == wanted and len(found) == len(asked) == len(wanted)
    day.check("exactly those tickets went to the manager, each once", ok=same, seen=sorted(wanted))
    decided = {row["decision"] for row in found}
    day.check("what she said stands in the CRM", ok=decided == {"the owner answers today"}, seen=decided)
    again = day.fire("priorities", "nora.quist")
    day.finish(again.values())
    more = day.children(again.values())
    day.check("the next list hands nothing up a second time", ok=not more, seen=f"{len(more)} more")


def _strangers(day: Day) -> None:
    day.screen.heading("Somebody asks for somebody else's list")
    session_id = day.start(AGENT, {"person": "jack.doyle"}, "nora.quist", on_behalf_of="nora.quist")
    day.finish([session_id])
    (refused,) = day.actions(session_id)
    codes = [reason["code"] for reason in refused["reasons"]]
    ok = refused["status"] == "refused" and codes == ["not_their_accounts"]
    day.check("policy refuses it, and the CRM is not even asked", ok=ok, seen=codes)


def _call_log(day: Day) -> None:
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
    first = day.ask_which("nora.quist", "I called Kessler and left a message", "acc_1002")
    day.check("where two fit, she is asked which", ok=first == {"acc_1002", "acc_1003"}, seen=sorted(first))
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


def _idea(day: Day) -> None:
    day.screen.heading("An idea becomes a version")
    before = day.services.deployments.current().project.agents[AGENT].digest
    old = day.finish(day.fire("priorities", "jack.doyle").values())
    day.check("the first version knows no quiet accounts", ok="quiet" not in next(iter(old.values())), seen=before[:12])
    day.screen.say(f"  {deploy_if_changed(day.services)}")
    after = day.services.deployments.load().project.agents[AGENT].digest
    new = day.fire("priorities", "jack.doyle")
    output = day.finish(new.values())[new["jack.doyle"]]
    wanted = day.books.quiet("jack.doyle", datetime.now(UTC).astimezone(ZoneInfo("America/Chicago")).date(), USD)
    same = output["quiet"] == wanted and len(wanted) == 10
    day.check("the new version lists his ten largest quiet accounts", ok=same, seen=f"version {after[:12]}")


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
