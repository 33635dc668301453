# ruff: noqa: ANN001, ANN201, ANN204
"""How the refund desk reads what people write: is it about a refund, which charges, which amounts of money?"""

import re
import unicodedata
from decimal import Decimal
from typing import NamedTuple

ASKS = re.compile(r"refund|reimburse|\bback\b|erstatt|gutschrift|reembols|devoluci|rembours", re.IGNORECASE)
CHARGE = re.compile(r"\bch_[a-z0-9]{8}\b")
MARKS = {"$": "USD", "usd": "USD", "dollar": "USD", "€": "EUR", "eur": "EUR", "euro": "EUR"}
MARKS |= {"£": "GBP", "gbp": "GBP", "pound": "GBP"}
NUMBER = r"\d{1,3}(?:[.,]\d{3})+(?:[.,]\d{1,2})?|\d+(?:[.,]\d{1,2})?"
MARK = r"[$€£]|\b(?:USD|EUR|GBP|dollar|euro|pound)s?\b"
AMOUNT = re.compile(rf"(?P<m1>{MARK})\s?(?P<n1>{NUMBER})|(?P<n2>{NUMBER})\s?(?P<m2>{MARK})", re.IGNORECASE)
TURNED = re.compile("[\u202a-\u202e\u2066-\u2069]")


class Money(NamedTuple):
    """An amount in major units and its ISO 4217 currency."""

    amount: Decimal
    currency: str

    def __str__(self):
        return f"{self.amount:.2f} {self.currency}"


def money(charge, field):
    """An amount of a charge, exactly."""
    return Money(Decimal(str(charge[field])), charge["currency"])


def asks_for_refund(text):
    """True if the text has a word for money that comes back, in one of the languages of Acme's customers."""
    return ASKS.search(text) is not None


def charges(text):
    """The references of charges in a text, each once, in order."""
    return list(dict.fromkeys(CHARGE.findall(text)))


def turned(text):
    """True if the text shows in another order than it has."""
    return TURNED.search(text) is not None


def clean(text):
    """One spelling: full-width digits become digits, invisible characters go."""
    return "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf")


def amounts(text):
    """Every amount of money in a text: `$43.50`, `USD 1,250.00`, `1.150,00 €`, `35,50 USD`."""
    for match in AMOUNT.finditer(text):
        whole, cents = re.fullmatch(r"(.*?)(?:[.,](\d{1,2}))?", match["n1"] or match["n2"]).groups()
        currency = MARKS[(match["m1"] or match["m2"]).lower().removesuffix("s")]
        yield Money(Decimal(f"{re.sub('[.,]', '', whole)}.{cents or 0}"), currency)
