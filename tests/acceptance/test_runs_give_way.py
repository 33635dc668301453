"""Of several runs that were asked for, the newest begins; that the others give way is nobody's death."""

from __future__ import annotations

from datetime import timedelta

from remit.storage import executors, runs, sessions
from tests.acceptance.shop import Shop


def test_only_the_newest_run_of_a_turn_begins(shop: Shop) -> None:
    session = shop.start({"tool": "peek"})
    with shop.services.sessions.transaction() as db:
        (turn,) = sessions.open_turns(db, session)
        shop.services.sessions.resume_turn(db, turn)  # an answer came while the first run was at work, or dead
    with shop.services.sessions.transaction() as db:
        executors.register(db, "exe_1", timedelta(seconds=60))
        db.execute("update dbos.workflow_status set status = 'PENDING', executor_id = 'exe_1'")
        assert runs.begin_run(db, workflow_id=f"{turn}:1", turn_id=turn, executor="exe_1") is None
        begun = runs.begin_run(db, workflow_id=f"{turn}:2", turn_id=turn, executor="exe_1")
    assert begun is not None
    assert (begun.run, begun.failures) == (2, 1)
