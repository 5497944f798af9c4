"""The errors a person or an agent can meet, each with a stable code.

Always: a message names the secret and the remedy, never a value, another project's path or an exception's text.
"""

from enum import StrEnum
from typing import Self


class Code(StrEnum):
    """The stable codes of every refusal and failure; clients may rely on them."""

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
    """A refusal or failure that is told to whoever asked.

    `code` is stable; `message` is one sentence on what is wrong; `hint`, where there is one, says what a
    person can do about it; `rule` is the id of the rule that decided, where one did. The subclasses part the codes by
    who can mend the cause.
    """

    def __init__(self, code: Code, message: str, hint: str | None = None, *, rule: str = "") -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.hint = hint
        self.rule = rule

    def with_hint(self, hint: str) -> Self:
        """The same error with another hint."""
        return type(self)(self.code, self.message, hint, rule=self.rule)


class CallerError(SecretsError):
    """The caller can mend it: another name, value or pattern."""


class DeniedError(SecretsError):
    """The person can mend it, if they want to: project, allowlist, trust, limits, access."""


class InputError(SecretsError):
    """No value came from the person: they cancelled, did not answer yet, or cannot be asked."""


class CustodyError(SecretsError):
    """The key cannot be had: keyring, key file or key slot."""


class StoreError(SecretsError):
    """The store cannot be read or written, or what it holds does not fit together."""


class Cancelled(KeyboardInterrupt):
    """The person broke off a question with Ctrl-C or Ctrl-D: the whole command ends, and nothing is changed.

    It is no `Exception`, so no handler can take it for an answer.
    """
