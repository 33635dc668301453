"""What every story of the demo is given: a clean place, a screen, a watch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from demo_parts.screen import PlainScreen
from demo_parts.workers import Stopwatch
from remit.bootstrap import Services


@dataclass
class Stage:
    """Where a story plays."""

    folder: Path
    """The project."""
    place: Path
    """What the story leaves behind: its exported record, a summary, the workers' log."""
    screen: PlainScreen
    watch: Stopwatch
    somebody: bool
    """True if somebody sits at a terminal and decides."""
    tickets: tuple[str, ...] = ()
    """Refund desk: only these."""
    agent: str = "refund-desk"
    """Refund desk: which desk."""


def hold(services: Services, *triggers: str) -> None:
    """Let nothing start by the clock while a story plays, whatever hour it is; it asks for each start itself."""
    held = {trigger.name for trigger in services.triggers.listing() if trigger.paused}
    for name in sorted(set(triggers) - held):
        services.triggers.pause(name, "kofi.mensah", "the demo starts it by hand")
