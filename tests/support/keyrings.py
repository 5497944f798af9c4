"""A real gnome-keyring on a private D-Bus that cannot reach the developer's own session.

Each `environment` contains only the variables that lead a program to the keyring: `DBUS_SESSION_BUS_ADDRESS`,
`XDG_RUNTIME_DIR`, and `DISPLAY` if there is a display. Merge it into a subprocess's environment, or pass it to
`SystemKeyring`.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.posix import unix_socket
from tests.support.program import OWN_KEYRINGS
from tests.support.requirements import require, require_real

PASSWORD = "the-keyring-password"
"""The password that unlocks the keyring's collection."""

_PATIENCE = 20.0

# Without a directory of services, the bus starts no program on demand: only the programs started here are on it.
_BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  {services}
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


class PrivateBus:
    """A separate D-Bus session; its socket is where programs look for it (`XDG_RUNTIME_DIR/bus`)."""

    def __init__(self, directory: Path, stack: ExitStack, *, display: str = "", services: bool = False) -> None:
        self.home = directory
        self.runtime = directory / "run"
        self.runtime.mkdir(mode=0o700)
        self.socket = self.runtime / "bus"
        self.environment = {
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={self.socket}",
            "XDG_RUNTIME_DIR": str(self.runtime),
        }
        if display:
            self.environment["DISPLAY"] = display
        self.stack = stack
        configuration = directory / "bus.conf"
        configuration.write_text(
            _BUS.format(socket=self.socket, services="<standard_session_servicedirs/>" if services else "")
        )
        self.start("dbus-daemon", f"--config-file={configuration}", "--nofork", "--nopidfile")
        wait_until(self._listens, "the bus is there")

    def _listens(self) -> bool:
        # The socket's file exists a moment before a program listens on it.
        with unix_socket() as probe:
            try:
                probe.connect(str(self.socket))
            except OSError:
                return False
        return True

    def start(self, program: str, *arguments: str, stdin: str = "") -> "subprocess.Popen[str]":
        """Start a program on this bus; it is stopped with the bus."""
        process = subprocess.Popen(
            [require(program), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.home),
                "XDG_DATA_HOME": str(self.home / "data"),
                "XDG_CONFIG_HOME": str(self.home / "config"),
                **self.environment,
            },
        )
        self.stack.callback(_stop, process)
        assert process.stdin is not None
        process.stdin.write(stdin)
        process.stdin.close()
        return process


class RealKeyring(PrivateBus):
    """A gnome-keyring with an unlocked default collection."""

    def __init__(self, directory: Path, stack: ExitStack, *, display: str = "") -> None:
        require("gnome-keyring-daemon")
        (directory / "data").mkdir()
        super().__init__(directory, stack, display=display, services=bool(display))
        self._daemon = self.start(
            "gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets", stdin=PASSWORD
        )
        wait_until(lambda: self._locked() is False, "the keyring is unlocked")

    def lock(self) -> None:
        """Lock the collection, which then needs its password."""
        import secretstorage

        with closing(self._connection()) as connection:
            secretstorage.Collection(connection).lock()
        assert self._locked() is True

    def unlocked(self) -> bool:
        """Return whether the collection exists and is unlocked."""
        return self._locked() is False

    def put(self, user: str, text: str) -> None:
        """Store an entry of the service `claude-secrets`, as `keyring` does; replaces one with the same user name."""
        import secretstorage

        attributes = {"service": "claude-secrets", "username": user, "application": "Python keyring library"}
        with closing(self._connection()) as connection:
            secretstorage.Collection(connection).create_item("planted", attributes, text.encode(), replace=True)

    def remove(self, user: str) -> None:
        """Remove the entry with that user name."""
        import secretstorage

        with closing(self._connection()) as connection:
            for item in secretstorage.Collection(connection).search_items({"username": user}):
                item.delete()

    def entries(self) -> dict[str, str]:
        """Return all entries of the service `claude-secrets`, by user name."""
        import secretstorage

        with closing(self._connection()) as connection:
            items = secretstorage.Collection(connection).search_items({"service": "claude-secrets"})
            return {item.get_attributes()["username"]: item.get_secret().decode() for item in items}

    def freeze(self) -> None:
        """Stop the daemon from answering, as an unanswered password dialog does."""
        self._daemon.send_signal(signal.Signals["SIGSTOP"])

    def thaw(self) -> None:
        """Let the daemon answer again, beginning with the requests that came while it was frozen."""
        self._daemon.send_signal(signal.Signals["SIGCONT"])

    def _connection(self) -> Any:
        from jeepney.io.blocking import open_dbus_connection  # type: ignore[import-untyped]  # it has no types

        return open_dbus_connection(self.environment["DBUS_SESSION_BUS_ADDRESS"])

    def _locked(self) -> bool | None:
        import secretstorage
        from jeepney.bus_messages import message_bus  # type: ignore[import-untyped]  # it has no types

        with closing(self._connection()) as connection:
            # Asking for the service before our daemon owns its name makes the bus start another daemon, which is
            # locked.
            owned = message_bus.NameHasOwner("org.freedesktop.secrets")
            if not connection.send_and_get_reply(owned, timeout=_PATIENCE).body[0]:
                return None
            try:
                return secretstorage.Collection(connection).is_locked()
            except secretstorage.SecretStorageException:
                return None


@contextmanager
def private_directory() -> Iterator[Path]:
    """Create a directory with a short path, because a socket's path cannot be long."""
    with tempfile.TemporaryDirectory(prefix="cs-", ignore_cleanup_errors=True) as directory:
        yield Path(directory)


@contextmanager
def real_keyring(*, display: str = "") -> Iterator[RealKeyring]:
    """Start an unlocked gnome-keyring on a bus of its own. `display` is an X display for its password dialog.

    On macOS and Windows this skips the running test: the program uses only the system's keyring there, and that is the
    developer's own.
    """
    if sys.platform in OWN_KEYRINGS:
        pytest.skip("this system has no private keyring, and tests do not use the developer's own")
    require("dbus-daemon")
    with private_directory() as directory, ExitStack() as stack:
        yield RealKeyring(directory, stack, display=display)


@contextmanager
def empty_bus() -> Iterator[PrivateBus]:
    """Start a bus without a keyring."""
    with private_directory() as directory, ExitStack() as stack:
        yield PrivateBus(directory, stack)


@contextmanager
def x_display() -> Iterator[str]:
    """Start an invisible X display and return its name."""
    require("Xvfb")
    read, write = os.pipe()
    with ExitStack() as stack:
        process = subprocess.Popen(
            # Without -noreset the display restarts when its last client leaves, and a client that comes then fails.
            ["Xvfb", "-noreset", "-displayfd", str(write), "-screen", "0", "1024x768x24", "-nolisten", "tcp"],
            pass_fds=[write],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        stack.callback(_stop, process)
        os.close(write)
        with open(read) as answer:  # noqa: PTH123  a pipe has no path
            number = answer.readline().strip()
        require_real(number, "an X display")
        yield f":{number}"


def wait_until(condition: Callable[[], object], what: str, *, patience: float = _PATIENCE) -> None:
    """Wait until `condition` holds, for at most `patience` seconds."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError(f"waited in vain until {what}")


def stripped(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the part of an environment that MCP clients pass on."""
    kept = ("HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER")
    return {name: value for name, value in environment.items() if name in kept}


def _stop(process: "subprocess.Popen[str] | subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.Signals["SIGCONT"])
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)
