"""Triggers: what starts a session without a person typing. They stand apart from agents, which do not know of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field, model_validator

from remit.domain.declared import Declared, Duration, Name, PersonOrRole, Secret, check_zone

PERSON_ZONE = "person"
"""`time_zone` of a schedule that runs for each person in that person's own zone."""


def _check_schedule_zone(name: str) -> str:
    return name if name == PERSON_ZONE else check_zone(name)


def _check_cron(text: str) -> str:
    try:
        next(CronSim(text, datetime(2026, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration):
        raise ValueError("not a cron expression that ever comes true, such as `0 9 * * 1-5`") from None
    return text


class TriggerBase(Declared):
    """What every trigger has."""

    agent: Name
    """The agent whose session it starts."""
    title: str = ""
    """Title of the sessions; `$…` as in `input`."""
    input: dict[str, Any] = {}
    """What the session starts with: values, or `$…` references to what the trigger knows."""
    request_id: str | None = None
    """Reference to the caller's own id of the request, such as `$body.ticket.id`."""


class ScheduleTrigger(TriggerBase):
    """Starts a session at certain times. `input` may refer to `$due` and, for each person, `$person.id` and so on."""

    kind: Literal["schedule"]
    """By the clock."""
    cron: Annotated[str, AfterValidator(_check_cron)]
    """Five fields: minute, hour, day of month, month, day of week."""
    time_zone: Annotated[str, AfterValidator(_check_schedule_zone)] = "UTC"
    """IANA time zone that the fields are read in, or `person`: each person's own."""
    people: tuple[PersonOrRole, ...] = ()
    """For each of these a session of their own."""
    missed: Literal["skip", "once", "all"] = "once"
    """What is done about times that passed while nothing ran: none, the last one, or each, at most the last 1000."""
    grace: Duration = timedelta(minutes=5)
    """A time that is past for longer than this counts as missed."""

    @model_validator(mode="after")
    def _whole(self) -> ScheduleTrigger:
        if self.time_zone == PERSON_ZONE and not self.people:
            raise ValueError("`time_zone: person` needs `people`: whose zones?")
        return self


class Verification(Declared):
    """How a webhook proves where it comes from. Nothing that is not signed is taken."""

    scheme: Literal["standard", "github", "stripe", "slack", "hmac"]
    """`standard` is Standard Webhooks; `hmac` is described by the fields below; the others are as those senders do."""
    secret: Secret
    """Reference to the shared secret."""
    header: str = "X-Signature"
    """`hmac`: the header with the signature."""
    prefix: str = ""
    """`hmac`: what stands before the signature in that header, such as `sha256=`."""
    algorithm: Literal["sha256", "sha512"] = "sha256"
    """`hmac`: the hash."""
    encoding: Literal["hex", "base64"] = "hex"
    """`hmac`: how the signature is written."""
    timestamp_header: str | None = None
    """`hmac`: header with the time of sending in Unix seconds, signed as `TIMESTAMP.BODY`; without it only the id
    keeps a message from being taken twice."""
    id_header: str | None = None
    """Header with the message's id. Where the scheme has one of its own, that is the default."""
    id_path: str | None = None
    """Dotted path of the message's id in the body, such as `id`, where no header has it."""
    tolerance: Duration = timedelta(minutes=5)
    """A signed time that is further away than this is refused."""


class WebhookTrigger(TriggerBase):
    """Starts a session when a system calls `/hooks/NAME`. `input` may refer to `$body.PATH` and `$headers.NAME`."""

    kind: Literal["webhook"]
    """By a signed request."""
    verify: Verification
    """How the sender proves itself."""
    when: dict[str, str | int | bool | tuple[str, ...]] = {}
    """`body.PATH` or `headers.NAME` to the value, or values, that it must have; others are taken and start nothing."""
    max_bytes: int = Field(default=1_000_000, ge=100, le=10_000_000)
    """A larger body is refused before it is read."""


class EventTrigger(TriggerBase):
    """Starts a session when something happens in Remit. `input` may refer to `$event.value.PATH`, `$event.session`."""

    kind: Literal["event"]
    """By what another session does, or by a message that comes in."""
    on: Literal["outcome", "emit", "message"]
    """`outcome`: a turn ended; `emit`: a program said something; `message`: somebody wrote on a surface."""
    name: str = "*"
    """`finished` or `failed`; the emitted name; the surface; `*` is any."""
    source: Name | None = None
    """Only of this agent's sessions; None is any agent but its own."""


Trigger = Annotated[ScheduleTrigger | WebhookTrigger | EventTrigger, Field(discriminator="kind")]
