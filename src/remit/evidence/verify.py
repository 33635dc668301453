"""Verifies an export offline: needs the file, and for full weight a key and a checkpoint from somewhere else.

It recomputes every leaf and the tree from the records' own text, compares them with the signed root, and names the
first record that does not fit. It says in words what it could not see.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from remit.domain.checkpoints import VerifierKey
from remit.errors import InvalidInput, NotFound
from remit.evidence.contents_check import ContentsCheck
from remit.evidence.lines import MAX_LINE, LineError, decode
from remit.evidence.log_check import LogCheck
from remit.evidence.verification import EXCERPT, NO_WITNESS, OWN_KEY, Finding, Verification

__all__ = ["Finding", "Verification", "verify_file", "verify_lines"]

_RECORD = b'{"kind":"record"'


def verify_file(path: Path, *, key: VerifierKey | None = None, outside: Sequence[str] = ()) -> Verification:
    """Verify an export file. `outside` are notes of checkpoints kept elsewhere. Raises NotFound or InvalidInput."""
    try:
        with path.open("rb") as file:
            return verify_lines(iter(lambda: file.readline(MAX_LINE + 2), b""), key=key, outside=outside)
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}", advice="Make one with `remit audit export`.") from None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror or error}") from error


def verify_lines(
    lines: Iterable[bytes], *, key: VerifierKey | None = None, outside: Sequence[str] = ()
) -> Verification:
    """Verify the lines of an export, each with its newline. Whatever is wrong is a finding; nothing is raised."""
    reader = _Reader(key, outside)
    for number, raw in enumerate(lines, 1):
        reader.read(number, raw)
    return reader.finish()


class _Reader:
    """Reads line by line and hands each to the check that knows it."""

    def __init__(self, key: VerifierKey | None, outside: Sequence[str]) -> None:
        self._result = Verification(key=str(key) if key else None)
        self._given = key
        self._log = LogCheck(self._result, outside)
        self._contents = ContentsCheck(self._result)
        self._before = ""
        if key is not None:
            self._log.use(key)

    def read(self, number: int, raw: bytes) -> None:
        """Take one line."""
        try:
            line = decode(raw)
        except LineError as error:
            in_log = self._log.next > 0 or raw.startswith(_RECORD)
            what = f"record {self._log.next} or a line at its place" if in_log else "this line"
            self._result.find(f"{what} cannot be read: {error}", number, self._log.next if in_log else None)
            return
        kind = line["kind"]
        self._place(number, kind)
        match kind:
            case "key":
                self._key(number, line)
            case "run" | "payload":
                self._contents.line(number, line)
            case "record":
                body = self._log.record(number, line)
                if body is not None:
                    self._contents.record(number, line["index"], body)
            case _:
                self._log.checkpoint(number, line)
        self._before = kind

    def finish(self) -> Verification:
        """Judge the file as a whole."""
        result, log = self._result, self._log
        log.finish()
        self._contents.finish(next_index=log.next, indices=log.indices)
        if result.ok and log.final is not None:
            scope = f"{result.counts['records']} of {log.final.size}" if result.excerpt else f"All {log.final.size}"
            result.facts.insert(0, f"{scope} records stand in the log {log.final.origin} that {result.key} signed.")
        self._contents.describe()
        if self._given is None:
            result.limits.append(OWN_KEY)
        if not log.witnessed:
            result.limits.append(NO_WITNESS)
        if result.excerpt:
            result.limits.append(EXCERPT)
        return result

    def _place(self, number: int, kind: str) -> None:
        """Every kind has its place: the key, then runs and payloads, then the log."""
        result, log = self._result, self._log
        if (kind == "key") != (number == 1):
            result.find("the first line, and no other, is the key's", number)
        elif kind in {"run", "payload"} and (log.next or log.final):
            result.find(f"this {kind} stands among the records", number)
        elif kind == "record" and log.final is not None and not log.next:
            result.excerpt = True
        elif kind != "checkpoint" and log.final is not None and not result.excerpt:
            result.find("this line stands after the final checkpoint", number, log.next)

    def _key(self, number: int, line: dict[str, Any]) -> None:
        if number != 1:
            return
        self._contents.export = line["export"] if isinstance(line["export"], str) else None
        try:
            own = VerifierKey.parse(str(line["verifier"]))
        except InvalidInput as error:
            self._result.find(error.message, number)
            return
        if self._given is None:
            self._result.key = str(own)
            self._log.use(own)
        elif own != self._given:
            self._result.find(f"the export names another key than the one that was given: {own}", number)
