"""What a project may use beyond its own secrets: its grants, and what its allowlist still needs granted.

Always: only a grant lets a linked work tree count as its main one, whatever the files on disk say.
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
    """What a project wants that it is not trusted with yet.

    `main`: to count as that project, a work tree of which it says it is; `scope`: to claim it; `secrets` from
    elsewhere. The last two are what is left to want once it counts as `main`.
    """

    scope: str | None
    secrets: tuple[Record, ...]
    main: str | None = None

    def __bool__(self) -> bool:
        return self.main is not None or self.scope is not None or bool(self.secrets)


def wanted(person: Person, allowlist: Allowlist, *, required: bool = False) -> Wanted:
    """What the project's allowlist covers that it is not trusted with.

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
    """The project with the identity by which it counts."""
    if not person.store.exists():
        return person.project
    with person.store.read() as tx:
        return person.project_with_identity(tx)


def allow(person: Person, *names: str) -> None:
    """Let this project use the secrets of these names, stored or still to come."""
    person.require_project()
    with person.store.write() as tx:
        identity = _standing(tx, person).identity
        for name in names:
            grants.add(tx, Grant(project=identity, scope=person.scope, name=check_name(name)))
            person.log(tx, "allow", name)
        person.grant_scope(tx)


def revoke(person: Person, name: str | None = None) -> list[Grant]:
    """Take back grants on a name or pattern, or (None) all of this project's own; returns what was taken back.

    A work tree that counts as another project no longer does then; what that one was granted stays.
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
    """The project with the identity by which it counts. Raises `DeniedError` NO_PROJECT where there is none."""
    project = person.require_project()
    return project if tx is None else person.project_with_identity(tx) or project


def list_grants(person: Person) -> list[Grant]:
    """All grants of all projects, sorted."""
    if not person.store.exists():
        return []
    with person.store.read() as tx:
        return grants.list_all(tx)


def grant_scope(person: Person) -> None:
    """Let this project use the scope that its file names."""
    with person.store.write() as tx:
        person.grant_scope(tx)
        person.log(tx, "trust", "")
