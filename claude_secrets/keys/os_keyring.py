"""The operating system's keyring: choose the backend, find the session bus, read and write entries with a deadline.

Always: this module imports only the `keyring` package's own backends for this platform, never code that the environment
or the package's configuration names. No caller waits longer than the deadline. Callers never see an exception of a
backend. The `keyring` package is imported at the first access to the keyring. On macOS, `mac_keychain` replaces the
package. On other systems, the module starts no process.
"""

import importlib
import os
import stat
import sys
from collections.abc import Callable, Mapping, MutableMapping
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any, Final, Protocol, TypeVar, cast
from urllib.parse import quote

from claude_secrets.errors import Code, CustodyError
from claude_secrets.keys import mac_keychain
from claude_secrets.paths import command
from claude_secrets.surroundings import Surroundings, surroundings

_T = TypeVar("_T")

SERVICE: Final = "claude-secrets"
"""The service name of the keyring entries."""

DEADLINE_WITH_DISPLAY: Final = 45.0
"""Seconds to wait for the keyring if a person can answer its password dialog."""

DEADLINE_WITHOUT_DISPLAY: Final = 3.0
"""Seconds to wait for the keyring if nobody is likely to answer a password dialog."""

# keyring's own backends that store entries permanently, with their usual names; the first backend is the default.
# keyring's null, fail and chainer backends are left out; plaintext backends come from other packages.
_SECRET_SERVICE: Final[Mapping[str, str]] = {
    "keyring.backends.SecretService.Keyring": "Secret Service",
    "keyring.backends.libsecret.Keyring": "Secret Service (libsecret)",
    "keyring.backends.kwallet.DBusKeyring": "KWallet",
}
_BACKENDS: Final[Mapping[str, Mapping[str, str]]] = {
    "darwin": {"keyring.backends.macOS.Keyring": "macOS Keychain"},
    "win32": {"keyring.backends.Windows.WinVaultKeyring": "Windows Credential Manager"},
}

_START_IT: Final = "Start the desktop's keyring (on Linux: GNOME Keyring, KWallet or KeePassXC), then try again."


class _Backend(Protocol):
    """The methods of keyring's `KeyringBackend` that this module calls."""

    def get_password(self, service: str, username: str) -> str | None: ...
    def set_password(self, service: str, username: str, password: str) -> None: ...
    def delete_password(self, service: str, username: str) -> None: ...


