# ruff: noqa: RUF001 - some names are typed on a Japanese keyboard
"""What Acme's sales systems start with: 340 accounts and everything around them, made from a fixed seed.

The systems hold what such systems hold: accounts that nobody owns or whose owner has left, the same company twice,
closed business, odd letters, tickets and calls that belong to nobody. The numbers are the same at every start; dates
are counted back from the day of the first start, so that "two weeks ago" stays two weeks ago.
`python servers/sales_world.py` prints a summary, and with the name of a table its rows.
"""

from __future__ import annotations

import json
import random
import sys
import unicodedata
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

from sales_words import COUNTRIES, FIRST, HOSTILE, LAST, LIVELY, NAMES, STALLED, SUBJECTS, WORDS

SEED = 20_261_121
ACCOUNTS = 340
USD = {"USD": 1.0, "EUR": 1.1, "GBP": 1.3, "BRL": 0.18, "INR": 0.012, "JPY": 0.0067, "PLN": 0.25}
"""What one unit is worth in this world."""

Row = dict[str, Any]

USERS: list[Row] = [
    {"user_id": "ingrid.solberg", "name": "Ingrid Solberg", "manager": "", "active": 1, "time_zone": "Europe/Oslo"},
    {"user_id": "nora.quist", "name": "Nora Quist", "manager": "ingrid.solberg", "active": 1}
    | {"time_zone": "Europe/Berlin"},
    {"user_id": "mateus.alves", "name": "Mateus Alves", "manager": "ingrid.solberg", "active": 1}
    | {"time_zone": "America/Sao_Paulo"},
    {"user_id": "priya.raman", "name": "Priya Raman", "manager": "ingrid.solberg", "active": 1}
    | {"time_zone": "Asia/Kolkata"},
    {"user_id": "jack.doyle", "name": "Jack Doyle", "manager": "ingrid.solberg", "active": 1}
    | {"time_zone": "America/Chicago"},
    {"user_id": "hana.sato", "name": "Hana Sato", "manager": "ingrid.solberg", "active": 1}
    | {"time_zone": "Asia/Tokyo"},
    {"user_id": "viktor.lang", "name": "Viktor Lang", "manager": "ingrid.solberg", "active": 0}
    | {"time_zone": "Europe/Vienna"},
]
"""The CRM's own list of who uses it. Viktor Lang has left; his accounts still carry his name."""

_OWNERS = {"nora.quist": "DE", "mateus.alves": "BR", "priya.raman": "IN", "jack.doyle": "US", "hana.sato": "JP"}
_SHARES = (
    ("nora.quist", 60),
    ("mateus.alves", 55),
    ("priya.raman", 55),
    ("jack.doyle", 60),
    ("hana.sato", 50),
    ("viktor.lang", 22),
    ("", 20),
    ("import-2019", 6),
)
"""Owner to the number of accounts; nobody, and a program that brought some in and was never a person."""

# name, owner, country, annual revenue in USD, days since the last touch (None: never), then what is special
_LANDMARKS: list[tuple[str, str, str, int, int | None, Row]] = [
    ("Nordwind Logistik GmbH", "nora.quist", "DE", 410_000, 3, {"ticket": ("urgent", 12, None)}),
    ("Kessler GmbH", "nora.quist", "DE", 92_000, 20, {}),
    ("KESSLER Gmbh.", "nora.quist", "DE", 18_000, None, {}),
    ("Hallström Papier AG", "nora.quist", "DE", 160_000, 9, {"stalled": (0, 21)}),
    ("Blue Heron Supply Co.", "jack.doyle", "US", 520_000, 5, {"ticket": ("urgent", 8, None)}),
    ("Prairie Tool Works Inc.", "jack.doyle", "US", 300_000, 16, {"ticket": ("urgent", 15, 2)}),
    ("Shakti Textiles Pvt Ltd", "priya.raman", "IN", 9_000, 30, {"ticket": ("urgent", 20, None)}),
    ("佐藤製作所", "hana.sato", "JP", 640_000, 2, {"ticket": ("urgent", 11, None)}),
    ("Ferragens Aurora Ltda", "mateus.alves", "BR", 120_000, 6, {"stalled": (1, 34)}),
    ("Alpenblick Hotelbedarf GmbH", "viktor.lang", "DE", 330_000, 90, {"ticket": ("urgent", 14, None)}),
    ("Zum Anker OHG", "nora.quist", "DE", 280_000, 200, {"stage": "closed", "ticket": ("urgent", 30, None)}),
    ("Ｔｏｋｕ Ｐａｃｋａｇｉｎｇ", "hana.sato", "JP", 75_000, 45, {"stalled": (2, 26)}),
    (unicodedata.normalize("NFD", "Café Müller & Söhne"), "nora.quist", "DE", 31_000, 18, {}),
    ("Cafe Mueller und Soehne", "", "DE", 2_000, None, {}),
    ("Riverbend 🛠 Hardware", "jack.doyle", "US", 64_000, 25, {"lively": 4}),
    ("Old Mill\u200b Bakery Supplies", "jack.doyle", "US", 12_000, None, {"hostile": 5}),
]


