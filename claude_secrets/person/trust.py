"""List, add and revoke a project's grants, and find the grants that the project's allowlist still needs.

Always: a linked work tree counts as its main work tree only if there is a grant for this. Files on disk are not enough.
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
    """The grants that a project's allowlist needs but the project does not have.

    `main` is the identity of the project in the main work tree, if Git's files say that this project is in a linked
    work tree, but no grant lets it count as the main one. `scope` is the scope that the project asks to use. `secrets`
    are the secrets for which the project needs grants. `scope` and `secrets` leave out grants that `main` already has.
    """

    scope: str | None
    secrets: tuple[Record, ...]
    main: str | None = None

    def __bool__(self) -> bool:
        return self.main is not None or self.scope is not None or bool(self.secrets)


def wanted(person: Person, allowlist: Allowlist, *, required: bool = False) -> Wanted:
    """Return the grants that the project's allowlist needs but the project does not have.

    If `required` is true, the project's own secrets also need grants.
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
    """Add exactly the grants in `wanted`, which the person was shown."""
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
    """Return the project with its identity according to its grants, or None outside a project."""
    if not person.store.exists():
        return person.project
    with person.store.read() as tx:
        return person.project_with_identity(tx)


def allow(person: Person, *names: str) -> None:
    """Grant this project the secrets with these names. A secret need not be stored yet."""
    person.require_project()
    with person.store.write() as tx:
        identity = _standing(tx, person).identity
        for name in names:
            grants.add(tx, Grant(project=identity, scope=person.scope, name=check_name(name)))
            person.log(tx, "allow", name)
        person.grant_scope(tx)


def revoke(person: Person, name: str | None = None) -> list[Grant]:
    """Revoke this project's grants on a name or pattern, and return them. If `name` is None, revoke all its grants.

    After all grants are revoked, a linked work tree no longer counts as its main work tree. The grants of the main work
    tree's project are not revoked.
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
    """Return the project with its identity according to its grants.

    Raises `DeniedError` NO_PROJECT outside a project.
    """
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
