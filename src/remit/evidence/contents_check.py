"""Checks the run and payload lines of an export against the sealed records: of the export itself, and of erasures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from remit.domain.checkpoints import decode_base64
from remit.domain.records import Tag
from remit.evidence.lines import Chain, LineError, bytes_of, parse_spans
from remit.evidence.verification import Verification


class ContentsCheck:
    """Follows the chain of run and payload lines, and looks into records for what they say about them."""

    def __init__(self, result: Verification) -> None:
        self._result = result
        self._chain = Chain()
        self._unbroken = True
        self._present: dict[str, int] = {}
        self._erased: dict[str, int] = {}
        self._named: set[str] = set()
        self._recorded_erasures: set[str] = set()
        self._said: tuple[int, dict[str, Any]] | None = None
        self.export: str | None = None
        """Id of the export, from its first line; None where only the log itself is verified."""

    def line(self, number: int, line: dict[str, Any]) -> None:
        """Take a run or payload line."""
        what = f"run of turn {line.get('turn_id')}" if line["kind"] == "run" else "payload"
        chain = str(line.pop("chain"))
        if self._chain.link(line) != chain:
            self._unbroken = False
            self._result.find(f"this {what} was altered, or lines before it were dropped, moved or inserted", number)
            self._chain.take_up(chain)
        if line["kind"] == "run":
            self._result.counts["runs"] += 1
        else:
            self._payload(number, line)

    def record(self, number: int, index: int, body: str) -> None:
        """Look into a record."""
        try:
            said = json.loads(body)
        except (ValueError, RecursionError):
            self._result.find(f"record {index} holds no JSON", number, index)
            return
        if not isinstance(said, dict):
            return
        here = set(_digests(said)) & (self._present.keys() | self._erased.keys())
        self._named |= here
        if said.get("tag") == Tag.PAYLOAD_ERASED:
            self._recorded_erasures |= here
        if said.get("tag") == Tag.AUDIT_EXPORTED and self.export is not None and said.get("export") == self.export:
            self._said = (index, said)

    def finish(self, *, next_index: int, indices: list[int]) -> None:
        """Compare with what the sealed record of the export says. `indices` are the records of an excerpt."""
        counts = self._result.counts
        for digest, number in self._erased.items():
            if digest not in self._recorded_erasures:
                self._result.find(f"the payload {digest} is gone, and no record says that it was erased", number)
        if self._said is not None:
            self._compare(*self._said, indices)
        elif self.export is not None:
            self._result.find(
                "no sealed record speaks of this export: nothing covers its run and payload lines, or the newest "
                "records were cut off",
                None,
                next_index,
            )
        elif counts["runs"] or counts["payloads"]:
            self._result.find("nothing covers the run and payload lines: the file names no export")

    def describe(self) -> None:
        """Say what was shown."""
        counts, facts = self._result.counts, self._result.facts
        if self._said is not None and self._result.ok:
            facts.append(
                f"{counts['runs']} runs and {counts['payloads']} payloads are as record {self._said[0]} seals them."
            )
        if self._present:
            named = len(self._named & self._present.keys())
            facts.append(
                f"{named} of {len(self._present)} different payloads here are named in records by their digest."
            )
        if counts["erased"]:
            facts.append(f"{counts['erased']} payloads were erased; the records about them are proved all the same.")
        if counts["withheld"]:
            facts.append(f"{counts['withheld']} payloads are withheld from this file; their digests are here.")

    def _payload(self, number: int, line: dict[str, Any]) -> None:
        state, digest = line["state"], line["digest"]
        self._result.counts["payloads"] += 1
        if not isinstance(digest, str) or state not in {"present", "erased", "withheld"}:
            self._result.find("this payload is in no known state", number)
            return
        if (state == "present") != ("body" in line):
            self._result.find(f"this payload says that it is {state}", number)
            return
        self._result.counts[state] += 1
        if state == "erased":
            self._erased[digest] = number
        if state != "present":
            return
        self._present[digest] = number
        try:
            body = bytes_of(line["encoding"], line["body"])
        except LineError as error:
            self._result.find(f"this payload cannot be read: {error}", number)
            return
        salt = decode_base64(str(line["salt"]))
        if salt is None or hashlib.sha256(salt + body).hexdigest() != digest:
            self._result.find(f"this payload is not the one with the digest {digest}", number)

    def _compare(self, index: int, said: dict[str, Any], indices: list[int]) -> None:
        for what in ("runs", "payloads"):
            here = self._result.counts[what]
            if said.get(what) != here:
                self._result.find(f"record {index} says that {said.get(what)} {what} were exported; here are {here}")
        if self._unbroken and said.get("chain") != self._chain.hex():
            self._result.find(f"the run and payload lines are not those that record {index} seals")
        if self._result.excerpt:
            self._compare_excerpt(index, said, indices)
        elif said.get("leaves") is not None:
            self._result.find(f"record {index} says that this is an excerpt", None, index)

    def _compare_excerpt(self, index: int, said: dict[str, Any], indices: list[int]) -> None:
        try:
            listed = {*parse_spans(str(said.get("leaves") or "")), index}
        except LineError as error:
            self._result.find(f"record {index}: {error}", None, index)
            return
        for missing in sorted(listed - set(indices)):
            self._result.find(f"record {missing} is missing: record {index} lists it for this excerpt", None, missing)
        for extra in sorted(set(indices) - listed):
            self._result.find(f"record {extra} was put in: record {index} does not list it", None, extra)


def _digests(value: Any) -> Iterator[str]:
    """Every text in a value that has the length of a SHA-256 in hexadecimal."""
    if isinstance(value, str) and len(value) == 64:
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _digests(inner)
