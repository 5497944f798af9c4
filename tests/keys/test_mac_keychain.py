"""The macOS keychain with a stand-in for `/usr/bin/security`: the real program needs a Mac."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from claude_secrets import paths
from claude_secrets.errors import Code, CustodyError
from claude_secrets.keys import mac_keychain
from claude_secrets.keys.cipher import DataKey, StoreIdentity
from claude_secrets.keys.custody import Custody
from claude_secrets.keys.mac_keychain import Keychain
from claude_secrets.keys.os_keyring import SystemKeyring
from tests.keys.test_custody import everything_said, keyring_threads
from tests.support.keychain import PYTHON, TOOL, StandInKeychain

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a POSIX program")

STORE = "00112233445566778899aabbccddeeff"
IDENTITY = StoreIdentity(STORE, 1)
ENTRY = f"{STORE}.0123456789abcdef"
EARLIER = ("claude-secrets", ENTRY)
"""The service and the account under which earlier versions kept a key."""
PLACE = (f"claude-secrets:{ENTRY}", ENTRY)
KEY = "-canary-key_8d1f0a6b2c3e4f5a6b7c8d9e0f1a2b3="
"""A text with the characters and the length of a key. Keys may begin with a hyphen."""


@pytest.fixture
def keychain(tmp_path: Path) -> StandInKeychain:
    return StandInKeychain(tmp_path / "keychain")


def keyring_of(
    keychain: StandInKeychain, environment: Mapping[str, str] = {}, *, deadline: float | None = None
) -> SystemKeyring:
    return SystemKeyring(dict(environment), "darwin", security=keychain.program, deadline=deadline)


def custody_of(keychain: StandInKeychain) -> Custody:
    return Custody(environment={}, platform="darwin", keyring=keyring_of(keychain))


class TestKeys:
    def test_a_key_is_made_used_and_taken_away(self, keychain: StandInKeychain) -> None:
        data_key = DataKey.generate()
        slot = custody_of(keychain).new_keyring_slot(STORE, data_key).place_key()
        entry = f"{STORE}.{slot.slot_id}"
        assert list(keychain.items()) == [(f"claude-secrets:{entry}", entry)]
        assert len(keychain.items()[f"claude-secrets:{entry}", entry]) == 44
        assert custody_of(keychain).unlock(IDENTITY, [slot]).secret == data_key.secret
        custody_of(keychain).take_away(IDENTITY, slot)
        custody_of(keychain).take_away(IDENTITY, slot)  # a second call does nothing
        assert keychain.items() == {}
        assert keychain.state["dialogs"] == 0

    def test_a_missing_entry_is_none(self, keychain: StandInKeychain) -> None:
        assert keyring_of(keychain).read(ENTRY) is None
        with pytest.raises(CustodyError) as caught:
            keyring_of(keychain).delete(ENTRY)
        assert caught.value.code is Code.KEYRING_UNAVAILABLE

    def test_looking_at_the_keychain_writes_nothing(self, keychain: StandInKeychain) -> None:
        status = custody_of(keychain).keyring_status()
        assert (status.ok, status.name) == (True, "macOS Keychain")
        assert keychain.items() == {}
        assert set(keychain.commands()) == {"find-generic-password", "show-keychain-info"}

    def test_a_key_is_read_by_one_run(self, keychain: StandInKeychain) -> None:
        keychain.put(*PLACE, KEY, maker=TOOL)
        assert keyring_of(keychain).read(ENTRY) == KEY
        assert keychain.commands() == ["find-generic-password"]

    @pytest.mark.parametrize("place", [PLACE, EARLIER])
    def test_an_entry_that_is_there_is_never_overwritten(
        self, keychain: StandInKeychain, place: tuple[str, str]
    ) -> None:
        keychain.put(*place, "first", maker=TOOL)
        with pytest.raises(CustodyError) as caught:
            keyring_of(keychain).create(ENTRY, KEY)
        assert (caught.value.code, "already" in caught.value.message) == (Code.KEYRING_UNAVAILABLE, True)
        assert set(keychain.items().values()) == {"first"}

    def test_an_entry_that_appears_after_the_check_is_not_overwritten(self, keychain: StandInKeychain) -> None:
        keychain.put(*PLACE, "first", maker=TOOL)
        with pytest.raises(CustodyError) as caught:
            Keychain(keychain.program).set_password(*EARLIER, KEY)
        assert (caught.value.code, "already" in caught.value.message) == (Code.KEYRING_UNAVAILABLE, True)
        assert keychain.items() == {PLACE: "first"}

    def test_a_keychain_that_drops_writes_is_found_out(self, keychain: StandInKeychain) -> None:
        keychain.set(drops_writes=True)
        with pytest.raises(CustodyError) as caught:
            keyring_of(keychain).create(ENTRY, KEY)
        assert caught.value.code is Code.KEYRING_UNAVAILABLE
        assert "did not keep it" in caught.value.message

    def test_the_name_of_the_keyring_packages_backend_is_still_accepted(self, keychain: StandInKeychain) -> None:
        named = {"PYTHON_KEYRING_BACKEND": "keyring.backends.macOS.Keyring"}
        assert keyring_of(keychain, named).read(ENTRY) is None
        assert keyring_of(keychain, named).name == "macOS Keychain"
        other = {"PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}
        with pytest.raises(CustodyError) as caught:
            keyring_of(keychain, other).read(ENTRY)
        assert "PYTHON_KEYRING_BACKEND" in caught.value.message

    def test_the_keyring_package_is_not_imported(self, keychain: StandInKeychain) -> None:
        code = (
            "import sys; from pathlib import Path; from claude_secrets.keys.os_keyring import SystemKeyring\n"
            f"keyring = SystemKeyring({{}}, 'darwin', security=Path({str(keychain.program)!r}))\n"
            "keyring.create('entry', 'text')\n"
            "print(keyring.read('entry'), sorted({'keyring'} & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout == "text []\n"


class TestHowTheProgramIsRun:
    def test_only_apples_own_program_is_run(self) -> None:
        assert Path("/usr/bin/security") == mac_keychain.SECURITY

    def test_no_variable_and_no_directory_chooses_the_program(self, keychain: StandInKeychain) -> None:
        # There is no `/usr/bin/security` on Linux, and on a Mac this test must not touch the developer's keychain.
        if mac_keychain.SECURITY.exists():
            pytest.skip("this system has a real /usr/bin/security")
        environment = {"PATH": str(keychain.directory), "HOME": str(keychain.directory)}
        with pytest.raises(CustodyError) as caught:
            SystemKeyring(environment, "darwin").read(ENTRY)
        assert caught.value.code is Code.KEYRING_UNAVAILABLE
        assert "'/usr/bin/security'" in caught.value.message
        assert keychain.runs() == []

    def test_everything_is_given_on_standard_input_in_a_clean_environment(
        self, keychain: StandInKeychain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("DYLD_INSERT_LIBRARIES", "PATH", "HOME", "KEYCHAIN_PATH"):
            monkeypatch.setenv(name, str(tmp_path / "planted"))
        monkeypatch.setattr(paths, "account_home", lambda: tmp_path / "account")
        keyring = keyring_of(keychain, dict(os.environ))
        keyring.create(ENTRY, KEY)
        keyring.delete(ENTRY)
        for run in keychain.runs():
            assert run["arguments"] == ["-i"]
            assert {**run["environment"], "LC_CTYPE": ""} == {
                "HOME": str(tmp_path / "account"),
                "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
                "LC_CTYPE": "",  # the stand-in's own Python may set it
            }
            assert (run["directory"], run["leads a session"], run["stdin"].count("\n")) == ("/", True, 1)
        written = [run["stdin"] for run in keychain.runs() if KEY in run["stdin"]]
        assert written == [f'"add-generic-password" "-s" "{PLACE[0]}" "-a" "{PLACE[1]}" "-w" "{KEY}"\n']

    @pytest.mark.parametrize(
        "text",
        [
            "".join(map(chr, range(0x20, 0x7F))),  # every character that a password may have
            *(' "', "\\", '\\"', "\\\\", "'", "a b", " a ", "#", "$(id)", "`id`", "%s", "-w", "-", '" "-U" "', "\\n"),
            "x" * 3500,
        ],
        ids=range(17),
    )
    def test_each_text_comes_back_as_it_was(self, keychain: StandInKeychain, text: str) -> None:
        keyring = keyring_of(keychain)
        keyring.create(ENTRY, text)
        assert keychain.items() == {PLACE: text}
        assert keyring_of(keychain).read(ENTRY) == text

    @pytest.mark.parametrize(
        "text", ["canary\ncanary", "canary\r", "canary\0", "canary\t", "canaryé", "canary\x7f", "canary" * 700, "\n"]
    )
    def test_a_text_that_would_not_come_back_is_refused(self, keychain: StandInKeychain, text: str) -> None:
        with pytest.raises(CustodyError) as caught:
            keyring_of(keychain).create(ENTRY, text)
        assert caught.value.code is Code.KEYRING_UNAVAILABLE
        assert "canary" not in everything_said(caught.value)
        assert keychain.items() == {}
        assert "add-generic-password" not in keychain.commands()

    def test_one_line_is_one_command_whatever_is_in_an_entrys_name(self, keychain: StandInKeychain) -> None:
        for entry in ('a" "-U', "a\\", "a'b", "a b"):
            keyring_of(keychain).create(entry, KEY)
            assert keychain.items() == {(f"claude-secrets:{entry}", entry): KEY}
            keyring_of(keychain).delete(entry)
        for entry in ("a\nshow-keychain-info", "a\0"):
            before = len(keychain.runs())
            with pytest.raises(CustodyError):
                keyring_of(keychain).read(entry)
            assert len(keychain.runs()) == before


class TestFailures:
    @pytest.mark.parametrize("error", [-25308, -25293, -25315, -25320, -128])
    def test_a_locked_keychain_says_how_it_is_unlocked(self, keychain: StandInKeychain, error: int) -> None:
        keychain.put(*PLACE, KEY, maker=TOOL)
        keychain.set(locked=error)
        for entry in (ENTRY, "missing"):
            with pytest.raises(CustodyError) as caught:
                keyring_of(keychain).read(entry)
            assert caught.value.code is Code.KEYRING_LOCKED
            assert "`security unlock-keychain`" in str(caught.value.hint)
            assert "SSH" in str(caught.value.hint)
        status = custody_of(keychain).keyring_status()
        assert (status.ok, status.code) == (False, Code.KEYRING_LOCKED)

    def test_a_locked_keychain_gets_no_new_key(self, keychain: StandInKeychain) -> None:
        keychain.set(locked=-25308)
        with pytest.raises(CustodyError) as caught:
            custody_of(keychain).new_keyring_slot(STORE, DataKey.generate())
        assert caught.value.code is Code.KEYRING_LOCKED
        assert "init --key-file PATH" in str(caught.value.hint)
        assert keychain.items() == {}
        assert "add-generic-password" not in keychain.commands()

    @pytest.mark.parametrize("fault", [["say", 1, KEY], ["say", 2, KEY], ["say", 255, KEY], ["say", 37, KEY]])
    def test_another_failure_is_unavailable_and_its_output_is_not_repeated(
        self, keychain: StandInKeychain, fault: list[object]
    ) -> None:
        keychain.set(fault=fault)
        keyring = keyring_of(keychain)
        actions: list[Callable[[], object]] = [
            lambda: keyring.read(ENTRY),
            lambda: keyring.create(ENTRY, KEY),
            lambda: keyring.delete(ENTRY),
        ]
        for action in actions:
            with pytest.raises(CustodyError) as caught:
                action()
            assert caught.value.code is Code.KEYRING_UNAVAILABLE
            assert KEY not in everything_said(caught.value)
            assert "`security show-keychain-info`" in str(caught.value.hint)

    def test_exit_codes_count_where_ends_of_children_are_ignored(self, keychain: StandInKeychain) -> None:
        code = (
            "import os, signal, sys\n"
            "if sys.argv[1:]:\n"
            "    signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
            "    os.execv(sys.executable, [sys.executable, '-c', sys.argv[1]])\n"
            "from pathlib import Path\n"
            "from claude_secrets.cli.main import main\n"
            "from claude_secrets.errors import CustodyError\n"
            "from claude_secrets.keys.os_keyring import SystemKeyring\n"
            f"keyring = SystemKeyring({{}}, 'darwin', security=Path({str(keychain.program)!r}))\n"
            "main(['--version'])\n"
            "print(keyring.read('entry'))\n"
            "try:\n"
            "    keyring.delete('entry')\n"
            "except CustodyError as error:\n"
            "    print(error.message)\n"
        )
        command = [sys.executable, "-c", code, code]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout.splitlines()[1:] == ["None", "The keychain has no such item."]

    def test_a_program_that_is_killed_is_unavailable(self, keychain: StandInKeychain) -> None:
        keychain.program.write_text(f"#!/bin/sh\necho {KEY}\nkill -9 $$\n")
        with pytest.raises(CustodyError) as caught:
            keyring_of(keychain).read(ENTRY)
        assert caught.value.code is Code.KEYRING_UNAVAILABLE
        assert KEY not in everything_said(caught.value)

    @pytest.mark.parametrize("content", [b"", b"not a program", None])
    def test_a_program_that_cannot_be_run_is_unavailable(
        self, keychain: StandInKeychain, content: bytes | None
    ) -> None:
        keychain.program.unlink()
        if content is not None:
            keychain.program.write_bytes(content)
        with pytest.raises(CustodyError) as caught:
            keyring_of(keychain).read(ENTRY)
        assert caught.value.code is Code.KEYRING_UNAVAILABLE
        assert caught.value.__suppress_context__

    @pytest.mark.parametrize("content", [f"printf %s {KEY}", f"echo {KEY}; exec <&-; exit 3", "true"])
    def test_an_incomplete_answer_is_unavailable(self, keychain: StandInKeychain, content: str) -> None:
        keychain.program.write_text(f"#!/bin/sh\n{content}\n")
        with pytest.raises(CustodyError) as caught:
            keyring_of(keychain).read(ENTRY)
        assert caught.value.code is Code.KEYRING_UNAVAILABLE
        assert KEY not in everything_said(caught.value)

    def test_garbage_is_no_key_and_is_not_repeated(self, keychain: StandInKeychain) -> None:
        slot = custody_of(keychain).new_keyring_slot(STORE, DataKey.generate()).place_key()
        [place] = keychain.items()
        for garbage in (KEY, "\x1b[31m" + KEY, "é☃" + KEY, "", "\n" + KEY):
            keychain.put(*place, garbage, maker=TOOL)
            with pytest.raises(CustodyError) as caught:
                custody_of(keychain).unlock(IDENTITY, [slot])
            assert caught.value.code is Code.KEY_WRONG
            assert KEY not in everything_said(caught.value)
        keychain.program.write_text(f"#!/bin/sh\nprintf '%s\\377\\376\\n' {KEY}\n")
        with pytest.raises(CustodyError) as caught:
            custody_of(keychain).unlock(IDENTITY, [slot])
        assert caught.value.code is Code.KEY_WRONG
        assert KEY not in everything_said(caught.value)

    def test_endless_output_is_not_read_to_its_end(self, keychain: StandInKeychain) -> None:
        keychain.set(fault=["endless", KEY])
        with pytest.raises(CustodyError) as caught:
            keyring_of(keychain).read(ENTRY)
        assert (caught.value.code, "too long" in caught.value.message) == (Code.KEYRING_UNAVAILABLE, True)
        assert KEY not in everything_said(caught.value)

    def test_no_repr_shows_a_password(self, keychain: StandInKeychain) -> None:
        keychain.put(*PLACE, KEY, maker=TOOL)
        backend = Keychain(keychain.program)
        assert backend.get_password(*EARLIER) == KEY
        assert KEY not in repr(vars(backend)) + repr(backend)
        assert KEY not in repr(mac_keychain._Ended(0, KEY.encode()))


class TestDeadlines:
    @pytest.mark.parametrize("method", ["get_password", "set_password", "delete_password"])
    def test_a_run_that_hangs_is_ended_at_its_deadline(self, keychain: StandInKeychain, method: str) -> None:
        keychain.set(fault=["hang", KEY])
        backend = Keychain(keychain.program, seconds=0.5, seconds_to_write=0.5)
        arguments = (*EARLIER, KEY) if method == "set_password" else EARLIER
        with pytest.raises(CustodyError) as caught:
            getattr(backend, method)(*arguments)
        assert caught.value.code is Code.KEYRING_LOCKED
        assert KEY not in everything_said(caught.value)
        assert stand_ins(keychain) == []

    def test_a_caller_does_not_wait_for_the_person_and_does_not_ask_twice(self, keychain: StandInKeychain) -> None:
        keychain.set(fault=["hang", KEY])
        keyring = keyring_of(keychain, deadline=0.3)
        for _ in range(2):
            with pytest.raises(CustodyError) as caught:
                keyring.read(ENTRY)
            assert caught.value.code is Code.KEYRING_LOCKED
            assert "`security unlock-keychain`" in str(caught.value.hint)
        [waiting] = keyring_threads()
        assert len(keychain.runs()) <= 1
        end_the_stand_in(keychain, waiting)

    def test_a_key_is_not_written_after_the_caller_has_given_up(
        self, keychain: StandInKeychain, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        called, go_on = threading.Event(), threading.Event()
        real = Keychain.get_password

        def wait(backend: Keychain, *arguments: str) -> str | None:
            called.set()
            assert go_on.wait(30)
            return real(backend, *arguments)

        monkeypatch.setattr(Keychain, "get_password", wait)
        with pytest.raises(CustodyError) as caught:
            keyring_of(keychain, deadline=0.2).create(ENTRY, KEY)
        assert caught.value.code is Code.KEYRING_LOCKED
        assert called.is_set()
        [waiting] = keyring_threads()
        go_on.set()
        waiting.join(20)
        assert keychain.items() == {}
        assert "add-generic-password" not in keychain.commands()


def stand_ins(keychain: StandInKeychain) -> list[psutil.Process]:
    """Return this process's children that run the stand-in. Other tests may have left other children."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if str(keychain.program) in child.cmdline():
                found.append(child)
    return found


