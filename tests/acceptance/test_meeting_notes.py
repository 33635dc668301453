"""The second story, run as anybody runs it: the demo's meeting notes, in a copy, with Slack away at first."""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest

from tests.acceptance.terminal import AtTerminal

ACME = Path(__file__).resolve().parents[2] / "examples" / "acme"

pytestmark = pytest.mark.timeout(400)


class Played:
    """One run of the story and what it left."""

    def __init__(self, folder: Path) -> None:
        shutil.copytree(ACME, folder, ignore=shutil.ignore_patterns(".remit", "__pycache__"))
        command = [sys.executable, str(folder / "demo.py"), "--story", "meeting-notes"]
        demo = AtTerminal(command, folder)
        try:
            link = demo.wait_for(r"(http://\S+/login/\S+)", 350)[1]
            with httpx.Client(follow_redirects=True, headers={"sec-fetch-site": "same-origin"}, timeout=60) as client:
                client.post(link, data={"person": "nora.quist"}).raise_for_status()
                self.cockpit = client.get(urljoin(link, "/sessions?status=finished")).text
            self.code, self.said = demo.interrupt(60), demo.said
        finally:
            demo.close()
        self.place = folder / ".remit/demo/meeting-notes"
        self.systems = folder / ".remit/connections"

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads((self.place / "summary.json").read_text())

    def rows(self, file: Path, statement: str) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(statement)]

    def runs(self) -> list[dict[str, Any]]:
        lines = map(json.loads, (self.place / "audit.jsonl").read_text().splitlines())
        return [line for line in lines if line["kind"] == "run"]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return Played(tmp_path_factory.mktemp("meetings") / "acme")


def test_it_comes_out_right(story: Played) -> None:
    assert story.code == 0, story.said
    wrong = [check for check in story.summary["checks"] if not check["ok"]]
    assert wrong == []
    assert len(story.summary["checks"]) >= 11


def test_at_a_terminal_the_cockpit_stays_open_on_the_story(story: Played) -> None:
    assert "The cockpit opens on all of it" in story.said
    assert story.cockpit.count("meeting-notes") >= 4, story.cockpit


def test_each_meeting_stands_once_under_the_right_account(story: Played) -> None:
    meetings = story.rows(story.systems / "crm" / "crm.sqlite", "select * from meetings order by meeting_id")
    assert [(m["meeting_id"], m["account_id"]) for m in meetings] == [
        ("ev-1001", "acc_1001"),
        ("ev-1003", "acc_1002"),
        ("ev-1008", "acc_1004"),
        ("ev-1009", "acc_1002"),
        ("ev-1010", "acc_1001"),
        ("ev-1101", "acc_1005"),
        ("ev-1102", "acc_1003"),
    ]
    assert "- please send the price list for shelving" in meetings[1]["text"]


def test_slack_holds_one_question_and_its_outcome(story: Played) -> None:
    posted = story.rows(story.place / "slack.db", "select * from messages order by ts")
    asked = [m for m in posted if "Kessler: intro call" in m["text"] + m["blocks"]]
    assert len(asked) == 1, "it was posted once, although Slack was away when it was asked"
    assert asked[0]["edits"] >= 1
    assert "remit_answer" not in asked[0]["blocks"], "nothing is left to press"


def test_the_record_says_who_answered_where_and_what_was_refused(story: Played) -> None:
    runs = story.runs()
    answered = [d for run in runs for d in run["human_override"] or ()]
    assert [(d["by"], d["said"]["via"]) for d in answered if "via" in d["said"]] == [("nora.quist", "slack")]
    (refused,) = [run for run in runs if run["inputs"]["mailbox"] == "henrik.dahl@acme.example"]
    assert [(c["tool"], c["status"], c["reason"]) for c in refused["tool_calls"]] == [
        ("mailbox.list_events", "refused", "mailbox_not_approved")
    ]
