"""`remit check` on `[slack]` and on people's Slack ids."""

from __future__ import annotations

import pytest

from remit.config.reading import read_files
from remit.config.references import check_references

SLACK = '[slack]\nteam = "T1"\nbot_token = "env:BOT"\nsigning_secret = "env:SIGN"\n'
PEOPLE = "people:\n  - {id: ada, name: Ada, slack: T1/U1}\n  - {id: bo, name: Bo, slack: %s}\n"


def told(slack: str, second: str = "T1/U2") -> list[str]:
    settings = f'[project]\nname = "x"\n{slack}'
    loaded = read_files({"remit.toml": settings.encode(), "directory.yaml": (PEOPLE % second).encode()})
    return [str(p) for p in [*loaded.problems, *check_references(loaded)]]


def test_what_is_right_is_not_told():
    assert told(SLACK) == []
    assert told("") == []
    assert told(SLACK.replace("signing_secret", "app_token") + 'mode = "socket"\n') == []
    assert told(SLACK + 'api_url = "http://127.0.0.1:8300/api/"\n') == []


@pytest.mark.parametrize(
    ("slack", "said"),
    [
        (SLACK.replace('signing_secret = "env:SIGN"\n', ""), "from forged ones without `signing_secret`"),
        (SLACK + 'mode = "socket"\n', "socket mode needs `app_token`"),
        (SLACK + 'api_url = "http://slack.example/api/"\n', "the bot's token would go unencrypted"),
        (SLACK + 'agent = "nobody"\n', "there is no agent nobody"),
        (SLACK.replace('"env:SIGN"', '"8f742231b10e8888abcd99yyyzzz85a5"'), "signing_secret"),
    ],
)
def test_what_cannot_work_is_told_at_its_place(slack: str, said: str):
    problems = told(slack)
    assert all(problem.startswith("remit.toml:") for problem in problems)
    assert any(said in problem for problem in problems), problems


def test_a_slack_id_is_one_persons():
    (problem,) = told("", second="T1/U1")
    assert "T1/U1 is ada already" in problem
    (problem,) = told(SLACK.replace('"T1"', '"T2"'))
    assert "nobody has a `slack` id of team T2" in problem
    assert "warning" in problem
