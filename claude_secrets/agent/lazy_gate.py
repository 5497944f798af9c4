"""Make a server's gate as soon as the store's path is known.

`config.yml` may name the store, so the path is not known while `config.yml` is refused.

Always: only the configured store is used. While `config.yml` is refused, each call reports the reason. After
`config.yml` is corrected, the next call works.
"""

from collections.abc import MutableMapping
from contextlib import suppress

from claude_secrets.agent.gate import Gate
from claude_secrets.errors import DeniedError, SecretsError
from claude_secrets.model import Answer, Call, Outcome, Refused, Tool
from claude_secrets.policy.config import Trust
from claude_secrets.policy.pinned_directories import Directories
from claude_secrets.policy.project import CallOrigin


class LazyGate:
    """Carries out calls as `Gate` does. A `LazyGate` is used by one thread only.

    `store_argument` is the path given with `--store`, or None. `tighten`, `passphrase` and `asks` have the same meaning
    as in `Gate.open`.
    """

    def __init__(
        self,
        store_argument: str | None,
        environment: MutableMapping[str, str],
        tighten: Trust,
        passphrase: str | None,
        *,
        asks: bool = False,
    ) -> None:
        self._store_argument = store_argument
        self._environment = environment
        self._tighten = tighten
        self._passphrase = passphrase
        self._asks = asks
        self._directories = Directories()
        self._gate: Gate | None = None

    def start(self, where: CallOrigin) -> None:
        """Do the same as `Gate.start`. The directories are remembered even if `config.yml` is refused.

        Raises:
            CallerError: INVALID_ARGUMENTS if `--store` or the environment does not name a file.
        """
        try:
            self._require_gate().start(where)
        except DeniedError:
            with suppress(SecretsError):
                self._directories.start(where)

    def call(self, call: Call, where: CallOrigin, answer: Answer | None, *, client: str) -> Outcome:
        """Do the same as `Gate.call`. If the store is not known because `config.yml` is refused, return `Refused`."""
        try:
            gate = self._require_gate()
        except SecretsError as error:
            return Refused(error)
        return gate.call(call, where, answer, client=client)

    def hidden(self, where: CallOrigin) -> frozenset[Tool]:
        """Return the same as `Gate.hidden`, or no tools if the store is not known."""
        with suppress(SecretsError):
            return self._require_gate().hidden(where)
        return frozenset()

    def close(self) -> None:
        """Close the store and forget its key."""
        self._directories.close()
        if self._gate is not None:
            self._gate.close()

    def _require_gate(self) -> Gate:
        """Return the gate. If the store is not known yet, this raises the same errors as `Gate.open`."""
        if self._gate is None:
            self._gate = Gate.open(
                self._environment,
                store_argument=self._store_argument,
                tighten=self._tighten,
                passphrase=self._passphrase,
                directories=self._directories,
                asks=self._asks,
            )
        return self._gate
