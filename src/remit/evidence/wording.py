"""How a piece of a program's source is said in a walk through it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

from remit.domain.parameters import Parameter

_LONGEST = 220
_VERBS = {
    "ask": "Asks a person",
    "model": "Asks the language model",
    "emit": "Puts out",
    "explain": "Puts out a row of",
    "explain_all": "Puts out the list",
    "delegate": "Has another agent do it:",
    "remember": "Remembers",
    "recall": "Looks up what was remembered as",
    "publish": "Publishes for review",
    "tell": "Tells",
    "match": "Finds which name is meant by",
    "suggest": "Passes on the idea",
}


class Wording:
    """Says expressions with the values that constants and parameters have."""

    def __init__(
        self,
        constants: Mapping[str, Any],
        parameters: Mapping[str, Parameter],
        titles: Callable[[str], str | None],
    ) -> None:
        self._constants = constants
        self._parameters = parameters
        self._titles = titles

    def of(self, node: ast.AST) -> str:
        """An expression as it stands, with the values of the names in it that have one."""
        text = " ".join(ast.unparse(node).replace("await ", "").split())
        text = text.replace("session.input", "the input").replace("session.parameters.", "")
        known = [f"{name} is {value}" for name, value in self._values(node).items()]
        short = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
        return f"{short} [{', '.join(known)}]" if known else short

    def session_verb(self, call: ast.Call) -> str | None:
        """`ask` for `session.ask(…)`; None for every other call, and for those that do nothing worth telling."""
        match call.func:
            case ast.Attribute(value=ast.Name(id="session"), attr=verb) if verb == "call" or verb in _VERBS:
                return verb
            case _:
                return None

    def session_call(self, call: ast.Call) -> str | None:
        """What a call of the session does, in a sentence; None for every other call."""
        verb = self.session_verb(call)
        if verb is None:
            return None
        if verb == "call":
            return self._tool(call)
        first = self.of(call.args[0]) if call.args else ""
        said = f"{_VERBS[verb]} {first}"
        if verb == "emit" and len(call.args) > 1:
            said += f": {self.of(call.args[1])}"
        for keyword in call.keywords:
            match keyword.arg:
                case "reasons":
                    said += f", because {self.of(keyword.value)}"
                case "choices" | "schema" | "to" | "title":
                    said += f"; {keyword.arg}: {self.of(keyword.value)}"
        if verb == "explain" and len(call.args) > 1:
            said += f", because {self.of(call.args[1])}"
        if verb == "explain_all" and len(call.args) > 1:
            said += f", each row with its reasons: {self.of(call.args[1])}"
        return f"{said}."

    def named_in(self, call: ast.Call) -> str:
        """The tools that a call names in its arguments, for functions that are told which to use."""
        texts = [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        return ", ".join(f"{title}, {text}" for text in texts if (title := self._titles(text)) is not None)

    def _tool(self, call: ast.Call) -> str:
        if not (call.args and isinstance(call.args[0], ast.Constant)):
            return f"Calls the tool {self.of(call.args[0]) if call.args else '?'} with what it was given."
        action = str(call.args[0].value)
        given = ", ".join(
            f"{k.arg} {self.of(k.value)}" if k.arg else f"all of {self.of(k.value)}"
            for k in call.keywords
            if k.arg != "reason_"
        )
        return f"{self._titles(action) or 'Calls'} ({action}){f', with {given}' if given else ''}."

    def _values(self, node: ast.AST) -> dict[str, str]:
        found: dict[str, str] = {}
        for inner in ast.walk(node):
            match inner:
                case ast.Name(id=name) if name in self._constants:
                    found[name] = repr(self._constants[name])
                case ast.Attribute(value=ast.Attribute(value=ast.Name(id="session"), attr="parameters"), attr=name):
                    if (parameter := self._parameters.get(name)) is not None:
                        found[name] = f"{parameter.value} {parameter.unit}".strip()
        return found


def first_line(doc: str | None) -> str:
    """The first sentence or so of a docstring."""
    return " ".join((doc or "").strip().split("\n\n")[0].split())