class SystemKeyring:
    """The operating system's keyring. Each entry contains one short text.

    These variables of `environment` determine the keyring: `DBUS_SESSION_BUS_ADDRESS`, `XDG_RUNTIME_DIR`, `DISPLAY`,
    `WAYLAND_DISPLAY` and `PYTHON_KEYRING_BACKEND`. If the bus address is missing, the bus's socket is looked for in
    `XDG_RUNTIME_DIR` or else in `runtime_directory` (by default `/run/user/UID`), and the address is added to
    `environment`. `deadline`, in seconds, replaces the usual deadlines. `security` replaces the program that reads the
    macOS keychain. Use an instance in one thread only.
    """

    def __init__(
        self,
        environment: MutableMapping[str, str],
        platform: str,
        *,
        deadline: float | None = None,
        runtime_directory: Path | None = None,
        security: Path | None = None,
    ) -> None:
        self._environment = environment
        self._platform = platform
        self._deadline = deadline
        self._runtime_directory = runtime_directory
        self._security = security
        self._backend: _Backend | None = None
        self._blocked: Thread | None = None

    @property
    def name(self) -> str:
        """The keyring's usual name, such as "macOS Keychain"."""
        own = self._own_backends()
        return own.get(self._wanted(), next(iter(own.values())))

    def read(self, entry: str) -> str | None:
        """Return the text of `entry`, or None if there is no such entry.

        Raises:
            CustodyError: KEYRING_LOCKED, KEYRING_UNAVAILABLE.
        """
        place = self._place(entry)
        return self._ask(lambda backend, _: backend.get_password(*place))

    def create(self, entry: str, text: str) -> None:
        """Write a new entry and check it by reading. An existing entry is not changed.

        Raises:
            CustodyError: KEYRING_LOCKED; KEYRING_UNAVAILABLE, also if the entry exists or the keyring did not keep it.
        """
        place = self._place(entry)

        def write(backend: _Backend, answer: "Future[None]") -> None:
            # Read first: the read, not the write, makes the keyring ask for its password. If the person answers too
            # late, nothing is written.
            if backend.get_password(*place) is not None:
                raise self._unavailable("The system's keyring already has an entry with this name.")
            if answer.cancelled():
                return
            backend.set_password(*place, text)
            # Read the entry back: some backends drop writes silently.
            kept = backend.get_password(*place) == text
            if answer.cancelled():
                backend.delete_password(*place)
            elif not kept:
                raise self._unavailable("The system's keyring accepted a key but did not keep it.")

        self._ask(write)

    def delete(self, entry: str) -> None:
        """Delete `entry`.

        Raises:
            CustodyError: KEYRING_LOCKED; KEYRING_UNAVAILABLE, also if there is no such entry.
        """
        place = self._place(entry)
        self._ask(lambda backend, _: backend.delete_password(*place))

    def _ask(self, action: Callable[[_Backend, "Future[_T]"], _T]) -> _T:
        try:
            return self._answer(action)
        except CustodyError as error:
            if error.hint != _START_IT:
                raise
            raise error.with_hint(way_to_keyring(surroundings(self._environment))) from None

    def _answer(self, action: Callable[[_Backend, "Future[_T]"], _T]) -> _T:
        """Run `action` on a daemon thread, so that a hanging keyring cannot block the caller or the exit."""
        if self._blocked is not None and self._blocked.is_alive():
            raise self._locked()
        backend = self._open()
        answer: Future[_T] = Future()
        thread = Thread(target=_work, args=(action, backend, answer), name="keyring", daemon=True)
        thread.start()
        try:
            return answer.result(self._patience())
        except TimeoutError:
            if not answer.cancel():  # the answer came at the last moment
                return answer.result()
        except KeyboardInterrupt:
            answer.cancel()  # otherwise the thread could still write the entry
            raise
        self._blocked = thread
        raise self._locked()

    def _locked(self) -> CustodyError:
        return mac_keychain.locked() if self._platform == "darwin" else _locked()

    def _unavailable(self, message: str) -> CustodyError:
        return mac_keychain.unavailable(message) if self._platform == "darwin" else _unavailable(message)

    def _patience(self) -> float:
        if self._deadline is not None:
            return self._deadline
        display = self._environment.get("DISPLAY") or self._environment.get("WAYLAND_DISPLAY")
        return DEADLINE_WITH_DISPLAY if display or self._platform in _BACKENDS else DEADLINE_WITHOUT_DISPLAY

    def _place(self, entry: str) -> tuple[str, str]:
        # Windows finds an entry only by its service name. To store another user name for a service, keyring first moves
        # the existing entry, and two processes that do this at once can lose an entry. So each entry on Windows gets
        # its own service name.
        return (f"{SERVICE}:{entry}" if self._platform == "win32" else SERVICE, entry)

    def _own_backends(self) -> Mapping[str, str]:
        return _BACKENDS.get(self._platform, _SECRET_SERVICE)

    def _wanted(self) -> str:
        return self._environment.get("PYTHON_KEYRING_BACKEND") or next(iter(self._own_backends()))

    def _open(self) -> _Backend:
        wanted = self._wanted()
        if wanted not in self._own_backends():
            raise CustodyError(
                Code.KEYRING_UNAVAILABLE,
                "PYTHON_KEYRING_BACKEND names a keyring that Claude Secrets does not support on this system.",
                "Unset PYTHON_KEYRING_BACKEND. Claude Secrets then uses the system's own keyring.",
            )
        if self._platform not in _BACKENDS:
            self._find_session_bus()
        if self._backend is None:
            # Of the keyring package's backends, macOS would ask the person again for each Python build.
            on_mac = self._platform == "darwin"
            self._backend = mac_keychain.Keychain(self._security) if on_mac else _load(wanted)
        return self._backend

    def _find_session_bus(self) -> None:
        """Set the session bus's address in `os.environ`, because keyring reads the address there."""
        address = self._environment.get("DBUS_SESSION_BUS_ADDRESS")
        if not address:
            directory = self._usual_runtime_directory()
            bus = directory / "bus"
            if not _is_own_socket(bus):
                raise _unavailable("The system's keyring cannot be reached: there is no D-Bus session here.")
            address = f"unix:path={quote(bus.as_posix())}"
            self._environment["DBUS_SESSION_BUS_ADDRESS"] = address
            self._environment["XDG_RUNTIME_DIR"] = str(directory)
        os.environ["DBUS_SESSION_BUS_ADDRESS"] = address

    def _usual_runtime_directory(self) -> Path:
        told = self._environment.get("XDG_RUNTIME_DIR")
        return Path(told) if told else self._runtime_directory or Path(f"/run/user/{_user()}")


