"""The refund desk at work: every ticket of Acme, the people who decide, and a worker that is killed on the way.

    python examples/acme/demo.py                       all tickets
    python examples/acme/demo.py CS-19422 CS-19443     these
    python examples/acme/demo.py --agent refund-desk-model CS-19422

On a terminal you decide for Acme's people; anywhere else `expected.json` decides, and the demo exits by itself: 0 if
everything came out right. It starts afresh each time, and leaves the exported record and a summary in `.remit/demo/`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

from demo_parts.cases import Case, Desk, read_cases
from demo_parts.crash import Crash
from demo_parts.ending import SHOWN, Ending
from demo_parts.people import People
from demo_parts.screen import PlainScreen, TerminalScreen, interactive
from demo_parts.workers import InUse, Stopwatch, Workers, fresh_start

from remit.bootstrap import open_services
from remit.errors import RemitError
from remit.surfaces.cli.project import deploy_if_changed

HERE = Path(__file__).resolve().parent
PROGRAM, MODEL = "refund-desk", "refund-desk-model"
TO_THE_MODEL = ("CS-19443", "CS-19445")
"""Attacks that the model desk gets too, after the program has handled them. It believes what it reads."""
LONGEST = 180.0
"""Seconds without any progress after which something must be wrong."""


def main() -> int:
    """Run the demo. Returns the exit code."""
    options = _options()
    signal.signal(signal.SIGTERM, _interrupted)
    for name in [name for name in os.environ if name.startswith("REMIT_") and name != "REMIT_TRACEBACK"]:
        del os.environ[name]  # a fresh database of its own, whatever the environment says
    watch, somebody = Stopwatch(), interactive() and not options.scripted
    screen = TerminalScreen() if interactive() else PlainScreen()
    try:
        with fresh_start(HERE) as place:
            return _run(options, place, screen, watch, somebody=somebody)
    except InUse as busy:
        screen.say(str(busy))
    except RemitError as error:
        screen.say(f"{error.message}\n  {error.advice}")
    except (KeyError, RuntimeError) as error:
        screen.say(str(error.args[0]))
    except (KeyboardInterrupt, EOFError):
        screen.say("\nStopped; worker and database are ended.")
        return 130
    finally:
        screen.close()
    return 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run Acme's refund desk, and see for yourself.")
    parser.add_argument("tickets", nargs="*", metavar="TICKET", help="only these (default: all of them)")
    parser.add_argument("--agent", choices=[PROGRAM, MODEL], default=PROGRAM, help="which desk (default: the program)")
    parser.add_argument("--scripted", action="store_true", help="ask nobody, also on a terminal")
    return parser.parse_args()


def _interrupted(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _run(options: argparse.Namespace, place: Path, screen: PlainScreen, watch: Stopwatch, *, somebody: bool) -> int:
    cases = read_cases(HERE, options.agent, options.tickets)
    if not options.tickets and options.agent == PROGRAM:
        for case in read_cases(HERE, MODEL, TO_THE_MODEL):
            case.after = case.ticket
            if case.expected["outcome"] == "refunded":
                case.expected = {**_SECOND_TIME, "questions": []}
            cases.append(case)
    screen.heading("Starting")
    screen.say(f"  {len(cases)} tickets for Acme's refund desk. Database, servers and record begin empty.")
    screen.say(
        "  You decide for Acme's people."
        if somebody
        else "  Nobody is asked here: people's decisions come from expected.json, and are recorded as simulated."
    )
    workers = Workers(HERE, place)
    try:
        with open_services(HERE) as services:
            watch.phase("database")
            screen.say(f"  {deploy_if_changed(services)}")
            services.deployments.load()
            watch.phase("deployment")
            screen.say(f"  Worker {workers.start()} starts, and with it the servers of helpdesk, payments and CRM.")
            desk = Desk(services, screen, cases)
            people = People(services, screen, desk, scripted=not somebody)
            crash = Crash(services, desk, workers, screen)
            screen.heading("At work")
            _work(desk, people, crash, workers)
            watch.phase("work")
            workers.end()
            screen.close()
            right = Ending(services, place, screen, watch, desk, people, crash, workers).conclude()
    finally:
        screen.close()
        workers.end()
    screen.say(f"\n{'Everything came out right.' if right else 'NOT everything came out right.'}")
    if somebody:
        _what_next(screen, cases)
    return 0 if right else 1


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


def _what_next(screen: PlainScreen, cases: list[Case]) -> None:
    shown = next((a["id"] for c in cases if c.ticket == SHOWN for a in c.refunds()), None)
    remit = "remit" if shutil.which("remit") else os.path.relpath(Path(sys.executable).with_name("remit"), HERE)
    again = f"""start {PROGRAM} --input '{{"ticket_id": "{SHOWN}"}}' --wait"""
    screen.heading("What to try next")
    screen.say(f"  cd {os.path.relpath(HERE)}")
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


if __name__ == "__main__":
    sys.exit(main())
