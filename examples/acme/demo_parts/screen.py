"""What is shown while the demo runs: colours and a progress bar on a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

_COLOURS = {
    "refunded": "green",
    "declined": "yellow",
    "refused": "red",
    "waits": "cyan",
    "person": "magenta",
    "crash": "bold red",
    "recovery": "bold green",
    "wrong": "bold white on red",
}


def printable(text: str) -> str:
    """Text that cannot steer a terminal, whoever wrote it."""
    return "".join(c if c.isprintable() else " " for c in text)


def interactive() -> bool:
    """True where somebody can be asked: input and output are a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


class PlainScreen:
    """One line an event, for pipes, files and build logs."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def line(self, kind: str, ticket: str, text: str) -> None:
        """Something happened, usually with a ticket."""
        print(f"{time.monotonic() - self._began:5.1f} s  {ticket:<9} {kind:<9} {printable(text)}", flush=True)

    def say(self, text: str = "") -> None:
        """A sentence."""
        print(text, flush=True)

    def heading(self, text: str) -> None:
        """Open a part."""
        print(f"\n== {text}", flush=True)

    def progress(self, done: int, total: int, waiting: int) -> None:
        """How far it is; lines say that already."""

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Columns as wide as they need to be."""
        cells = [[printable(cell) for cell in row] for row in (columns, *rows)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
        for row in cells:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        sys.stdout.flush()

    def ask(self, question: Callable[[], str]) -> str:
        """Ask somebody."""
        return question()

    def close(self) -> None:
        """Nothing is held."""


class TerminalScreen(PlainScreen):
    """Lines above, a progress bar below."""

    def __init__(self) -> None:
        super().__init__()
        self._console = Console(highlight=False)
        self._bar = Progress(
            TextColumn("  tickets"),
            BarColumn(),
            TextColumn("{task.completed:.0f} of {task.total:.0f} done, {task.fields[waiting]} wait for somebody"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task("tickets", total=1, waiting=0)

    def line(self, kind: str, ticket: str, text: str) -> None:
        """Something happened, usually with a ticket."""
        colour = _COLOURS.get(kind, "white")
        seconds = time.monotonic() - self._began
        said = escape(printable(text))
        self._console.print(f"[dim]{seconds:5.1f} s[/]  {ticket:<9} [{colour}]{kind:<9}[/] {said}", soft_wrap=True)

    def say(self, text: str = "") -> None:
        """A sentence."""
        self._console.print(escape(text), soft_wrap=True)

    def heading(self, text: str) -> None:
        """Open a part."""
        self._console.print(f"\n[bold]{escape(text)}[/]")

    def progress(self, done: int, total: int, waiting: int) -> None:
        """How far it is."""
        self._bar.update(self._task, completed=done, total=total, waiting=waiting)
        self._bar.start()

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table."""
        self.close()
        made = Table(box=None, header_style="bold", pad_edge=False)
        for column in columns:
            made.add_column(column, overflow="fold")
        for row in rows:
            made.add_row(*(escape(printable(cell)) for cell in row))
        self._console.print(made)

    def ask(self, question: Callable[[], str]) -> str:
        """Ask somebody, with the bar out of the way. Raises EOFError if they leave."""
        self._bar.stop()
        return question()

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._bar.stop()