def end_the_stand_in(keychain: StandInKeychain, waiting: threading.Thread) -> None:
    """End the hanging program, as a person does who answers the dialog, and wait for the thread."""
    while waiting.is_alive():
        for child in stand_ins(keychain):
            child.kill()
        waiting.join(0.05)


READ = """
import sys
from pathlib import Path
from claude_secrets.keys.os_keyring import SystemKeyring
sys.stdout.write(str(SystemKeyring({}, "darwin", security=Path(sys.argv[1])).read(sys.argv[2])))
"""


def read_elsewhere(keychain: StandInKeychain) -> "subprocess.Popen[str]":
    """Read the entry in a process of its own, which the stand-in may kill."""
    command = [sys.executable, "-c", READ, str(keychain.program), ENTRY]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


class TestItemsOfEarlierVersions:
    def test_an_item_is_read_and_moved_with_one_dialog(self, keychain: StandInKeychain) -> None:
        keychain.put(*EARLIER, KEY)
        assert keyring_of(keychain).read(ENTRY) == KEY
        assert (keychain.items(), keychain.makers()) == ({PLACE: KEY}, {PLACE: TOOL})
        keychain.set(a_person_answers=False)  # from now on, a dialog would be an error
        assert keyring_of(keychain).read(ENTRY) == KEY
        assert keychain.state["dialogs"] == 1

    def test_an_item_that_nobody_may_release_stays(self, keychain: StandInKeychain) -> None:
        keychain.put(*EARLIER, KEY)
        keychain.set(a_person_answers=False)
        with pytest.raises(CustodyError) as caught:
            keyring_of(keychain).read(ENTRY)
        assert caught.value.code is Code.KEYRING_LOCKED
        assert keychain.makers() == {EARLIER: PYTHON}

    def test_a_keychain_that_takes_no_new_item_still_gives_the_key(self, keychain: StandInKeychain) -> None:
        keychain.put(*EARLIER, KEY)
        keychain.set(drops_writes=True)
        assert keyring_of(keychain).read(ENTRY) == KEY
        assert keychain.makers() == {EARLIER: PYTHON}

    def test_an_item_with_another_text_at_the_new_place_deletes_nothing(
        self, keychain: StandInKeychain, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keychain.put(*EARLIER, KEY)
        backend = Keychain(keychain.program)
        add = backend._add

        def later(place: mac_keychain.Place, password: str) -> bool:
            keychain.put(*PLACE, "another", maker=TOOL)
            return add(place, password)

        monkeypatch.setattr(backend, "_add", later)
        assert backend.get_password(*EARLIER) == KEY
        assert keychain.items() == {EARLIER: KEY, PLACE: "another"}

    @pytest.mark.parametrize("moment", ["before", "after"])
    @pytest.mark.parametrize("run", range(1, 6))
    def test_a_move_that_is_killed_at_any_step_loses_no_key(
        self, keychain: StandInKeychain, moment: str, run: int
    ) -> None:
        keychain.put(*EARLIER, KEY)
        keychain.set(fault=[f"kill the caller {moment}", run])
        with read_elsewhere(keychain) as reader:
            said = reader.communicate(timeout=60)
        assert (reader.returncode, said) == (-9, ("", ""))
        assert len(keychain.runs()) == run
        assert set(keychain.items().values()) == {KEY}
        keychain.set(fault=[""])
        assert keyring_of(keychain).read(ENTRY) == KEY
        assert keychain.makers()[PLACE] == TOOL
        keyring_of(keychain).delete(ENTRY)
        assert keychain.items() == {}

    def test_a_move_takes_five_runs(self, keychain: StandInKeychain) -> None:
        """The test above kills at every run: if a move needs more runs, it has to kill at more."""
        keychain.put(*EARLIER, KEY)
        keyring_of(keychain).read(ENTRY)
        assert keychain.commands() == [
            *("find-generic-password", "find-generic-password"),
            *("add-generic-password", "find-generic-password", "delete-generic-password"),
        ]

    def test_a_key_that_another_process_moves_between_two_searches_is_found(
        self, keychain: StandInKeychain, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keychain.put(*EARLIER, KEY)
        backend = Keychain(keychain.program)
        find = backend._find
        answers: list[str | None] = []

        def searched(place: mac_keychain.Place) -> str | None:
            answers.append(find(place))
            if len(answers) == 1:
                assert keyring_of(keychain).read(ENTRY) == KEY
            return answers[-1]

        monkeypatch.setattr(backend, "_find", searched)
        assert backend.get_password(*EARLIER) == KEY
        assert answers == [None, None, KEY]

    def test_several_processes_that_move_a_key_at_once_all_read_it(self, keychain: StandInKeychain) -> None:
        keychain.put(*EARLIER, KEY)
        readers = [read_elsewhere(keychain) for _ in range(4)]
        said = []
        for reader in readers:
            with reader:
                said.append(reader.communicate(timeout=60))
        assert said == [(KEY, "")] * 4
        assert keychain.makers() == {PLACE: TOOL}


class TestTheKeyOfAnotherProgram:
    def read(self, keychain: StandInKeychain, **settings: float) -> bytes:
        return mac_keychain.password(service="s", account="a", program=keychain.program, **settings)

    def test_it_is_read_and_stays_where_it_is(self, keychain: StandInKeychain) -> None:
        keychain.put("s", "a", KEY)
        assert self.read(keychain) == KEY.encode()
        assert keychain.makers() == {("s", "a"): PYTHON}
        assert [run["arguments"] for run in keychain.runs()] == [["-i"]]

    def test_each_failure_names_the_other_way(self, keychain: StandInKeychain) -> None:
        def refused(**settings: float) -> Code:
            with pytest.raises(CustodyError) as caught:
                self.read(keychain, **settings)
            assert "--key-fd N" in str(caught.value.hint)
            assert KEY not in everything_said(caught.value)
            return caught.value.code

        assert refused() is Code.KEY_MISSING
        keychain.put("s", "a", KEY)
        keychain.set(locked=-25308)
        assert refused() is Code.KEYRING_LOCKED
        keychain.set(fault=["say", 1, KEY])
        assert refused() is Code.KEYRING_UNAVAILABLE
        keychain.set(fault=["hang", KEY])
        assert refused(seconds=0.5) is Code.KEYRING_LOCKED
