"""Checks the record and checkpoint lines of an export: order, leaves, tree, signatures, copies from outside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from remit.domain.checkpoints import Checkpoint, VerifierKey, decode_base64
from remit.domain.merkle import EMPTY_ROOT, Frontier, leaf_hash, root_by_inclusion, verify_consistency
from remit.errors import IntegrityError
from remit.evidence.verification import Verification


class LogCheck:
    """Follows the log line by line. A whole log is recomputed; an excerpt's records are proved one by one."""

    def __init__(self, result: Verification, outside: Sequence[str]) -> None:
        self._result = result
        self._notes = list(outside)
        self._key: VerifierKey | None = None
        self._outside: list[Checkpoint] = []
        self._agreed = 0
        self._frontier: Frontier | None = Frontier()
        self._signed = 0
        self._continues: Any = None
        self.next = 0
        """Index that the next record should have, or in an excerpt at least has."""
        self.final: Checkpoint | None = None
        """The final checkpoint; in an excerpt it stands before the records."""
        self.indices: list[int] = []
        """The records of an excerpt."""

    def use(self, key: VerifierKey) -> None:
        """Hold signatures against this key; copies from outside that it did not sign are found fault with."""
        self._key = key
        for note in self._notes:
            try:
                self._outside.append(key.open(note))
            except IntegrityError as error:
                self._result.find(f"the checkpoint from outside cannot be used: {error.message}")
        self._outside.sort(key=lambda held: held.size)

    @property
    def witnessed(self) -> bool:
        """True if there is a copy from outside to compare with."""
        return bool(self._outside)

    def record(self, number: int, line: dict[str, Any]) -> str | None:
        """Take a record. Returns its text, or None if there is none to read."""
        index, body, leaf = line["index"], line["body"], decode_base64(str(line["leaf"]))
        if type(index) is not int or not isinstance(body, str | None) or leaf is None or len(leaf) != 32:
            self._result.find("this record's index, body or leaf hash has the wrong form", number, self.next)
            return None
        self._result.counts["records"] += 1
        self._order(number, index)
        if body is None:
            self._result.find(f"record {index} is missing: only its leaf hash is left", number, index)
        elif leaf_hash(body.encode("utf-8", "surrogatepass")) != leaf:
            self._result.find(f"record {index} was altered: its text has another hash than its leaf", number, index)
        if self._result.excerpt:
            self._prove(number, index, leaf, line.get("proof"))
        else:
            self._grow(number, index, leaf, line.get("root"))
        return body

    def checkpoint(self, number: int, line: dict[str, Any]) -> None:
        """Take a checkpoint."""
        note, final = line["note"], line["final"]
        if not isinstance(note, str) or not isinstance(final, bool):
            self._result.find("this checkpoint has the wrong form", number, self._signed)
            return
        if self._result.excerpt or (self.final and final):
            self._result.find("this checkpoint has no place here", number)
            return
        try:
            checkpoint = self._key.open(note) if self._key else None
        except IntegrityError as error:
            self._result.find(error.message, number, self._signed)
            return
        if checkpoint is None:
            return
        if final:
            self.final = self._result.checkpoint = checkpoint
            self._continues = line.get("continues")
        if not (final and self.next == 0):  # before any record: an excerpt follows, or nothing
            self._compare(number, checkpoint)

    def finish(self) -> None:
        """Judge what the file lacks, and the copies from outside."""
        if self.final is None:
            last = f"after record {self.next - 1}, " if self.next else ""
            self._result.find(f"the file ends {last}without its final checkpoint", None, self.next)
            return
        if not self._result.excerpt and self.next == 0 and self.final.size:
            self._result.find(f"records 0 to {self.final.size - 1} are missing", None, 0)
        for held in self._outside:
            self._judge(held, self.final)

    def _order(self, number: int, index: int) -> None:
        expected, self.next = self.next, index + 1
        if self._result.excerpt:
            self.indices.append(index)
        if index < expected:
            self._result.find(f"record {index} is out of order or stands twice", number, index)
            self._frontier = None
        elif index > expected and not self._result.excerpt:
            gone = f"record {expected} is" if index == expected + 1 else f"records {expected} to {index - 1} are"
            self._result.find(f"{gone} missing before record {index}", number, expected)
            self._frontier = None

    def _prove(self, number: int, index: int, leaf: bytes, proof: Any) -> None:
        hashes = _hashes(proof)
        final = self.final
        if final is None or hashes is None or root_by_inclusion(leaf, index, final.size, hashes) != final.root:
            self._result.find(f"record {index} is not proved to stand in the signed log", number, index)

    def _grow(self, number: int, index: int, leaf: bytes, root: Any) -> None:
        if self._frontier is None:
            return
        self._frontier.append(leaf)
        now = self._frontier.root()
        if decode_base64(str(root)) != now:
            before = f", or record {index - 1} was altered together with its hashes" if index else ""
            self._result.find(f"the log does not lead to record {index}: it was altered{before}", number, index)
            self._frontier = None
            return
        for held in self._outside:
            if held.size == self._frontier.size and held.root == now:
                self._agreed = held.size
            elif held.size == self._frontier.size:
                self._result.find(
                    f"the checkpoint from outside signed other records: at least one of {self._agreed} to {index} was "
                    "rewritten",
                    number,
                    self._agreed,
                )

    def _compare(self, number: int, checkpoint: Checkpoint) -> None:
        size, signed = self.next, checkpoint.size
        if signed > size:
            self._result.find(f"records {size} to {signed - 1} are missing before this checkpoint", number, size)
        elif signed < size:
            self._result.find(
                f"records {signed} to {size - 1} stand before this checkpoint, which is older", number, signed
            )
        elif self._frontier is not None and checkpoint.root != self._frontier.root():
            self._result.find(
                f"these are not the records that were signed: at least one of {self._signed} to {size - 1} was "
                "altered, dropped, moved or inserted, together with all hashes after it",
                number,
                self._signed,
            )
            self._frontier = None
        elif self._frontier is not None:
            self._signed = size

    def _judge(self, held: Checkpoint, final: Checkpoint) -> None:
        if held.origin != final.origin:
            self._result.find(f"the checkpoint from outside is of another log, {held.origin}")
        elif held.size > final.size:
            self._result.find(
                f"the checkpoint from outside covers {held.size} records and this file {final.size}: records "
                f"{final.size} to {held.size - 1} were cut off, or the file is older than the checkpoint",
                None,
                final.size,
            )
        elif self._result.excerpt and not self._continued(held, final):
            self._result.find(
                f"it is not proved that the log continues the checkpoint of {held.size} records: make the excerpt with "
                "`remit audit export --checkpoint FILE`, or verify a whole export"
            )
        elif self._result.excerpt or held.size <= self._agreed:
            self._result.facts.append(f"The log continues the checkpoint of {held.size} records from outside.")
        elif held.size == 0 and held.root == EMPTY_ROOT:
            self._result.facts.append("The checkpoint from outside is of the empty log.")
        elif self._result.ok:
            self._result.find(f"the checkpoint of {held.size} records from outside could not be compared")

    def _continued(self, held: Checkpoint, final: Checkpoint) -> bool:
        given = self._continues if isinstance(self._continues, dict) else {}
        hashes = [] if held.size == final.size else _hashes(given.get("proof"))
        if hashes is None or (hashes and given.get("size") != held.size):
            return False
        return verify_consistency(held.size, final.size, held.root, final.root, hashes)


def _hashes(proof: Any) -> list[bytes] | None:
    """The hashes of a proof, or None if it has not the form of one."""
    decoded = [decode_base64(h) if isinstance(h, str) else None for h in proof] if isinstance(proof, list) else [None]
    hashes = [h for h in decoded if h is not None]
    return hashes if len(hashes) == len(decoded) else None
