"""The macOS keychain, used through the system's program `/usr/bin/security`.

Always: only `/usr/bin/security` is run, outside the project and with an environment that no caller chooses. Commands
are given on standard input, so no process argument contains a password. Each run has a deadline. No error contains
output of the program. An existing item is never overwritten.

The keychain recognises programs by their code signature. Apple signs `security`, but each Python build is a different
program, and macOS asks the person again for each one.

Sources: `man security`, and the program's published source (`security.c`, `keychain_add.c`, `keychain_find.c`).
"""

import os
import selectors
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Final, NamedTuple, cast

from claude_secrets import paths
from claude_secrets.errors import Code, CustodyError

SECURITY: Final = Path("/usr/bin/security")
"""The program that reads and writes the keychain. macOS does not let anybody replace it."""

SECONDS_FOR_A_PERSON: Final = 300.0
"""Seconds that a run may take if macOS may ask the person for their password."""

SECONDS_TO_WRITE: Final = 20.0
"""Seconds that a run may take if it changes an item of a keychain that was just unlocked."""

_LINE_LIMIT: Final = 4000
"""The most bytes of one command. `security -i` reads at most 4,095 bytes and takes the rest as another command."""

_OUTPUT_LIMIT: Final = 65_536
"""The most bytes of output that are read from one run."""

# The exit code is the lowest byte of the error, which is a negative number.
_NOT_FOUND: Final = -25300 & 0xFF  # errSecItemNotFound: 44
_DUPLICATE: Final = -25299 & 0xFF  # errSecDuplicateItem: 45
_LOCKED: Final = frozenset(
    error & 0xFF
    for error in (
        -25308,  # errSecInteractionNotAllowed: 36. The keychain is locked, and nobody can be asked, as over SSH.
        -25293,  # errSecAuthFailed: 51. The password was wrong.
        -25315,  # errSecInteractionRequired: 29
        -25320,  # errSecInDarkWake: 24. The Mac is awake only in the background, so nobody can be asked.
        -128,  # errSecUserCanceled: 128. The person closed the dialog.
    )
)


class Place(NamedTuple):
    """The service and the account that identify an item of the keychain."""

    service: str
    account: str


class Keychain:
    """The person's keychains, with the methods of the `keyring` package's backends.

    The methods may wait for the person to answer a dialog of macOS. Every method raises `CustodyError`:
    KEYRING_LOCKED if the keychain is locked and could not be unlocked, KEYRING_UNAVAILABLE if it gives no answer.

    `program` replaces `/usr/bin/security`. `seconds` limits each run that may ask the person, and `seconds_to_write`
    limits each run that changes an item.

    Earlier versions made their items with the `keyring` package, and each item trusts only the Python build that made
    it. Such an item is read under its old names. The key is then moved into a new item that trusts `security`.
    """

    def __init__(
        self,
        program: Path | None = None,
        *,
        seconds: float = SECONDS_FOR_A_PERSON,
        seconds_to_write: float = SECONDS_TO_WRITE,
    ) -> None:
        self._program, self._seconds, self._seconds_to_write = program, seconds, seconds_to_write

    def get_password(self, service: str, username: str) -> str | None:
        """Return an item's password, or None if there is no such item. An item of an earlier version is moved."""
        place = _place(service, username)
        text = self._find(place)
        if text is not None:
            return text
        earlier = Place(service, username)
        text = self._find(earlier)
        if text is not None:
            self._move(earlier, place, text)
            return text
        text = self._find(place)  # another process may have moved the key between the two searches
        if text is not None:
            return text
        # A locked keychain says which items it has, but does not take a new item. `security` also reports a missing
        # item if it cannot read the keychain. This command needs an unlocked keychain, and asks for its password.
        _require(self._run("show-keychain-info", seconds=self._seconds))
        return None

    def set_password(self, service: str, username: str, password: str) -> None:
        """Add an item. Raises KEYRING_UNAVAILABLE if the item exists, also if it was added a moment ago."""
        if not self._add(_place(service, username), password):
            raise unavailable("The keychain already has an item with this name.")

    def delete_password(self, service: str, username: str) -> None:
        """Delete an item, also if an earlier version made it. Raises KEYRING_UNAVAILABLE if there is no such item."""
        # A move that was killed leaves two items.
        deleted = [self._delete(place) for place in (_place(service, username), Place(service, username))]
        if not any(deleted):
            raise unavailable("The keychain has no such item.")

    def _move(self, earlier: Place, place: Place, text: str) -> None:
        """Move a key into an item at `place`. At each moment, at least one item contains the key.

        The item at `place` is never deleted here, so two processes can move the same key at once.
        """
        # The key was read, so the caller gets it, whatever fails here. If only the old item is left, the next reading
        # moves the key. If both items are left, `delete_password` deletes both.
        with suppress(CustodyError):
            self._add(place, text)  # if there is an item now, another process added it
            if self._find(place) == text:
                self._delete(earlier)

    def _find(self, place: Place) -> str | None:
        return _find(place, self._program, self._seconds)

    def _add(self, place: Place, password: str) -> bool:
        # Without -U, an existing item is an error. By default, an item trusts the program that adds it.
        words = ("add-generic-password", "-s", place.service, "-a", place.account, "-w", password)
        done = self._run(*words, seconds=self._seconds_to_write)
        if done.code == _DUPLICATE:
            return False
        _require(done)
        return True

    def _delete(self, place: Place) -> bool:
        words = ("delete-generic-password", "-s", place.service, "-a", place.account)
        done = self._run(*words, seconds=self._seconds_to_write)
        if done.code == _NOT_FOUND:
            return False
        _require(done)
        return True

    def _run(self, *words: str, seconds: float) -> "_Ended":
        return _run(self._program, _line(words), seconds)


