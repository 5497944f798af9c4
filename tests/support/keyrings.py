"""A real gnome-keyring on a private D-Bus, with nothing of the developer's own session in reach.

`environment` of each holds only what leads a program to it (`DBUS_SESSION_BUS_ADDRESS`, `XDG_RUNTIME_DIR`, and
`DISPLAY` where there is a display), to be laid over the environment of a subprocess or given to `SystemKeyring`.
"""

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from tests.support.requirements import require, require_real

PASSWORD = "the-keyring-password"
"""What unlocks the keyring's collection."""

_PATIENCE = 20.0

# No directory of services: what is not started here is not on the bus, and nothing is started on demand.
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
    """A D-Bus session of its own; its socket stands where programs look for it (`XDG_RUNTIME_DIR/bus`)."""

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
        # The socket's file is there a moment before anyone listens.
        with socket.socket(socket.AF_UNIX) as probe:
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
        """Lock the collection: from now on its password is needed."""
        import secretstorage

        with closing(self._connection()) as connection:
            secretstorage.Collection(connection).lock()
        assert self._locked() is True

    def unlocked(self) -> bool:
        """Whether the collection is there and unlocked."""
        return self._locked() is False

    def put(self, user: str, text: str) -> None:
        """Put an entry of the service `claude-secrets` there, as keyring would, over any other of that user name."""
        import secretstorage

        attributes = {"service": "claude-secrets", "username": user, "application": "Python keyring library"}
        with closing(self._connection()) as connection:
            secretstorage.Collection(connection).create_item("planted", attributes, text.encode(), replace=True)

    def remove(self, user: str) -> None:
        """Remove the entry of that user name."""
        import secretstorage

        with closing(self._connection()) as connection:
            for item in secretstorage.Collection(connection).search_items({"username": user}):
                item.delete()

    def entries(self) -> dict[str, str]:
        """All entries of the service `claude-secrets`: user name to text."""
        import secretstorage

        with closing(self._connection()) as connection:
            items = secretstorage.Collection(connection).search_items({"service": "claude-secrets"})
            return {item.get_attributes()["username"]: item.get_secret().decode() for item in items}

    def freeze(self) -> None:
        """Stop the daemon from answering, as a password dialog that nobody answers does."""
        self._daemon.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the daemon answer again, what was asked meanwhile first."""
        self._daemon.send_signal(signal.SIGCONT)

    def _connection(self) -> Any:
        from jeepney.io.blocking import open_dbus_connection  # type: ignore[import-untyped]  # it ships none

        return open_dbus_connection(self.environment["DBUS_SESSION_BUS_ADDRESS"])

    def _locked(self) -> bool | None:
        import secretstorage
        from jeepney.bus_messages import message_bus  # type: ignore[import-untyped]  # it ships none

        with closing(self._connection()) as connection:
            # Whoever asks for the name before our daemon has it makes the bus start another daemon, a locked one.
            owned = message_bus.NameHasOwner("org.freedesktop.secrets")
            if not connection.send_and_get_reply(owned, timeout=_PATIENCE).body[0]:
                return None
            try:
                return secretstorage.Collection(connection).is_locked()
            except secretstorage.SecretStorageException:
                return None


@contextmanager
def private_directory() -> Iterator[Path]:
    """A directory with a short path: sockets may have no long ones."""
    with tempfile.TemporaryDirectory(prefix="cs-", ignore_cleanup_errors=True) as directory:
        yield Path(directory)


@contextmanager
def real_keyring(*, display: str = "") -> Iterator[RealKeyring]:
    """A gnome-keyring, unlocked, on a bus of its own. `display`: an X display for its password dialog."""
    require("dbus-daemon")
    with private_directory() as directory, ExitStack() as stack:
        yield RealKeyring(directory, stack, display=display)


@contextmanager
def empty_bus() -> Iterator[PrivateBus]:
    """A bus with no keyring on it."""
    with private_directory() as directory, ExitStack() as stack:
        yield PrivateBus(directory, stack)


@contextmanager
def x_display() -> Iterator[str]:
    """The name of an X display that nobody sees."""
    require("Xvfb")
    read, write = os.pipe()
    with ExitStack() as stack:
        process = subprocess.Popen(
            # Without -noreset it starts afresh whenever its last client leaves, and a client arriving then fails.
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
    """Wait for a real part to get somewhere, for `patience` seconds at most."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError(f"waited in vain until {what}")


def stripped(environment: Mapping[str, str]) -> dict[str, str]:
    """What MCP clients leave of an environment."""
    kept = ("HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER")
    return {name: value for name, value in environment.items() if name in kept}


def _stop(process: "subprocess.Popen[str] | subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGCONT)
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)
