"""What people are told, once each, through outages and deaths of the process that tells."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from tests.integration.road.world import World
from tests.integration.telling.office import Board, Office, away

from remit.storage import deliveries


@pytest.fixture
def board() -> Board:
    return Board("bo", "cleo", "eve", "ada")


@pytest.fixture
def office(world: World, board: Board) -> Office:
    return Office(world, board)


def test_who_is_asked_and_who_is_consulted_is_told_once(office: Office, board: Board) -> None:
    office.tell()  # the surface is turned on
    office.asks()
    office.tell()
    assert board.told() == [("item", "bo"), ("notice", "eve")]
    office.tell()
    assert len(board.pinned) == 2
    (item,) = (d for d in board.pinned if d.kind == "item")
    assert item.action is not None
    assert item.action["args"]["who"] == "kim"


def test_turning_a_surface_on_does_not_send_old_notices_but_open_items(office: Office, board: Board) -> None:
    office.asks()
    office.tell()
    assert board.told() == [("item", "bo")]


def test_the_outcome_replaces_what_was_asked(office: Office, board: Board) -> None:
    run = office.asks()
    office.tell()
    office.world.decide(office.world.item(run), "bo", "deny")
    office.tell()
    assert [i.status for _, i in board.updated] == ["decided"]
    office.tell()
    assert len(board.updated) == 1, "the outcome does not change any more"


def test_an_outage_loses_nothing_and_everything_is_sent_once_later(office: Office, board: Board) -> None:
    with away(board):
        for _ in range(3):
            office.asks()
        office.tell()
        for _ in range(7):
            office.overdue()
            office.tell()
        assert board.pinned == []
        waits = office.world.rows("select extract(epoch from next_at - clock_timestamp()) as s from remit.deliveries")
        assert 60 < max(w["s"] for w in waits) <= 300, "it looks again within five minutes"
    office.overdue()
    office.tell()
    assert board.told() == [("item", "bo")] * 3
    assert {r["status"] for r in office.rows()} == {"sent"}


def test_what_a_surface_asks_for_is_honoured(office: Office, board: Board) -> None:
    with away(board, after=90):
        office.asks()
        office.tell()
    (row,) = office.world.rows("select extract(epoch from next_at - clock_timestamp()) as s from remit.deliveries")
    assert 80 < row["s"] <= 90


def test_a_surface_that_is_away_is_not_asked_for_every_message(office: Office, board: Board) -> None:
    for _ in range(7):
        office.asks()
    with away(board):
        office.tell()
        tried = [r for r in office.rows() if r["attempts"] > 0]
    assert 1 <= len(tried) <= 4, "as many as are under way at once"


def test_what_was_decided_during_an_outage_is_not_sent_any_more(office: Office, board: Board) -> None:
    run = office.asks()
    with away(board):
        office.tell()
        office.world.decide(office.world.item(run), "bo", "deny")
    office.overdue()
    office.tell()
    assert board.pinned == []
    (row,) = office.rows()
    assert (row["status"], row["error"]) == ("dropped", "it was decided before it could be sent")


def test_two_processes_send_everything_once(world: World) -> None:
    board = Board("bo")
    offices = [Office(world, board), Office(world, board)]
    for _ in range(10):
        offices[0].asks()

    async def both() -> None:
        for _ in range(6):
            await asyncio.gather(*(o.dispatcher.step(board) for o in offices))

    asyncio.run(both())
    assert len(board.pinned) == 10
    assert len({d.id for d in board.pinned}) == 10


def test_what_one_process_claims_another_neither_claims_nor_waits_for(office: Office, board: Board) -> None:
    for _ in range(4):
        office.asks()
    with office.sessions.transaction() as db:
        deliveries.make_due(db, "board", ["bo"], channels=True)
    with office.sessions.transaction() as one, office.sessions.transaction() as other:
        other.execute("set local statement_timeout = '20s'")
        mine = deliveries.claim(one, "board", limit=2, hold=timedelta(minutes=1))
        theirs = deliveries.claim(other, "board", limit=8, hold=timedelta(minutes=1))
    assert (len(mine), len(theirs)) == (2, 2)
    assert not {r["id"] for r in mine} & {r["id"] for r in theirs}


def test_what_a_process_held_when_it_died_is_sent_by_another(world: World, board: Board) -> None:
    dying = Office(world, board, hold=timedelta(seconds=0))
    dying.asks()
    assert len(dying.dispatcher._make(board)) == 1  # it died before it sent
    other = Office(world, board)
    other.tell()
    assert board.told() == [("item", "bo")]
    assert board.pinned[0].attempts == 2, "a surface may look whether it has arrived before"


def test_escalation_tells_the_next_and_shows_the_first_anew(office: Office, board: Board) -> None:
    office.asks()
    office.tell()
    office.world.tick(after=timedelta(hours=9))
    office.tell()
    assert board.told() == [("item", "bo"), ("item", "cleo")]
    assert [i.assignees for _, i in board.updated] == [("bo", "cleo")]


def test_questions_go_to_their_channel(office: Office, board: Board) -> None:
    run = office.asks()
    item = office.world.item(run)
    office.world.db.execute(
        'update remit.inbox_items set detail = detail || \'{"channel": "#sales"}\' where id = %s', (item.id,)
    )
    office.tell()
    assert board.told() == [("item", "#sales")], "not to everybody who may answer there as well"
