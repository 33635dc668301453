"""The first story: the refund desk on every ticket, with people who decide and a worker that is killed on the way."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

from demo_parts.cases import Case, Desk, read_cases
from demo_parts.crash import Crash
from demo_parts.ending import SHOWN, Ending
from demo_parts.people import People
from demo_parts.stage import Stage, hold
from demo_parts.workers import Workers
from remit.bootstrap import open_services
from remit.surfaces.cli.project import deploy_if_changed

PROGRAM, MODEL = "refund-desk", "refund-desk-model"
TO_THE_MODEL = ("CS-19443", "CS-19445")
"""Attacks that the model desk gets too, after the program has handled them. It believes what it reads."""
LONGEST = 180.0
"""Seconds without any progress after which something must be wrong."""


def play(stage: Stage) -> bool:
    """Run the story. True if everything came out right."""
    cases, screen, watch = _cases(stage), stage.screen, stage.watch
    screen.heading("Starting")
    screen.say(f"  {len(cases)} tickets for Acme's refund desk. Database, servers and record begin empty.")
    screen.say(
        "  You decide for Acme's people."
        if stage.somebody
        else "  Nobody is asked here: people's decisions come from expected.json, and are recorded as simulated."
    )
    workers = Workers(stage.folder, stage.place)
    try:
        with open_services(stage.folder) as services:
            watch.phase("database")
            screen.say(f"  {deploy_if_changed(services)}")
            services.deployments.load()
            hold(services, "agreements", "meetings", "priorities")
            watch.phase("deployment")
            screen.say(f"  Worker {workers.start()} starts, and with it the servers of helpdesk, payments and CRM.")
            desk = Desk(services, screen, cases)
            people = People(services, screen, desk, scripted=not stage.somebody)
            crash = Crash(services, desk, workers, screen)
            screen.heading("At work")
            _work(desk, people, crash, workers)
            crash.wait_until_known()
            watch.phase("work")
            workers.end()
            screen.close()
            right = Ending(services, stage.place, screen, watch, desk, people, crash, workers).conclude()
    finally:
        screen.close()
        workers.end()
    if stage.somebody:
        _what_next(stage, cases)
    return right


def _cases(stage: Stage) -> list[Case]:
    cases = read_cases(stage.folder, stage.agent, stage.tickets)
    if not stage.tickets and stage.agent == PROGRAM:
        for case in read_cases(stage.folder, MODEL, TO_THE_MODEL):
            case.after = case.ticket
            if case.expected["outcome"] == "refunded":
                case.expected = {**_SECOND_TIME, "questions": []}
            cases.append(case)
    return cases


_SECOND_TIME = {
    # The program paid this one already: the second refund of a charge takes a person, who says no.
    "outcome": "declined",
    "approvals": [
        {
            "action": "payments.refund",
            "reason": "duplicate_effect",
            "roles": ["accountable"],
            "decision": "deny",
            "note": "This was refunded a moment ago.",
        }
    ],
}


def _work(desk: Desk, people: People, crash: Crash, workers: Workers) -> None:
    """Until every ticket has ended. Nobody decides before the crash, so that everything that waits lives through it."""
    desk.start_ready()
    last, progress = time.monotonic(), 0
    while len(desk.done) < len(desk.cases):
        waiting = desk.look()
        crash.step()
        if crash.done:
            for case, item in waiting:
                people.attend(case, item)
        desk.start_ready()
        if workers.ready and progress != (progress := len(desk.done) + people.decided + workers.kills):
            last = time.monotonic()
        if time.monotonic() - last > LONGEST:
            raise RuntimeError(f"nothing has happened for {LONGEST:.0f} s; see {workers.log}")
        time.sleep(0.1)


def _what_next(stage: Stage, cases: list[Case]) -> None:
    screen = stage.screen
    shown = next((a["id"] for c in cases if c.ticket == SHOWN for a in c.refunds()), None)
    remit = "remit" if shutil.which("remit") else os.path.relpath(Path(sys.executable).with_name("remit"), stage.folder)
    again = f"""start {PROGRAM} --input '{{"ticket_id": "{SHOWN}"}}' --wait"""
    screen.heading("What to try next")
    screen.say(f"  cd {os.path.relpath(stage.folder)}")
    tries = [
        ("sessions", "what the desk did"),
        (f"policy explain {shown}", "why that refund took a person, and which line of policy says so"),
        ("audit verify .remit/demo/audit.jsonl", "then change one letter in that file and verify it again"),
        ("up", "leave it running, and in another terminal:"),
        (again, "the same ticket once more: who is asked now, and why?"),
        ("inbox", "what waits; `decide` and `answer` settle it"),
        ("stop --all --reason drill", "nothing is cleared any more; `release --all --reason over` ends it"),
    ]
    for command, what in tries:
        screen.say(f"  {remit} {command}\n      {what}")
    screen.say("  Change a number in policies/refunds.cedar, deploy it with `deploy`, and start a ticket again.")
    screen.say("  README.md tells how to make the servers slow, deaf or dead.")
