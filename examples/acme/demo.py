"""Acme at work, story by story, from an empty database. Each checks what came out, and ends by itself.

    python examples/acme/demo.py                            all stories in turn
    python examples/acme/demo.py --story daily-priorities   one of them
    python examples/acme/demo.py CS-19422 CS-19443          the refund desk on these tickets only
    python examples/acme/demo.py --agent refund-desk-model CS-19422

On a terminal you decide for Acme's people in the refund desk; anywhere else, and in the other stories, a script does.
The exit code is 0 if everything came out right. The exported record and a summary of each story stay in `.remit/demo/`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from demo_parts.screen import PlainScreen, TerminalScreen, interactive
from demo_parts.stage import Stage
from demo_parts.workers import InUse, Stopwatch, fresh_start

from remit.errors import RemitError

HERE = Path(__file__).resolve().parent
STORIES = {
    "refund-desk": "demo_parts.refund_desk",
    "meeting-notes": "demo_parts.meetings",
    "daily-priorities": "demo_parts.priorities",
}
"""Each story to its module, which has `play(stage) -> bool`."""
DESKS = ("refund-desk", "refund-desk-model")


def main() -> int:
    """Run the stories that are asked for. Returns the exit code: the first one that is not 0."""
    options = _options()
    signal.signal(signal.SIGTERM, _interrupted)
    for name in [name for name in os.environ if name.startswith("REMIT_") and name != "REMIT_TRACEBACK"]:
        del os.environ[name]  # a fresh database of its own, whatever the environment says
    try:
        stories = _chosen(options)
        codes = [_told(options, story, keep_record=story != stories[0]) for story in stories]
        if interactive() and not options.scripted:
            _leave_open()
    except (KeyboardInterrupt, EOFError):
        print("\nStopped; worker and database are ended.")
        return 130
    return next((code for code in codes if code), 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="See Acme's agents at work.")
    parser.add_argument("tickets", nargs="*", metavar="TICKET", help="the refund desk on these only")
    parser.add_argument("--story", choices=[*STORIES, "all"], help="which story (default: all in turn)")
    parser.add_argument("--agent", choices=DESKS, help="which refund desk (default: the program)")
    parser.add_argument("--scripted", action="store_true", help="ask nobody, also on a terminal")
    return parser.parse_args()


def _chosen(options: argparse.Namespace) -> list[str]:
    if options.story is None and (options.tickets or options.agent):
        return ["refund-desk"]
    return list(STORIES) if options.story in {None, "all"} else [options.story]


def _leave_open() -> None:
    """Leave the cockpit running on what was played, until somebody ends it."""
    print("\nThe cockpit opens on all of it. Ctrl-C ends it; `remit up examples/acme` opens it again.\n")
    command = [sys.executable, "-m", "remit", "up", str(HERE)]
    running = subprocess.Popen(command)  # noqa: S603
    while running.poll() is None:
        with suppress(KeyboardInterrupt):  # the terminal sends it to both; the server finishes what is under way
            running.wait()


def _interrupted(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _told(options: argparse.Namespace, story: str, *, keep_record: bool) -> int:
    """Play one story and say how it went."""
    screen = TerminalScreen() if interactive() else PlainScreen()
    try:
        with fresh_start(HERE, "" if story == "refund-desk" else story, keep_record=keep_record) as place:
            somebody = interactive() and not options.scripted
            tickets, agent = tuple(options.tickets), options.agent or DESKS[0]
            stage = Stage(HERE, place, screen, Stopwatch(), somebody, tickets, agent)
            right = importlib.import_module(STORIES[story]).play(stage)
        screen.say(f"\n{'Everything came out right.' if right else 'NOT everything came out right.'}")
    except InUse as busy:
        screen.say(str(busy))
    except RemitError as error:
        screen.say(f"{error.message}\n  {error.advice}")
    except (KeyError, RuntimeError) as error:
        screen.say(str(error.args[0]))
    else:
        return 0 if right else 1
    finally:
        screen.close()
    return 1


if __name__ == "__main__":
    sys.exit(main())
