"""YAML, read strictly: with marks, and with nothing in it that could surprise.

The parser's events are put together here, so that every limit holds while the file is being read: nesting, number of
values, anchors, and what aliases expand to. Refused: tags, keys that are not text or that stand twice, merge keys, and
more than one document. Plain scalars are read by the core schema of YAML 1.2 (`no` and `2026-11-21` are text).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from remit.config.source import (
    MAX_DEPTH,
    MAX_DIGITS,
    MAX_VALUES,
    START,
    Mark,
    Path,
    Source,
    SourceError,
    decode,
    exact_number,
    fail,
    is_text,
    mark_at,
)
from remit.errors import Problem

MAX_ANCHORS = 100
"""Most anchors in one file."""
MAX_ALIASES = 1_000
"""Most aliases in one file."""

_LONG_TAG = re.compile(r"(?:^|[\s\[{,])!\S{256}", re.MULTILINE)
"""What the parser would need minutes for, and nobody writes."""

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def read_yaml(file: str, data: bytes) -> Source:
    """Read one YAML document. Raises SourceError with everything that is wrong with it."""
    text = decode(file, data)
    if (tag := _LONG_TAG.search(text)) is not None:
        raise fail(file, mark_at(text, text.index("!", tag.start())), "this tag is too long", "remove it")
    builder = _Builder(file)
    try:
        for event in _events(file, text):
            builder.take(event)
    except SourceError as error:
        raise SourceError([*builder.problems, *error.problems]) from None
    if builder.problems:
        raise SourceError(builder.problems)
    return Source(file, builder.root, builder.keys, builder.values)


def _events(file: str, text: str) -> Iterator[Event]:
    """The parser's events; whatever the parser raises becomes a SourceError."""
    try:
        yield from YAML(typ="safe", pure=True).parse(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Mark(mark.line + 1, mark.column + 1) if mark is not None else START
        said = " ".join(str(error.problem or error.context or "it cannot be parsed").split())
        raise fail(file, place, f"this is not YAML: {said}", "correct the syntax here or just above") from None
    except ReaderError as error:
        place = mark_at(text, error.position) if isinstance(error.position, int) else START
        raise fail(file, place, "a control character stands here", "remove it") from None
    except SourceError:
        raise
    except Exception as error:  # noqa: BLE001 - the parser's own failures on odd input must not reach a user
        raise fail(file, START, f"this is not YAML: {type(error).__name__}", "correct the syntax") from None


@dataclass(slots=True)
class _Frame:
    """A mapping or list that is being read."""

    container: dict[str, Any] | list[Any]
    path: Path
    anchor: str | None
    began: int
    height: int = 0
    key: str | None = None
    waiting: bool = False
    """True in a mapping whose key was read and whose value was not."""


@dataclass(frozen=True, slots=True)
class _Anchored:
    value: Any
    size: int
    height: int


class _Builder:
    """Puts events together into a value, and keeps the marks."""

    def __init__(self, file: str) -> None:
        self.root: Any = None
        self.problems: list[Problem] = []
        self.keys: dict[Path, Mark] = {}
        self.values: dict[Path, Mark] = {}
        self._file = file
        self._stack: list[_Frame] = []
        self._anchors: dict[str, _Anchored] = {}
        self._open_anchors: set[str] = set()
        self._documents = 0
        self._count = 0
        self._aliases = 0

    def take(self, event: Event) -> None:
        """Take the next event. Raises SourceError where reading on makes no sense."""
        if isinstance(event, DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise fail(self._file, _mark(event), "a second document begins here", "keep one document in a file")
        elif isinstance(event, MappingEndEvent | SequenceEndEvent):
            self._close()
        elif isinstance(event, NodeEvent):
            self._node(event)

    def _node(self, event: NodeEvent) -> None:
        mark = _mark(event)
        self._check_tag(event, mark)
        if self._stack and isinstance(self._stack[-1].container, dict) and not self._stack[-1].waiting:
            self._take_key(self._stack[-1], event, mark)
            return
        self._grow(1, mark)
        path = self._next_path()
        self.values[path] = mark
        if isinstance(event, AliasEvent):
            self._take_alias(event, mark)
        elif isinstance(event, ScalarEvent):
            value = self._scalar(event, mark)
            self._define(event.anchor, _Anchored(value, 1, 0), mark)
            self._attach(value, 0)
        else:
            assert isinstance(event, MappingStartEvent | SequenceStartEvent)
            if len(self._stack) >= MAX_DEPTH:
                raise fail(self._file, mark, f"nested deeper than {MAX_DEPTH} levels", "make it flatter")
            if event.anchor is not None:
                self._open_anchors.add(event.anchor)
            container: dict[str, Any] | list[Any] = {} if isinstance(event, MappingStartEvent) else []
            self._stack.append(_Frame(container, path, event.anchor, self._count))

    def _take_key(self, frame: _Frame, event: NodeEvent, mark: Mark) -> None:
        if not isinstance(event, ScalarEvent) or event.anchor is not None:
            raise fail(self._file, mark, "a key that is not plain text", "write the key as one word of text")
        key = event.value
        if not is_text(key):
            raise fail(self._file, mark, "half a character stands here (a lone surrogate)", "write the whole character")
        frame.waiting = True
        frame.key = key
        self.keys.setdefault((*frame.path, key), mark)
        assert isinstance(frame.container, dict)
        if _is_plain(event) and key == "<<":
            self._problem(mark, "merge keys (`<<`) are not taken", "write the keys out")
        elif _is_plain(event) and not isinstance(_resolve_quietly(key), str):
            self._problem(mark, f"the key `{key[:40]}` is not text", "put it in quotes")
        elif key in frame.container:
            first = self.keys[(*frame.path, key)].line
            self._problem(mark, f"the key `{key[:80]}` stands twice; first in line {first}", "keep one of them")

    def _take_alias(self, event: AliasEvent, mark: Mark) -> None:
        self._aliases += 1
        if self._aliases > MAX_ALIASES:
            raise fail(self._file, mark, f"more than {MAX_ALIASES:,} aliases", "write the values out")
        anchored = self._anchors.get(event.anchor)
        if anchored is None:
            inside = event.anchor in self._open_anchors
            said = "stands inside what it refers to" if inside else "refers to nothing above it"
            raise fail(self._file, mark, f"the alias `*{event.anchor}` {said}", "write the value out")
        if len(self._stack) + anchored.height > MAX_DEPTH:
            raise fail(self._file, mark, f"this alias nests deeper than {MAX_DEPTH} levels", "write the value out")
        self._grow(anchored.size, mark)
        self._attach(anchored.value, anchored.height)

    def _close(self) -> None:
        frame = self._stack.pop()
        height = frame.height + 1
        if frame.anchor is not None:
            self._open_anchors.discard(frame.anchor)
            size = self._count - frame.began + 1
            self._define(frame.anchor, _Anchored(frame.container, size, height), self.values[frame.path])
        self._attach(frame.container, height)

    def _attach(self, value: Any, height: int) -> None:
        if not self._stack:
            self.root = value
            return
        frame = self._stack[-1]
        frame.height = max(frame.height, height)
        if isinstance(frame.container, list):
            frame.container.append(value)
        else:
            assert frame.key is not None
            frame.container.setdefault(frame.key, value)
            frame.key, frame.waiting = None, False

    def _next_path(self) -> Path:
        if not self._stack:
            return ()
        frame = self._stack[-1]
        if isinstance(frame.container, list):
            return (*frame.path, len(frame.container))
        assert frame.key is not None
        return (*frame.path, frame.key)

    def _scalar(self, event: ScalarEvent, mark: Mark) -> Any:
        if not is_text(event.value):
            self._problem(mark, "half a character stands here (a lone surrogate)", "write the whole character")
            return None
        if not _is_plain(event):
            return event.value
        try:
            return _resolve(event.value)
        except ValueError as error:
            self._problem(mark, str(error), "write a number that can be held exactly, or put text in quotes")
            return None

    def _define(self, anchor: str | None, anchored: _Anchored, mark: Mark) -> None:
        if anchor is None:
            return
        if len(self._anchors) >= MAX_ANCHORS:
            raise fail(self._file, mark, f"more than {MAX_ANCHORS} anchors", "write the values out")
        self._anchors[anchor] = anchored

    def _check_tag(self, event: NodeEvent, mark: Mark) -> None:
        tag = getattr(event, "tag", None)
        if tag is not None and str(tag):
            self._problem(
                mark, f"the tag `{str(tag)[:60]}` is not taken", "remove it; values have no types of their own"
            )

    def _grow(self, by: int, mark: Mark) -> None:
        self._count += by
        if self._count > MAX_VALUES:
            raise fail(self._file, mark, f"more than {MAX_VALUES:,} values", "split the file up, or use fewer aliases")

    def _problem(self, mark: Mark, message: str, mend: str) -> None:
        self.problems.append(Problem(self._file, mark.line, mark.column, message, mend))


def _mark(event: Event) -> Mark:
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)


def _is_plain(event: ScalarEvent) -> bool:
    return not event.style


def _resolve_quietly(text: str) -> Any:
    try:
        return _resolve(text)
    except ValueError:
        return None


def _resolve(text: str) -> Any:
    """The value of a plain scalar. Raises ValueError on a number that cannot be held exactly."""
    if text in _NULL:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if _INT.fullmatch(text):
        if len(text) > MAX_DIGITS:
            raise ValueError(f"this number has more than {MAX_DIGITS} digits")
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    if _FLOAT.fullmatch(text):
        if len(text) > MAX_DIGITS:
            raise ValueError(f"this number has more than {MAX_DIGITS} digits")
        return exact_number(text)
    if _NOT_FINITE.fullmatch(text):
        raise ValueError("this is not a finite number")
    return text
