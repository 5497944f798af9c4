"""Fixtures of all tests. Tests and the programs that they start never see the developer's home, session or keyring."""

import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from claude_secrets import paths
from claude_secrets.agent import client_records
from tests.support import keyrings
from tests.support.chromium import Browser
from tests.support.keyrings import x_display
from tests.support.machine import DEADLINE, Machine
from tests.support.program import bar_own_keyring
from tests.support.requirements import require
from tests.support.store_world import World

_REMOVED = (
    "DBUS_SESSION_BUS_ADDRESS",
    "CLAUDE_PROJECT_DIR",
    "CLAUDE_SECRETS_STORE",
    "CLAUDE_SECRETS_TRUST",
    "CLAUDECODE",
    "PYTHON_KEYRING_BACKEND",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "BROWSER",
)

bar_own_keyring()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rounds", type=int, default=20, help="how often tests/faults kills (200: also at every step)")


@pytest.fixture(scope="session", autouse=True)
def _no_signal_is_ignored() -> Iterator[None]:
    """Stop ignoring signals that `nohup` and background shells ignore, because programs of the tests inherit that."""
    before = []
    for name in ("SIGHUP", "SIGINT", "SIGQUIT"):
        number = getattr(signal, name, None)  # Windows has only SIGINT
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            usual = signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL
            before.append((number, signal.signal(number, usual)))
    yield
    for number, handler in before:
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def rounds(pytestconfig: pytest.Config) -> int:
    """The number of times that each test in tests/faults kills a process."""
    number = pytestconfig.getoption("--rounds")
    assert isinstance(number, int)
    return number


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The parent of each test's home directory, without a number: pytest would search thousands of them for one."""
    return tmp_path_factory.mktemp("people", numbered=False)


@pytest.fixture(autouse=True)
def _isolated(people: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    person = Path(tempfile.mkdtemp(dir=people))
    for name in ("HOME", "USERPROFILE", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"):
        directory = person / name.lower()
        directory.mkdir(mode=0o700)
        monkeypatch.setenv(name, str(directory))
    monkeypatch.setattr(paths, "account_home", lambda: person / "home")
    monkeypatch.setattr(client_records, "directory", lambda: person / "clients")
    for name in _REMOVED:
        # Set it first, so that pytest removes it at the end even if the program under test has set it.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A store with its key in a file, and projects and agents that use the store in this process."""
    world = World(tmp_path)
    yield world
    world.close()


@pytest.fixture
def bare_machine(tmp_path: Path) -> Machine:
    """One person's machine with the whole program, and no store yet."""
    return Machine(tmp_path)


@pytest.fixture
def machine(bare_machine: Machine) -> Machine:
    """One person's machine with the whole program, and a store with its key in a file."""
    return bare_machine.use_key_file()


@pytest.fixture(scope="module")
def shared_machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine like `machine` that all tests of a file share."""
    return Machine(tmp_path_factory.mktemp("machine")).use_key_file()


@pytest.fixture(scope="session")
def _forked_program() -> Iterator[object]:
    if sys.platform == "win32":
        yield None
    else:
        from tests.support.forked_program import ForkedProgram

        with ForkedProgram(DEADLINE) as program:
            yield program


@pytest.fixture(scope="module")
def quick_starts(_forked_program: object) -> Iterator[None]:
    """Let machines fork their commands and servers in this file, whose tests are not about how a process starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Machine, "forked", _forked_program)
        yield


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """The name of a real X display that all tests of a file share."""
    with x_display() as name:
        yield name


@pytest.fixture(scope="module")
def keyring() -> Iterator[keyrings.RealKeyring]:
    """A keyring like `keyring_session` that all tests of a file share."""
    with keyrings.real_keyring() as keyring:
        yield keyring


@pytest.fixture
def keyring_session() -> Iterator[keyrings.RealKeyring]:
    """A real, unlocked gnome-keyring on its own bus, which tests can read, lock and freeze."""
    with keyrings.real_keyring() as keyring:
        yield keyring


@pytest.fixture
def unlocked_keyring(keyring_session: keyrings.RealKeyring) -> dict[str, str]:
    """The environment that leads to a real, unlocked keyring."""
    return dict(keyring_session.environment)


@pytest.fixture
def locked_keyring(keyring_session: keyrings.RealKeyring) -> dict[str, str]:
    """The environment that leads to a real, locked keyring, with no display for its password dialog."""
    keyring_session.lock()
    return dict(keyring_session.environment)


@pytest.fixture
def absent_keyring(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a machine without a session bus, even if the developer's own has one."""
    return {"XDG_RUNTIME_DIR": str(tmp_path_factory.mktemp("no-session"))}


@pytest.fixture
def empty_bus() -> Iterator[dict[str, str]]:
    """The environment that leads to a session bus with no keyring on it."""
    with keyrings.empty_bus() as bus:
        yield dict(bus.environment)


@pytest.fixture
def browser(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    """A real Chromium with its own home."""
    return Browser(require("chromium"), tmp_path_factory.mktemp("browser"))
