"""Errors as RFC 9457 has them: every one says what happened, what to do next, and a code that programs can rely on."""

from __future__ import annotations

import inspect
import logging
from http import HTTPStatus
from typing import Any

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from remit.errors import InvalidInput, NotFound, RemitError
from remit.surfaces.api.replies import render

log = logging.getLogger(__name__)


class NotJson(RemitError):
    """The body is not the JSON that was announced, or not what Remit takes as JSON."""

    code = "not_json"
    http_status = 400
    advice = "Send one JSON object, without NaN, duplicate keys, or more than 64 levels of nesting."


class WrongType(RemitError):
    """The body is not announced as JSON."""

    code = "wrong_type"
    http_status = 415
    advice = "Send JSON, with `Content-Type: application/json`."


class TooLarge(RemitError):
    """The body is larger than any that is read."""

    code = "too_large"
    http_status = 413
    advice = "Send less; keep large contents where an agent can read them."


class KeyReused(RemitError):
    """The same Idempotency-Key came with another request before."""

    code = "idempotency_key_reused"
    http_status = 422
    advice = "Use a new key for every new request, and the same one only to send the same request again."


def add_to(api: FastAPI) -> None:
    """Answer every error in this form."""
    api.add_exception_handler(RemitError, _known)
    api.add_exception_handler(RequestValidationError, _unfit)
    api.add_exception_handler(HTTPException, _http)
    api.add_exception_handler(psycopg.DataError, _unstorable)
    api.add_exception_handler(UnicodeEncodeError, _unstorable)
    api.add_exception_handler(Exception, _defect)


def problem(error: RemitError) -> Response:
    """The answer to an error of ours."""
    title = (inspect.getdoc(type(error)) or "").partition("\n")[0]
    return _answer(error.http_status, error.code, title, error.message, error.advice)


def _known(_: Request, error: Exception) -> Response:
    assert isinstance(error, RemitError), "registered for it alone"
    return problem(error)


def _unfit(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError), "registered for it alone"
    wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5])
    return problem(InvalidInput(wrong, advice="Correct what is named and send it again."))


def _unstorable(_: Request, error: Exception) -> Response:
    log.info("a value does not fit: %s", error)
    said = "a value is no text, or no number, that can be kept"
    return problem(InvalidInput(said, advice="Leave out NUL characters and halves of characters, and shorten numbers."))


def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "registered for it alone"
    if error.status_code == HTTPStatus.NOT_FOUND:
        return problem(NotFound("there is no such endpoint", advice="`/api/v1/openapi.json` lists them."))
    status = HTTPStatus(error.status_code)
    code = status.name.lower()
    answer = _answer(status, code, status.phrase, str(error.detail), "`/api/v1/openapi.json` says what is taken.")
    for name, value in (error.headers or {}).items():
        answer.headers[name] = value
    return answer


def _defect(request: Request, error: Exception) -> Response:
    log.error("the API failed: %s %s", request.method, request.url.path, exc_info=error)
    return _answer(
        500,
        "defect",
        "A defect of Remit",
        "something went wrong here",
        "Nothing was changed; the server's log says why.",
    )


def _answer(status: int, code: str, title: str, detail: str, advice: str) -> Response:
    body: dict[str, Any] = {
        "type": f"urn:remit:problem:{code}",
        "title": title,
        "status": int(status),
        "detail": detail,
        "advice": advice,
        "code": code,
    }
    answer = render(body, int(status), media_type="application/problem+json")
    if status == HTTPStatus.UNAUTHORIZED:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer
