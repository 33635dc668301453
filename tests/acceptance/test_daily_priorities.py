"""The third story, run as anybody runs it: the demo of examples/acme, without a terminal, in a copy of its folder.

One run, many looks at what it left: its summary, the servers' own books, Slack's own store, and the exported record.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

ACME = Path(__file__).resolve().parents[2] / "examples" / "acme"
SELLERS = {"ingrid.solberg", "nora.quist", "mateus.alves", "priya.raman", "jack.doyle", "hana.sato"}

# Half a minute where nothing else runs; all of it looks at one run.
pytestmark = pytest.mark.timeout(600)


class Story:
    """One run and what it left."""

    def __init__(self, folder: Path) -> None:
        shutil.copytree(ACME, folder, ignore=shutil.ignore_patterns(".remit", "__pycache__"))
        command = [sys.executable, str(folder / "demo.py"), "--story", "daily-priorities"]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=500, cwd=folder
        )
        self.folder, self.code, self.said = folder, done.returncode, done.stdout + done.stderr
        self.place = folder / ".remit/demo/daily-priorities"
        self.record = self.place / "audit.jsonl"

    @property
    def runs(self) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.record.read_text().splitlines()]
        return [line for line in lines if line["kind"] == "run"]

    def books(self, system: str, statement: str) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self.folder / f".remit/connections/{system}/{system}.sqlite")) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(statement).fetchall()]

    def slack(self) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self.place / "slack.db")) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute("select * from messages").fetchall()]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    return Story(tmp_path_factory.mktemp("sellers") / "acme")


def test_the_story_comes_out_right_and_every_check_was_made(story: Story) -> None:
    assert story.code == 0, story.said
    summary = json.loads((story.place / "summary.json").read_text())
    assert summary["ok"]
    assert [check["what"] for check in summary["checks"] if not check["ok"]] == []
    assert len(summary["checks"]) == 25
    assert not (story.folder / ".remit/demo/audit.jsonl").exists(), "that is the refund desk's"


def test_the_accounts_are_many_and_as_untidy_as_real_ones(story: Story) -> None:
    accounts = story.books("crm", "SELECT * FROM accounts")
    assert len(accounts) >= 300
    owners = {row["owner"] for row in accounts}
    assert {"", "viktor.lang", "import-2019"} < owners
    assert len({row["time_zone"] for row in accounts}) >= 6
    assert len({row["currency"] for row in accounts}) >= 5
    assert any(row["stage"] == "closed" for row in accounts)
    bare = ["".join(c for c in row["name"].casefold() if c.isalnum()) for row in accounts]
    assert len(bare) - len(set(bare)) >= 5, "the same company twice"
    assert story.books("helpdesk", "SELECT * FROM account_tickets WHERE account_id IS NULL")
    assert story.books("transcripts", "SELECT * FROM calls WHERE account_id IS NULL")


def test_each_list_came_once_by_slack_and_says_why(story: Story) -> None:
    lists = [run for run in story.runs if run["agent_id"] == "daily-priorities" and run["output"]]
    assert {run["on_behalf_of"] for run in lists} == SELLERS
    sent = [call for run in lists for call in run["tool_calls"] if call["tool"] == "remit.tell"]
    assert len(sent) == len(lists)
    assert {call["status"] for call in sent} == {"succeeded"}
    morning = [m for m in story.slack() if "Good morning" in m["text"] + (m["blocks"] or "")]
    assert len(morning) == len(lists), "each message once, though Slack is told at least once"
    assert all(place in m["text"] + m["blocks"] for m in morning for place in ("1. ", "(+"))


def test_a_ticket_of_a_large_account_went_up_once_whoever_saw_it(story: Story) -> None:
    raised = story.books("crm", "SELECT * FROM escalations ORDER BY ticket_id")
    assert [(row["account_id"], row["manager"]) for row in raised] == [
        ("acc_1001", "ingrid.solberg"),
        ("acc_1008", "ingrid.solberg"),
        ("acc_1010", "ingrid.solberg"),
    ]
    outcomes = [run["output"]["outcome"] for run in story.runs if run["agent_id"] == "escalation"]
    assert sorted(outcomes) == ["handed_up"] * 3 + ["handed_up_before"] * 2, "two saw what another had handed up"


def test_nobody_sees_the_accounts_of_others(story: Story) -> None:
    (refused,) = [call for run in story.runs for call in run["tool_calls"] if call["reason"] == "not_their_accounts"]
    assert (refused["tool"], refused["status"]) == ("crm.list_accounts", "refused")
    assert refused["policy_ids"] == ["own_accounts_only"]


def test_what_was_logged_stands_in_the_crm_and_what_was_undone_does_not(story: Story) -> None:
    logged = story.books("crm", "SELECT * FROM activities WHERE NOT seeded ORDER BY number")
    assert [(row["by"], row["account_id"], row["removed"]) for row in logged] == [
        ("jack.doyle", "acc_1005", 0),
        ("hana.sato", "acc_1008", 0),
        ("nora.quist", "acc_1002", 0),
        ("nora.quist", "acc_1002", 1),
    ]


def test_an_order_in_a_call_is_not_obeyed(story: Story) -> None:
    (hostile,) = story.books("transcripts", "SELECT * FROM calls WHERE text LIKE 'SYSTEM:%'")
    flagged = {row["call_id"] for row in story.books("crm", "SELECT * FROM flags")}
    assert len(flagged) == 3
    assert hostile["call_id"] not in flagged
    assert not any("elsewhere.example" in m["text"] + (m["blocks"] or "") for m in story.slack())


def test_the_idea_is_a_new_version_and_the_old_one_stays_readable(story: Story) -> None:
    versions = {run["agent_version"] for run in story.runs if run["agent_id"] == "daily-priorities"}
    assert len(versions) == 2
    quiet = [run["output"]["quiet"] for run in story.runs if "quiet" in (run["output"] or {})]
    assert [len(rows) for rows in quiet] == [10]


def test_the_record_holds_against_its_key(story: Story) -> None:
    command = [sys.executable, "-m", "remit", "audit", "verify", str(story.record), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
