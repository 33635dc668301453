"""People, roles, workspaces and reporting lines: who can be accountable, and who is asked next."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from functools import cached_property

from pydantic import Field

from remit.domain.declared import Declared, Name, PersonOrRole, TimeZone


class PersonStatus(StrEnum):
    """Whether somebody can still answer for anything."""

    ACTIVE = "active"
    LEFT = "left"


class AccessRole(StrEnum):
    """How much somebody may do in a workspace."""

    VIEWER = "viewer"
    """Sees."""
    MEMBER = "member"
    """Sees, and works: starts sessions and moves them, answers, stops."""
    RISK = "risk"
    """Sees, reads the record, tries policies, stops and releases."""
    ADMIN = "admin"
    """All of it, and ends other people's logins and tokens."""


class Grant(Declared):
    """One line of `access:` in the directory."""

    role: AccessRole
    """What the person is there."""
    workspace: Name | None = Field(default=None)
    """Where; None: in every workspace, and in what belongs to none."""


class Person(Declared):
    """A human in the company."""

    id: Name
    """What files and records call the person."""
    name: str
    """What people call the person."""
    email: str | None = None
    """Address for messages."""
    slack: str | None = Field(default=None, pattern=r"^T[A-Z0-9]+/U[A-Z0-9]+$")
    """Slack team and user id, `TEAM/USER`; never an address that the user can set."""
    subject: str | None = Field(default=None, min_length=1)
    """The `sub` by which the identity provider knows the person, where `[login.oidc]` has `claim = "sub"`."""
    time_zone: TimeZone = "UTC"
    """IANA time zone in which the person works."""
    status: PersonStatus = PersonStatus.ACTIVE
    """`left`: stays so that old records have a name, and can answer for nothing any more."""
    manager: Name | None = None
    """Next in the reporting line: who is asked when this person cannot."""
    roles: tuple[Name, ...] = ()
    """Functions that the person holds."""
    workspaces: tuple[Name, ...] = ()
    """Workspaces that the person belongs to: a member of each, unless `access` says otherwise."""
    access: tuple[Grant, ...] = ()
    """What else the person may see and do in the cockpit and over the API."""


class RoleSpec(Declared):
    """A function that people hold, such as `finance` or `risk`."""

    id: Name
    """What files call the role, as `role:ID`."""
    title: str
    """What people call the role."""


class Workspace(Declared):
    """A boundary of visibility."""

    id: Name
    """What files call the workspace."""
    title: str
    """What people call the workspace."""
    manager: PersonOrRole | None = None
    """Who answers for the workspace."""


class Directory(Declared):
    """Everyone, as of one version of the project."""

    people: tuple[Person, ...] = ()
    """Everyone, including those who have left."""
    roles: tuple[RoleSpec, ...] = ()
    """Functions that people hold."""
    workspaces: tuple[Workspace, ...] = ()
    """The company's parts that work apart from each other."""

    @cached_property
    def by_id(self) -> dict[str, Person]:
        """People by id."""
        return {p.id: p for p in self.people}

    def person(self, person_id: str) -> Person | None:
        """The person, or None where nobody has this id."""
        return self.by_id.get(person_id)

    def is_active(self, person_id: str) -> bool:
        """True if this person exists and has not left."""
        person = self.person(person_id)
        return person is not None and person.status is PersonStatus.ACTIVE

    def resolve(self, reference: str | None) -> tuple[Person, ...]:
        """The active people behind `person-id` or `role:ID`; empty where nobody is left."""
        if reference is None:
            return ()
        if reference.startswith("role:"):
            role = reference.removeprefix("role:")
            return tuple(p for p in self.people if role in p.roles and p.status is PersonStatus.ACTIVE)
        person = self.person(reference)
        return (person,) if person is not None and person.status is PersonStatus.ACTIVE else ()

    def chain(self, person_id: str) -> Iterator[Person]:
        """The active managers above somebody, nearest first. A loop in the reporting line ends the walk."""
        seen = {person_id}
        person = self.person(person_id)
        while person is not None and person.manager is not None and person.manager not in seen:
            seen.add(person.manager)
            person = self.person(person.manager)
            if person is not None and person.status is PersonStatus.ACTIVE:
                yield person
