"""Find the stored names that agents of a project may see.

Always: a name is visible only if the allowlist contains it and the project may use the secret. Values are never
returned.
"""

from collections.abc import Iterable, Iterator

from claude_secrets.agent import consent
from claude_secrets.policy import decisions
from claude_secrets.policy.allowlist import AllowlistEntry
from claude_secrets.policy.snapshot import PolicySnapshot
from claude_secrets.store import records
from claude_secrets.store.records import Record
from claude_secrets.store.transaction import Transaction


def list_visible(tx: Transaction, snapshot: PolicySnapshot) -> dict[str, bool]:
    """The names that a project's agents may see, sorted. Each name is mapped to whether agents may read its value."""
    decided_by = ("shown", snapshot.project.identities, snapshot.trust, snapshot.data[0], tx.head.grants)
    names: dict[str, bool] | None = tx.remembered.get(decided_by)
    if names is None:
        names = tx.remembered[decided_by] = dict(sorted(readable_by_name(iterate_visible(tx, snapshot)).items()))
    return names


def iterate_visible(tx: Transaction, snapshot: PolicySnapshot) -> Iterator[tuple[Record, AllowlistEntry]]:
    """The secrets that the allowlist and the grants let a project's agents use, with their allowlist entries."""
    exact = snapshot.allowlist.names
    looked_up = (records.find(tx, snapshot.scope, name) for name in exact or ())
    yield from visible_among(tx, snapshot, records.iterate_all(tx) if exact is None else looked_up)


def visible_among(
    tx: Transaction, snapshot: PolicySnapshot, candidates: Iterable[Record | None]
) -> Iterator[tuple[Record, AllowlistEntry]]:
    """The records in `candidates` that the project's agents may use, with their allowlist entries."""
    for record in candidates:
        if record is None or record.deleted or record.scope != snapshot.scope:
            continue
        if consent.is_trusted(tx, snapshot, record):
            entry = snapshot.allowlist.entry_for(record.name)
            if entry is not None:
                yield record, entry


def readable_by_name(secrets: Iterable[tuple[Record, AllowlistEntry]]) -> dict[str, bool]:
    """A map from each secret's name to whether agents may read its value."""
    return {
        record.name: decisions.may_be_read(record=record.access, allowlisted=entry.access) for record, entry in secrets
    }