def today() -> date:
    """The day that everything is counted back from, in UTC."""
    return datetime.now(UTC).date()


@cache
def world(day: date) -> dict[str, list[Row]]:
    """All tables as of a day: users, accounts, contacts, deals, activities, tickets, calls, revenue."""
    made = _World(day, random.Random(SEED))
    made.fill()
    return made.tables


class _World:
    def __init__(self, day: date, chance: random.Random) -> None:
        self.day, self.chance = day, chance
        names = ("accounts", "contacts", "deals", "activities", "tickets", "calls", "revenue")
        self.tables: dict[str, list[Row]] = {"users": USERS, **{name: [] for name in names}}

    def fill(self) -> None:
        for name, owner, country, revenue, touched, more in _LANDMARKS:
            account = self.account(name, owner, country, more.get("stage", "customer"))
            self.around(account, revenue, touched)
            self.special(account, more)
        self.ordinary()
        self.strays()

    def ordinary(self) -> None:
        names = self.names()
        placed = {owner: sum(one[1] == owner for one in _LANDMARKS) for owner, _ in _SHARES}
        owners = [owner for owner, count in _SHARES for _ in range(count - placed[owner])]
        self.chance.shuffle(owners)
        for owner in [*owners, *["ingrid.solberg"] * (ACCOUNTS - len(owners) - len(_LANDMARKS))]:
            home = _OWNERS.get(owner, "DE")
            country = home if self.chance.random() < 0.7 else self.chance.choice(sorted(COUNTRIES))
            stage = self.chance.choices(("customer", "prospect", "closed"), (70, 20, 10))[0]
            account = self.account(
                f"{next(names)} {self.chance.choice(COUNTRIES[country]['forms'])}", owner, country, stage
            )
            revenue = round(self.chance.lognormvariate(10.2, 1.4), -2)
            touched = None if self.chance.random() < 0.12 else int(self.chance.expovariate(1 / 18))
            self.around(account, 0 if stage == "prospect" else int(revenue), touched)
            self.tickets_of(account, revenue)
            if self.chance.random() < 0.22:
                self.call(account, LIVELY[self.chance.randrange(len(LIVELY))], self.chance.randrange(1, 40))
        twins = [one for one in self.tables["accounts"][len(_LANDMARKS) :] if one["stage"] == "customer"][:90:8]
        for one in twins:  # the same company a second time, as somebody in a hurry typed it
            name = one["name"].upper() + self.chance.choice((".", "", " (2)"))
            self.account(name, one["owner"], one["country"], "prospect")

    def strays(self) -> None:
        """What belongs to no account, or to one that is not there."""
        for number in range(8):
            account_id = None if number % 2 else f"acc_9{number:03}"
            self.ticket(account_id, SUBJECTS[number % len(SUBJECTS)], "urgent", 11 + number, None)
            self.tables["revenue"].append({"account_id": f"acc_8{number:03}", "amount": 900.0, "currency": "EUR"})
        for number in range(6):
            nobody = {"account_id": None, "owner": "", "country": "US"}
            self.call(nobody, (STALLED if number < 2 else LIVELY)[number % 3], 15 + number)

    def names(self) -> Any:
        pairs = [f"{first} {second}" for first in NAMES for second in WORDS]
        self.chance.shuffle(pairs)
        return iter(pairs)

    def account(self, name: str, owner: str, country: str, stage: str) -> Row:
        number = 1001 + len(self.tables["accounts"])
        place = COUNTRIES[country]
        row = {
            "account_id": f"acc_{number}",
            "name": name,
            "domain": f"{_plain(name)[:24] or 'firm'}-{number % 97}.example",
            "country": country,
            "currency": place["currency"],
            "time_zone": place["zone"],
            "owner": owner,
            "stage": stage,
        }
        self.tables["accounts"].append(row)
        return row

    def around(self, account: Row, revenue: int, touched: int | None) -> None:
        """Contacts, deals, activities and revenue of an account."""
        chance, number = self.chance, account["account_id"]
        for _ in range(chance.randrange(1, 3)):
            first, last = chance.choice(FIRST), chance.choice(LAST)
            email = f"{_plain(first)}.{_plain(last)}@{account['domain']}"
            contact = {"contact_id": f"con_{len(self.tables['contacts']) + 1}", "account_id": number}
            self.tables["contacts"].append(contact | {"name": f"{first} {last}", "email": email})
        for _ in range(chance.choice((0, 1, 1, 2))):
            state = chance.choices(("open", "won", "lost"), (5, 3, 2))[0] if account["stage"] != "closed" else "lost"
            amount = round(chance.uniform(0.05, 0.4) * max(revenue, 8_000), -2)
            due = chance.randrange(-40, 60) if state == "open" else None
            deal = {"deal_id": f"dea_{len(self.tables['deals']) + 1}", "account_id": number, "state": state}
            deal |= {"title": f"{chance.choice(WORDS)} {2026}", "amount": amount, "currency": account["currency"]}
            self.tables["deals"].append(deal | {"next_step_on": None if due is None else self.date(-due)})
        if touched is not None:
            for ago in sorted({touched, touched + chance.randrange(5, 60)}, reverse=True):
                kind = chance.choice(("call", "mail", "visit", "voicemail"))
                activity = {"account_id": number, "kind": kind, "by": account["owner"], "on_date": self.date(ago)}
                self.tables["activities"].append(activity | {"text": f"{kind} about {chance.choice(WORDS).lower()}"})
        if revenue and account["stage"] != "prospect":
            local = round(revenue / USD[account["currency"]], 2)
            row = {"account_id": number, "amount": local, "currency": account["currency"]}
            self.tables["revenue"].append(row)

    def tickets_of(self, account: Row, revenue: float) -> None:
        """An account's tickets. Urgent, long unanswered and of a large account are only those that are set above."""
        for _ in range(self.chance.choices((0, 1, 2), (70, 22, 8))[0]):
            priority = self.chance.choices(("low", "normal", "high", "urgent"), (20, 50, 22, 8))[0]
            opened = self.chance.randrange(1, 40)
            answered = self.chance.randrange(opened) if self.chance.random() < 0.6 else None
            if priority == "urgent" and answered is None and opened > 7 and revenue >= 50_000:
                answered = 1
            self.ticket(account["account_id"], self.chance.choice(SUBJECTS), priority, opened, answered)

    def special(self, account: Row, more: Row) -> None:
        if "ticket" in more:
            priority, opened, answered = more["ticket"]
            self.ticket(account["account_id"], SUBJECTS[0], priority, opened, answered)
        if "stalled" in more:
            which, ago = more["stalled"]
            self.call(account, STALLED[which], ago)
        if "lively" in more:
            self.call(account, LIVELY[0], more["lively"])
        if "hostile" in more:
            self.call(account, HOSTILE, more["hostile"])

    def ticket(self, account_id: str | None, subject: str, priority: str, opened: int, answered: int | None) -> None:
        number = 4001 + len(self.tables["tickets"])
        row = {"ticket_id": f"SUP-{number}", "account_id": account_id, "subject": subject, "priority": priority}
        dates = {"opened_on": self.date(opened), "answered_on": None if answered is None else self.date(answered)}
        self.tables["tickets"].append(row | dates | {"status": "open"})

    def call(self, account: Row, text: str, ago: int) -> None:
        number = 7001 + len(self.tables["calls"])
        row = {"call_id": f"call_{number}", "account_id": account["account_id"], "by": account["owner"]}
        self.tables["calls"].append(row | {"on_date": self.date(ago), "text": text})

    def date(self, ago: int) -> str:
        return (self.day - timedelta(days=ago)).isoformat()


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return "".join(c for c in folded if c.isalnum())


def main() -> None:
    """Print how many rows each table has, or the rows of one."""
    made = world(today())
    shown: Any = made[sys.argv[1]] if len(sys.argv) > 1 else {name: len(rows) for name, rows in made.items()}
    print(json.dumps(shown, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
