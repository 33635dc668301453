"""Turns of programs: what the program's process asks for is carried out on the road, under its ordinal as the key."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from pydantic_ai.messages import ModelRequest, TextPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings

from remit.domain import canonical
from remit.domain.agents import AgentVersion
from remit.domain.builtins import DELEGATE
from remit.domain.decisions import ActionStatus, Reason
from remit.domain.intents import LedgerRow
from remit.domain.questions import Question, Remember, Step
from remit.errors import InvalidInput
from remit.runtime.asking import ASK
from remit.runtime.model_agents import ModelRegistry
from remit.runtime.model_agents.messages import load_response
from remit.runtime.model_agents.provider import Request as ModelCall
from remit.runtime.programs import ProgramHost, ProgramOutcome, ProgramSource, RecordedCall, Reply, Request, TurnSeed
from remit.runtime.road import Performed
from remit.runtime.turn_road import NOTE, TurnRoad
from remit.storage.runs import OwnedRun

_OPS = {"tool": "call", "model": "model", "ask": "ask", "note": "note"}


async def run_program_turn(
    host: ProgramHost,
    version: AgentVersion,
    owned: OwnedRun,
    given: Any,
    road: TurnRoad,
    rows: dict[str, LedgerRow],
    models: ModelRegistry,
) -> ProgramOutcome:
    """Run a program from its top and return how it ended. Raises what `ProgramHost.run` raises."""

    async def handle(request: Request) -> Reply:
        return await _carry_out(request, road, models)

    return await host.run(
        source_of(version),
        TurnSeed(owned.turn_id, owned.started_at, owned.seed, owned.on_behalf_of),
        given,
        recorded(rows.values()),
        handle,
    )


def source_of(version: AgentVersion) -> ProgramSource:
    """An agent version as its host takes it."""
    values = {name: parameter.value for name, parameter in version.parameters.items()}
    return ProgramSource(version.agent, version.digest, version.files, values)


def recorded(rows: Iterable[LedgerRow]) -> list[RecordedCall]:
    """What the ledger holds of a program's turn, as its replay takes it."""
    found = []
    for row in rows:
        if not row.key.isdigit():
            continue  # a look-up or a read of the current state: made by the road, not by the program
        found.append(
            RecordedCall(
                ordinal=int(row.key),
                op=_OPS[row.mode],
                reply=_recorded_reply(row),
                delivered_before=tuple(int(o) for o in row.delivered),
                payload_digest=row.asker_digest or None,
                subject=row.action if row.action not in {ASK, NOTE} else _OPS[row.mode],
            )
        )
    return found


def replayed_reply(row: LedgerRow, request: Request) -> Reply | None:
    """What a settled row tells a replay that may not go along the road; None if it is not settled."""
    if not row.status.settled:
        return None
    if row.mode == "model" and row.status is ActionStatus.SUCCEEDED:
        return _model_answer(_performed(row), request.payload["schema"])
    return Reply("ok") if row.mode == "note" else _reply(_performed(row))


def _recorded_reply(row: LedgerRow) -> Reply | None:
    """What the program got; None where the road is to be asked again, which knows what the ledger holds."""
    if not row.status.settled or row.mode == "model" or row.action == DELEGATE:
        return None
    return Reply("ok") if row.mode == "note" else _reply(_performed(row))


async def _carry_out(request: Request, road: TurnRoad, models: ModelRegistry) -> Reply:
    key, payload = str(request.ordinal), request.payload
    told: dict[str, Any] = {
        "delivered": tuple(map(str, request.delivered)),
        "asker_digest": request.digest,
    }
    match request.op:
        case "call":
            return _reply(
                await road.tool(key, payload["action"], payload["args"], reason=payload["reason"] or "", **told)
            )
        case "ask":
            question = _question(payload)
            return _reply(await road.ask(key, question, **told))
        case "model":
            return await _ask_model(key, payload, road, models, told)
        case "emit":
            value = {"name": payload["name"], "value": payload["value"], "reasons": payload["reasons"]}
            await road.note(key, "emit", value, **told)
            return Reply("ok")
        case "explain":
            await road.note(key, "rows", payload, **told)
            return Reply("ok")


def _question(payload: dict[str, Any]) -> Question:
    """Raises InvalidInput where a program forged what its session would not have sent."""
    more, confidence = payload.get("more") or {}, payload["confidence"]
    try:
        remember = more.get("remember")
        timeout = more.get("timeout")
        return Question(
            payload["text"],
            payload["schema"] or {},
            payload["to"],
            payload["context"],
            float(confidence) if confidence is not None else None,
            timeout=timedelta(seconds=float(timeout)) if timeout is not None else None,
            default=more.get("default"),
            has_default="default" in more,
            then=tuple(Step(str(s["to"]), timedelta(seconds=float(s["after"]))) for s in more.get("then", ())),
            remember=Remember(**remember) if remember is not None else None,
        )
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError):
        raise InvalidInput("a question was asked in a form that no session sends") from None


async def _ask_model(
    key: str, payload: dict[str, Any], road: TurnRoad, models: ModelRegistry, told: dict[str, Any]
) -> Reply:
    name, limit = payload["model"], int(payload["max_output_tokens"])
    spec, prompt = models.spec(name), payload["prompt"]
    if payload["schema"] is not None:
        schema = canonical.dumps(payload["schema"]).decode()
        prompt = f"{prompt}\n\nAnswer with one JSON value and nothing else. It must fit this JSON Schema:\n{schema}"
    size = len(prompt.encode("utf-8", "replace"))
    call = ModelCall(
        model=models.get(name),
        messages=[ModelRequest.user_text_prompt(prompt)],
        settings=ModelSettings(max_tokens=limit),
        parameters=ModelRequestParameters(),
        price=spec.price,
        input_bytes=size,
        output_limit=limit,
    )
    performed = await road.model(
        key,
        name,
        {"prompt": prompt, "max_output_tokens": limit},
        input_bytes=size,
        output_limit=limit,
        execute=call.send,
        **told,
    )
    if performed.status is not ActionStatus.SUCCEEDED:
        return _reply(performed)
    return _model_answer(performed, payload["schema"])


def _model_answer(performed: Performed, schema: Any) -> Reply:
    response = load_response(performed.result)
    text = "".join(part.content for part in response.parts if isinstance(part, TextPart))
    if schema is None:
        return Reply("ok", text, at=performed.at)
    try:
        bare = text.strip().removeprefix("```json").removesuffix("```")
        return Reply("ok", canonical.parse(bare, what="answer"), at=performed.at)
    except InvalidInput as error:
        return Reply("failed", error=f"the model did not answer with JSON: {error.message}", at=performed.at)


def _performed(row: LedgerRow) -> Performed:
    return Performed(row.id, row.status, row.result, row.error, row.reasons, row.settled_at, replayed=True)


def _reply(performed: Performed) -> Reply:
    match performed.status:
        case ActionStatus.SUCCEEDED:
            return Reply("ok", performed.result, at=performed.at)
        case ActionStatus.REFUSED:
            return Reply("refused", reasons=performed.reasons, error=_why(performed.reasons))
        case _:
            return Reply("failed", error=performed.error or "it failed", at=performed.at)


def _why(reasons: tuple[Reason, ...]) -> str:
    return "; ".join(r.text for r in reasons) or "refused"
