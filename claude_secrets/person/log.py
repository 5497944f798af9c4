"""Read and verify the log."""

from collections.abc import Callable

from claude_secrets.person.person import Person
from claude_secrets.store import audit
from claude_secrets.store.audit import LogEntry


def entries(person: Person, keep: Callable[[LogEntry], bool]) -> list[LogEntry]:
    """Return the log entries for which `keep` returns True, oldest first."""
    if not person.store.exists():
        return []
    with person.store.read() as tx:
        return [entry for entry in audit.entries(tx) if keep(entry)]


def verify_log(person: Person) -> int:
    """Verify every entry of the log against the store's head. Return the number of entries.

    Raises:
        StoreError: STORE_TAMPERED.
    """
    if not person.store.exists():
        return 0
    with person.store.read() as tx:
        return audit.verify(tx)
