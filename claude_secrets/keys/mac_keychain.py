"""A password from the macOS keychain, by the system's own program `security`, which asks the person where it has to.

Always: it runs with a cleaned environment and away from the project, for as long as its deadline at most; what it says
goes nowhere but back, and no error carries it.
"""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from claude_secrets import programs
from claude_secrets.errors import Code, CustodyError

DEADLINE: Final = 60.0
"""Seconds that the person has to answer the keychain's own question."""

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
    """The password of one entry, without the newline after it.

    `forbidden` are directories from which nothing is run.

    Raises:
        CustodyError: KEY_MISSING where there is no such entry, KEYRING_UNAVAILABLE where it cannot be asked for.
    """
    cleaned = programs.clean(environment, forbidden)
    program = programs.find("security", cleaned["PATH"], forbidden)
    if program is None:
        raise _unavailable("There is no program 'security' here, which is what macOS gives a keychain's entries with.")
    command = [program, "find-generic-password", "-s", service, "-a", account, "-w"]
    try:
        done = subprocess.run(  # noqa: S603  a program found as said above
            command,
            env=cleaned,
            cwd="/",  # not the project, which may be our own working directory
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:  # from None: it carries what was said until then
        raise _unavailable("The keychain did not answer in time.") from None
    except OSError:
        raise _unavailable("The program 'security' cannot be run.") from None
    if done.returncode == _NOT_FOUND:
        raise CustodyError(
            Code.KEY_MISSING,
            f"The keychain has no entry of service '{service}' and account '{account}'.",
            "A file descriptor can give the key: --key-fd N",
        )
    if done.returncode != 0:
        raise _unavailable("The keychain does not give the key.")
    return done.stdout.rstrip(b"\r\n")


def _unavailable(message: str) -> CustodyError:
    return CustodyError(Code.KEYRING_UNAVAILABLE, message, "A file descriptor can give the key: --key-fd N")
