"""A store that becomes a vector, and the content that `vectors.json` states for it."""

import secrets
import shutil
from pathlib import Path
from typing import TypeAlias

from claude_secrets.agent import rate_limits
from claude_secrets.keys.cipher import new_master_key
from claude_secrets.model import PERSON, SHARED, Access, EnteredBy, Tool
from claude_secrets.policy.rules import Applied, Rules, RuleSource, built_in
from claude_secrets.store import audit, grants, key_slots, records
from claude_secrets.store.audit import AuditLog, LogEvent
from claude_secrets.store.grants import Grant
from claude_secrets.store.store import Store
from claude_secrets.store.transaction import Transaction
from tests.vectors.held import KEY_FILE, TIME, HeldKey

API = "/work/api"
"""The project whose agents store secrets."""

Entry: TypeAlias = dict[str, object]
"""The entry of one vector in `vectors.json`."""


class Draft:
    """A store that becomes a vector."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.master_key = new_master_key().decode("ascii")
        self.store = Store(path, HeldKey(self.master_key), lambda: TIME)
        self.store.create_with_key_file(KEY_FILE)
        self._audit = AuditLog()

    def put(
        self, name: str, value: str, *, scope: str = SHARED, origin: str = PERSON, access: Access | None = None
    ) -> None:
        by = EnteredBy.PERSON if origin == PERSON else EnteredBy.AGENT
        with self.store.write() as tx:
            if by is EnteredBy.AGENT:
                self._count(tx, origin, Tool.SET_SECRET)
            records.put(tx, scope=scope, name=name, value=value, origin=origin, entered_by=by, access=access)

    def delete(self, name: str) -> None:
        with self.store.write() as tx:
            record = records.find(tx, SHARED, name)
            assert record is not None
            records.delete(tx, record, entered_by=EnteredBy.PERSON)

    def rename(self, name: str, new_name: str) -> None:
        with self.store.write() as tx:
            record = records.find(tx, SHARED, name)
            assert record is not None
            records.rename(tx, record, new_name)

    def grant(self, project: str, scope: str, name: str = "") -> None:
        with self.store.write() as tx:
            grants.add(tx, Grant(project=project, scope=scope, name=name))

    def revoke(self, project: str, scope: str, name: str = "") -> None:
        with self.store.write() as tx:
            grants.remove(tx, Grant(project=project, scope=scope, name=name))

    def new_slot(self, *, replacing: bool = False) -> None:
        """Wrap the data key again, in an additional slot or in a slot that replaces the last one."""
        with self.store.write() as tx:
            slots = key_slots.list_all(tx)
            custody = HeldKey(self.master_key)
            data_key = custody.unlock(tx.cipher.identity, slots)
            slot_id = slots[-1].slot_id if replacing else secrets.token_hex(8)
            slot = custody.wrapped(tx.cipher.store_id, data_key, KEY_FILE, slot_id)
            row = (slot.slot_id, slot.kind, slot.params, slot.wrapped)
            tx.connection.execute("INSERT OR REPLACE INTO key_slots VALUES (?, ?, ?, ?)", row)
            tx.amend(slots=tx.table_digest("key_slots"))

    def count(self) -> None:
        with self.store.write() as tx:
            self._count(tx, API, Tool.INPUT_SECRET)

    @staticmethod
    def _count(tx: Transaction, project: str, tool: Tool) -> None:
        policy = built_in(Rules(source=RuleSource.PERSON))
        for rule in policy.tools[tool]:
            rate_limits.spend(
                tx, rate_limits.check(tx, projects=[project], applied=[Applied(policy.source, rule)], tool=tool)
            )

    def log(self, outcome: str, *, seconds: float = 0.0) -> None:
        """Log an event `seconds` after everything else. The log counts the refusals of one draft together."""
        event = LogEvent(
            caller="agent", action="get_secret", outcome=outcome, project=API, name="API_TOKEN", code="NOT_FOUND"
        )
        with self.store.write() as tx:
            tx.now += seconds
            self._audit.add(tx, event)

    def cut(self, *, seconds: float) -> None:
        """Remove old events from the log, `seconds` after everything else."""
        with self.store.write() as tx:
            tx.now += seconds
            audit.cut(tx)

    def contents(self) -> Entry:
        """Return the store's content in the form of `vectors.json`."""
        with self.store.read() as tx:
            return stated(tx)

    def snapshot(self) -> Path:
        """Copy the file as it is now, and return the copy's path."""
        self.store.close()
        copy = self.path.with_name(f"{len(list(self.path.parent.iterdir()))}.older")
        return Path(shutil.copyfile(self.path, copy))


def stated(tx: Transaction) -> Entry:
    """Verify every row of a store, and return its content as plain data."""
    found = sorted(records.verify_all(tx)[0], key=lambda record: (record.scope, record.name))
    tx.verify_table("counters", tx.head.counters)
    tx.verify_table("key_slots", tx.head.slots)
    audit.verify(tx)
    return {
        "secrets": [
            {
                "scope": record.scope,
                "name": record.name,
                "value": records.value(tx, record),
                "origin": record.origin,
                "access": record.access.value,
                "version": record.version,
                "entered_by": record.entered_by.value,
            }
            for record in found
            if not record.deleted
        ],
        "deleted": [{"scope": record.scope, "name": record.name} for record in found if record.deleted],
        "grants": [
            {"project": grant.project, "scope": grant.scope, "name": grant.name} for grant in grants.list_all(tx)
        ],
        "events": [
            {"sequence": entry.sequence, "count": entry.times, "outcome": entry.event.outcome, "name": entry.event.name}
            for entry in audit.entries(tx)
        ],
    }
