"""Takes secrets out of whatever a server says: results, errors, logs, definitions.

It guards against a server that repeats its credential by accident (an echoed header, a stack trace). It cannot guard
against one that means to give it away: that server holds the secret already.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any
from urllib.parse import quote, quote_plus

MARK = "[secret]"
_SHORTEST = 4  # anything shorter would tear holes into ordinary text


class Scrubber:
    """Replaces the given secrets, and their usual encodings, by `[secret]`."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        needles = {n for s in secrets for n in _forms(s) if len(n) >= _SHORTEST}
        longest_first = sorted(needles, key=lambda n: (-len(n), n))
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if needles else None
        self.longest = len(longest_first[0]) if needles else 0

    def __repr__(self) -> str:
        return "Scrubber(...)"

    def text(self, text: str) -> str:
        """The text without secrets."""
        return self._pattern.sub(MARK, text) if self._pattern else text

    def value(self, value: Any) -> Any:
        """A canonical value without secrets, in keys as well; a number that holds one becomes the mark."""
        if self._pattern is None:
            return value
        match value:
            case str():
                return self._pattern.sub(MARK, value)
            case bool() | None:
                return value
            case int() | Decimal():
                return MARK if self._pattern.search(str(value)) else value
            case dict():
                return {self.text(k): self.value(v) for k, v in value.items()}
            case list():
                return [self.value(v) for v in value]
            case _:
                return value


def _forms(secret: str) -> Iterable[str]:
    """A secret as it may be repeated: whole, without its scheme, line by line, quoted, in base64."""
    parts = {secret, secret.strip()}
    scheme, _, credential = secret.partition(" ")
    if scheme.lower() in {"bearer", "basic", "token", "apikey"}:
        parts.add(credential.strip())
    parts |= {line.strip() for line in secret.splitlines() if len(line.strip()) >= 8}
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass")
        yield part
        yield from (quote(raw), quote(raw, safe=""), quote_plus(raw))
        yield from (json.dumps(part)[1:-1], json.dumps(part, ensure_ascii=False)[1:-1], repr(raw)[2:-1])
        for encoded in (base64.b64encode(raw), base64.urlsafe_b64encode(raw)):
            yield from (encoded.decode("ascii"), encoded.decode("ascii").rstrip("="))
