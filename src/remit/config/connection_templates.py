"""Connection templates: a system's tools, classified, with undo, limits, and what a local stand-in of it does.

A template is one YAML file in `remit/templates/connections`. From it come the entries of connections.yaml and
actions.yaml, the pinned definitions of the tools, and the fake that `python -m remit.fakes NAME` serves.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from importlib import resources
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator
from ruamel.yaml import YAML

from remit.domain.actions import Cap, Label, Money, Rate, Risk
from remit.domain.declared import Declared
from remit.errors import NotFound

KEY_ARGUMENT = "idempotency_key"
"""The argument of every tool of a fake that writes, for the action's id."""
_WINDOW = "24h"
_KINDS: dict[str, dict[str, Any]] = {
    "text": {"type": "string", "maxLength": 20_000},
    "whole": {"type": "integer"},
    "number": {"type": "number"},
    "yes_no": {"type": "boolean"},
    "texts": {"type": "array", "items": {"type": "string", "maxLength": 2_000}, "maxItems": 200},
}

Verb = Literal["list", "search", "get", "create", "update", "delete"]
_READS = frozenset({"list", "search", "get"})


class Vendor(Declared):
    """The vendor's own MCP server. Nobody has tried it with this template: its tools have other names."""

    url: str | None = None
    """Its documented address, `<…>` where something is the customer's; None: none is known."""
    docs: str = ""
    """Where the vendor describes it."""
    note: str = ""
    """What to know about it."""


class Collection(Declared):
    """Records of one kind in the fake."""

    one: str
    """What one of them is called in answers."""
    prefix: str = ""
    """What ids of new records begin with."""
    seed: tuple[dict[str, Any], ...] = ()
    """The records that are there at first; each has an `id`."""


class UndoTemplate(Declared):
    """The call of another tool of the same connection that takes this back."""

    tool: str
    arguments: dict[str, Any]


class ToolTemplate(Declared):
    """One tool: what people call it, what the fake does, and how the action is governed."""

    title: str
    do: str = Field(pattern=r"^(list|search|get|create|update|delete) [a-z_]+( by [a-z_]+)?$")
    """`update tickets by ticket_id`: a verb, a collection, and the argument with the record's id."""
    arguments: dict[str, str] = {}
    """Name to kind: text, whole, number, yes_no, texts, or `one|of|these`. All have to be given."""
    optional: dict[str, str] = {}
    """The same for arguments that may be left out."""
    fields: dict[str, str] = {}
    """Of an update: what may be changed, given as one argument `fields`; null empties a field."""
    search_in: tuple[str, ...] = ()
    """Of a search: fields in which the words of `query` are looked for."""
    refers: dict[str, str] = {}
    """Argument to collection: the record has to be there."""
    sets: dict[str, Any] = {}
    """Of a create: fields that are always so."""
    takes: dict[str, str] = {}
    """Of a create: argument to `referring_argument.field`: that much is taken off there, and no more than is left."""
    risk: Risk = Risk.LOW
    undo: UndoTemplate | None = None
    irreversible: str | None = None
    """Of a write without undo: why it cannot be taken back."""
    resource: str | None = None
    reads: tuple[Label, ...] = ()
    sends: tuple[Label, ...] = ()
    money: Money | None = None
    each: tuple[Cap, ...] = ()
    """Most money of one action."""
    per_day: tuple[Cap, ...] = ()
    rate: Rate | None = None
    redact: tuple[str, ...] = ()

    @property
    def verb(self) -> Verb:
        """What the fake does."""
        return self.do.split()[0]  # type: ignore[return-value]  # the pattern says which there are

    @property
    def collection(self) -> str:
        """With which records."""
        return self.do.split()[1]

    @property
    def by(self) -> str:
        """The argument with the record's id; empty where there is none."""
        return self.do.partition(" by ")[2]

    @property
    def writes(self) -> bool:
        """True if the system is different afterwards."""
        return self.verb not in _READS

    @model_validator(mode="after")
    def _whole(self) -> ToolTemplate:
        if self.writes and (self.undo is None) == (self.irreversible is None):
            raise ValueError("a tool that writes has either `undo` or `irreversible`")
        return self

    def input_schema(self) -> dict[str, Any]:
        """JSON Schema of the arguments."""
        properties = {name: _schema(kind) for name, kind in {**self.arguments, **self.optional}.items()}
        required = list(self.arguments)
        if self.verb == "search":
            properties["query"] = {**_KINDS["text"], "description": "Words that all have to be there."}
            required.append("query")
        if self.verb in {"list", "search"}:
            properties["limit"] = {"type": "integer", "minimum": 1, "maximum": 1_000}
        if self.fields:
            inner = {name: _or_null(_schema(kind)) for name, kind in self.fields.items()}
            properties["fields"] = {"type": "object", "properties": inner, "additionalProperties": False}
            required.append("fields")
        if self.writes:
            properties[KEY_ARGUMENT] = {"type": "string", "description": "The same key does it once."}
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}

    def action(self, connection: str) -> dict[str, Any]:
        """The entry of actions.yaml, without `raci`; `connection` is what the connection is called."""
        found: dict[str, Any] = {
            "title": self.title,
            "effect": "write" if self.writes else "read",
            "risk": str(self.risk),
        }
        if self.writes:
            found["reversible"] = self.undo is not None
            found["idempotency"] = {"argument": KEY_ARGUMENT, "window": _WINDOW}
        if self.undo is not None:
            found["undo"] = {"tool": f"{connection}.{self.undo.tool}", "arguments": dict(self.undo.arguments)}
        more = self.model_dump(mode="json", include={"resource", "money", "rate"}, exclude_none=True)
        found |= more
        for name in ("reads", "sends", "redact"):
            if getattr(self, name):
                found[name] = [str(value) for value in getattr(self, name)]
        caps = {
            name: [{"amount": _plain(cap.amount), "currency": cap.currency} for cap in getattr(self, name)]
            for name in ("each", "per_day")
            if getattr(self, name)
        }
        return {**found, **({"caps": caps} if caps else {})}


