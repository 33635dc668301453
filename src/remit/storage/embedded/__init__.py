"""The embedded PostgreSQL: one server a project folder, from the programs of a wheel, with no set-up by the user."""

from remit.storage.embedded.cluster import DATABASE, ROLES, Role, role_name
from remit.storage.embedded.server import EmbeddedServer, start

__all__ = ["DATABASE", "ROLES", "EmbeddedServer", "Role", "role_name", "start"]
