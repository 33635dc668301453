"""The CRM's tools for sales: accounts, contacts, deals, what was done, what is stalled, what was handed up.

Every tool that takes `as_user` shows and changes only what that person may see: their own accounts; for whoever leads
others, theirs too; and for who leads everybody, accounts without an owner who is still there. Whether an agent may
name that person at all is not decided here but by Remit's policies.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import crm_records as records
from common import Store
from crm_records import (
    Account,
    AccountDetails,
    AccountList,
    Activity,
    Contact,
    Escalation,
    Flag,
    FoundAccounts,
    FoundActivity,
    FoundContact,
    NextStep,
    Removed,
)
from fastmcp import FastMCP
from fastmcp.exceptions import ToolError
from pydantic import Field

AsUser = Annotated[str, Field(description="Whose view of the CRM: a user's id, such as nora.quist", min_length=1)]
AccountId = Annotated[str, Field(description="Such as acc_1001")]
Key = Annotated[str, Field(description="The same key again gives the first answer again", max_length=200)]
Day = Annotated[str, Field(description="YYYY-MM-DD", pattern=r"^\d{4}-\d{2}-\d{2}$")]


Kind = Literal["call", "voicemail", "mail", "visit", "note"]


def register(server: FastMCP, store: Store) -> None:
    """Offer the tools."""
    _register_reads(server, store)
    _register_activities(server, store)
    _register_marks(server, store)


def _register_reads(server: FastMCP, store: Store) -> None:
    @server.tool(annotations={"readOnlyHint": True})
    def list_accounts(as_user: AsUser) -> AccountList:
        """List every account that a person may see, with what a day's list needs. One call for all of them."""
        with store.work() as db:
            user = records.user(db, as_user)
            owners = json.dumps(sorted(records.seen(db, as_user)))
            listed = records.account_rows(db, "owner IN (SELECT value FROM json_each(?))", owners)
            return AccountList(user=user, accounts=listed)

    @server.tool(annotations={"readOnlyHint": True})
    def search_accounts(text: Annotated[str, Field(min_length=2)]) -> FoundAccounts:
        """Find accounts by words of their name or by their domain."""
        words = set(records.plain(text).split())
        with store.work() as db:
            found = [dict(row) for row in db.execute("SELECT * FROM accounts ORDER BY account_id").fetchall()]
        hits = [
            (len(words & set(records.plain(a["name"]).split())) + (text.strip().lower() == a["domain"]), a)
            for a in found
        ]
        best = sorted((h for h in hits if h[0]), key=lambda h: -h[0])[:20]
        return FoundAccounts(accounts=[Account(**a) for _, a in best])

    @server.tool(annotations={"readOnlyHint": True})
    def get_account(account_id: AccountId) -> AccountDetails:
        """Read one account with its contacts, deals and what was done last."""
        with store.work() as db:
            return records.account_details(db, account_id)

    @server.tool(annotations={"readOnlyHint": True})
    def find_contact(
        email: Annotated[str, Field(description="The whole address; case does not matter")],
    ) -> FoundContact:
        """Find who has an address, and with it the account."""
        with store.work() as db:
            row = db.execute("SELECT * FROM contacts WHERE lower(email) = lower(?)", (email.strip(),)).fetchone()
            return FoundContact(contact=None if row is None else Contact(**dict(row)))

    @server.tool(annotations={"readOnlyHint": True})
    def find_activity(idempotency_key: Key) -> FoundActivity:
        """Look up the activity that was logged under a key."""
        with store.work() as db:
            known = store.known(db, f"activity:{idempotency_key}")
            return FoundActivity(activity=None if known is None else Activity(**known))


