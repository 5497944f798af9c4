"""What a project is trusted with beyond its own: as whom it counts, its grants, and what its allowlist wants besides.

Always: only a grant lets a project count as another one, whatever the files on the disk say. Each function takes an
open transaction, or None where there is no store.
"""

from functools import partial
from typing import NamedTuple

from claude_secrets.model import SHARED
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


def standing(tx: Transaction | None, project: Project) -> Project:
    """The project with the identity by which it counts: that of its main work tree where the person has granted it."""
    return project.standing(partial(grants.joins, tx))


def wanted(tx: Transaction | None, project: Project, allowlist: Allowlist, *, required: bool = False) -> Wanted:
    """What the project's allowlist covers that it is not trusted with.

    `required`: its own secrets need a grant, too.
    """
    project = standing(tx, project)
    main = project.unjoined
    if main is not None:
        project = project._replace(identity=main)
    scope = allowlist.scope
    secrets = [
        record
        for record in (records.every(tx) if tx is not None else ())
        if record.scope == scope
        and (required or record.origin not in project.identities)
        and allowlist.entry_for(record.name) is not None
        and not grants.holds_any(tx, project.identities, scope, record.name)
    ]
    return Wanted(
        scope=None if scope == SHARED or grants.holds_any(tx, project.identities, scope) else scope,
        secrets=tuple(sorted(secrets, key=lambda record: record.name)),
        main=main,
    )


def grant(tx: Transaction, project: Project, wanted: Wanted) -> None:
    """Grant exactly what was shown."""
    if wanted.main is not None:
        grants.add(tx, grants.as_work_tree(project.own_identity, wanted.main))
    identity = standing(tx, project).identity
    if wanted.scope is not None:
        grants.add(tx, Grant(project=identity, scope=wanted.scope))
    for record in wanted.secrets:
        grants.add(tx, Grant(project=identity, scope=record.scope, name=record.name))


def revoke(tx: Transaction, project: Project, name: str | None) -> list[Grant]:
    """Take back the project's grants on a name or pattern, or (None) all of its own, and return them.

    A work tree that counts as another project no longer does then; what that one was granted stays.
    """
    identities = (project.own_identity,) if name is None else standing(tx, project).identities
    own = [one for one in grants.every(tx) if one.project in identities]
    taken = [one for one in own if name is None or (one.name and glob_match(name, one.name))]
    for one in taken:
        grants.remove(tx, one)
    return taken
