"""Grants: permissions by which the person lets a project use more than the project's own secrets.

Always: each grant is a sealed row, whose key is a MAC, and the store's head has the digest of the whole table. There
are three kinds of grants. The first kind lets a project use one secret of a scope. The second kind lets a project
claim a scope. The third kind lets a linked work tree count as the main work tree's project. Each function takes an
open transaction.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from claude_secrets.store.transaction import Transaction


class Grant(NamedTuple):
    """Lets `project` (a project's identity) use the secret `name` in `scope` or, if `name` is empty, claim the scope.

    `as_work_tree` returns a grant that lets a linked work tree count as the project in the main work tree.
    """

    project: str
    scope: str
    name: str = ""

    @property
    def main(self) -> str | None:
        """The identity of the main work tree's project if this is the grant of a linked work tree, otherwise None."""
        return self.scope.removeprefix(_WORK_TREE) if self.scope.startswith(_WORK_TREE) else None


_WORK_TREE: Final = "worktree:"
"""The prefix of `scope` in the grant of a linked work tree. The names of scopes never contain a colon."""


def as_work_tree(project: str, main: str) -> Grant:
    """Return the grant that lets the linked work tree `project` count as the project `main` in the main work tree."""
    return Grant(project=project, scope=f"{_WORK_TREE}{main}")


def holds(tx: Transaction, grant: Grant) -> bool:
    """Whether the grant exists.

    Raises:
        StoreError: STORE_TAMPERED if the table does not match the head.
    """
    tx.verify_table("grants", tx.head.grants)
    row = tx.connection.execute("SELECT token FROM grants WHERE place = ?", (_place(tx, grant),)).fetchone()
    return row is not None and _open_grant(tx, _place(tx, grant), row[0])[0] == grant


def holds_any(tx: Transaction | None, identities: Iterable[str], scope: str, name: str = "") -> bool:
    """Whether any of a project's identities has a grant for the secret `name` or, if `name` is empty, for the scope.

    `tx` is None if there is no store; the result is False then. Raises the same errors as `holds`.
    """
    return tx is not None and any(holds(tx, Grant(project=identity, scope=scope, name=name)) for identity in identities)


def joins(tx: Transaction | None, project: str, main: str) -> bool:
    """Whether the linked work tree `project` has a grant to count as the project `main` in the main work tree.

    `tx` is None if there is no store; the result is False then. Raises the same errors as `holds`.
    """
    return tx is not None and holds(tx, as_work_tree(project, main))


def add(tx: Transaction, grant: Grant, *, created: int | None = None) -> bool:
    """Add a grant with the time `created` (seconds since 1970, by default now). Returns False if the grant exists."""
    if holds(tx, grant):
        return False
    place = _place(tx, grant)
    fields: dict[str, object] = {
        "project": grant.project,
        "scope": grant.scope,
        "name": grant.name,
        "created": int(tx.now) if created is None else created,
    }
    tx.connection.execute("INSERT INTO grants VALUES (?, ?)", (place, tx.seal("grant", place.hex(), fields)))
    _renew(tx)
    return True


def remove(tx: Transaction, grant: Grant) -> bool:
    """Remove a grant. Returns False if the grant does not exist."""
    if not holds(tx, grant):
        return False
    tx.connection.execute("DELETE FROM grants WHERE place = ?", (_place(tx, grant),))
    _renew(tx)
    return True


def list_all(tx: Transaction) -> list[Grant]:
    """Return all grants, sorted by project, scope and name."""
    return sorted(grant for grant, _ in with_times(tx))


def with_times(tx: Transaction) -> list[tuple[Grant, int]]:
    """Return all grants, each with the time when the grant was made (seconds since 1970).

    Raises:
        StoreError: STORE_TAMPERED.
    """
    tx.verify_table("grants", tx.head.grants)
    rows = tx.connection.execute("SELECT place, token FROM grants").fetchall()
    return [_open_grant(tx, place, token) for place, token in rows]


def _open_grant(tx: Transaction, place: bytes, token: bytes) -> tuple[Grant, int]:
    envelope = tx.open("grant", place.hex(), token)
    grant = Grant(project=envelope.text("project"), scope=envelope.text("scope"), name=envelope.text("name"))
    return grant, envelope.number("created")


def _place(tx: Transaction, grant: Grant) -> bytes:
    return tx.cipher.index("grant", grant.project, grant.scope, grant.name)


def _renew(tx: Transaction) -> None:
    tx.amend(grants=tx.table_digest("grants"))
