# ruff: noqa: ANN001, ANN201
"""How the call log reads a sentence, as plain functions."""

import re

_MET = r"called|rang|phoned|visited|met(?: with)?|mailed|wrote to|spoke (?:to|with)|talked (?:to|with)|tried|reached"
_WHOM = re.compile(
    rf"\b(?:{_MET})\s+(?P<whom>.+?)(?=\s+(?:and|but|about|today|yesterday|again|this)\b|[,;!?]|\.\s|\.?$)",
    re.IGNORECASE,
)
_KINDS = (
    ("voicemail", r"left (?:a |them a |him a |her a )?(?:message|voicemail)|answering machine|voicemail"),
    ("visit", r"\bvisited\b|\bmet\b"),
    ("mail", r"\bmailed\b|\bwrote to\b"),
    ("call", r"\bcalled\b|\brang\b|\bphoned\b|\bspoke\b|\btalked\b|\btried\b|\breached\b"),
)


def phrase_of(text):
    """The words that name the account; the whole sentence where none stand out."""
    found = _WHOM.search(" ".join(text.split()))
    return (found["whom"] if found else " ".join(text.split())).strip()[:200]


def kind_of(text):
    """What was done: the first kind whose words are there, a note where none are."""
    return next((kind for kind, words in _KINDS if re.search(words, text, re.IGNORECASE)), "note")


def names_of(account):
    """What people call an account: its name, the first words of it, and its domain."""
    words = account["name"].split()
    short = [" ".join(words[:count]) for count in (1, 2) if count < len(words) and len(words[0]) > 2]
    return [account["name"], *short, account["domain"]]
