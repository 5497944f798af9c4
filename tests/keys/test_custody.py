"""Custody of the key: one contract for both kinds of slot, real keyrings in every state, hostile environments."""

import json
import os
import shutil
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Protocol

import pytest

from claude_secrets.errors import CallerError, Code, CustodyError
from claude_secrets.keys import os_keyring
from claude_secrets.keys.cipher import DataKey, StoreIdentity, wrap
from claude_secrets.keys.custody import KEY_FILE_VARIABLE, Custody
from claude_secrets.keys.os_keyring import SystemKeyring
from claude_secrets.keys.slot import Slot
from claude_secrets.surroundings import Surroundings
from tests.support import keyrings
from tests.support.keyrings import RealKeyring, stripped, wait_until
from tests.support.posix import give_away, is_root, make_pipe
from tests.support.requirements import require, require_real

STORE = "00112233445566778899aabbccddeeff"
IDENTITY = StoreIdentity(STORE, 1)
OTHER_STORE = "ffeeddccbbaa99887766554433221100"
CANARY = "planted-canary-5e1f"

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="modes and owners are POSIX's")


def custody_of(environment: Mapping[str, str], **more: object) -> Custody:
    settings: dict[str, object] = {"deadline": 10.0, **more}
    return Custody(keyring=SystemKeyring(dict(environment), "linux", **settings))  # type: ignore[arg-type]


def failure_of(custody: Custody, slot: Slot, identity: StoreIdentity = IDENTITY) -> CustodyError:
    with pytest.raises(CustodyError) as caught:
        custody.unlock(identity, [slot])
    return caught.value


def everything_said(error: BaseException | None) -> str:
    """Return all text that an error and the errors in its chain could show."""
    said = []
    while error is not None:
        said += [repr(error), str(error), repr(error.args), repr(vars(error)), *traceback.format_exception(error)]
        error = error.__cause__ or error.__context__
    return "\n".join(said)


class KeyPlace(Protocol):
    """Access from outside to the master keys of one kind of slot."""

    def custody(self) -> Custody: ...
    def make(self, store_id: str, data_key: DataKey) -> Slot: ...
    def text(self, store_id: str, slot: Slot) -> str | None: ...
    def put(self, store_id: str, slot: Slot, text: str) -> None: ...
    def remove(self, store_id: str, slot: Slot) -> None: ...
    def environment(self) -> dict[str, str]: ...


class KeyringPlace:
    def __init__(self, keyring: RealKeyring) -> None:
        self.keyring = keyring

    def custody(self) -> Custody:
        return custody_of(self.keyring.environment)

    def make(self, store_id: str, data_key: DataKey) -> Slot:
        return self.custody().new_keyring_slot(store_id, data_key).place_key()

    def text(self, store_id: str, slot: Slot) -> str | None:
        return self.keyring.entries().get(f"{store_id}.{slot.slot_id}")

    def put(self, store_id: str, slot: Slot, text: str) -> None:
        self.keyring.put(f"{store_id}.{slot.slot_id}", text)

    def remove(self, store_id: str, slot: Slot) -> None:
        self.keyring.remove(f"{store_id}.{slot.slot_id}")

    def environment(self) -> dict[str, str]:
        return self.keyring.environment


class FilePlace:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.made = 0

    def custody(self) -> Custody:
        return custody_of({})

    def make(self, store_id: str, data_key: DataKey) -> Slot:
        self.made += 1
        path = self.directory / f"key-{self.made}"
        return (
            self.custody()
            .new_file_slot(store_id, data_key, path, store=self.directory / "data" / "secrets.db")
            .place_key()
        )

    def text(self, store_id: str, slot: Slot) -> str | None:
        path = self._path(slot)
        return path.read_text() if path.exists() else None

    def put(self, store_id: str, slot: Slot, text: str) -> None:
        self._path(slot).write_text(text)

    def remove(self, store_id: str, slot: Slot) -> None:
        self._path(slot).unlink()

    def environment(self) -> dict[str, str]:
        return {}

    def _path(self, slot: Slot) -> Path:
        assert slot.key_file is not None
        return slot.key_file


