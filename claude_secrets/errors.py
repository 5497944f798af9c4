"""The errors that a person or an agent can get, each with a stable code.

Always: an error names the secret and the remedy, and never a value, another project's path or an exception's text.
"""

from enum import StrEnum
from typing import Self


class Code(StrEnum):
    """The codes of all refusals and failures. They are stable, and clients may rely on them."""

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
    INTERNAL = "INTERNAL"


class SecretsError(Exception):
    """A refusal or failure that is shown to the caller.

    `code` is stable. `message` says what is wrong. `hint` says what the person can do about it, and may be None. `rule`
    is the id of the rule that decided, or empty. The subclasses group the codes by who can fix the cause.
    """

    def __init__(self, code: Code, message: str, hint: str | None = None, *, rule: str = "") -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.hint = hint
        self.rule = rule

    def with_hint(self, hint: str) -> Self:
        """Return the same error with another hint."""
        return type(self)(self.code, self.message, hint, rule=self.rule)


class CallerError(SecretsError):
    """An error that the caller can fix by another name, value or pattern."""


class DeniedError(SecretsError):
    """A refusal whose cause the person can change: project, allowlist, trust, limits or access."""


class InputError(SecretsError):
    """The person gave no value: they cancelled, have not answered yet, or cannot be asked."""


class CustodyError(SecretsError):
    """The key cannot be loaded from the keyring, the key file or a key slot."""


class StoreError(SecretsError):
    """The store cannot be read or written, or its content is inconsistent."""


class Cancelled(KeyboardInterrupt):
    """The person cancelled a question with Ctrl-C or Ctrl-D. The whole command ends, and nothing is changed.

    It is not an `Exception`, so that no handler mistakes it for an answer.
    """
