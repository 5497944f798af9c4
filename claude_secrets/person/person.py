"""The `Person` class, which combines a store with the person's current project, scope and configuration.

Always: all errors are `SecretsError`. Each command that changes the store is written to the log.
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
    """The person's handle on one scope of one store. `project` is the current project, or None."""

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
        """Return a handle on the store at `path`. Refuse a store or key file that a project could have planted.

        `where` are the directories in which the person runs the command, and `config` are the settings in the person's
        `config.yml`. `ask_passphrase` is called if only a passphrase opens the store. This method does not open the
        store's file yet.

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
            for_person=True,
        )
        return cls(store=store, project=project, scope=scope, config=config)

    @property
    def directories(self) -> list[Path]:
        """The current project's directory. The list is empty outside a project."""
        return [] if self.project is None else [self.project.path]

    def log(
        self, tx: Transaction, action: str, name: str = "", *, scope: str | None = None, refused: Code | None = None
    ) -> None:
        """Log an action of the person. If the action was refused, `refused` is the error code."""
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
        """Return a secret's record. Raises `CallerError` NOT_FOUND if the secret does not exist or is deleted."""
        record = records.find(tx, self.scope, name)
        if record is None or record.deleted:
            raise self.missing(name)
        return record

    def require_store(self, name: str) -> None:
        """Raise `CallerError` NOT_FOUND for the name if the store does not exist."""
        if not self.store.exists():
            raise self.missing(name)

    def missing(self, name: str) -> CallerError:
        """Return the error for a secret that does not exist."""
        return CallerError(
            Code.NOT_FOUND,
            f"There is no secret '{name}' in scope '{self.scope}'.",
            f"To see all secrets, in all scopes: {command()} list",
            names=(name,),
        )

    def project_with_identity(self, tx: Transaction) -> Project | None:
        """Return the project with its identity according to its grants, or None outside a project."""
        return self.project and self.project.with_identity(partial(grants.joins, tx))

    def identity(self, tx: Transaction) -> str | None:
        """Return the project's identity according to its grants, or None outside a project."""
        project = self.project_with_identity(tx)
        return project and project.identity

    def grant_scope(self, tx: Transaction) -> None:
        """Grant the person's scope to the project. The scope `shared` needs no grant."""
        identity = self.identity(tx)
        if identity and self.scope != SHARED:
            grants.add(tx, Grant(project=identity, scope=self.scope))

    def require_project(self) -> Project:
        """Return the project. Raises `DeniedError` NO_PROJECT outside a project."""
        if self.project is None:
            raise DeniedError(Code.NO_PROJECT, "This is not inside a project.", "Go to the project's directory.")
        return self.project
