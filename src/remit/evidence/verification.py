"""What verifying an export found, and what it could not see."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from remit.domain.checkpoints import Checkpoint

MAX_FINDINGS = 100
"""Findings that are kept; the first is the one that matters."""

OWN_KEY = (
    "The public key came from the export itself. So this speaks of the file only, and who signed it is not proved: "
    "compare the key with one that you got elsewhere (--key)."
)
NO_WITNESS = (
    "No checkpoint from outside was given (--checkpoint). So two things cannot be seen: that records were cut off at "
    "the end, back to an older checkpoint, and that the holder of the sealer's key wrote the log anew."
)
EXCERPT = (
    "This is an excerpt. Its records stand in the signed log; that these are all records of its session is as sure as "
    "the sealed record of the export, which lists them."
)
_COUNTED = ("runs", "records", "payloads", "present", "erased", "withheld")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not hold."""

    text: str
    line: int | None = None
    """Line of the file, from 1."""
    index: int | None = None
    """Leaf index of the first record that is, or may be, meant."""

    def __str__(self) -> str:
        """With the place."""
        return f"line {self.line}: {self.text}" if self.line is not None else self.text


@dataclass(slots=True)
class Verification:
    """What verifying found. `ok` if nothing speaks against the file; `limits` say what it cannot show."""

    findings: list[Finding] = field(default_factory=list)
    """What does not hold, in the order of the file; at most 100."""
    facts: list[str] = field(default_factory=list)
    """What was shown."""
    limits: list[str] = field(default_factory=list)
    key: str | None = None
    """The verifier key that signatures were held against."""
    checkpoint: Checkpoint | None = None
    """The final checkpoint, if its signature holds."""
    excerpt: bool = False
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_COUNTED, 0))
    """Lines by kind, and payloads by state."""

    @property
    def ok(self) -> bool:
        """True if everything that was looked at holds."""
        return not self.findings

    def find(self, text: str, line: int | None = None, index: int | None = None) -> None:
        """Add a finding."""
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(Finding(text, line, index))

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "ok": self.ok,
            "findings": [{"line": f.line, "index": f.index, "text": f.text} for f in self.findings],
            "facts": self.facts,
            "limits": self.limits,
            "key": self.key,
            "tree_size": self.checkpoint.size if self.checkpoint else None,
            "excerpt": self.excerpt,
            "counts": self.counts,
        }
