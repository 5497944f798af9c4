"""Whose secrets are: what a person's command would use, overwrite or grant that belongs to someone else.

Always: decided by where a secret was stored and by grants, as for agents; nothing is changed. Faces call it with the
`Person` who asks.
"""

from collections.abc import Iterable
from typing import NamedTuple

from claude_secrets.model import PERSON, SHARED, EnteredBy
from claude_secrets.person.person import Person
from claude_secrets.store import grants, records
from claude_secrets.store.records import Record
from claude_secrets.store.transaction import Transaction


class SecretFromElsewhere(NamedTuple):
    """A secret that belongs to someone else: its origin, and the other projects that were let use it.

    `by_agent`: an agent stored what is there now.
    """

    name: str
    origin: str
    users: tuple[str, ...] = ()
    by_agent: bool = False


def of_others(person: Person, names: Iterable[str], *, also_the_persons: bool = False) -> list[SecretFromElsewhere]:
    """Those of the names in the person's scope whose secrets are not the project's own, and not granted to it.

    Outside a project what the person stored there is their own, unless it is asked for, too.
    """
    if not person.store.exists():
        return []
    with person.store.read() as tx:
        stored = (records.find(tx, person.scope, name) for name in names)
        live = [record for record in stored if record is not None and not record.deleted]
        return [_theirs(tx, person, record) for record in live if also_the_persons or not is_own(tx, person, record)]


def in_claimed_scope(person: Person) -> list[SecretFromElsewhere]:
    """What the scope holds that the project's file claims without a grant; empty where nobody else has stored there."""
    if person.project is None or person.scope == SHARED or not person.store.exists():
        return []
    with person.store.read() as tx:
        if grants.holds_any(tx, _identities(tx, person), person.scope):
            return []
        there = [record for record in records.iterate_all(tx) if record.scope == person.scope]
        return [_theirs(tx, person, record) for record in there if not is_own(tx, person, record)]


def is_own(tx: Transaction, person: Person, record: Record) -> bool:
    """Whether a secret is the project's own or granted to it; outside a project, the person's own."""
    if person.project is None:
        return record.origin == PERSON
    identities = _identities(tx, person)
    return record.origin in identities or grants.holds_any(tx, identities, record.scope, record.name)


def _identities(tx: Transaction, person: Person) -> tuple[str, ...]:
    """What the project is known by; outside a project, what the person is."""
    project = person.project_with_identity(tx)
    return (PERSON,) if project is None else project.identities


def _theirs(tx: Transaction, person: Person, record: Record) -> SecretFromElsewhere:
    own = _identities(tx, person)
    granted = (
        grant.project for grant in grants.list_all(tx) if (grant.scope, grant.name) == (record.scope, record.name)
    )
    users = tuple(user for user in granted if user not in (*own, record.origin))
    return SecretFromElsewhere(record.name, record.origin, users, by_agent=record.entered_by is EnteredBy.AGENT)