def _load(wanted: str) -> _Backend:
    module, _, name = wanted.rpartition(".")
    try:
        backend_class: Any = getattr(importlib.import_module(module), name)
        # keyring lets variables KEYRING_PROPERTY_* replace any attribute of a backend, also its methods and collection.
        # A project could set these variables through a client's configuration.
        settled = type(name, (backend_class,), {"set_properties_from_env": lambda _: None})
        return cast("_Backend", settled())
    except Exception:  # noqa: BLE001  a backend's import and construction may fail with anything
        raise _unavailable("This Python installation cannot use the system's keyring.") from None


def _work(action: Callable[[_Backend, "Future[_T]"], _T], backend: _Backend, answer: "Future[_T]") -> None:
    with suppress(InvalidStateError):  # the deadline has passed, so nobody waits for the answer
        try:
            result = action(backend, answer)
        except Exception as error:  # noqa: BLE001  backends raise D-Bus, socket and Windows errors besides keyring's
            answer.set_exception(_translated(error))
        else:
            answer.set_result(result)


def _translated(error: Exception) -> CustodyError:
    if isinstance(error, CustodyError):
        return error
    from keyring.errors import KeyringLocked

    return _locked() if isinstance(error, KeyringLocked) else _unavailable("The system's keyring does not answer.")


def _user() -> int:
    if sys.platform == "win32":  # it has no session bus
        return -1
    else:
        return os.getuid()


def _is_own_socket(path: Path) -> bool:
    try:
        status = path.lstat()
    except OSError:  # the socket does not exist, or we may not inspect it
        return False
    return stat.S_ISSOCK(status.st_mode) and status.st_uid == _user()


def _locked() -> CustodyError:
    return CustodyError(
        Code.KEYRING_LOCKED,
        "The system's keyring is locked.",
        "Unlock the keyring (log in to the desktop, or answer the keyring's password dialog), then try again.",
    )


def _unavailable(message: str) -> CustodyError:
    return CustodyError(Code.KEYRING_UNAVAILABLE, message, _START_IT)


def way_to_keyring(here: Surroundings) -> str:
    """Return the hint for a keyring that cannot be used. `here` is where this process runs."""
    if here is Surroundings.SSH:
        return (
            "Over SSH, a keyring works only while you are logged in to this machine's desktop. To open the store "
            f"without a keyring, run this command on the desktop: {command()} key add-file PATH."
        )
    if here.is_container:
        return (
            "A container usually has no keyring. If the store's key is in the host's keyring, run this command on the "
            f"host, and mount the key file: {command()} key add-file PATH."
        )
    return _START_IT