def _register_activities(server: FastMCP, store: Store) -> None:
    @server.tool(annotations={"idempotentHint": True})
    def log_activity(
        as_user: AsUser, account_id: AccountId, kind: Kind, text: str, on_date: Day, idempotency_key: Key = ""
    ) -> Activity:
        """Enter what a person did with one of the accounts that they may see."""
        given = {"as_user": as_user, "account_id": account_id, "kind": kind, "text": text, "on_date": on_date}

        def work() -> dict[str, Any]:
            owner = records.account(db, account_id)["owner"]
            if owner not in records.seen(db, records.user(db, as_user).user_id):
                raise ToolError(f"{as_user} has no account {account_id}")
            insert = (
                "INSERT INTO activities(account_id, kind, by, on_date, text, seeded, removed)"
                " VALUES (:account_id, :kind, :as_user, :on_date, :text, 0, 0)"
            )
            number = db.execute(insert, given).lastrowid or 0
            made = db.execute("SELECT * FROM activities WHERE number = ?", (number,)).fetchone()
            return records.activity(made).model_dump()

        with store.work() as db:
            key = idempotency_key and f"activity:{idempotency_key}"
            return Activity(**store.once(db, key, given, work)[0])

    @server.tool(annotations={"destructiveHint": True, "idempotentHint": True})
    def remove_activity(activity_id: int) -> Removed:
        """Take an activity back that was entered by mistake."""
        with store.work() as db:
            if not db.execute("UPDATE activities SET removed = 1 WHERE number = ?", (activity_id,)).rowcount:
                raise ToolError(f"there is no activity {activity_id}")
            return Removed(activity_id=activity_id)

    @server.tool(annotations={"idempotentHint": True})
    def set_next_step(deal_id: str, next_step_on: Day | None) -> NextStep:
        """Say when an open deal is taken up again; null: nothing is planned."""
        with store.work() as db:
            row = db.execute("SELECT * FROM deals WHERE deal_id = ?", (deal_id,)).fetchone()
            if row is None or row["state"] != "open":
                raise ToolError(f"there is no open deal {deal_id}")
            db.execute("UPDATE deals SET next_step_on = ? WHERE deal_id = ?", (next_step_on, deal_id))
            return NextStep(deal_id=deal_id, previous=row["next_step_on"], next_step_on=next_step_on)


def _register_marks(server: FastMCP, store: Store) -> None:
    @server.tool(annotations={"idempotentHint": True})
    def flag_agreement(account_id: AccountId, call_id: str, since: Day, quote: str) -> Flag:
        """Mark an account's agreement as stalled because of a call. Once for a call, however often it is said."""
        with store.work() as db:
            records.account(db, account_id)
            db.execute(
                "INSERT INTO flags(account_id, call_id, since, quote, cleared) VALUES (?, ?, ?, ?, 0)"
                " ON CONFLICT (call_id) DO UPDATE SET cleared = 0",
                (account_id, call_id, since, quote),
            )
            return records.flag(db.execute("SELECT * FROM flags WHERE call_id = ?", (call_id,)).fetchone())

    @server.tool(annotations={"idempotentHint": True})
    def clear_flag(flag_id: int) -> Flag:
        """The agreement moves again, or never stood still."""
        with store.work() as db:
            if not db.execute("UPDATE flags SET cleared = 1 WHERE number = ?", (flag_id,)).rowcount:
                raise ToolError(f"there is no flag {flag_id}")
            return records.flag(db.execute("SELECT * FROM flags WHERE number = ?", (flag_id,)).fetchone())

    @server.tool(annotations={"idempotentHint": True})
    def open_escalation(account_id: AccountId, ticket_id: str) -> Escalation:
        """Hand a ticket to the manager of the account's owner. A ticket is handed up once."""
        with store.work() as db:
            known = db.execute("SELECT * FROM escalations WHERE ticket_id = ?", (ticket_id,)).fetchone()
            if known is None:
                manager = records.account_details(db, account_id).manager
                db.execute("INSERT INTO escalations VALUES (?, ?, ?, '', 0)", (ticket_id, account_id, manager))
            elif known["withdrawn"]:
                db.execute("UPDATE escalations SET withdrawn = 0 WHERE ticket_id = ?", (ticket_id,))
            first = known is None or bool(known["withdrawn"])
            return records.escalation(db, ticket_id, first=first)

    @server.tool(annotations={"idempotentHint": True})
    def withdraw_escalation(ticket_id: str) -> Escalation:
        """Take back that a ticket was handed up."""
        with store.work() as db:
            db.execute("UPDATE escalations SET withdrawn = 1 WHERE ticket_id = ?", (ticket_id,))
            return records.escalation(db, ticket_id, first=False)

    @server.tool(annotations={"idempotentHint": True})
    def decide_escalation(ticket_id: str, decision: str) -> Escalation:
        """Enter what the manager said."""
        with store.work() as db:
            db.execute("UPDATE escalations SET decision = ? WHERE ticket_id = ?", (decision, ticket_id))
            return records.escalation(db, ticket_id, first=False)
