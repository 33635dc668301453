"""Writes down what it is told.

What it may do is not decided here: every `session.call` goes to the gate, which permits it, refuses it, or first asks
a person. The program then simply waits at that line, for days if need be.
"""

from typing import Any


async def run(session: Any) -> dict[str, Any]:
    """Write a note with the text and importance that the session starts with."""
    text, importance = session.input["text"], session.input.get("importance", 1)
    known = await session.call("notes.list")
    for note in known["notes"]:
        if note["text"] == text:
            await session.emit("outcome", "kept", reasons=[f"note {note['number']} says so already"])
            return {"outcome": "kept", "number": note["number"]}
    try:
        written = await session.call("notes.write", text=text, importance=importance, reason_="I was told to")
    except session.Refused as refused:
        await session.emit("outcome", "refused", reasons=refused.reasons)
        return {"outcome": "refused", "reasons": [reason["code"] for reason in refused.reasons]}
    await session.emit("outcome", "written", reasons=["no note said so yet"])
    return {"outcome": "written", "number": written["number"]}
