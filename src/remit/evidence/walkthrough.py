"""A program told in plain words: its rules in the order in which it comes to them, made from its source alone.

Nothing is run. What is told follows `run` line by line: what it asks of tools and people, on which conditions it turns
off, what it puts out and why. A function is told where it is first used, and named from then on.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from remit.domain.agents import AgentVersion
from remit.errors import InvalidInput
from remit.evidence.wording import Wording, first_line

_DEEPEST = 6
_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Step:
    """One sentence of the walk."""

    depth: int
    text: str
    at: str
    """File and line that it tells, as `program.py:12`."""


@dataclass(frozen=True)
class Walkthrough:
    """A program in plain words."""

    agent: str
    version: str
    about: str
    """What the program says of itself."""
    values: tuple[Step, ...]
    """Constants that it judges by."""
    steps: tuple[Step, ...]
    helpers: tuple[Step, ...]
    """Functions that only work something out, in their own words."""


@dataclass
class _Source:
    functions: dict[str, tuple[str, _Function]] = field(default_factory=dict)
    constants: dict[str, tuple[str, int, Any]] = field(default_factory=dict)
    about: dict[str, str] = field(default_factory=dict)


def walk_through(version: AgentVersion, titles: Callable[[str], str | None]) -> Walkthrough:
    """Tell a program. `titles` gives an action type's title. Raises InvalidInput if the agent is no program."""
    if not version.is_program:
        raise InvalidInput(
            f"{version.agent} is no program: a language model decides what it does",
            advice=f"`remit agents show {version.agent}` says what it may do; its prompt is in its folder.",
        )
    source = _read(version.files)
    if "run" not in source.functions:
        raise InvalidInput(f"program.py of {version.agent} has no `run`")
    constants = {name: value for name, (_, _, value) in source.constants.items()}
    walk = _Walk(source, Wording(constants, version.parameters, titles))
    steps = tuple(walk.function("run", 0))
    walk.follow()
    helpers = tuple(step for name in source.functions if not walk.acts(name) for step in walk.helper(name))
    values = tuple(
        Step(0, f"{name} is {value!r}", f"{file}:{line}") for name, (file, line, value) in source.constants.items()
    )
    return Walkthrough(version.agent, version.digest, source.about.get("program.py", ""), values, steps, helpers)


def _read(files: Mapping[str, bytes]) -> _Source:
    """Functions, plain constants and docstrings of every module in the agent's folder, the program's own first."""
    source = _Source()
    modules = sorted((path for path in files if path.endswith(".py")), key=lambda path: (path != "program.py", path))
    for path in modules:
        try:
            tree = ast.parse(files[path])
        except (SyntaxError, ValueError, RecursionError) as error:
            raise InvalidInput(f"{path} cannot be read as Python: {error}") from None
        source.about[path] = " ".join((ast.get_docstring(tree) or "").split())
        for node in tree.body:
            match node:
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    source.functions.setdefault(node.name, (path, node))
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=value)) if _judges(name, value):
                    source.constants.setdefault(name, (path, node.lineno, value))
    return source


