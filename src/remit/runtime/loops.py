"""Loop detection: the same call again and again, or a turn that never ends, is stopped and its owner asked."""

from __future__ import annotations

from collections import Counter

from remit.domain.agents import AgentSpec
from remit.domain.decisions import Call
from remit.runtime.road import TurnSuspendedError


class LoopDetectedError(TurnSuspendedError):
    """The turn ends here and its owner is asked whether it may go on."""

    def __init__(self, summary: str, detail: dict[str, object]) -> None:
        super().__init__("attention")
        self.summary = summary
        self.detail = detail


class LoopGuard:
    """Counts the calls of a turn. Every time that the owner lets it go on, both limits grow by their first value."""

    def __init__(self, spec: AgentSpec, made: Counter[tuple[str, str]], allowance: int) -> None:
        self._made = made
        self._total = made.total()  # kept, so that a turn's cost does not grow with the square of its length
        self._repeats = spec.repeat_limit * (1 + allowance)
        self._actions = spec.turn_action_limit * (1 + allowance)

    def watch(self, call: Call) -> None:
        """Count a call that is about to be made. Raises LoopDetectedError at a limit; the call is then not made."""
        place = (call.action, call.digest)
        if self._made[place] >= self._repeats:
            raise LoopDetectedError(
                f"The same call of {call.action} was made {self._made[place]} times; may it go on?",
                {"why": "loop_detected", "action": call.action, "args_digest": place[1], "times": self._made[place]},
            )
        if self._total >= self._actions:
            raise LoopDetectedError(
                f"One turn has made {self._total} actions without an end; may it go on?",
                {"why": "loop_detected", "actions": self._total},
            )
        self._made[place] += 1
        self._total += 1
