"""Read a password from the macOS keychain with the system program `security`, which may ask the person.

Always: `security` runs with a cleaned environment and outside the project. It is killed after the deadline. Only the
caller gets the program's output; no error contains the output.
"""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from claude_secrets import programs
from claude_secrets.errors import Code, CustodyError

DEADLINE: Final = 60.0
"""Seconds that the person has to answer the keychain's dialog."""

_NOT_FOUND: Final = 44
"""The exit code for errSecItemNotFound."""


def password(
    *,
    service: str,
    account: str,
    environment: Mapping[str, str],
    forbidden: Sequence[Path],
    seconds: float = DEADLINE,
) -> bytes:
    """Return the password of one keychain entry, without the trailing newline.

    No program is run from the directories in `forbidden`.

    Raises:
        CustodyError: KEY_MISSING if there is no such entry, KEYRING_UNAVAILABLE if the keychain gives no answer.
    """
    cleaned = programs.clean(environment, forbidden)
    program = programs.find("security", cleaned["PATH"], forbidden)
    if program is None:
        raise _unavailable("The macOS program 'security', which reads the keychain, was not found.")
    command = [program, "find-generic-password", "-s", service, "-a", account, "-w"]
    try:
        done = subprocess.run(  # noqa: S603  the program that was found above
            command,
            env=cleaned,
            cwd="/",  # not the project, which may be our own working directory
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:  # from None: the exception contains the output so far
        raise _unavailable("The keychain did not answer in time.") from None
    except OSError:
        raise _unavailable("The macOS program 'security' cannot be run.") from None
    if done.returncode == _NOT_FOUND:
        raise CustodyError(
            Code.KEY_MISSING,
            f"The keychain has no entry for service '{service}' and account '{account}'.",
            "Give the key on a file descriptor instead: --key-fd N",
        )
    if done.returncode != 0:
        raise _unavailable("The keychain did not return the key.")
    return done.stdout.rstrip(b"\r\n")


def _unavailable(message: str) -> CustodyError:
    return CustodyError(Code.KEYRING_UNAVAILABLE, message, "Give the key on a file descriptor instead: --key-fd N")
