"""What may be done by the link in a mail: everything but an approval, unless its action type says otherwise.

A mail can be read by whoever reads the mailbox, and it can be forwarded. Where money or the like hangs on it, that is
too little to know who decides, and the link only shows what is asked.
"""

from __future__ import annotations

from remit.domain.inbox import ItemKind
from remit.governance.cases import Case


def by_link(case: Case) -> bool:
    """True if the person to whom the link was sent may answer by it. Whether they are entitled is the desk's to say."""
    match case.item.kind:
        case ItemKind.APPROVAL:
            return case.action_type is not None and case.action_type.mail_approval
        case ItemKind.IDEA:
            return False
        case _:
            return True


def elsewhere(case: Case, *, slack: bool) -> str:
    """How to decide what the link does not decide; `slack`: that surface is on."""
    if case.item.kind is ItemKind.IDEA:
        return f"Ideas are taken up on the command line: remit ideas accept|ship|decline {case.item.id}"
    return (
        "A link in a mail is not enough to decide this, because whoever reads the mail could use it. "
        f"Decide {'in Slack, or ' if slack else ''}on the command line: "
        f"remit decide {case.item.id} approve|deny --reason ..."
    )
