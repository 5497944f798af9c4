"""Grants: a project's permissions from the person to use more than its own secrets.

Always: grants are sealed rows, found by MAC, and the store's head vouches for the whole table. A grant lets one project
use one secret of one scope, or claim one scope, or (a linked work tree) count as the project in its main work tree.
Each function takes an open transaction.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from claude_secrets.store.transaction import Transaction


class Grant(NamedTuple):
    """Project `project` (its identity) may use `name` in `scope`. If `name` is empty, it may claim the scope.

    `as_work_tree` makes the grants of the third kind.
    """

    project: str
    scope: str
    name: str = ""

    @property
    def main(self) -> str | None:
        """The main work tree's project, if the grant lets `project` count as it; otherwise None."""
        return self.scope.removeprefix(_WORK_TREE) if self.scope.startswith(_WORK_TREE) else None


_WORK_TREE: Final = "worktree:"
"""Begins the `scope` of a work tree's grant. No scope's name has a colon in it."""


def as_work_tree(project: str, main: str) -> Grant:
    """The grant by which a linked work tree counts as the project in the main one."""
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
    """Whether one of a project's identities was granted the name or, if the name is empty, the scope.

    `tx` is None if there is no store. Raises like `holds`.
    """
    return tx is not None and any(holds(tx, Grant(project=identity, scope=scope, name=name)) for identity in identities)


def joins(tx: Transaction | None, project: str, main: str) -> bool:
    """Whether a linked work tree was granted to count as the project in the main one. Otherwise like `holds_any`."""
    return tx is not None and holds(tx, as_work_tree(project, main))


def add(tx: Transaction, grant: Grant, *, created: int | None = None) -> bool:
    """Add a grant, made now or at `created` (seconds since 1970). Returns False if it exists already."""
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
    """Remove a grant. Returns False if there was none."""
    if not holds(tx, grant):
        return False
    tx.connection.execute("DELETE FROM grants WHERE place = ?", (_place(tx, grant),))
    _renew(tx)
    return True


def list_all(tx: Transaction) -> list[Grant]:
    """All grants, sorted by project, scope and name."""
    return sorted(grant for grant, _ in with_times(tx))


def with_times(tx: Transaction) -> list[tuple[Grant, int]]:
    """All grants, each with the time it was made (seconds since 1970).

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
