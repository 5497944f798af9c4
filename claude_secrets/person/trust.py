"""Grants: the secrets of others that a project may use, and those that its allowlist asks for without a grant.

Always: only a grant makes a linked work tree count as its main one. The files on disk cannot.
"""

from typing import NamedTuple

from claude_secrets.model import SHARED, check_name
from claude_secrets.person.person import Person
from claude_secrets.policy.allowlist import Allowlist
from claude_secrets.policy.globs import glob_match
from claude_secrets.policy.project import Project
from claude_secrets.store import grants, records
from claude_secrets.store.grants import Grant
from claude_secrets.store.records import Record
from claude_secrets.store.transaction import Transaction


class Wanted(NamedTuple):
    """The grants that a project's allowlist needs and does not have.

    `main`: the project that this one, a linked work tree by its files, asks to count as. `scope`: the scope that it
    asks to use. `secrets`: the secrets from elsewhere that it asks for. Neither lists what `main` already has.
    """

    scope: str | None
    secrets: tuple[Record, ...]
    main: str | None = None

    def __bool__(self) -> bool:
        return self.main is not None or self.scope is not None or bool(self.secrets)


def wanted(person: Person, allowlist: Allowlist, *, required: bool = False) -> Wanted:
    """Return the grants that the project's allowlist needs and does not have.

    `required`: its own secrets need a grant, too.
    """
    if not person.store.exists():
        return _wanted(None, person, allowlist, required=required)
    with person.store.read() as tx:
        return _wanted(tx, person, allowlist, required=required)


def _wanted(tx: Transaction | None, person: Person, allowlist: Allowlist, *, required: bool) -> Wanted:
    project = _standing(tx, person)
    main, scope = project.unjoined, allowlist.scope
    identities = (project if main is None else project._replace(identity=main)).identities
    secrets = [
        record
        for record in (records.iterate_all(tx) if tx is not None else ())
        if record.scope == scope
        and (required or record.origin not in identities)
        and allowlist.entry_for(record.name) is not None
        and not grants.holds_any(tx, identities, scope, record.name)
    ]
    return Wanted(
        scope=None if scope == SHARED or grants.holds_any(tx, identities, scope) else scope,
        secrets=tuple(sorted(secrets, key=lambda record: record.name)),
        main=main,
    )


def grant(person: Person, wanted: Wanted) -> None:
    """Grant exactly what was shown."""
    project = person.require_project()
    with person.store.write() as tx:
        if wanted.main is not None:
            grants.add(tx, grants.as_work_tree(project.own_identity, wanted.main))
        identity = _standing(tx, person).identity
        if wanted.scope is not None:
            grants.add(tx, Grant(project=identity, scope=wanted.scope))
        for record in wanted.secrets:
            grants.add(tx, Grant(project=identity, scope=record.scope, name=record.name))
        if wanted.main is not None or wanted.scope is not None:
            person.log(tx, "trust")
        for record in wanted.secrets:
            person.log(tx, "trust", record.name)


def project_with_identity(person: Person) -> Project | None:
    """Return the project with the identity that its grants give it."""
    if not person.store.exists():
        return person.project
    with person.store.read() as tx:
        return person.project_with_identity(tx)


def allow(person: Person, *names: str) -> None:
    """Grant this project the secrets of these names, stored already or later."""
    person.require_project()
    with person.store.write() as tx:
        identity = _standing(tx, person).identity
        for name in names:
            grants.add(tx, Grant(project=identity, scope=person.scope, name=check_name(name)))
            person.log(tx, "allow", name)
        person.grant_scope(tx)


def revoke(person: Person, name: str | None = None) -> list[Grant]:
    """Revoke the grants on a name or pattern, or (None) all grants of this project. Return the revoked grants.

    With None, a work tree no longer counts as its main project. The main project's own grants stay.
    """
    project = person.require_project()
    if not person.store.exists():
        return []
    with person.store.write() as tx:
        identities = (project.own_identity,) if name is None else _standing(tx, person).identities
        own = [one for one in grants.list_all(tx) if one.project in identities]
        taken = [one for one in own if name is None or (one.name and glob_match(name, one.name))]
        for one in taken:
            grants.remove(tx, one)
            person.log(tx, "revoke", one.name)
    return taken


def _standing(tx: Transaction | None, person: Person) -> Project:
    """Return the project with the identity that its grants give it. Raises `DeniedError` NO_PROJECT if none."""
    project = person.require_project()
    return project if tx is None else person.project_with_identity(tx) or project


def list_grants(person: Person) -> list[Grant]:
    """Return all grants of all projects, sorted."""
    if not person.store.exists():
        return []
    with person.store.read() as tx:
        return grants.list_all(tx)


def grant_scope(person: Person) -> None:
    """Grant this project the scope that its file names."""
    with person.store.write() as tx:
        person.grant_scope(tx)
        person.log(tx, "trust", "")
