"""Find secrets that a person's command would use, overwrite or grant but that do not belong to the current project.

Always: a secret's origin and the grants decide whether the secret belongs to a project, as they do for agents. These
functions change nothing. Callers pass the `Person` who runs the command.
"""

from collections.abc import Iterable
from typing import NamedTuple

from claude_secrets.model import PERSON, SHARED, EnteredBy
from claude_secrets.person.person import Person
from claude_secrets.store import grants, records
from claude_secrets.store.records import Record
from claude_secrets.store.transaction import Transaction


class SecretFromElsewhere(NamedTuple):
    """A secret that does not belong to the current project.

    `users` are the other projects that have a grant on the secret. `by_agent` says whether an agent stored the current
    version.
    """

    name: str
    origin: str
    users: tuple[str, ...] = ()
    by_agent: bool = False


def of_others(person: Person, names: Iterable[str], *, also_the_persons: bool = False) -> list[SecretFromElsewhere]:
    """Return the secrets with these names, in the person's scope, that are neither the project's own nor granted to it.

    Outside a project, the secrets that the person stored outside a project count as own. If `also_the_persons` is true,
    own and granted secrets are also returned.
    """
    if not person.store.exists():
        return []
    with person.store.read() as tx:
        stored = (records.find(tx, person.scope, name) for name in names)
        live = [record for record in stored if record is not None and not record.deleted]
        return [_theirs(tx, person, record) for record in live if also_the_persons or not is_own(tx, person, record)]


def in_claimed_scope(person: Person) -> list[SecretFromElsewhere]:
    """Return the secrets in the scope of the project's file that do not belong to the project.

    If the project has a grant for the scope, the list is empty.
    """
    if person.project is None or person.scope == SHARED or not person.store.exists():
        return []
    with person.store.read() as tx:
        if grants.holds_any(tx, _identities(tx, person), person.scope):
            return []
        there = [record for record in records.iterate_all(tx) if record.scope == person.scope]
        return [_theirs(tx, person, record) for record in there if not is_own(tx, person, record)]


def is_own(tx: Transaction, person: Person, record: Record) -> bool:
    """Return whether a secret is the project's own or granted to the project.

    Outside a project, return whether the person stored the secret outside a project.
    """
    if person.project is None:
        return record.origin == PERSON
    identities = _identities(tx, person)
    return record.origin in identities or grants.holds_any(tx, identities, record.scope, record.name)


def _identities(tx: Transaction, person: Person) -> tuple[str, ...]:
    """Return the project's identities or, outside a project, the person's identity."""
    project = person.project_with_identity(tx)
    return (PERSON,) if project is None else project.identities


def _theirs(tx: Transaction, person: Person, record: Record) -> SecretFromElsewhere:
    own = _identities(tx, person)
    granted = (
        grant.project for grant in grants.list_all(tx) if (grant.scope, grant.name) == (record.scope, record.name)
    )
    users = tuple(user for user in granted if user not in (*own, record.origin))
    return SecretFromElsewhere(record.name, record.origin, users, by_agent=record.entered_by is EnteredBy.AGENT)
