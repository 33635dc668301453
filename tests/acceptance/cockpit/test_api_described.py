"""Every endpoint against its own description: whatever is sent, the server answers, and as it has said it would."""

from __future__ import annotations

import warnings
from collections import defaultdict
from datetime import timedelta
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode, checks
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from remit.storage import tokens
from remit.storage.database import keeping_connections
from tests.acceptance.cockpit.office import Office
from tests.acceptance.cockpit.test_decide import asked

MEANT, WILD = 4, 6
"""Requests to each endpoint: as described and about what is there, and whatever else comes to mind."""
CHECKS = [
    checks.not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
]


def known(office: Office) -> dict[str, str]:
    """Ids that are there, so that more than the refusals is tried."""
    session_id, item_id = asked(office)
    with office.services.sessions.transaction() as db:
        found = db.execute("select id from remit.actions where session_id = %s", (session_id,)).fetchone()
        token = tokens.issue(db, "person:bo", "0" * 64, "test", timedelta(days=1))
    assert found is not None
    idea = office.client("bo").post("/api/v1/ideas", json={"words": "A bigger till"}).json()["id"]
    return {
        "idea_id": idea,
        "token_id": token,
        "session_id": session_id,
        "item_id": item_id,
        "action_id": found["id"],
        "agent": "clerk",
    }


def test_no_endpoint_fails_whatever_it_is_sent(office: Office) -> None:
    ids = known(office)
    client = office.client("ada")
    client.base_url = "http://testserver/api/v1"
    schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 50
    tried = defaultdict[str, list[int]](list)
    with keeping_connections(office.services.url), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for operation in operations:
            good, bad = (operation.as_strategy(generation_mode=mode) for mode in GenerationMode)
            _try(client, operation, st.tuples(good, st.just(True)), MEANT, ids, tried)
            _try(client, operation, st.tuples(st.one_of(good, bad, bad), st.booleans()), WILD, ids, tried)
    assert set(tried) == {operation.label for operation in operations}
    done = {label for label, statuses in tried.items() if any(status < 300 for status in statuses)}
    assert len(done) > len(operations) / 2, sorted(set(tried) - done)


def _try(
    client: Any, operation: Any, cases: Any, examples: int, ids: dict[str, str], tried: dict[str, list[int]]
) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(asked=cases)
    def run(asked: tuple[Any, bool]) -> None:
        case, known_ids = asked
        if known_ids and case.path_parameters:
            case.path_parameters = {name: ids.get(name, value) for name, value in case.path_parameters.items()}
        if known_ids and isinstance(case.body, dict) and "agent" in case.body:
            case.body["agent"] = ids["agent"]
        sent = case.as_transport_kwargs(base_url="http://testserver/api/v1")
        sent.pop("cookies", None)  # made up, as is the token: the client is logged in
        sent["headers"].pop("authorization", None)
        answer = client.request(**sent)
        tried[operation.label].append(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    run()
