"""The person's doorway: what the command line does for whoever sits at the keyboard.

Always: not bound by the allowlist (the keyring is what protects the person); raises `SecretsError`. What a person
does from inside a project lets that project use it.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from claude_secrets.errors import CallerError, Code, DeniedError, StoreError
from claude_secrets.model import KEPT_VERSIONS, PERSON, SHARED, Access, EnteredBy, check_name, check_scope, check_value
from claude_secrets.person import trust
from claude_secrets.person.trust import Wanted
from claude_secrets.policy.allowlist import Allowlist
from claude_secrets.policy.project import Project
from claude_secrets.regex import NameSearch
from claude_secrets.store import audit, counters, grants, records
from claude_secrets.store.audit import AuditLog, Caller, Entry, Event, EventOutcome
from claude_secrets.store.grants import Grant
from claude_secrets.store.records import Record, Stored
from claude_secrets.store.store import Store
from claude_secrets.store.transaction import Transaction

_READABLE_STILL: Final = {
    Code.STORE_TAMPERED: "the store does not fit together: this value may be an older one, or one that was deleted",
    Code.STORE_UNAVAILABLE: "the store is in a read-only place; what it holds can be read, not changed",
    Code.STORE_FULL: "the disk is full: the log does not tell of this",
    Code.STORE_BUSY: "the store is busy: the log does not tell of this",
}
"""What a person may still read from, and what they have to know then."""


class Person:
    """The person's commands on one store, from inside `project` where there is one, in `scope`."""

    def __init__(
        self,
        *,
        store: Store,
        project: Project | None = None,
        scope: str = SHARED,
        default_access: Access | None = None,
        keep_versions: int = KEPT_VERSIONS,
    ) -> None:
        self.store = store
        self.project = project
        self.keep_versions = keep_versions
        self._default_access = default_access
        self._log = AuditLog()
        self.scope = scope

    @property
    def directories(self) -> list[Path]:
        """The directory of the project, if there is one."""
        return [] if self.project is None else [self.project.path]

    def set(self, name: str, value: str, access: Access | None = None, *, expires: int | None = None) -> Stored:
        """Store a value. From inside a project the secret is the project's, or the project is let use it.

        A name that only agents of another project stored, or that was deleted, no longer belongs to that project.

        `access` None keeps what the name has (new: as the person's settings say, else readable); `expires` as in
        `records.put`.
        """
        check_name(name)
        check_value(value)
        with self.store.write() as tx:
            return self.put(tx, name, value, access, action="set", expires=expires)

    def put(
        self,
        tx: Transaction,
        name: str,
        value: str,
        access: Access | None = None,
        *,
        action: str,
        expires: int | None = None,
    ) -> Stored:
        """What `set` does, in an open transaction, for the log as `action`."""
        before, identity = records.find(tx, check_scope(self.scope), check_name(name)), self._identity(tx)
        stored = records.put(
            tx,
            scope=self.scope,
            name=name,
            value=check_value(value),
            origin=identity or PERSON,
            entered_by=EnteredBy.PERSON,
            access=access or (self._default_access if before is None else None),
            expires=expires,
            keep=self.keep_versions,
        )
        record = records.find(tx, self.scope, name)
        if identity and record and record.origin != identity:
            grants.add(tx, Grant(project=identity, scope=self.scope, name=name))
        self._claim_scope(tx)
        self.note(tx, action, name)
        return stored

    def get(self, name: str, *, warn: Callable[[str], None]) -> str:
        """The current value, even where the store is damaged or cannot be written: `warn` is told so.

        Raises:
            CallerError: NOT_FOUND.
        """
        found = self.values([name], "get", warn=warn)
        if name not in found:
            raise self.missing(name)
        return found[name]

    def values(self, names: Sequence[str], action: str, *, warn: Callable[[str], None]) -> dict[str, str]:
        """The current values of those of `names` that there are, as `get` has them; the log says `action`."""
        for name in names:
            check_name(name)
        if not self.store.exists():
            return {}
        try:
            with self.store.write(durable=False) as tx:
                found = self._values(tx, names)
                for name in found:
                    self.note(tx, action, name)
        except StoreError as error:
            if error.code not in _READABLE_STILL:
                raise
            return self._unlogged(names, error.code, warn)
        return found

    def _unlogged(self, names: Sequence[str], why: Code, warn: Callable[[str], None]) -> dict[str, str]:
        """Values from a store that takes no note of it."""
        whole, immutable = why is not Code.STORE_TAMPERED, why is Code.STORE_UNAVAILABLE
        with self.store.read(whole=whole, immutable=immutable) as tx:
            found = self._values(tx, names)
        warn(_READABLE_STILL[why])
        return found

    def delete(self, name: str) -> bool:
        """Delete a secret; its versions are kept. Returns False where there is none."""
        check_name(name)
        if not self.store.exists():
            return False
        with self.store.write() as tx:
            record = records.find(tx, self.scope, name)
            if record is None or record.deleted:
                return False
            records.delete(tx, record, entered_by=EnteredBy.PERSON, keep=self.keep_versions)
            self.note(tx, "delete", name)
        return True

    def set_access(self, names: Sequence[str], access: Access) -> list[str]:
        """Say whether agents may be given values: all names or none. Returns those that had another access.

        Raises:
            CallerError: NOT_FOUND.
        """
        for name in names:
            check_name(name)
            self.require_store(name)
        with self.store.write() as tx:
            changed = [name for name in names if records.set_access(tx, self.existing(tx, name), access)]
            for name in changed:
                self.note(tx, f"access {access.value}", name)
        return changed

    def is_use_only(self, name: str) -> bool:
        """Whether agents are not given the value of that name; False where it was never stored."""
        if not self.store.exists():
            return False
        with self.store.read() as tx:
            record = records.find(tx, self.scope, check_name(name))
        return record is not None and record.access is Access.USE_ONLY

    def rename(self, name: str, new_name: str) -> None:
        """Give a secret, with its versions and grants, a name that was never used in its scope.

        Raises:
            CallerError: NOT_FOUND, or INVALID_NAME where the new name is taken.
        """
        check_name(name)
        check_name(new_name)
        self.require_store(name)
        with self.store.write() as tx:
            record = self.existing(tx, name)
            if records.find(tx, self.scope, new_name) is not None:
                raise CallerError(
                    Code.INVALID_NAME,
                    f"The name '{new_name}' is taken, by a secret or by the kept versions of a deleted one.",
                    "Choose another name.",
                )
            records.rename(tx, record, new_name)
            for grant in grants.every(tx):
                if (grant.scope, grant.name) == (self.scope, name):
                    grants.remove(tx, grant)
                    grants.add(tx, Grant(project=grant.project, scope=grant.scope, name=new_name))
            self.note(tx, "rename", name)
            self.note(tx, "rename to", new_name)

    def secrets(self) -> list[Record]:
        """All secrets of all scopes that are not deleted, sorted by scope and name."""
        if not self.store.exists():
            return []
        with self.store.read() as tx:
            found = [record for record in records.every(tx) if not record.deleted]
        return sorted(found, key=lambda record: (record.scope, record.name))

    def search(self, pattern: str) -> list[Record]:
        """The secrets whose names match the RE2 pattern, case-insensitively, anywhere in the name."""
        search, found = NameSearch(pattern), self.secrets()
        names = set(search.among([record.name for record in found]))
        return [record for record in found if record.name in names]

    def wanted(self, allowlist: Allowlist, *, required: bool = False) -> Wanted:
        """What `trust` would grant to this project; `required` as in `trust.wanted`."""
        project = self._require_project()
        if not self.store.exists():
            return trust.wanted(None, project, allowlist, required=required)
        with self.store.read() as tx:
            return trust.wanted(tx, project, allowlist, required=required)

    def trust(self, wanted: Wanted) -> None:
        """Grant exactly what was shown."""
        project = self._require_project()
        with self.store.write() as tx:
            trust.grant(tx, project, wanted)
            if wanted.main is not None or wanted.scope is not None:
                self.note(tx, "trust", "")
            for record in wanted.secrets:
                self.note(tx, "trust", record.name)

    def standing(self) -> Project | None:
        """The project with the identity by which it counts."""
        if self.project is None or not self.store.exists():
            return self.project
        with self.store.read() as tx:
            return trust.standing(tx, self.project)

    def allow(self, *names: str) -> None:
        """Let this project use the secrets of these names, stored or still to come."""
        project = self._require_project()
        with self.store.write() as tx:
            identity = trust.standing(tx, project).identity
            for name in names:
                grants.add(tx, Grant(project=identity, scope=self.scope, name=check_name(name)))
                self.note(tx, "allow", name)
            self._claim_scope(tx)

    def revoke(self, name: str | None = None) -> list[Grant]:
        """Take back grants on a name or pattern, or (None) all of this project's own; returns what was taken back."""
        project = self._require_project()
        if not self.store.exists():
            return []
        with self.store.write() as tx:
            taken = trust.revoke(tx, project, name)
            for grant in taken:
                self.note(tx, "revoke", grant.name)
        return taken

    def grants(self) -> list[Grant]:
        """All grants of all projects, sorted."""
        if not self.store.exists():
            return []
        with self.store.read() as tx:
            return grants.every(tx)

    def log(self, keep: Callable[[Entry], bool]) -> list[Entry]:
        """The entries of the log that are to be kept, the oldest first."""
        if not self.store.exists():
            return []
        with self.store.read() as tx:
            return [entry for entry in audit.entries(tx) if keep(entry)]

    def verify_log(self) -> int:
        """Hold every entry of the log against the store's head. Returns how many there are.

        Raises:
            StoreError: STORE_TAMPERED.
        """
        if not self.store.exists():
            return 0
        with self.store.read() as tx:
            return audit.verify(tx)

    def check(self) -> tuple[int, int]:
        """Verify every row of the store. Returns how many secrets and versions it holds.

        Raises:
            StoreError: STORE_TAMPERED.
        """
        with self.store.read() as tx:
            found, versions = records.verify_every(tx)
            grants.every(tx)
            counters.verify(tx)
            audit.verify(tx)
            tx.verify_table("key_slots", tx.head.slots)
        return sum(not record.deleted for record in found), versions

    def note(
        self, tx: Transaction, action: str, name: str = "", *, scope: str | None = None, refused: Code | None = None
    ) -> None:
        """Write into the log what the person did, or by which code it was `refused`."""
        event = Event(
            caller=Caller.PERSON,
            action=action,
            outcome=EventOutcome.DONE if refused is None else EventOutcome.REFUSED,
            project=self._identity(tx) or "",
            scope=scope or self.scope,
            name=name,
            code=refused or "",
        )
        self._log.add(tx, event)

    def claim_scope(self) -> None:
        """Let this project use the scope that its file names."""
        with self.store.write() as tx:
            self._claim_scope(tx)
            self.note(tx, "trust", "")

    def _claim_scope(self, tx: Transaction) -> None:
        identity = self._identity(tx)
        if identity and self.scope != SHARED:
            grants.add(tx, Grant(project=identity, scope=self.scope))

    def _identity(self, tx: Transaction) -> str | None:
        return trust.standing(tx, self.project).identity if self.project else None

    def _values(self, tx: Transaction, names: Sequence[str]) -> dict[str, str]:
        found = ((name, records.find(tx, self.scope, name)) for name in names)
        return {name: records.value(tx, record) for name, record in found if record and not record.deleted}

    def existing(self, tx: Transaction, name: str) -> Record:
        """The secret of that name, which is not deleted. Raises `CallerError` NOT_FOUND."""
        record = records.find(tx, self.scope, name)
        if record is None or record.deleted:
            raise self.missing(name)
        return record

    def require_store(self, name: str) -> None:
        """Raise `CallerError` NOT_FOUND where there is no store that could hold the name."""
        if not self.store.exists():
            raise self.missing(name)

    def missing(self, name: str) -> CallerError:
        """The error for a name that is not there."""
        return CallerError(Code.NOT_FOUND, f"There is no secret '{name}' in scope '{self.scope}'.")

    def _require_project(self) -> Project:
        if self.project is None:
            raise DeniedError(Code.NO_PROJECT, "This is not inside a project.", "Go to the project's directory.")
        return self.project
