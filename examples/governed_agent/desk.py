"""The shop's agent under Remit: ask for a refund, or go on with one that had to wait.

python desk.py ada                 # 40 USD: paid at once
python desk.py bert                # 240 USD: waits for a person
python desk.py --session ses_...   # go on when somebody has decided
python desk.py --pin               # write the tools' definitions to company/tools.lock.json
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

from offline import model
from shop import agent

import remit
from remit.errors import RemitError

COMPANY = Path(os.environ.get("SHOP_COMPANY", Path(__file__).with_name("company")))
ACTIONS = {"find_charge": "shop.charge", "refund": "shop.refund"}


async def work(customer: str | None, session: str | None) -> int:
    """Run a turn to its end, or to where it has to wait."""
    given = {"customer": customer} if session is None else None
    principal = "person:dov" if session is None else None
    async with remit.governed(COMPANY, agent="refund-desk", input=given, principal=principal, session=session) as road:
        # The prompt comes from what is on record, so that a later run says the same.
        prompt = f"{road.input['customer'].title()} wants the money back."
        result = await agent.run(prompt, model=model, capabilities=[road.governance(ACTIONS)])
        road.finish(result.output)
        print(result.output)
    if road.waiting_for:
        print(f"{road.session_id} waits for {road.waiting_for}")
    return 0


def main() -> int:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("customer", nargs="?")
    parser.add_argument("--session")
    parser.add_argument("--pin", action="store_true")
    given = parser.parse_args()
    if given.pin:
        print("\n".join(remit.pin_tools(COMPANY, agent, ACTIONS)) or "Every tool is as it was pinned.")
        return 0
    if not given.customer and not given.session:
        parser.error("name a customer (ada or bert), or a session to go on with")
    try:
        return asyncio.run(work(given.customer, given.session))
    except RemitError as error:
        print(f"{error.message}\n  {error.advice}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
