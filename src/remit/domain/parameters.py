"""Parameters: named values of a program that business people tune, with what they mean and who may change them."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from remit.domain.declared import Declared, PersonOrRole

ParameterName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
"""A name that a program reads as `session.parameters.NAME`."""

_MOST_TEXT = 4_000


class Parameter(Declared):
    """One value that may be tuned."""

    title: str
    """What people call it."""
    meaning: str
    """What changes when it changes, in a sentence or two."""
    type: Literal["whole", "number", "text", "yes_no", "choice"]
    """What kind of value it is: a whole number, an exact number, a text, yes or no, or one of `choices`."""
    value: Any
    """What it is now."""
    minimum: float | None = None
    """Smallest number, or shortest text in characters."""
    maximum: float | None = None
    """Largest number, or longest text in characters."""
    choices: tuple[str, ...] = ()
    """What a choice may be."""
    unit: str = ""
    """What a number counts: `days`, `USD`."""
    tune: PersonOrRole
    """Who may ask for another value."""
    approve: PersonOrRole | None = None
    """Who has to approve another value; None: whoever may tune it decides alone."""

    @model_validator(mode="after")
    def _whole(self) -> Parameter:
        if (self.type == "choice") != bool(self.choices):
            raise ValueError("a choice has `choices`, and nothing else has")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError("`minimum` is above `maximum`")
        object.__setattr__(self, "value", self.checked(self.value))
        return self

    def checked(self, value: Any) -> Any:
        """The value as programs get it: int, Decimal, str or bool. Raises ValueError, saying what would fit."""
        found: Any
        match self.type:
            case "yes_no":
                found = _yes_no(value)
            case "choice":
                found = str(value)
                if found not in self.choices:
                    raise ValueError(f"it is one of {', '.join(self.choices)}")
            case "text":
                found = str(value)
                self._must_be_within(min(len(found), _MOST_TEXT + 1), "characters")
                if len(found) > _MOST_TEXT:
                    raise ValueError(f"it has at most {_MOST_TEXT} characters")
            case _:
                found = _number(value, whole=self.type == "whole")
                self._must_be_within(found, self.unit)
        return found

    def _must_be_within(self, size: int | Decimal, unit: str) -> None:
        unit = f" {unit}" if unit else ""
        if self.minimum is not None and size < Decimal(str(self.minimum)):
            raise ValueError(f"it is at least {self.minimum:g}{unit}")
        if self.maximum is not None and size > Decimal(str(self.maximum)):
            raise ValueError(f"it is at most {self.maximum:g}{unit}")


class ParametersFile(Declared):
    """`agents/NAME/parameters.yaml`: values of a program that people tune without touching its code."""

    parameters: dict[ParameterName, Parameter] = {}
    """Name to parameter."""


def _yes_no(value: Any) -> bool:
    found = {"yes": True, "true": True, "no": False, "false": False}.get(str(value).lower())
    if found is None:
        raise ValueError("it is yes or no")
    return found


def _number(value: Any, *, whole: bool) -> int | Decimal:
    what = "a whole number" if whole else "a number such as 3 or 0.25"
    if isinstance(value, bool):
        raise ValueError(f"it is {what}")  # noqa: TRY004 - pydantic wants ValueError
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"it is {what}") from None
    if not found.is_finite() or abs(found) >= Decimal(10) ** 15 or found != round(found, 0 if whole else 6):
        raise ValueError(f"it is {what}, below 10^15 and with at most six decimal places")
    return int(found) if found == found.to_integral_value() else found
