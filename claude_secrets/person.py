"""The person's doorway: what the command line does for whoever sits at the keyboard.

Always: not bound by the allowlist (the keyring is what protects the person); raises `SecretsError`. What a person
does from inside a project lets that project use it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from claude_secrets import audit, grants, limits, records
from claude_secrets.errors import CallerError, Code, DeniedError, StoreError
from claude_secrets.grants import Grant
from claude_secrets.model import PERSON, SHARED, Access, EnteredBy, check_name, check_value
from claude_secrets.patterns import Search
from claude_secrets.policy_file import Allowlist
from claude_secrets.project import Project
from claude_secrets.records import Record, Stored
from claude_secrets.store import Store
from claude_secrets.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a project's allowlist covers that it is not trusted with yet: a scope to claim, secrets from elsewhere."""

    scope: str | None
    secrets: tuple[Record, ...]

    def __bool__(self) -> bool:
        return self.scope is not None or bool(self.secrets)


class Person:
    """The person's commands on one store, from inside `project` where there is one, in `scope`."""

    def __init__(self, *, store: Store, project: Project | None = None, scope: str = SHARED) -> None:
        self._store = store
        self._project = project
        self.scope = scope

    def set(self, name: str, value: str, access: Access | None = None) -> Stored:
        """Store a value. From inside a project the secret is the project's, or the project is let use it.

        A name that only agents of another project stored, or that was deleted, no longer belongs to that project.

        `access` None keeps what the name has (new: readable).
        """
        check_name(name)
        check_value(value)
        with self._store.write() as tx:
            stored = records.put(
                tx,
                scope=self.scope,
                name=name,
                value=value,
                origin=self._project.identity if self._project else PERSON,
                entered_by=EnteredBy.PERSON,
                access=access,
            )
            record = records.find(tx, self.scope, name)
            if self._project and record and record.origin != self._project.identity:
                grants.add(tx, Grant(project=self._project.identity, scope=self.scope, name=name))
            self._claim_scope(tx)
        return stored

    def get(self, name: str, *, warn: Callable[[str], None]) -> str:
        """The current value, even where another record is damaged or the store can only be read: `warn` is told so.

        Raises:
            CallerError: NOT_FOUND.
        """
        check_name(name)
        self._require_store(name)
        try:
            return self._read_value(name, immutable=False, warn=warn)
        except StoreError as error:
            if error.code is not Code.STORE_UNAVAILABLE:
                raise
        value = self._read_value(name, immutable=True, warn=warn)
        warn("the store is in a read-only place; what it holds can be read, not changed")
        return value

    def _read_value(self, name: str, *, immutable: bool, warn: Callable[[str], None]) -> str:
        try:
            with self._store.read(immutable=immutable) as tx:
                return self._value(tx, name)
        except StoreError as error:
            if error.code is not Code.STORE_TAMPERED:
                raise
        with self._store.read(whole=False, immutable=immutable) as tx:
            value = self._value(tx, name)
        warn("the store does not fit together: this value may be an older one, or one that was deleted")
        return value

    def delete(self, name: str) -> bool:
        """Delete a secret; its versions are kept. Returns False where there is none."""
        check_name(name)
        if not self._store.exists():
            return False
        with self._store.write() as tx:
            record = records.find(tx, self.scope, name)
            if record is None or record.deleted:
                return False
            records.delete(tx, record, entered_by=EnteredBy.PERSON)
        return True

    def rename(self, name: str, new_name: str) -> None:
        """Give a secret, with its versions and grants, a name that was never used in its scope.

        Raises:
            CallerError: NOT_FOUND, or INVALID_NAME where the new name is taken.
        """
        check_name(name)
        check_name(new_name)
        self._require_store(name)
        with self._store.write() as tx:
            record = self._existing(tx, name)
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

    def secrets(self) -> list[Record]:
        """All secrets of all scopes that are not deleted, sorted by scope and name."""
        if not self._store.exists():
            return []
        with self._store.read() as tx:
            found = [record for record in records.every(tx) if not record.deleted]
        return sorted(found, key=lambda record: (record.scope, record.name))

    def search(self, pattern: str) -> list[Record]:
        """The secrets whose names match the RE2 pattern, case-insensitively, anywhere in the name."""
        search = Search(pattern)
        return [record for record in self.secrets() if search.matches(record.name)]

    def wanted(self, allowlist: Allowlist) -> Wanted:
        """What `trust` would grant to this project."""
        project = self._require_project()
        claim = allowlist.scope if allowlist.scope != SHARED else None
        if not self._store.exists():
            return Wanted(scope=claim, secrets=())
        with self._store.read() as tx:
            if claim and grants.holds(tx, Grant(project=project.identity, scope=claim)):
                claim = None
            found = [
                record
                for record in records.every(tx)
                if record.scope == allowlist.scope
                and record.origin != project.identity
                and allowlist.entry_for(record.name) is not None
                and not grants.holds(tx, Grant(project=project.identity, scope=record.scope, name=record.name))
            ]
        return Wanted(scope=claim, secrets=tuple(sorted(found, key=lambda record: record.name)))

    def trust(self, wanted: Wanted) -> None:
        """Grant exactly what was shown."""
        project = self._require_project()
        with self._store.write() as tx:
            if wanted.scope is not None:
                grants.add(tx, Grant(project=project.identity, scope=wanted.scope))
            for record in wanted.secrets:
                grants.add(tx, Grant(project=project.identity, scope=record.scope, name=record.name))

    def allow(self, name: str) -> None:
        """Let this project use the secret of that name, stored or still to come."""
        check_name(name)
        project = self._require_project()
        with self._store.write() as tx:
            grants.add(tx, Grant(project=project.identity, scope=self.scope, name=name))
            self._claim_scope(tx)

    def revoke(self, name: str | None = None) -> list[Grant]:
        """Take back this project's grant on one name, or (None) all its grants; returns what was taken back."""
        project = self._require_project()
        if not self._store.exists():
            return []
        with self._store.write() as tx:
            taken = [
                grant
                for grant in grants.every(tx)
                if grant.project == project.identity and (name is None or grant.name == name)
            ]
            for grant in taken:
                grants.remove(tx, grant)
        return taken

    def check(self) -> tuple[int, int]:
        """Verify every row of the store. Returns how many secrets and versions it holds.

        Raises:
            StoreError: STORE_TAMPERED.
        """
        with self._store.read() as tx:
            found, versions = records.verify_every(tx)
            grants.every(tx)
            limits.verify(tx)
            audit.verify(tx)
            tx.verify_table("key_slots", tx.head.slots)
        return sum(not record.deleted for record in found), versions

    def _claim_scope(self, tx: Transaction) -> None:
        if self._project and self.scope != SHARED:
            grants.add(tx, Grant(project=self._project.identity, scope=self.scope))

    def _value(self, tx: Transaction, name: str) -> str:
        return records.value(tx, self._existing(tx, name))

    def _existing(self, tx: Transaction, name: str) -> Record:
        record = records.find(tx, self.scope, name)
        if record is None or record.deleted:
            raise self._missing(name)
        return record

    def _require_store(self, name: str) -> None:
        if not self._store.exists():
            raise self._missing(name)

    def _missing(self, name: str) -> CallerError:
        return CallerError(Code.NOT_FOUND, f"There is no secret '{name}' in scope '{self.scope}'.")

    def _require_project(self) -> Project:
        if self._project is None:
            raise DeniedError(Code.NO_PROJECT, "This is not inside a project.", "Go to the project's directory.")
        return self._project
