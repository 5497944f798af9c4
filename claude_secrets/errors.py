"""The errors that a person or an agent can get, each with a stable code.

Always: an error names the secret and says what to do. It never contains a value, another project's path or an
exception's text.
"""

from enum import StrEnum
from typing import Self


class Code(StrEnum):
    """The codes of all refusals and failures. The codes are stable, so clients may rely on them."""

    INVALID_NAME = "INVALID_NAME"
    INVALID_VALUE = "INVALID_VALUE"
    INVALID_ARGUMENTS = "INVALID_ARGUMENTS"
    INVALID_PATTERN = "INVALID_PATTERN"
    NO_PROJECT = "NO_PROJECT"
    PROJECT_CONFLICT = "PROJECT_CONFLICT"
    NO_ALLOWLIST = "NO_ALLOWLIST"
    NOT_ALLOWLISTED = "NOT_ALLOWLISTED"
    ALLOWLIST_INVALID = "ALLOWLIST_INVALID"
    NOT_TRUSTED = "NOT_TRUSTED"
    DENIED_BY_RULE = "DENIED_BY_RULE"
    RATE_LIMITED = "RATE_LIMITED"
    APPROVAL_REFUSED = "APPROVAL_REFUSED"
    USE_ONLY = "USE_ONLY"
    PERSON_ONLY = "PERSON_ONLY"
    NOT_FOUND = "NOT_FOUND"
    WAITING = "WAITING"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"
    NO_INPUT_CHANNEL = "NO_INPUT_CHANNEL"
    KEYRING_UNAVAILABLE = "KEYRING_UNAVAILABLE"
    KEYRING_LOCKED = "KEYRING_LOCKED"
    KEY_MISSING = "KEY_MISSING"
    KEY_WRONG = "KEY_WRONG"
    STORE_BUSY = "STORE_BUSY"
    STORE_FORMAT = "STORE_FORMAT"
    STORE_TAMPERED = "STORE_TAMPERED"
    STORE_FULL = "STORE_FULL"
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    RESTART_NEEDED = "RESTART_NEEDED"
    INTERNAL = "INTERNAL"


class SecretsError(Exception):
    """A refusal or failure that is shown to the caller.

    `code` is stable. `message` says what is wrong. `hint` says what the person can do, and may be None. `rule` is the
    ID of the rule that caused the refusal, or empty. `names` are the secrets that the log names with the error; if it
    is empty, the log names the command's secret. The subclasses group errors by who can fix them.
    """

    def __init__(
        self, code: Code, message: str, hint: str | None = None, *, rule: str = "", names: tuple[str, ...] = ()
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.hint = hint
        self.rule = rule
        self.names = names

    def with_hint(self, hint: str) -> Self:
        """Return a copy of this error with a different hint."""
        return type(self)(self.code, self.message, hint, rule=self.rule, names=self.names)


class CallerError(SecretsError):
    """An error that the caller can fix by passing a different name, value or pattern."""


class DeniedError(SecretsError):
    """A refusal that the person can lift by changing the project, the allowlist, trust, limits or access."""


class InputError(SecretsError):
    """The person gave no value: they cancelled, have not answered yet, or cannot be asked."""


class CustodyError(SecretsError):
    """The key cannot be loaded from the keyring, the key file or a key slot."""


class StoreError(SecretsError):
    """The store cannot be read or written, or its content is inconsistent."""


class Cancelled(KeyboardInterrupt):
    """The person cancelled a question with Ctrl-C or Ctrl-D. The whole command ends, and nothing is changed.

    This class is not an `Exception`, so `except Exception` cannot treat a cancelled question as an answered one.
    """