class ConnectionTemplate(Declared):
    """One system."""

    title: str
    about: str
    """What the template offers, in a sentence."""
    vendor: Vendor
    rate: Rate
    """How often it may be called: careful, because plans differ."""
    trusted: bool = False
    collections: dict[str, Collection]
    tools: dict[str, ToolTemplate]

    @model_validator(mode="after")
    def _whole(self) -> ConnectionTemplate:
        for name, tool in self.tools.items():
            if tool.collection not in self.collections:
                raise ValueError(f"{name}: there is no collection {tool.collection}")
            if tool.undo is not None and tool.undo.tool not in self.tools:
                raise ValueError(f"{name}: there is no tool {tool.undo.tool} to undo it")
        return self

    @cached_property
    def definitions(self) -> list[dict[str, Any]]:
        """The tools as an MCP server lists them."""
        return [
            {"name": name, "description": tool.title, "inputSchema": tool.input_schema()}
            for name, tool in self.tools.items()
        ]


def names() -> list[str]:
    """Every template, by name."""
    folder = resources.files("remit.templates") / "connections"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


@lru_cache(maxsize=32)
def template(name: str) -> ConnectionTemplate:
    """A template by name. Raises NotFound."""
    if name not in names():
        raise NotFound(f"there is no connection template {name!r}", advice=f"There are: {', '.join(names())}.")
    text = (resources.files("remit.templates") / "connections" / f"{name}.yaml").read_text(encoding="utf-8")
    try:
        return ConnectionTemplate.model_validate(YAML(typ="safe", pure=True).load(text))
    except ValidationError as error:
        raise ValueError(f"the template {name} is wrong: {error}") from error


def _schema(kind: str) -> dict[str, Any]:
    if kind in _KINDS:
        return dict(_KINDS[kind])
    if "|" in kind:
        return {"enum": kind.split("|")}
    raise ValueError(f"{kind!r} is no kind of argument")


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _plain(amount: Any) -> int | str:
    return int(amount) if amount == int(amount) else str(amount)