class SlotContract:
    """The tests that every kind of slot must pass."""

    def test_a_new_process_unwraps_the_data_key(self, place: KeyPlace) -> None:
        data_key = DataKey.generate()
        slot = place.make(STORE, data_key)
        assert unlocked_elsewhere(slot, place.environment()) == data_key.secret.hex()

    def test_two_slots_of_one_store_have_keys_of_their_own_and_open_alike(self, place: KeyPlace) -> None:
        data_key = DataKey.generate()
        one, other = place.make(STORE, data_key), place.make(STORE, data_key)
        assert one.slot_id != other.slot_id
        assert place.text(STORE, one) != place.text(STORE, other)
        for slot in (one, other):
            opened = place.custody().unlock(IDENTITY, [slot])
            assert (opened.secret, opened.generation) == (data_key.secret, 1)

    def test_a_key_that_is_gone_is_missing(self, place: KeyPlace) -> None:
        slot = place.make(STORE, DataKey.generate())
        place.remove(STORE, slot)
        error = failure_of(place.custody(), slot)
        assert error.code is Code.KEY_MISSING
        assert error.hint

    def test_another_key_is_the_wrong_key(self, place: KeyPlace) -> None:
        slot, other = (place.make(STORE, DataKey.generate()) for _ in range(2))
        foreign = place.text(STORE, other)
        assert foreign is not None
        place.put(STORE, slot, foreign)
        error = failure_of(place.custody(), slot)
        assert error.code is Code.KEY_WRONG
        assert error.hint

    @pytest.mark.parametrize("text", [CANARY, CANARY + "=" * 25, CANARY + "é☃", "x" + CANARY * 1000], ids=range(4))
    def test_what_is_no_key_is_the_wrong_key_and_is_not_repeated(self, place: KeyPlace, text: str) -> None:
        slot = place.make(STORE, DataKey.generate())
        place.put(STORE, slot, text)
        error = failure_of(place.custody(), slot)
        assert error.code is Code.KEY_WRONG
        assert CANARY not in everything_said(error)

    def test_a_truncated_key_is_the_wrong_key(self, place: KeyPlace) -> None:
        slot = place.make(STORE, DataKey.generate())
        whole = place.text(STORE, slot)
        assert whole is not None
        for length in (43, 20, 0):
            place.put(STORE, slot, whole[:length])
            error = failure_of(place.custody(), slot)
            assert error.code is Code.KEY_WRONG
            assert length == 0 or whole[:length] not in everything_said(error)

    def test_a_slot_changed_in_the_store_does_not_open(self, place: KeyPlace) -> None:
        slot = place.make(STORE, DataKey.generate())
        changed = Slot(slot.slot_id, slot.kind, slot.params, slot.wrapped[:-1] + b"A")
        assert failure_of(place.custody(), changed).code is Code.KEY_WRONG

    def test_a_slot_of_another_store_does_not_open_even_with_its_own_key(self, place: KeyPlace) -> None:
        slot = place.make(OTHER_STORE, DataKey.generate())
        key = place.text(OTHER_STORE, slot)
        assert key is not None
        place.put(STORE, slot, key)
        error = failure_of(place.custody(), slot)
        assert (error.code, "another store" in error.message) == (Code.KEY_WRONG, True)

    def test_a_slot_under_another_id_does_not_open(self, place: KeyPlace) -> None:
        slot = place.make(STORE, DataKey.generate())
        key = place.text(STORE, slot)
        renamed = Slot("0123456789abcdef", slot.kind, slot.params, slot.wrapped)
        assert key is not None
        place.put(STORE, renamed, key)
        assert failure_of(place.custody(), renamed).code is Code.KEY_WRONG

    def test_discarding_a_slot_removes_its_key_and_no_other(self, place: KeyPlace) -> None:
        slot, other = (place.make(STORE, DataKey.generate()) for _ in range(2))
        place.custody().take_away(IDENTITY, slot)
        assert place.text(STORE, slot) is None
        assert place.text(STORE, other) is not None
        place.custody().take_away(IDENTITY, slot)  # a second call does nothing

    def test_neither_key_appears_in_the_slot(self, place: KeyPlace) -> None:
        data_key = DataKey.generate()
        slot = place.make(STORE, data_key)
        key = place.text(STORE, slot)
        assert key is not None
        shown = repr(slot) + slot.params + slot.wrapped.decode()
        assert key.strip() not in shown
        assert data_key.secret.hex() not in shown
        assert slot.wrapped.decode() not in repr(slot)


class TestKeyringSlot(SlotContract):
    @pytest.fixture
    def place(self, keyring_session: RealKeyring) -> KeyPlace:
        return KeyringPlace(keyring_session)


