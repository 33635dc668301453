"""`remit check` on `[login.oidc]` and on how the directory names people for it."""

from __future__ import annotations

import pytest

from remit.config.reading import read_files
from remit.config.references import check_references

OIDC = '[login.oidc]\nissuer = "https://id.example.com"\nclient_id = "remit"\nclient_secret = "env:SECRET"\n'
SERVER = '[server]\nurl = "https://remit.example.com"\n'
PEOPLE = """
people:
  - {id: ada, name: Ada, email: ada@example.com, subject: u1}
  - {id: bo, name: Bo, %s}
  - {id: cy, name: Cy, email: ada@example.com, subject: u1, status: left}
"""


def told(settings: str, second: str = "email: bo@example.com", people: str = PEOPLE) -> list[str]:
    text = f'[project]\nname = "x"\n{settings}'
    directory = (people % second if "%s" in people else people).encode()
    loaded = read_files({"remit.toml": text.encode(), "directory.yaml": directory})
    return [str(p) for p in [*loaded.problems, *check_references(loaded)]]


def test_what_is_right_is_not_told():
    assert told(OIDC + SERVER) == []
    assert told(SERVER) == []
    assert told(OIDC + SERVER + "", second="email: bo@example.com, subject: u1") == []
    assert told(OIDC.replace("https://id.example.com", "http://127.0.0.1:9000") + SERVER) == []


@pytest.mark.parametrize(
    ("settings", "said", "severity"),
    [
        (OIDC.replace("https", "http") + SERVER, "would go unencrypted", "error"),
        (OIDC.replace(".com", ".com/.well-known/openid-configuration") + SERVER, "not the provider", "error"),
        (OIDC.replace("env:SECRET", "hunter2") + SERVER, "client_secret", "error"),
        (OIDC.replace('client_id = "remit"\n', "") + SERVER, "client_id", "error"),
        (OIDC + 'claim = "name"\n' + SERVER, "claim", "error"),
        (OIDC, "back to this machine only", "warning"),
        (OIDC + SERVER.replace("https", "http"), "can be read on their way", "warning"),
    ],
)
def test_what_cannot_work_is_told_at_its_place(settings: str, said: str, severity: str):
    problems = told(settings)
    assert any(said in problem and f": {severity}: " in problem for problem in problems), problems
    assert all(problem.startswith("remit.toml:") for problem in problems)
    assert not any("hunter2" in problem for problem in problems)


def test_whom_a_login_names_is_one_person():
    (problem,) = told(OIDC + SERVER, second="email: ADA@example.com")
    assert problem.startswith("directory.yaml:4:")
    assert "this is ada's email already" in problem
    (problem,) = told(OIDC + 'claim = "sub"\n' + SERVER, second="subject: u1")
    assert "this is ada's subject already" in problem
    (problem,) = told(OIDC + SERVER, people="people:\n  - {id: ada, name: Ada}\n")
    assert "names people by `email`, and nobody has one" in problem
    assert "warning" in problem
