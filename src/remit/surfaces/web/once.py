"""Forms that do something once, however often they are sent: a double click, a page that is sent again, a slow answer.

A form carries a value that was made when it was shown. The first post of it writes the value's row in the transaction
that does what was asked, so that a crash leaves both or neither; a second post waits for the first one, does nothing,
and leads to where that one led. What was refused has used nothing up. Rows are kept for a day.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from fastapi import Form
from markupsafe import Markup

from remit.bootstrap import Services
from remit.domain import canonical
from remit.domain.access import Viewer
from remit.errors import Conflict, InvalidInput
from remit.storage import api_answers
from remit.storage.sessions import Db

NAME = "once"
"""Name of the field."""
_VALUE = re.compile(r"[A-Za-z0-9_-]{16,64}")
_SEE_OTHER = 303

Value = Annotated[str, Form(max_length=64)]
"""The value as it came back; empty where somebody posts without having been shown the form."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a post came to."""

    to: str
    """The page that shows it; empty where nothing could be done."""
    said: str
    """A word about it."""


def field() -> Markup:
    """The field, with a value that no other form has."""
    return Markup('<input type="hidden" name="{}" value="{}">').format(NAME, secrets.token_urlsafe(24))


def do(services: Services, viewer: Viewer, value: str, sent: Any, work: Callable[[Db], Done]) -> Done:
    """Do it in one transaction with the form's value, or say what the first post of this form came to.

    `sent` is what was asked, which is the same in every post of the same form. Raises Conflict if it differs,
    InvalidInput if the value is none of ours, and whatever `work` raises.
    """
    if value and not _VALUE.fullmatch(value):
        raise InvalidInput("this is not the form of this page", advice="Open the page again and send it from there.")
    with services.sessions.transaction() as db:
        if not value:
            return work(db)
        # An Idempotency-Key of the API has no space, so that no program can take a form's.
        key, digest = f"form {value}", canonical.digest(sent)
        given = api_answers.claim(db, viewer.person, key, digest)
        if given is None:
            done = work(db)
            api_answers.keep(db, viewer.person, key, _SEE_OTHER, json.dumps(asdict(done)))
            return done
    if given.digest != digest:
        raise Conflict(
            "this form was sent before with other values, and those were taken",
            advice="Look at what came of it. If you want this as well, send it again from here.",
        )
    return Done(**json.loads(given.body))