class TestFileSlot(SlotContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> KeyPlace:
        return FilePlace(tmp_path)


PROBE = """
import json, sys
from claude_secrets.keys.custody import Custody
from claude_secrets.keys.slot import Slot
from claude_secrets.surroundings import Surroundings
from claude_secrets.keys import os_keyring
from claude_secrets.keys.cipher import DataKey, StoreIdentity
from claude_secrets.errors import CustodyError
store, action, slot = json.loads(sys.argv[1])
try:
    if action == "unlock":
        slot[3] = slot[3].encode()
        print(Custody().unlock(StoreIdentity(store, 1), [Slot(*slot)]).secret.hex())
    else:
        slot = Custody().new_keyring_slot(store, DataKey.generate()).place_key()
        print("made", slot.slot_id)
except CustodyError as error:
    print(error.code, error.hint)
"""


def probe(action: str, environment: Mapping[str, str], *, slot: Slot | None = None, **run: object) -> str:
    """Return what custody with default settings answers in a separate process."""
    fields = [slot.slot_id, slot.kind, slot.params, slot.wrapped.decode()] if slot else None
    arguments = json.dumps([STORE, action, fields])
    options: dict[str, object] = {"command": [sys.executable, "-c", PROBE, arguments], "cwd": None, **run}
    done = subprocess.run(
        options["command"],  # type: ignore[call-overload]
        cwd=options["cwd"],
        env={**stripped(os.environ), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return str(done.stdout).strip()


def unlocked_elsewhere(slot: Slot, environment: Mapping[str, str]) -> str:
    return probe("unlock", environment, slot=slot)


class TestKeyringStates:
    def test_a_locked_keyring_without_a_display_says_so(self, keyring_session: RealKeyring) -> None:
        custody = custody_of(keyring_session.environment)
        slot = custody.new_keyring_slot(STORE, DataKey.generate()).place_key()
        keyring_session.lock()
        for _ in range(2):
            error = failure_of(custody, slot)
            assert error.code is Code.KEYRING_LOCKED
            assert "Unlock the keyring" in str(error.hint)
        # The keyring itself reported the lock, not the deadline: no thread is still waiting.
        assert keyring_threads() == []
        status = custody.keyring_status()
        assert (status.ok, status.code) == (False, Code.KEYRING_LOCKED)

    def test_a_locked_keyring_gets_no_new_key(self, keyring_session: RealKeyring) -> None:
        before = keyring_session.entries()
        keyring_session.lock()
        with pytest.raises(CustodyError) as caught:
            custody_of(keyring_session.environment).new_keyring_slot(STORE, DataKey.generate()).place_key()
        assert caught.value.code is Code.KEYRING_LOCKED
        assert keyring_session.entries() == before == {}

    def test_without_a_session_bus_the_hint_names_the_command_that_chooses_a_key_file(
        self, absent_keyring: dict[str, str]
    ) -> None:
        with pytest.raises(CustodyError) as caught:
            custody_of(absent_keyring).new_keyring_slot(STORE, DataKey.generate()).place_key()
        assert caught.value.code is Code.KEYRING_UNAVAILABLE
        assert "init --key-file PATH" in str(caught.value.hint)

    @pytest.mark.parametrize("here", list(Surroundings))
    def test_the_hint_fits_the_place_of_the_process(
        self, absent_keyring: dict[str, str], here: Surroundings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os_keyring, "surroundings", lambda _environment: here)
        error = failure_of(custody_of(absent_keyring), Slot("s", "keyring", "{}", b""))
        hint = str(error.hint)
        assert error.code is Code.KEYRING_UNAVAILABLE
        assert hint.startswith(os_keyring.way_to_keyring(here))
        assert ("Start the desktop's keyring" in hint) is (here is Surroundings.PLAIN)
        assert ("Over SSH" in hint) is (here is Surroundings.SSH)
        assert ("A container" in hint) is here.is_container
        assert ("key add-file PATH" in hint) is (here is not Surroundings.PLAIN)

    @pytest.mark.parametrize(
        "address",
        ["unix:path=/nowhere/bus", "unixexec:path=/bin/true", "autolaunch:", "tcp:host=127.0.0.1", "nonsense"],
    )
    def test_a_bus_address_that_leads_nowhere_is_an_unavailable_keyring(self, address: str) -> None:
        slot = Slot("s", "keyring", "{}", b"")
        assert failure_of(custody_of({"DBUS_SESSION_BUS_ADDRESS": address}), slot).code is Code.KEYRING_UNAVAILABLE

    def test_a_bus_with_no_keyring_on_it_is_an_unavailable_keyring(self, empty_bus: dict[str, str]) -> None:
        custody = custody_of(empty_bus)
        assert failure_of(custody, Slot("s", "keyring", "{}", b"")).code is Code.KEYRING_UNAVAILABLE
        with pytest.raises(CustodyError) as caught:
            custody.new_keyring_slot(STORE, DataKey.generate()).place_key()
        assert caught.value.code is Code.KEYRING_UNAVAILABLE

    def test_a_store_whose_keyring_is_gone_is_not_told_to_make_a_new_key(self, absent_keyring: dict[str, str]) -> None:
        error = failure_of(custody_of(absent_keyring), Slot("s", "keyring", "{}", b""))
        assert error.code is Code.KEYRING_UNAVAILABLE
        assert "--key-file" not in str(error.hint)

    def test_looking_at_the_keyring_writes_nothing(self, keyring_session: RealKeyring) -> None:
        status = custody_of(keyring_session.environment).keyring_status()
        assert (status.ok, status.name, status.code, status.hint) == (True, "Secret Service", None, None)
        assert keyring_session.entries() == {}


def keyring_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "keyring"]


class TestDeadline:
    def test_a_keyring_that_does_not_answer_counts_as_locked_and_is_asked_once_only(
        self, keyring_session: RealKeyring
    ) -> None:
        environment = keyring_session.environment
        slot = custody_of(environment).new_keyring_slot(STORE, DataKey.generate()).place_key()
        keyring = SystemKeyring(dict(environment), "linux", deadline=0.3)
        custody = Custody(keyring=keyring)
        keyring_session.freeze()
        assert failure_of(custody, slot).code is Code.KEYRING_LOCKED
        [waiting] = keyring_threads()
        keyring._deadline = 3600.0  # the next call must fail at once, without waiting
        assert failure_of(custody, slot).code is Code.KEYRING_LOCKED
        assert keyring_threads() == [waiting]
        keyring_session.thaw()
        waiting.join(20)
        assert custody.unlock(IDENTITY, [slot]).generation == 1

    def test_a_late_answer_makes_no_key(self, keyring_session: RealKeyring) -> None:
        keyring_session.freeze()
        with pytest.raises(CustodyError) as caught:
            custody_of(keyring_session.environment, deadline=0.3).new_keyring_slot(
                STORE, DataKey.generate()
            ).place_key()
        assert caught.value.code is Code.KEYRING_LOCKED
        [waiting] = keyring_threads()
        keyring_session.thaw()
        waiting.join(20)
        assert not waiting.is_alive()
        assert keyring_session.entries() == {}

    def test_a_process_ends_while_the_keyring_still_does_not_answer(self, keyring_session: RealKeyring) -> None:
        keyring_session.freeze()
        said = probe("make", keyring_session.environment)  # the short default deadline: there is no display
        assert said.startswith("KEYRING_LOCKED")

    def test_a_display_lets_a_person_answer(self) -> None:
        def patience(platform: str, **environment: str) -> float:
            return SystemKeyring(environment, platform)._patience()

        assert patience("linux") == patience("linux", DISPLAY="") == 3.0
        assert patience("linux", DISPLAY=":0") == patience("linux", WAYLAND_DISPLAY="wayland-0") == 45.0
        assert patience("darwin") == patience("win32") == 45.0

    def test_the_password_typed_into_the_keyrings_own_dialog_after_the_deadline_helps_the_next_call(self) -> None:
        xdotool = require("xdotool")
        with keyrings.x_display() as display, keyrings.real_keyring(display=display) as session:
            data_key = DataKey.generate()
            slot = custody_of(session.environment).new_keyring_slot(STORE, data_key).place_key()
            session.lock()
            custody = custody_of(session.environment, deadline=2.0)
            assert failure_of(custody, slot).code is Code.KEYRING_LOCKED
            [waiting] = keyring_threads()  # the dialog is open
            type_password(xdotool, session)
            waiting.join(20)
            assert custody.unlock(IDENTITY, [slot]).secret == data_key.secret


def type_password(xdotool: str, session: RealKeyring) -> None:
    def do(*arguments: str) -> str:
        done = subprocess.run(
            [xdotool, *arguments],
            env={"PATH": os.environ["PATH"], **session.environment},
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        return done.stdout.strip()

    def dialog() -> str:
        return (do("search", "--onlyvisible", "--class", "gcr-prompter").splitlines() or [""])[-1]

    def answered() -> bool:
        if window := dialog():
            do("windowfocus", "--sync", window)
            do("key", "ctrl+a")  # replaces text of an earlier attempt that the dialog may have missed
            do("type", "--delay", "50", keyrings.PASSWORD)
            do("key", "Return")
        try:
            wait_until(session.unlocked, "the keyring is unlocked", patience=2.0)
        except AssertionError:
            return False
        return True

    wait_until(answered, "the dialog takes the password")


class TestStrippedEnvironment:
    def test_the_session_bus_is_found_by_its_usual_socket(self, keyring_session: RealKeyring) -> None:
        environment: dict[str, str] = {}
        keyring = SystemKeyring(environment, "linux", deadline=10.0, runtime_directory=keyring_session.runtime)
        slot = Custody(keyring=keyring).new_keyring_slot(STORE, DataKey.generate()).place_key()
        assert list(keyring_session.entries()) == [f"{STORE}.{slot.slot_id}"]
        assert environment == keyring_session.environment
        assert os.environ["DBUS_SESSION_BUS_ADDRESS"] == keyring_session.environment["DBUS_SESSION_BUS_ADDRESS"]

    def test_the_session_bus_is_found_in_the_runtime_directory(self, keyring_session: RealKeyring) -> None:
        assert probe("make", {"XDG_RUNTIME_DIR": str(keyring_session.runtime)}).startswith("made ")

    def test_a_runtime_directory_with_commas_and_spaces_is_no_other_address(self, keyring_session: RealKeyring) -> None:
        odd = keyring_session.home / "run, path=%2f;x"
        keyring_session.runtime.rename(odd)
        assert probe("make", {"XDG_RUNTIME_DIR": str(odd)}).startswith("made ")

    def test_what_is_no_socket_of_ours_is_no_bus(self, tmp_path: Path, keyring_session: RealKeyring) -> None:
        def refused(directory: Path) -> bool:
            custody = custody_of({}, runtime_directory=directory)
            error = failure_of(custody, Slot("s", "keyring", "{}", b""))
            return error.code is Code.KEYRING_UNAVAILABLE and "no D-Bus session" in error.message

        for name in ("file", "link"):
            (tmp_path / name).mkdir()
        (tmp_path / "file" / "bus").touch()
        (tmp_path / "link" / "bus").symlink_to(keyring_session.socket)
        assert refused(tmp_path / "file")
        assert refused(tmp_path / "link")
        if is_root():
            give_away(keyring_session.socket, 65534, 65534)
            assert refused(keyring_session.runtime)

    def test_a_process_with_nothing_but_what_clients_pass_on_reaches_the_users_own_bus(
        self, keyring_session: RealKeyring
    ) -> None:
        inside = (
            "set -e; mount -t tmpfs tmpfs /run/user; mkdir -m 700 /run/user/0; touch /run/user/0/bus; "
            'mount --bind "$1" /run/user/0/bus; shift; exec "$@"'
        )
        namespace = ["unshare", "--mount", "sh", "-c", inside, "sh", str(keyring_session.socket)]
        can_enter = is_root() and shutil.which("unshare") is not None
        if not can_enter or subprocess.run([*namespace, "true"], check=False).returncode:
            pytest.skip("a /run/user of our own takes root and a mount namespace")
        command = [*namespace, sys.executable, "-c", PROBE, json.dumps([STORE, "make", None])]
        assert probe("make", {}, command=command).startswith("made ")
        assert len(keyring_session.entries()) == 1


TRAP = "import pathlib\npathlib.Path({mark!r}).touch()\n"
BACKEND = """
from keyring.backend import KeyringBackend
class Backend(KeyringBackend):
    priority = 9
    def get_password(self, service, username): return None
    def set_password(self, service, username, password): pass
PlaintextKeyring = Keyring = Backend
"""


class Clone:
    """A repository with keyring backends, which create the file `mark` when any of their code runs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.mark = directory / "mark"
        code = TRAP.format(mark=str(self.mark)) + BACKEND
        (directory / "evil.py").write_text(code)
        (directory / "keyrings" / "alt").mkdir(parents=True)
        (directory / "keyrings" / "alt" / "file.py").write_text(code)
        (directory / "config" / "python_keyring").mkdir(parents=True)
        (directory / "config" / "python_keyring" / "keyringrc.cfg").write_text(
            f"[backend]\ndefault-keyring=evil.Backend\nkeyring-path={directory}\n"
        )

    def springs(self, environment: Mapping[str, str]) -> bool:
        """Return whether plain keyring runs the repository's code: this shows that the trap works."""
        subprocess.run(
            [sys.executable, "-c", "import keyring; keyring.get_keyring()"],
            cwd=self.directory,
            env={**stripped(os.environ), **environment},
            check=True,
        )
        sprung = self.mark.exists()
        self.mark.unlink(missing_ok=True)
        return sprung


class TestForeignBackends:
    @pytest.fixture
    def clone(self, tmp_path: Path) -> Clone:
        return Clone(tmp_path)

    @pytest.mark.parametrize("named", ["evil.Backend", "keyrings.alt.file.PlaintextKeyring"])
    def test_a_backend_of_a_repositorys_own_is_refused_and_its_code_does_not_run(
        self, clone: Clone, keyring_session: RealKeyring, named: str
    ) -> None:
        environment = {**keyring_session.environment, "PYTHON_KEYRING_BACKEND": named}
        assert clone.springs(environment)
        said = probe("make", environment, cwd=clone.directory)
        assert said.startswith("KEYRING_UNAVAILABLE Unset PYTHON_KEYRING_BACKEND")
        assert not clone.mark.exists()
        assert keyring_session.entries() == {}

    def test_a_configuration_file_that_names_other_code_is_not_read(
        self, clone: Clone, keyring_session: RealKeyring
    ) -> None:
        environment = {**keyring_session.environment, "XDG_CONFIG_HOME": str(clone.directory / "config")}
        assert clone.springs(environment)
        assert probe("make", environment, cwd=clone.directory).startswith("made ")
        assert not clone.mark.exists()
        assert len(keyring_session.entries()) == 1

    @pytest.mark.parametrize(
        "named",
        [
            "keyring.backends.null.Keyring",
            "keyring.backends.fail.Keyring",
            "keyring.backends.chainer.ChainerBackend",
            "keyring.backends.macOS.Keyring",
            "keyring.backends.SecretService.os",
            "Keyring",
            ".",
        ],
    )
    def test_a_backend_that_keeps_nothing_or_is_not_this_systems_is_refused(
        self, unlocked_keyring: dict[str, str], named: str
    ) -> None:
        custody = custody_of({**unlocked_keyring, "PYTHON_KEYRING_BACKEND": named})
        with pytest.raises(CustodyError) as caught:
            custody.new_keyring_slot(STORE, DataKey.generate()).place_key()
        assert caught.value.code is Code.KEYRING_UNAVAILABLE
        assert custody.keyring_status().code is Code.KEYRING_UNAVAILABLE

    def test_keyrings_own_backend_may_be_named(self, keyring_session: RealKeyring) -> None:
        named = {"PYTHON_KEYRING_BACKEND": "keyring.backends.SecretService.Keyring"}
        custody_of({**keyring_session.environment, **named}).new_keyring_slot(STORE, DataKey.generate()).place_key()
        assert len(keyring_session.entries()) == 1

    def test_variables_do_not_bend_the_backend(
        self, keyring_session: RealKeyring, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("KEYRING_PROPERTY_PREFERRED_COLLECTION", "/org/freedesktop/secrets/collection/session")
        monkeypatch.setenv("KEYRING_PROPERTY_SCHEME", "KeePassXC")
        monkeypatch.setenv("KEYRING_PROPERTY_GET_PASSWORD", "broken")
        custody_of(keyring_session.environment).new_keyring_slot(STORE, DataKey.generate()).place_key()
        assert len(keyring_session.entries()) == 1

    def test_no_process_is_started(self, tmp_path: Path, keyring_session: RealKeyring) -> None:
        trace = tmp_path / "trace"
        command = ["strace", "-f", "-e", "trace=execve", "-o", str(trace), sys.executable, "-c", PROBE]
        require("strace")
        tracing = subprocess.run([*command[:6], "true"], capture_output=True, check=False)
        require_real(tracing.returncode == 0, "tracing processes")
        said = probe("make", keyring_session.environment, command=[*command, json.dumps([STORE, "make", None])])
        assert said.startswith("made ")
        assert len([line for line in trace.read_text().splitlines() if "execve(" in line]) == 1

    def test_the_keyring_is_not_imported_before_it_is_asked(self, tmp_path: Path) -> None:
        place = FilePlace(tmp_path)
        slot = place.make(STORE, DataKey.generate())
        code = PROBE + "\nprint(sorted({'keyring', 'secretstorage', 'jeepney'} & set(sys.modules)))"
        fields = [slot.slot_id, slot.kind, slot.params, slot.wrapped.decode()]
        command = [sys.executable, "-c", code, json.dumps([STORE, "unlock", fields])]
        assert probe("unlock", {}, command=command).endswith("[]")


class StandInBackend:
    """A stand-in for another operating system's backend: a dictionary with keyring's three methods."""

    entries: dict[tuple[str, str], str]
    drops_writes = False

    def __init__(self) -> None:
        self.set_properties_from_env()

    def set_properties_from_env(self) -> None:
        raise AssertionError("a backend must not be bent by variables")

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if not self.drops_writes:
            self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.entries[service, username]


class TestWindows:
    """Windows with a stand-in for its backend: which backend is chosen, and which calls it gets."""

    @pytest.fixture
    def platform(self, monkeypatch: pytest.MonkeyPatch) -> str:
        stand_in = ModuleType("keyring.backends.Windows")
        vars(stand_in)["WinVaultKeyring"] = StandInBackend
        monkeypatch.setitem(sys.modules, stand_in.__name__, stand_in)
        monkeypatch.setattr(StandInBackend, "entries", {}, raising=False)
        return "win32"

    def test_the_systems_own_backend_is_chosen_and_asked_for_one_new_entry(self, platform: str) -> None:
        custody = Custody(environment={}, platform=platform)
        data_key = DataKey.generate()
        slot = custody.new_keyring_slot(STORE, data_key).place_key()
        entry = f"{STORE}.{slot.slot_id}"
        service = f"claude-secrets:{entry}"  # Windows finds entries by their service only
        assert list(StandInBackend.entries) == [(service, entry)]
        assert len(StandInBackend.entries[service, entry]) == 44
        assert Custody(environment={}, platform=platform).unlock(IDENTITY, [slot]).secret == data_key.secret
        assert custody.keyring_status().name == "Windows Credential Manager"
        custody.take_away(IDENTITY, slot)
        assert StandInBackend.entries == {}

    def test_a_backend_that_drops_writes_is_found_out(self, platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(StandInBackend, "drops_writes", True)
        with pytest.raises(CustodyError) as caught:
            Custody(environment={}, platform=platform).new_keyring_slot(STORE, DataKey.generate()).place_key()
        assert caught.value.code is Code.KEYRING_UNAVAILABLE
        assert "did not keep it" in caught.value.message

    @pytest.mark.parametrize("slow", ["get_password", "set_password"])
    def test_a_backend_that_answers_after_the_deadline_leaves_no_entry(
        self, platform: str, monkeypatch: pytest.MonkeyPatch, slow: str
    ) -> None:
        called, go_on, written = threading.Event(), threading.Event(), []
        method, write = getattr(StandInBackend, slow), StandInBackend.set_password

        def wait(self: StandInBackend, *arguments: str) -> object:
            called.set()
            assert go_on.wait(30)
            return method(self, *arguments)

        def record(self: StandInBackend, *arguments: str) -> None:
            written.append(arguments[1])
            write(self, *arguments)

        if slow == "get_password":
            monkeypatch.setattr(StandInBackend, "set_password", record)
        monkeypatch.setattr(StandInBackend, slow, wait)
        with pytest.raises(CustodyError) as caught:
            SystemKeyring({}, platform, deadline=0.2).create("entry", "text")
        assert caught.value.code is Code.KEYRING_LOCKED
        assert called.is_set()
        [waiting] = keyring_threads()
        go_on.set()
        waiting.join(20)
        assert (StandInBackend.entries, written) == ({}, [])

    def test_an_error_of_the_backend_is_not_repeated(self, platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise OSError(CANARY)

        monkeypatch.setattr(StandInBackend, "get_password", fail)
        error = failure_of(Custody(environment={}, platform=platform), Slot("s", "keyring", "{}", b""))
        assert error.code is Code.KEYRING_UNAVAILABLE
        assert CANARY not in everything_said(error)

    def test_an_entry_that_is_there_is_never_overwritten(self, platform: str) -> None:
        keyring = SystemKeyring({}, platform)
        keyring.create("entry", "first")
        with pytest.raises(CustodyError):
            keyring.create("entry", "second")
        assert keyring.read("entry") == "first"


@posix_only
class TestKeyFile:
    @pytest.fixture
    def place(self, tmp_path: Path) -> FilePlace:
        return FilePlace(tmp_path)

    @pytest.fixture
    def slot(self, place: FilePlace) -> Slot:
        return place.make(STORE, DataKey.generate())

    @pytest.fixture
    def path(self, slot: Slot) -> Path:
        assert slot.key_file is not None
        return slot.key_file

    def test_only_the_person_may_read_it_whatever_the_umask(self, place: FilePlace) -> None:
        before = os.umask(0)
        try:
            for mask in (0, 0o777):
                os.umask(mask)
                path = place.make(STORE, DataKey.generate()).key_file
                assert path is not None
                assert path.stat().st_mode & 0o7777 == 0o600
        finally:
            os.umask(before)

    @pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601])
    def test_one_that_others_can_reach_is_refused(self, place: FilePlace, slot: Slot, path: Path, mode: int) -> None:
        path.chmod(mode)
        error = failure_of(Custody(environment={}, for_person=True), slot)
        assert (error.code, f"chmod 600 {path}" in str(error.hint)) == (Code.KEY_WRONG, True)
        path.chmod(0o400)
        assert place.custody().unlock(IDENTITY, [slot]).generation == 1

    @pytest.mark.parametrize("fault", ["missing", "open to others", "a link", "a directory", "another key"])
    def test_only_the_person_is_shown_its_path(self, slot: Slot, path: Path, fault: str) -> None:
        key = path.read_bytes()
        path.unlink()
        if fault == "a directory":
            path.mkdir()
        elif fault == "a link":
            path.symlink_to("/dev/null")
        elif fault != "missing":
            path.write_bytes(b"A" * 43 + b"=\n" if fault == "another key" else key)
            path.chmod(0o644 if fault == "open to others" else 0o600)
        for for_person in (False, True):
            error = failure_of(Custody(environment={}, for_person=for_person), slot)
            assert (str(path) in str(error.hint), str(path) in error.message) == (for_person, False)

    def test_one_of_another_user_is_refused(self, place: FilePlace, slot: Slot, path: Path) -> None:
        if is_root():
            give_away(path, 65534, 65534)
        else:
            slot = Slot(slot.slot_id, "file", json.dumps({"path": "/etc/passwd"}), slot.wrapped)
        error = failure_of(place.custody(), slot)
        assert (error.code, "another user" in error.message) == (Code.KEY_WRONG, True)

    def test_a_link_is_refused(self, place: FilePlace, slot: Slot, path: Path) -> None:
        path.rename(path.with_name("elsewhere"))
        path.symlink_to(path.with_name("elsewhere"))
        error = failure_of(place.custody(), slot)
        assert (error.code, "link" in error.message) == (Code.KEY_WRONG, True)

    def test_a_pipe_in_its_place_is_refused_and_does_not_block(self, place: FilePlace, slot: Slot, path: Path) -> None:
        path.unlink()
        make_pipe(path, 0o600)
        assert failure_of(place.custody(), slot).code is Code.KEY_WRONG

    def test_a_directory_or_a_device_in_its_place_is_refused(self, place: FilePlace, slot: Slot, path: Path) -> None:
        path.unlink()
        path.mkdir(0o700)
        device = Slot(slot.slot_id, "file", json.dumps({"path": "/dev/zero"}), slot.wrapped)
        for changed in (slot, device):
            assert failure_of(place.custody(), changed).code is Code.KEY_WRONG

    def test_a_directory_on_the_way_that_is_a_file_is_a_missing_key(self, place: FilePlace, slot: Slot) -> None:
        odd = Slot(slot.slot_id, "file", json.dumps({"path": f"{slot.key_file}/key"}), slot.wrapped)
        assert failure_of(place.custody(), odd).code is Code.KEY_MISSING

    def test_an_existing_file_is_never_overwritten(self, place: FilePlace, path: Path, tmp_path: Path) -> None:
        before = path.read_bytes()
        (tmp_path / "link").symlink_to(tmp_path / "nothing")
        for taken in (path, tmp_path / "link"):
            with pytest.raises(CallerError) as caught:
                place.custody().new_file_slot(
                    STORE, DataKey.generate(), taken, store=tmp_path / "d" / "s.db"
                ).place_key()
            assert "already" in caught.value.message
        assert path.read_bytes() == before
        assert not (tmp_path / "nothing").exists()

    def test_none_is_made_beside_the_store(self, place: FilePlace, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "data")
        (tmp_path / "inner").mkdir()
        store = tmp_path / "data" / "secrets.db"
        for path in ("data/key", "link/key", "inner/../data/key"):
            with pytest.raises(CallerError) as caught:
                place.custody().new_file_slot(STORE, DataKey.generate(), tmp_path / path, store=store).place_key()
            assert "in the store's directory" in caught.value.message
        with pytest.raises(CallerError):
            place.custody().new_file_slot(
                STORE, DataKey.generate(), tmp_path / "new/key", store=tmp_path / "new/s.db"
            ).place_key()
        assert list((tmp_path / "data").iterdir()) == []

    def test_none_is_made_where_there_is_no_directory(self, place: FilePlace, tmp_path: Path) -> None:
        with pytest.raises(CallerError) as caught:
            place.custody().new_file_slot(
                STORE, DataKey.generate(), tmp_path / "no/key", store=tmp_path / "d/s.db"
            ).place_key()
        assert caught.value.code is Code.INVALID_ARGUMENTS
        assert caught.value.hint

    def test_a_place_that_is_refused_gets_no_file_and_gives_no_key(
        self, place: FilePlace, slot: Slot, tmp_path: Path
    ) -> None:
        def refuse(path: Path) -> None:
            raise CustodyError(Code.KEY_MISSING, "refused")

        custody = Custody(environment={}, check_key_file=refuse)
        assert failure_of(custody, slot).message == "refused"
        with pytest.raises(CallerError, match="would be inside the project"):
            custody.new_file_slot(
                STORE, DataKey.generate(), tmp_path / "other", store=tmp_path / "d" / "s.db"
            ).place_key()
        assert not (tmp_path / "other").exists()

    def test_a_full_disk_leaves_no_key_file(
        self, place: FilePlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(CallerError) as caught:
            place.custody().new_file_slot(
                STORE, DataKey.generate(), tmp_path / "key", store=tmp_path / "d" / "s.db"
            ).place_key()
        assert caught.value.code is Code.INVALID_ARGUMENTS
        assert not (tmp_path / "key").exists()

    def test_discarding_leaves_a_file_that_is_not_the_slots_own(self, place: FilePlace, slot: Slot, path: Path) -> None:
        path.write_text("something else")
        place.custody().take_away(IDENTITY, slot)
        assert path.read_text() == "something else"

    def test_discarding_takes_the_slots_own_file_and_not_the_one_in_the_environment(
        self, slot: Slot, path: Path, tmp_path: Path
    ) -> None:
        named = tmp_path / "named"
        for content in ("something else", path.read_text()):
            named.write_text(content)
            named.chmod(0o600)
            kept = path.read_text()
            Custody(environment={KEY_FILE_VARIABLE: str(named)}).take_away(IDENTITY, slot)
            assert (named.read_text(), path.exists()) == (content, False)
            path.write_text(kept)
            path.chmod(0o600)

    def test_blanks_around_the_key_do_not_matter(self, place: FilePlace, slot: Slot, path: Path) -> None:
        path.write_text("\n " + path.read_text().strip() + "\r\n\n")
        assert place.custody().unlock(IDENTITY, [slot]).generation == 1


class TestSeveralSlots:
    def test_the_first_that_opens_is_enough(self, tmp_path: Path, absent_keyring: dict[str, str]) -> None:
        data_key = DataKey.generate()
        slot = FilePlace(tmp_path).make(STORE, data_key)
        unreachable = Slot("k", "keyring", "{}", b"")
        assert custody_of(absent_keyring).unlock(IDENTITY, [slot, unreachable]).secret == data_key.secret

    def test_of_several_failures_the_one_soonest_mended_is_told(
        self, tmp_path: Path, keyring_session: RealKeyring, absent_keyring: dict[str, str]
    ) -> None:
        place = FilePlace(tmp_path)
        wrong, missing = (place.make(STORE, DataKey.generate()) for _ in range(2))
        place.put(STORE, wrong, "x")
        place.remove(STORE, missing)
        unknown = Slot("p", "passphrase", "{}", b"")
        in_keyring = Slot("k", "keyring", "{}", b"")

        def told(environment: Mapping[str, str], *slots: Slot) -> Code:
            with pytest.raises(CustodyError) as caught:
                custody_of(environment).unlock(IDENTITY, slots)
            return caught.value.code

        assert told({}, missing, unknown, wrong) is Code.KEY_WRONG
        assert told(absent_keyring, wrong, missing, in_keyring) is Code.KEYRING_UNAVAILABLE
        assert told(keyring_session.environment, missing, in_keyring) is Code.KEY_MISSING
        keyring_session.lock()
        assert told(keyring_session.environment, wrong, missing, in_keyring) is Code.KEYRING_LOCKED

    def test_a_store_without_slots_has_no_key(self) -> None:
        with pytest.raises(CustodyError) as caught:
            custody_of({}).unlock(IDENTITY, [])
        assert caught.value.code is Code.KEY_MISSING

    def test_a_kind_of_slot_of_a_later_version_asks_for_an_upgrade(self) -> None:
        error = failure_of(custody_of({}), Slot("s", "hardware", "{}", b""))
        assert (error.code, "Upgrade" in str(error.hint)) == (Code.KEY_MISSING, True)

    @pytest.mark.parametrize(
        "params",
        [
            "",
            "{}",
            "[]",
            "null",
            '{"path": 1}',
            '{"path": "/a\\ud800"}',
            '{"path": "key"}',
            '{"path": "/a\\u0000b"}',
            "[" * 100_000,
            "{" * 9,
        ],
        ids=range(10),
    )
    def test_a_file_slot_that_names_no_path_is_refused(self, params: str) -> None:
        slot = Slot("s", "file", params, b"")
        assert failure_of(custody_of({}), slot).code is Code.KEY_WRONG
        with pytest.raises(CustodyError):
            _ = slot.key_file

    def test_only_a_file_slot_has_a_key_file(self) -> None:
        assert Slot("s", "keyring", "{}", b"").key_file is None
        assert Slot("s", "file", '{"path": "/keys/k"}', b"").key_file == Path("/keys/k")

    def test_the_time_of_wrapping_is_the_clocks(self, tmp_path: Path) -> None:
        key = DataKey.generate()
        custody = Custody(environment={}, clock=lambda: 1_800_000_000.9)
        slot = custody.new_file_slot(STORE, key, tmp_path / "key", store=tmp_path / "d" / "s.db").place_key()
        again = wrap(
            (tmp_path / "key").read_bytes().strip(),
            key,
            store_id=STORE,
            slot_id=slot.slot_id,
            slot_kind="file",
            now=1_800_000_000,
        )
        assert slot.wrapped[:12] == again[:12]  # the token begins with Fernet's version and time
