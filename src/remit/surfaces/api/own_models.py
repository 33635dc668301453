"""What only the API answers: who asks, problems, comments, logins, and what has no fields of its own."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field


class Problem(BaseModel):
    """What went wrong, as RFC 9457 has it."""

    type: str = Field(description="`urn:remit:problem:CODE`.")
    title: str = Field(description="The kind of problem, in words that never change.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What happened.")
    advice: str = Field(description="What to do next.")
    code: str = Field(description="Stable, for programs; docs/reference/errors.md lists them.")


class Me(BaseModel):
    """Who asks, and what is open to them."""

    person: str = Field(description="Id in the directory.")
    name: str = Field(description="Name.")
    simulated: bool = Field(description="true if the person was only named, as local development allows.")
    everywhere: list[str] = Field(description="Permissions in every workspace.")
    workspaces: dict[str, list[str]] = Field(description="Workspace to the permissions in it beyond those.")


class Made(BaseModel):
    """Something that was begun."""

    id: str = Field(description="Its id.")


class Released(BaseModel):
    """What releasing a stop came to."""

    released: list[dict[str, Any]] = Field(description="The stops that were released.")
    turns: int = Field(description="How many turns go on.")


class Comment(BaseModel):
    """What a person said about a session or one of its items."""

    id: str = Field(description="Id of the comment: `cmt_…`.")
    item_id: str | None = Field(description="The inbox item that it is about, or null.")
    author: str = Field(description="The person.")
    text: str | None = Field(description="What was said; null if it was erased.")
    created_at: datetime = Field(description="When.")


class Login(BaseModel):
    """A login that has not ended."""

    id: str = Field(description="Id of the login: `log_…`.")
    person: str = Field(description="Whose it is.")
    via: str = Field(description="`link` or `oidc`.")
    simulated: bool = Field(description="true if the person was only named, as local development allows.")
    browser: str = Field(description="What the browser said of itself.")
    created_at: datetime = Field(description="When it began.")
    seen_at: datetime = Field(description="When it was last used, to the minute.")
    expires_at: datetime = Field(description="Until when it is valid at the latest.")
