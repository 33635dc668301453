"""What a person may see and do: roles in workspaces, and what each of them allows.

Who may approve is no role here. It follows from the RACI entry of every action type and is judged where somebody
decides; here is only what a person may look at and which verbs are open to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from remit.domain.directory import AccessRole, Directory, Person


class Permission(StrEnum):
    """What a page, an endpoint or a verb asks for."""

    SEE = "see"
    """Read what belongs to a workspace. Deciding needs no more: who is asked may answer."""
    WORK = "work"
    """Start, message, pause, resume, cancel and fork sessions; fire and pause triggers."""
    STOP = "stop"
    """Set a stop."""
    RELEASE = "release"
    """Release a stop."""
    AUDIT = "audit"
    """Read and export the record."""
    ADMIN = "admin"
    """See and end other people's logins and tokens."""


_OPENS: Mapping[AccessRole, frozenset[Permission]] = {
    AccessRole.VIEWER: frozenset({Permission.SEE}),
    AccessRole.MEMBER: frozenset({Permission.SEE, Permission.WORK, Permission.STOP}),
    AccessRole.RISK: frozenset({Permission.SEE, Permission.STOP, Permission.RELEASE, Permission.AUDIT}),
    AccessRole.ADMIN: frozenset(Permission),
}


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody who is logged in, with what is open to them."""

    person: str
    """Id in the directory."""
    name: str
    simulated: bool = False
    """True if the person was only named, as local development allows."""
    everywhere: frozenset[Permission] = frozenset()
    """What they may do in every workspace, and where something belongs to none."""
    inside: Mapping[str, frozenset[Permission]] = field(default_factory=dict)
    """What they may do beyond that, by workspace."""

    def may(self, permission: Permission, workspace: str | None = None) -> bool:
        """True if they may do this in a workspace; None: over the whole company."""
        if permission in self.everywhere:
            return True
        return workspace is not None and permission in self.inside.get(workspace, frozenset())

    def may_somewhere(self, permission: Permission) -> bool:
        """True if there is a place where they may do this."""
        return permission in self.everywhere or any(permission in open_ for open_ in self.inside.values())

    def workspaces(self, permission: Permission = Permission.SEE) -> list[str] | None:
        """The workspaces where they may do this, in order; None: all that there are and ever were."""
        if permission in self.everywhere:
            return None
        return sorted(w for w, open_ in self.inside.items() if permission in open_)


def viewer_of(directory: Directory, person: Person, *, simulated: bool = False) -> Viewer:
    """What is open to a person of this directory.

    Whoever belongs to a workspace is a member of it, unless `access` says what else they are there. Who manages a
    workspace also has the risk role in it.
    """
    inside: dict[str, set[Permission]] = {}
    everywhere: set[Permission] = set()
    said = {grant.workspace for grant in person.access}
    for workspace in person.workspaces:
        if workspace not in said:
            inside.setdefault(workspace, set()).update(_OPENS[AccessRole.MEMBER])
    for grant in person.access:
        (everywhere if grant.workspace is None else inside.setdefault(grant.workspace, set())).update(
            _OPENS[grant.role]
        )
    for managed in directory.workspaces:
        if person in directory.resolve(managed.manager):
            inside.setdefault(managed.id, set()).update(_OPENS[AccessRole.MEMBER] | _OPENS[AccessRole.RISK])
    return Viewer(
        person.id,
        person.name,
        simulated=simulated,
        everywhere=frozenset(everywhere),
        inside={workspace: frozenset(open_) for workspace, open_ in inside.items()},
    )
