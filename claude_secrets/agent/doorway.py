"""The gate of a server, made once it is known which store it is to: `config.yml` may name that, and may be refused.

Always: no other store is used than the one that is configured; what is refused is told with each call, and the next
call finds it corrected. Only the server imports it.
"""

from collections.abc import MutableMapping
from contextlib import suppress

from claude_secrets.agent.gate import Gate
from claude_secrets.errors import Code, DeniedError, SecretsError, StoreError
from claude_secrets.model import Answer, Call, Outcome, Refused, Tool
from claude_secrets.paths import own_directories, store_path
from claude_secrets.policy.config import Config, Trust
from claude_secrets.policy.directories import Directories
from claude_secrets.policy.ownership import at_each_call
from claude_secrets.policy.personal_files import read_config
from claude_secrets.policy.project import Whereabouts
from claude_secrets.store.store import Store


class Doorway:
    """Carries out calls as `Gate` does; one thread uses it.

    `store_argument` is the path of `--store`, where given, `passphrase` opens a store that has one; `tighten` as in
    `SettingReader`.
    """

    def __init__(
        self,
        store_argument: str | None,
        environment: MutableMapping[str, str],
        tighten: Trust,
        passphrase: str | None,
    ) -> None:
        self._store_argument = store_argument
        self._environment = environment
        self._tighten = tighten
        self._passphrase = passphrase
        self._directories = Directories()
        self._gate: Gate | None = None

    def start(self, where: Whereabouts) -> None:
        """As `Gate.start`; the directories are noted even if `config.yml` is refused.

        Raises:
            CallerError: INVALID_ARGUMENTS where `--store` or the environment names no file.
        """
        try:
            self._opened().start(where)
        except DeniedError:
            with suppress(SecretsError):
                self._directories.start(where)

    def call(self, call: Call, where: Whereabouts, answer: Answer | None, *, client: str) -> Outcome:
        """As `Gate.call`; `Refused` while `config.yml` does not say which store to use."""
        try:
            gate = self._opened()
        except SecretsError as error:
            return Refused(error)
        return gate.call(call, where, answer, client=client)

    def hidden(self, where: Whereabouts) -> frozenset[Tool]:
        """As `Gate.hidden`."""
        with suppress(SecretsError):
            return self._opened().hidden(where)
        return frozenset()

    def close(self) -> None:
        """Close the store and forget its key."""
        self._directories.close()
        if self._gate is not None:
            self._gate.close()

    def _opened(self) -> Gate:
        """The gate. Raises `DeniedError` while nothing says where its store is, and as `store_path`."""
        if self._gate is None:
            named = self._store_argument is not None or bool(self._environment.get("CLAUDE_SECRETS_STORE"))
            configured = None if named else read_config(own_directories(), at_each_call).store
            given = self._passphrase
            store = Store.at(
                store_path(self._store_argument, self._environment, configured),
                self._environment,
                ask_passphrase=None if given is None else lambda: given,
            )

            def check(config: Config) -> None:
                if not named and config.store != configured:
                    raise _another_store()

            self._gate = Gate(store=store, config=own_directories(), tighten=self._tighten, check=check)
            self._gate.directories = self._directories
        return self._gate


def _another_store() -> StoreError:
    return StoreError(
        Code.STORE_UNAVAILABLE,
        "Your config.yml names another store than when this server opened one, so nothing is done.",
        "Start the server again (in the client: reconnect it).",
    )