def password(*, service: str, account: str, seconds: float = 60.0, program: Path | None = None) -> bytes:
    """Return the password of an item that another program made. macOS may ask the person, who has `seconds` to answer.

    `program` replaces `/usr/bin/security`.

    Raises:
        CustodyError: KEY_MISSING if there is no such item, KEYRING_LOCKED, KEYRING_UNAVAILABLE. The hint names the
            option `--key-fd` of `import`.
    """
    other = "Give the key on a file descriptor instead: --key-fd N"
    try:
        found = _find(Place(service, account), program, seconds)
    except CustodyError as error:
        hint = f"{error.hint} Or: {other}" if error.code is Code.KEYRING_LOCKED else other
        raise CustodyError(error.code, error.message, hint) from None
    if found is None:
        message = f"The keychain has no entry for service '{service}' and account '{account}'."
        raise CustodyError(Code.KEY_MISSING, message, other)
    return found.encode()


def locked() -> CustodyError:
    """Return the error for a keychain that is locked, or that did not answer before the deadline."""
    return CustodyError(
        Code.KEYRING_LOCKED,
        "The macOS keychain is locked, or macOS waits for your password.",
        "Answer the dialog of macOS, or run `security unlock-keychain` (over SSH: in the same SSH session). "
        "Then try again.",
    )


def unavailable(message: str) -> CustodyError:
    """Return the error for a keychain that cannot be used."""
    hint = "Run `security show-keychain-info` to find out what is wrong with your keychain, then try again."
    return CustodyError(Code.KEYRING_UNAVAILABLE, message, hint)


class _Ended(NamedTuple):
    """The end of a run. `output` is standard output."""

    code: int
    output: bytes

    def __repr__(self) -> str:
        return f"_Ended(code={self.code})"


def _find(place: Place, program: Path | None, seconds: float) -> str | None:
    words = ("find-generic-password", "-s", place.service, "-a", place.account, "-w")
    done = _run(program, _line(words), seconds)
    if done.code == _NOT_FOUND:
        return None
    _require(done)
    if not done.output.endswith(b"\n"):
        raise unavailable("The keychain's answer is incomplete.")
    # `security` writes a password in hexadecimal if it contains anything but printable ASCII characters. No key does.
    return done.output[:-1].decode("utf-8", "replace")


def _place(service: str, username: str) -> Place:
    return Place(f"{service}:{username}", username)


def _require(done: _Ended) -> None:
    if done.code in _LOCKED:
        raise locked()
    if done.code != 0:
        raise unavailable(f"The keychain did not answer ('security' ended with code {done.code}).")


def _line(words: tuple[str, ...]) -> bytes:
    """Return a command for `security -i`. Between double quotes, only a quote and a backslash have a meaning."""
    quoted = [word.replace("\\", "\\\\").replace('"', '\\"') for word in words]
    line = " ".join(f'"{word}"' for word in quoted)
    # Anything else would be read back in another form. A newline would begin another command.
    if not (line.isascii() and line.isprintable() and len(line) <= _LINE_LIMIT):
        raise CustodyError(Code.KEYRING_UNAVAILABLE, "The macOS keychain can keep only a short line of ASCII text.")
    return line.encode("ascii") + b"\n"


def _run(program: Path | None, line: bytes, seconds: float) -> _Ended:
    """Run one command, and return its exit code and standard output. The deadline is `seconds` from now."""
    deadline = time.monotonic() + seconds
    # HOME determines which keychains are used. A client can set HOME, so it comes from the user database.
    environment = {"HOME": str(paths.account_home()), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}
    try:
        process = subprocess.Popen(  # noqa: S603  a program of the system
            [str(program or SECURITY), "-i"],
            env=environment,
            cwd="/",  # not the project, which may be our own working directory
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C must not stop it between two steps, and it must not ask at the terminal
        )
    except OSError:
        raise unavailable(f"The program '{SECURITY.as_posix()}', which reads the keychain, cannot be run.") from None
    with process:
        try:
            _give(cast("IO[bytes]", process.stdin), line)
            output = _output(cast("IO[bytes]", process.stdout), deadline)
            return _Ended(process.wait(max(0.0, deadline - time.monotonic())), output)
        except (TimeoutError, subprocess.TimeoutExpired):  # from None: the exception may contain output
            raise locked() from None
        finally:
            process.kill()  # it does nothing if the process has ended


def _give(stdin: IO[bytes], line: bytes) -> None:
    # The line fits into the pipe, so writing never waits. If the program has already ended, its exit code says why.
    with suppress(BrokenPipeError), stdin:
        stdin.write(line)


def _output(stdout: IO[bytes], deadline: float) -> bytes:
    """Read standard output to its end. Raises `TimeoutError` at the deadline."""
    output = b""
    with selectors.DefaultSelector() as ready:
        ready.register(stdout, selectors.EVENT_READ)
        while len(output) <= _OUTPUT_LIMIT:
            if not ready.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError
            read = os.read(stdout.fileno(), _OUTPUT_LIMIT)
            if not read:
                return output
            output += read
    raise unavailable("The keychain's answer is too long.")
