"""What can go wrong with a model agent as a whole. What goes wrong with one of its calls is told to the model."""

from __future__ import annotations

from remit.domain.decisions import Reason
from remit.errors import ConfigurationError, RemitError


class Ungoverned(ConfigurationError):
    """Something would act, or spend, past the gate. Nothing was sent."""

    code = "ungoverned"
    advice = "Take out what the message names, or offer it as a tool that is mapped to an action type."


class ModelLimitReached(RemitError):
    """The agent asked its model more often than one turn allows."""

    code = "model_limit"
    http_status = 409
    advice = "Look at what the agent repeats; raise `max_model_requests` in agent.yaml only if the work needs it."


class ModelFailed(RemitError):
    """A request to a language model was refused by the gate, or brought no answer."""

    code = "model_failed"
    http_status = 502
    advice = "Read the reasons of the model request in the session, mend them, and send the session a message."

    def __init__(self, message: str, *, reasons: tuple[Reason, ...] = ()) -> None:
        super().__init__(message)
        self.reasons = reasons
