"""Inspect a whole store for the person: list damage, verify every row, and return every value for a scan.

Always: only the log is changed. Callers pass the `Person` who asks.
"""

from collections.abc import Callable

from claude_secrets.errors import Code
from claude_secrets.model import SHARED
from claude_secrets.person.person import Person
from claude_secrets.store import audit, counters, grants, records, salvage


def damages(person: Person, progress: Callable[[int, int], None]) -> list[str]:
    """Return sentences that say what is damaged, record by record. `progress` receives the records done and in all.

    Raises:
        CustodyError: the key cannot be fetched.
        StoreError: nothing in the store can be read.
    """
    with person.store.read(whole=False) as tx:
        return [line for examined in salvage.examine(tx, progress) for line in examined.wrong]


def every_value(person: Person, action: str, *, refused: Code | None = None) -> dict[str, str]:
    """Return the current values of all secrets, to look for them elsewhere.

    The keys are names, or `SCOPE/NAME` outside the scope `shared`. The log records `action`, and its
    code if it was `refused`.

    Raises:
        StoreError: STORE_TAMPERED.
    """
    with person.store.write(durable=False) as tx:
        person.log(tx, action, refused=refused)
        return {
            record.name if record.scope == SHARED else f"{record.scope}/{record.name}": records.value(tx, record)
            for record in records.iterate_all(tx)
            if not record.deleted
        }


def check_store(person: Person) -> tuple[int, int]:
    """Verify every row of the store. Return how many secrets and versions it holds.

    Raises:
        StoreError: STORE_TAMPERED.
    """
    with person.store.read() as tx:
        stored, versions = records.verify_all(tx)
        grants.list_all(tx)
        counters.verify_all(tx)
        audit.verify(tx)
        tx.verify_table("key_slots", tx.head.slots)
    return sum(not record.deleted for record in stored), versions
