# ruff: noqa: ANN001, ANN201
"""What counts as a client meeting, and what goes into its notes. Plain rules on what calendar and mail say."""

import re
from datetime import datetime, timedelta

OWN_DOMAIN = "acme.example"
SHARED_DOMAINS = ("mailbox.example", "post.example")
"""Domains where anybody has an address: they say nothing about whom somebody works for."""
POINT = re.compile(r"^\s*[-*•]\s+(.+?)\s*$", re.MULTILINE)
ANSWER = re.compile(r"^\s*(?:re|aw|fwd?|wg)\s*:\s*", re.IGNORECASE)
LONGEST_POINT = 200
MOST_POINTS = 12
BEFORE, AFTER = timedelta(days=1), timedelta(hours=16)
"""How long before and after a meeting a mail counts as one about it."""


def domain(address):
    """The part after the @, in lower case."""
    return address.rpartition("@")[2].strip().lower()


def guests(event):
    """Who came from outside: invited, and not declined."""
    came = [a for a in event["attendees"] if a["response"] != "declined"]
    return [a for a in came if domain(a["email"]) != OWN_DOMAIN]


def not_a_client_meeting(event, mailbox):
    """Why an entry is no client meeting; empty if it is one."""
    own = [a["response"] for a in event["attendees"] if a["email"].lower() == mailbox.lower()]
    reasons = {
        "it was cancelled": event["status"] == "cancelled",
        "it is private": event["visibility"] == "private",
        "its owner declined": own == ["declined"],
        "nobody from outside came": not guests(event),
        "it is a broadcast that one can unsubscribe from": "unsubscribe" in event["description"].lower(),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def related(event, messages):
    """The mails that belong to a meeting: with somebody who came, not long before it or after it."""
    addresses = {a["email"].lower() for a in guests(event)}
    return [
        m for m in messages if near(m["sent_at"], event) and addresses & set(lower([m["sender"], *m["recipients"]]))
    ]


def lower(texts):
    """All of them in lower case."""
    return [text.lower() for text in texts]


def near(moment, event):
    """From a day before a meeting begins until the night after it."""
    sent = datetime.fromisoformat(moment)
    return datetime.fromisoformat(event["start"]) - BEFORE <= sent <= datetime.fromisoformat(event["end"]) + AFTER


def draft(event, mails):
    """The notes: who met, about what, and what the mails around it say in their points."""
    who = ", ".join(f"{a['name']} <{a['email']}>" for a in guests(event))
    lines = [f"{event['title']}, {event['start'][:10]}, with {who}."]
    for mail in mails:
        points = POINT.findall(mail["text"])[:MOST_POINTS]
        if points:
            lines.append(f"{mail['sender']} wrote ({subject(mail)}):")
            lines += [f"- {point[:LONGEST_POINT]}" for point in points]
    if len(lines) == 1:
        lines.append("No mail says anything about it.")
    return "\n".join(lines)


def subject(mail):
    """The subject without `Re:` and its like."""
    text = mail["subject"]
    while ANSWER.match(text):
        text = ANSWER.sub("", text, count=1)
    return text.strip() or "no subject"
