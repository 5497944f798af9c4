"""The person's handle on a store: the store, their current project, a scope and their configuration.

Always: errors are `SecretsError`. Each command that changes something is written to the log.
"""

from collections.abc import Callable, MutableMapping
from functools import partial
from pathlib import Path

from claude_secrets.errors import CallerError, Code, DeniedError
from claude_secrets.model import SHARED
from claude_secrets.paths import command, home_directories
from claude_secrets.policy.config import Config
from claude_secrets.policy.planted import key_file_inside, refuse_inside, store_inside
from claude_secrets.policy.project import CallOrigin, Project
from claude_secrets.store import grants, records
from claude_secrets.store.audit import AuditLog, Caller, EventOutcome, LogEvent
from claude_secrets.store.grants import Grant
from claude_secrets.store.records import Record
from claude_secrets.store.store import Store
from claude_secrets.store.transaction import Transaction


class Person:
    """The person's handle on one store, in `scope`, from inside `project` if there is one."""

    def __init__(
        self,
        *,
        store: Store,
        project: Project | None = None,
        scope: str = SHARED,
        config: Config | None = None,
    ) -> None:
        self.store = store
        self.project = project
        self.config = Config() if config is None else config
        self._log = AuditLog()
        self.scope = scope

    @classmethod
    def open(
        cls,
        path: Path,
        environment: MutableMapping[str, str],
        *,
        where: CallOrigin,
        project: Project | None,
        scope: str,
        config: Config,
        ask_passphrase: Callable[[], str],
    ) -> "Person":
        """Return the handle on the store at `path`. Refuse a store or key file that a project could have planted.

        `where` is where the person runs the command, and `config` is their own `config.yml`. `ask_passphrase` is called
        if only a passphrase opens the store. The store's file is not opened yet.

        Raises:
            StoreError: STORE_UNAVAILABLE if the store is inside a project.
        """
        homes = home_directories()
        refuse_inside(path, store_inside, where, project, homes)
        store = Store.at(
            path,
            environment,
            check_key_file=lambda key_file: refuse_inside(key_file, key_file_inside, where, project, homes),
            ask_passphrase=ask_passphrase,
        )
        return cls(store=store, project=project, scope=scope, config=config)

    @property
    def directories(self) -> list[Path]:
        """The directory of the project, if there is one."""
        return [] if self.project is None else [self.project.path]

    def log(
        self, tx: Transaction, action: str, name: str = "", *, scope: str | None = None, refused: Code | None = None
    ) -> None:
        """Log an action of the person, or the code with which it was `refused`."""
        event = LogEvent(
            caller=Caller.PERSON,
            action=action,
            outcome=EventOutcome.DONE if refused is None else EventOutcome.REFUSED,
            project=self.identity(tx) or "",
            scope=scope or self.scope,
            name=name,
            code=refused or "",
        )
        self._log.add(tx, event)

    def existing(self, tx: Transaction, name: str) -> Record:
        """Return the record of a secret that is not deleted. Raises `CallerError` NOT_FOUND."""
        record = records.find(tx, self.scope, name)
        if record is None or record.deleted:
            raise self.missing(name)
        return record

    def require_store(self, name: str) -> None:
        """Raise `CallerError` NOT_FOUND if there is no store that could hold the name."""
        if not self.store.exists():
            raise self.missing(name)

    def missing(self, name: str) -> CallerError:
        """Return the error for a name without a secret."""
        return CallerError(
            Code.NOT_FOUND,
            f"There is no secret '{name}' in scope '{self.scope}'.",
            f"To see the names of all scopes: {command()} list",
        )

    def project_with_identity(self, tx: Transaction) -> Project | None:
        """Return the project, if there is one, with the identity that its grants give it."""
        return self.project and self.project.with_identity(partial(grants.joins, tx))

    def identity(self, tx: Transaction) -> str | None:
        """Return the identity that the project's grants give it; None outside a project."""
        project = self.project_with_identity(tx)
        return project and project.identity

    def grant_scope(self, tx: Transaction) -> None:
        """Grant the scope to the project."""
        identity = self.identity(tx)
        if identity and self.scope != SHARED:
            grants.add(tx, Grant(project=identity, scope=self.scope))

    def require_project(self) -> Project:
        """Return the project. Raises `DeniedError` NO_PROJECT if there is none."""
        if self.project is None:
            raise DeniedError(Code.NO_PROJECT, "This is not inside a project.", "Go to the project's directory.")
        return self.project
