"""Links in mails: to look changes nothing, they work once, for one person, and every refusal explains itself."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.integration.mail.postroom import BY_MAIL, DIRECTORY, Postroom
from tests.integration.road.world import project

from remit.domain.inbox import ItemStatus
from remit.domain.questions import Question, Remember
from remit.errors import Conflict
from remit.governance.desk import Decider
from remit.governance.links import ensure_link_key, use_link
from remit.runtime.road import TurnSuspendedError

FILES = {"directory.yaml": DIRECTORY, "actions.yaml": BY_MAIL}


@pytest.fixture
def postroom(make_postroom: Callable[..., Postroom]) -> Postroom:
    return make_postroom(**FILES)


def status(postroom: Postroom, item_id: str) -> ItemStatus:
    (row,) = postroom.world.rows("select status from remit.inbox_items where id = %s", item_id)
    return ItemStatus(row["status"])


def asks(postroom: Postroom, schema: dict[str, Any], text: str = "Which account?", **more: Any) -> Any:
    """A question by the clerk to Bo, mailed. Returns the item."""
    world, run = postroom.world, postroom.world.run()

    async def ask() -> None:
        await (await world.road(run)).ask("1", Question(text, schema, to="bo", **more))

    with pytest.raises(TurnSuspendedError):
        world.do(ask())
    postroom.tell()
    return world.item(run, "question")


def test_looking_decides_nothing_however_often(postroom: Postroom) -> None:
    run = postroom.asks()
    postroom.tell()
    path, item = postroom.mailed(), postroom.world.item(run)
    before = postroom.world.tags(run)
    for method in ("GET", "HEAD", "GET"):
        assert postroom.browser.request(method, path).status_code == 200
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        assert postroom.browser.request(method, path).status_code == 405
    for query in ("?verdict=approve", "?verdict=deny&reason=x"):
        assert postroom.browser.get(path + query).status_code == 200
    assert status(postroom, item.id) is ItemStatus.OPEN
    assert postroom.world.tags(run) == before
    assert postroom.send(path, verdict="approve").status_code == 303  # and it still works


def test_an_approval_by_mail_lets_the_action_through(postroom: Postroom) -> None:
    run = postroom.asks()
    postroom.tell()
    path, item = postroom.mailed(), postroom.world.item(run)
    sent = postroom.send(path, verdict="approve", reason="agreed with Kim")
    assert sent.status_code == 303
    decided = postroom.world.items(run, status=None)[0]
    assert decided.decision is not None
    assert (decided.decision["verdict"], decided.decision["by"], decided.decision["via"]) == ("approved", "bo", "mail")
    page = postroom.browser.get(path)
    assert "Thank you" in page.text
    assert "<form" not in page.text
    assert "mail:link:used" in postroom.world.tags(run)
    run = postroom.world.again(run)
    args = {"who": "kim", "amount": 200, "currency": "USD", "key": "k"}
    assert postroom.world.call(run, "till.pay", args).status == "succeeded"
    assert item.id == decided.id


def test_to_deny_takes_a_reason(postroom: Postroom) -> None:
    run = postroom.asks()
    postroom.tell()
    path = postroom.mailed()
    refused = postroom.send(path, verdict="deny", reason="  ")
    assert refused.status_code == 422
    assert "say why you deny it" in refused.text
    assert "<form" in refused.text
    assert postroom.send(path, verdict="deny", reason="no budget").status_code == 303
    assert postroom.world.items(run, status=None)[0].status is ItemStatus.DECIDED


def test_without_mail_approval_the_link_shows_and_decides_nothing(make_postroom: Callable[..., Postroom]) -> None:
    postroom = make_postroom(**{"directory.yaml": DIRECTORY})
    run = postroom.asks()
    postroom.tell()
    path, item = postroom.mailed(), postroom.world.item(run)
    page = postroom.browser.get(path)
    assert "<form" not in page.text
    assert f"remit decide {item.id}" in page.text
    key = ensure_link_key(postroom.services.state)
    data = {"seal": key.seal(path.rpartition("/")[2]), "verdict": "approve"}
    refused = postroom.browser.post(path, data=data, headers={"sec-fetch-site": "same-origin"})
    assert refused.status_code == 403
    assert status(postroom, item.id) is ItemStatus.OPEN
    assert postroom.world.tags(run)[-1] == "mail:link:refused"


def test_a_form_of_another_site_is_refused_and_recorded(postroom: Postroom) -> None:
    run = postroom.asks()
    postroom.tell()
    path, item = postroom.mailed(), postroom.world.item(run)
    filled = postroom.fill(path, verdict="approve")
    for headers in (
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "https://evil.example"},
    ):
        assert postroom.browser.post(path, data=filled, headers=headers).status_code == 403, headers
    unsealed = {"seal": "", "verdict": "approve"}
    assert postroom.browser.post(path, data=unsealed, headers={"sec-fetch-site": "same-origin"}).status_code == 403
    assert status(postroom, item.id) is ItemStatus.OPEN
    assert postroom.world.tags(run).count("mail:link:refused") == 5
    assert postroom.browser.post(path, data=filled, headers={"origin": "https://remit.example"}).status_code == 303


def test_every_page_forbids_what_it_does_not_need(postroom: Postroom) -> None:
    postroom.asks()
    postroom.tell()
    for path in (postroom.mailed(), "/links/" + "x" * 43, "/links/style.css"):
        headers = postroom.browser.get(path).headers
        policy = headers["content-security-policy"]
        for wanted in ("default-src 'none'", "style-src 'self'", "frame-ancestors 'none'", "form-action 'self'"):
            assert wanted in policy
        assert headers["referrer-policy"] == "no-referrer"
        assert "noindex" in headers["x-robots-tag"]
        assert headers["x-content-type-options"] == "nosniff"
    assert postroom.browser.get(postroom.mailed()).headers["cache-control"] == "no-store"


def test_a_link_works_once(postroom: Postroom) -> None:
    run = postroom.asks()
    postroom.tell()
    path = postroom.mailed()
    filled = postroom.fill(path, verdict="approve")

    def click(_: int) -> int:
        visitor = postroom.visitor()
        return visitor.post(path, data=filled, headers={"sec-fetch-site": "same-origin"}).status_code

    with ThreadPoolExecutor(4) as pool:
        answers = sorted(pool.map(click, range(4)))
    assert answers == [303, 409, 409, 409]
    assert postroom.world.tags(run).count("mail:link:used") == 1
    assert postroom.world.tags(run).count("person:approval:given") == 1


def test_a_decision_and_the_use_of_its_link_are_one(postroom: Postroom) -> None:
    run = postroom.asks()
    postroom.tell()
    key, item = ensure_link_key(postroom.services.state), postroom.world.item(run)
    token = postroom.mailed().rpartition("/")[2]
    _rewrite(postroom, "used_at = clock_timestamp()")  # by somebody who was a moment faster
    with pytest.raises(Conflict, match="used already"):
        postroom.sessions.approve(item.id, Decider("bo"), "yes", also=use_link(key, token))
    assert status(postroom, item.id) is ItemStatus.OPEN
    assert "person:approval:given" not in postroom.world.tags(run)


def test_a_link_explains_that_the_database_is_away_and_works_later(
    postroom: Postroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    postroom.asks()
    postroom.tell()
    path = postroom.mailed()
    filled = postroom.fill(path, verdict="approve")
    with monkeypatch.context() as away:
        away.setattr(postroom.sessions, "_url", "postgresql://127.0.0.1:1/nothing")
        for page in (postroom.browser.get(path), postroom.browser.post(path, data=filled)):
            assert page.status_code == 503
            assert "does not answer" in page.text
            assert "Traceback" not in page.text
    assert postroom.send(path, verdict="approve").status_code == 303


def test_a_link_whose_item_somebody_else_decided_tells_the_outcome(postroom: Postroom) -> None:
    run = postroom.asks()
    postroom.tell()
    path = postroom.mailed()
    filled = postroom.fill(path, verdict="approve")
    with postroom.sessions.transaction() as db:
        db.execute("update remit.inbox_items set assignees = '{bo,cleo}' where session_id = %s", (run.session_id,))
    postroom.world.decide(postroom.world.item(run), "bo", "deny", reason="bought elsewhere")
    late = postroom.browser.post(path, data=filled, headers={"sec-fetch-site": "same-origin"})
    assert late.status_code == 409
    for page in (late, postroom.browser.get(path)):
        assert "This is settled" in page.text
        assert "bo" in page.text
        assert "bought elsewhere" in page.text
        assert "<form" not in page.text


def test_an_expired_link_shows_nothing_of_the_item(postroom: Postroom) -> None:
    run = postroom.asks()
    with postroom.sessions.transaction() as db:
        db.execute("update remit.inbox_items set expires_at = clock_timestamp() + interval '1 second'")
    postroom.tell()
    path = postroom.mailed()
    filled = {"seal": ensure_link_key(postroom.services.state).seal(path.rpartition("/")[2]), "verdict": "approve"}
    until = time.monotonic() + 30
    while postroom.browser.get(path).status_code != 410:
        assert time.monotonic() < until
        time.sleep(0.1)
    for page in (postroom.browser.get(path), postroom.browser.post(path, data=filled)):
        assert page.status_code == 410
        assert "has expired" in page.text
        assert "kim" not in page.text
    assert postroom.world.item(run).status is ItemStatus.OPEN


def test_a_link_lives_no_longer_than_its_item_and_no_longer_than_said(make_postroom: Callable[..., Postroom]) -> None:
    postroom = make_postroom({"link_hours": 1}, **FILES)
    run = postroom.asks()
    with postroom.sessions.transaction() as db:
        db.execute(
            "update remit.inbox_items set expires_at = clock_timestamp() + interval '10 min' where session_id = %s",
            (run.session_id,),
        )
    postroom.asks()
    postroom.tell()
    rows = postroom.world.rows("select expires_at - created_at as lifetime from remit.links order by 1")
    minutes = [round(row["lifetime"].total_seconds() / 60) for row in rows]
    assert minutes == [10, 60]


def test_nobody_can_make_a_link_from_the_database(postroom: Postroom) -> None:
    postroom.asks()
    postroom.tell()
    path = postroom.mailed()
    token = path.rpartition("/")[2]
    (row,) = postroom.world.rows("select * from remit.links")
    assert token not in str(row)
    # Whoever may write there gives the link to another person, or makes it live longer: it is void.
    for change, back in (
        ("person = 'cleo'", "person = 'bo'"),
        ("expires_at = expires_at + interval '1 day'", "expires_at = expires_at - interval '1 day'"),
        ("nonce = 'x'", None),
    ):
        _rewrite(postroom, change)
        assert postroom.browser.get(path).status_code == 404, change
        if back is not None:
            _rewrite(postroom, back)
            assert postroom.browser.get(path).status_code == 200, back
    # Or plants a row with the digest of a token of their own.
    planted = "a" * 43
    _rewrite(postroom, f"digest = encode(sha256('{planted}'), 'hex')")
    assert postroom.browser.get(f"/links/{planted}").status_code == 404


@pytest.mark.parametrize("token", ["x" * 43, "x", "..%2f..%2fetc", "%00", "é" * 43, "x" * 5000])
def test_what_is_no_link_is_told_plainly(postroom: Postroom, token: str) -> None:
    page = postroom.browser.get(f"/links/{token}")
    assert page.status_code == 404
    assert "Traceback" not in page.text


def test_a_link_of_somebody_who_has_left_is_nobodys(make_postroom: Callable[..., Postroom]) -> None:
    postroom = make_postroom(**FILES)
    run = postroom.asks()
    postroom.tell()
    path = postroom.mailed()
    filled = postroom.fill(path, verdict="approve")
    left = DIRECTORY.replace("{id: bo,", "{id: bo, status: left,")
    postroom.world.snapshots.put(project(**(FILES | {"directory.yaml": left})))
    for page in (postroom.browser.get(path), postroom.browser.post(path, data=filled)):
        assert page.status_code == 403
        assert "kim" not in page.text
    assert postroom.world.item(run).status is ItemStatus.OPEN


def test_who_asked_for_the_work_does_not_approve_it_by_mail_either(postroom: Postroom) -> None:
    run = postroom.asks(principal="person:bo")
    with postroom.sessions.transaction() as db:
        # As if the mail had gone to them all the same: the desk looks when they decide.
        db.execute("update remit.inbox_items set assignees = '{bo}' where session_id = %s", (run.session_id,))
    postroom.tell()
    refused = postroom.send(postroom.mailed(), verdict="approve")
    assert refused.status_code == 403
    assert "bo asked for this work and may not approve it" in refused.text
    assert postroom.world.item(run).status is ItemStatus.OPEN
    assert postroom.world.tags(run)[-1] == "mail:link:refused"


def test_a_question_is_answered_by_choosing(postroom: Postroom) -> None:
    schema = {"oneOf": [{"const": "acc_1", "title": "Globex <b>"}, {"const": "acc_2", "title": "Initech"}]}
    item = asks(postroom, schema, remember=Remember("account of kim"))
    path = postroom.mailed()
    page = postroom.browser.get(path).text
    assert "Globex &lt;b&gt;" in page
    assert re.search(r'type="radio" name="value" value="1"', page)
    wrong = postroom.send(path, value="7", reason="my comment")
    assert wrong.status_code == 422
    assert "my comment" in wrong.text  # nothing has to be written again
    assert postroom.send(path, value="1", remember="yes").status_code == 303
    (found,) = postroom.world.rows("select * from remit.inbox_items where id = %s", item.id)
    assert (found["decision"]["value"], found["decision"]["via"]) == ("acc_2", "mail")
    (kept,) = postroom.world.rows("select * from remit.memories")
    assert (kept["item_id"], kept["by"]) == (item.id, "person:bo")


@pytest.mark.parametrize(
    ("schema", "bad", "good", "value"),
    [
        ({"type": "number", "minimum": 0, "maximum": 10}, "11", "2.5", 2.5),
        ({"type": "integer"}, "1.5", "3", 3),
        ({"type": "boolean"}, "2", "0", True),
        ({"type": "string", "minLength": 3}, "ab", "Öl & Co\nline two", "Öl & Co\nline two"),
        ({"type": "object", "required": ["a"]}, "{}", '{"a": 1}', {"a": 1}),
    ],
)
def test_an_answer_has_to_fit_its_question(
    postroom: Postroom, schema: dict[str, Any], bad: str, good: str, value: Any
) -> None:
    item = asks(postroom, schema)
    path = postroom.mailed()
    assert postroom.send(path, value="").status_code == 422
    assert postroom.send(path, value=bad).status_code == 422
    assert status(postroom, item.id) is ItemStatus.OPEN
    assert postroom.send(path, value=good).status_code == 303
    (found,) = postroom.world.rows("select decision from remit.inbox_items where id = %s", item.id)
    assert found["decision"]["value"] == value


def test_what_is_no_form_is_refused(postroom: Postroom) -> None:
    item = asks(postroom, {"type": "string"})
    path = postroom.mailed()
    headers = {"sec-fetch-site": "same-origin", "content-type": "application/x-www-form-urlencoded"}
    for content in (b"\xff=\xff", b"&".join(b"a%d=1" % n for n in range(100)), b"value=" + b"x" * 300_000):
        assert postroom.browser.post(path, content=content, headers=headers).status_code in {403, 422}
    json = {"sec-fetch-site": "same-origin", "content-type": "application/json"}
    assert postroom.browser.post(path, content=b'{"verdict": "approve"}', headers=json).status_code == 422
    assert status(postroom, item.id) is ItemStatus.OPEN


def _rewrite(postroom: Postroom, change: str) -> None:
    with postroom.sessions.transaction() as db:
        db.execute(f"update remit.links set {change}")  # type: ignore[arg-type]