class _Walk:
    """Tells functions, each once."""

    def __init__(self, source: _Source, words: Wording) -> None:
        self._source = source
        self._words = words
        self._told: set[str] = set()
        self._acting: dict[str, bool] = {}
        self._file = "program.py"
        self.used: set[str] = set()

    def acts(self, name: str) -> bool:
        """True if a function of the program asks for something, puts something out or gives up, itself or by others."""
        if name not in self._acting:
            self._acting[name] = False  # while it is looked at: recursion alone is no action
            node = self._source.functions[name][1]
            self._acting[name] = any(
                isinstance(inner, ast.Raise) or (isinstance(inner, ast.Call) and self._is_step(inner))
                for inner in ast.walk(node)
            )
        return self._acting[name]

    def function(self, name: str, depth: int) -> Iterator[Step]:
        """Tell a function's body."""
        self._told.add(name)
        before, (self._file, node) = self._file, self._source.functions[name]
        yield from self._block(node.body, depth)
        self._file = before

    def follow(self) -> None:
        """Count as used what used functions use themselves."""
        waiting = list(self.used)
        while waiting:
            for inner in ast.walk(self._source.functions[waiting.pop()][1]):
                name = inner.id if isinstance(inner, ast.Name) else ""
                if name in self._source.functions and name not in self.used:
                    self.used.add(name)
                    waiting.append(name)

    def helper(self, name: str) -> Iterator[Step]:
        """Tell a function that only works something out, if the program uses it: its words, and its rules."""
        file, node = self._source.functions[name]
        doc = first_line(ast.get_docstring(node))
        rules = list(self._rules(node.body, file, 1))
        if name in self.used and (doc or rules):
            yield Step(0, f"{name}{f': {doc}' if doc else ''}", f"{file}:{node.lineno}")
            yield from rules

    def _rules(self, body: list[ast.stmt], file: str, depth: int) -> Iterator[Step]:
        """The conditions of a helper, with what is done under them."""
        for node in body:
            at = f"{file}:{node.lineno}"
            match node:
                case ast.If(test=test, body=inner, orelse=orelse):
                    yield Step(depth, f"If {self._words.of(test)}:", at)
                    yield from self._under_condition(inner, file, depth + 1)
                    if len(orelse) == 1 and isinstance(orelse[0], ast.If):
                        yield from self._rules(orelse, file, depth)
                    elif orelse:
                        yield Step(depth, "Otherwise:", f"{file}:{orelse[0].lineno}")
                        yield from self._under_condition(orelse, file, depth + 1)
                case ast.For(body=inner) | ast.While(body=inner) | ast.With(body=inner) | ast.Try(body=inner):
                    yield from self._rules(inner, file, depth)

    def _under_condition(self, body: list[ast.stmt], file: str, depth: int) -> Iterator[Step]:
        """What stands under a condition: further conditions, and plain statements as they are."""
        for node in body:
            if isinstance(node, ast.If | ast.For | ast.While | ast.With | ast.Try):
                yield from self._rules([node], file, depth)
            else:
                yield Step(depth, self._words.of(node), f"{file}:{node.lineno}")

    def _is_step(self, call: ast.Call) -> bool:
        if self._words.session_verb(call) is not None:
            return True
        name = _called(call)
        return name in self._source.functions and self.acts(name)

    def _block(self, body: list[ast.stmt], depth: int) -> Iterator[Step]:
        for statement in body:
            yield from self._statement(statement, depth)

    def _statement(self, node: ast.stmt, depth: int) -> Iterator[Step]:
        match node:
            case ast.If():
                yield from self._if(node, depth)
            case ast.For(target=target, iter=over, body=body) | ast.AsyncFor(target=target, iter=over, body=body):
                yield from self._calls(over, depth)
                yield from self._under(node, f"For each {ast.unparse(target)} of {self._words.of(over)}:", body, depth)
            case ast.While(test=test, body=body):
                yield from self._under(node, f"As long as {self._words.of(test)}:", body, depth)
            case ast.Try(body=body, handlers=handlers, finalbody=final):
                yield from self._block(body, depth)
                for handler in handlers:
                    yield from self._under(handler, f"If that {_failure(handler)}:", handler.body, depth)
                yield from self._block(final, depth)
            case ast.With(body=body) | ast.AsyncWith(body=body):
                yield from self._block(body, depth)
            case ast.Match(subject=subject, cases=cases):
                for case in cases:
                    head = f"If {self._words.of(subject)} is {ast.unparse(case.pattern)}:"
                    yield from self._under(node, head, case.body, depth)
            case ast.Raise(exc=error):
                what = f" with {self._words.of(error)}" if error is not None else " with the same error"
                yield self._step(node, f"Gives up{what}.", depth)
            case ast.Return(value=value):
                yield from self._return(node, value, depth)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                return
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Dict() as rules) if _is_rules(rules):
                yield self._step(node, f"Looks at these rules ({name}):", depth)
                for key, test in zip(rules.keys, rules.values, strict=True):
                    label = self._words.of(key) if key is not None else "…"
                    yield self._step(test, f"{label}: {self._words.of(test)}", depth + 1)
            case _:
                yield from self._calls(node, depth)

    def _if(self, node: ast.If, depth: int) -> Iterator[Step]:
        yield from self._calls(node.test, depth)
        yield from self._under(node, f"If {self._words.of(node.test)}:", node.body, depth)
        if node.orelse:
            yield from self._under(node.orelse[0], "Otherwise:", node.orelse, depth)

    def _under(self, node: ast.AST, head: str, body: list[ast.stmt], depth: int) -> Iterator[Step]:
        """A heading with what stands under it, if anything worth telling does."""
        inner = list(self._block(body, depth + 1))
        if inner:
            yield self._step(node, head, depth)
            yield from inner

    def _return(self, node: ast.Return, value: ast.expr | None, depth: int) -> Iterator[Step]:
        if value is None:
            return
        told = list(self._calls(value, depth))
        yield from told
        awaited = value.value if isinstance(value, ast.Await) else value
        if not (told and isinstance(awaited, ast.Call)):
            yield self._step(node, f"Gives back {self._words.of(value)}.", depth)

    def _calls(self, node: ast.AST, depth: int) -> Iterator[Step]:
        """What the calls in an expression do, innermost first, as Python makes them."""
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, ast.Lambda):
                yield from self._calls(child, depth)
        if not isinstance(node, ast.Call):
            return
        name = _called(node)
        if name in self._source.functions:
            self.used.add(name)
        if (said := self._words.session_call(node)) is not None:
            yield self._step(node, said, depth)
        elif name in self._source.functions and self.acts(name):
            yield from self._local(node, name, depth)

    def _local(self, call: ast.Call, name: str, depth: int) -> Iterator[Step]:
        doc = first_line(ast.get_docstring(self._source.functions[name][1]))
        about = self._words.named_in(call)
        head = f"{name}{f' ({about})' if about else ''}{f': {doc}' if doc else ''}"
        if name in self._told or depth >= _DEEPEST:
            yield self._step(call, f"{head} (as above)" if name in self._told else head, depth)
            return
        yield self._step(call, head, depth)
        yield from self.function(name, depth + 1)

    def _step(self, node: ast.AST, text: str, depth: int) -> Step:
        return Step(depth, text, f"{self._file}:{getattr(node, 'lineno', 1)}")


def _judges(name: str, value: Any) -> bool:
    """True for constants that a reader can weigh: numbers and short words, no patterns and no templates."""
    words = isinstance(value, str) and (len(value) > 40 or not value.isprintable() or "\\" in value)
    return name.isupper() and not words


def _called(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _failure(handler: ast.ExceptHandler) -> str:
    if handler.type is None:
        return "fails"
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    words = {
        "session.Refused": "is refused",
        "session.Failed": "fails",
        "session.Unknown": "may or may not have happened",
    }
    return " or ".join(words.get(ast.unparse(kind), f"ends in {ast.unparse(kind)}") for kind in kinds)


def _is_rules(value: ast.Dict) -> bool:
    """True for a dict of conditions by name, a common way to write rules down."""
    return any(isinstance(part, ast.Compare | ast.BoolOp) for part in value.values)
