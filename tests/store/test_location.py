"""A store that two programs could change without seeing each other's changes is refused, and no other store is."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest

from claude_secrets import windows_package
from claude_secrets.errors import Code, StoreError
from claude_secrets.keys.custody import KEY_FILE_VARIABLE, Custody
from claude_secrets.person import backups, secrets
from claude_secrets.store import location
from claude_secrets.store.creation import draft_of
from claude_secrets.store.store import Store
from tests.support.mounts import mounted, root_on_linux
from tests.support.store_world import StoreOnDisk, World, get, put

PASSPHRASE = "plinth walrus ochre tundra gimlet"
PACKAGE = "Claude_1.0.0_x64__publisher"


@pytest.fixture(name="on_disk")
def keep_with_token(on_disk: StoreOnDisk) -> StoreOnDisk:
    """Create a store with one secret, and close it."""
    put(on_disk.store(), "TOKEN", "before")
    return on_disk.close()


def refused(step: Callable[[], object]) -> StoreError:
    with pytest.raises(StoreError) as caught:
        step()
    assert caught.value.code is Code.STORE_UNAVAILABLE
    return caught.value


# Who must not notice it


def symbolic_link(on_disk: StoreOnDisk) -> Path:
    link = on_disk.path.parent.parent / "link.db"
    link.symlink_to(on_disk.path)
    return link


def killed_creation(on_disk: StoreOnDisk) -> Path:
    """A process was killed after it named the store and before it removed the draft's name."""
    draft_of(on_disk.path).hardlink_to(on_disk.path)
    return on_disk.path


def copied(on_disk: StoreOnDisk) -> Path:
    (on_disk.path.parent / "copy.db").write_bytes(on_disk.path.read_bytes())
    return on_disk.path


def key_file_linked(on_disk: StoreOnDisk) -> Path:
    on_disk.key_file.with_name("second.key").hardlink_to(on_disk.key_file)
    return on_disk.path


@pytest.mark.parametrize("place", [symbolic_link, killed_creation, copied, key_file_linked], ids=lambda p: p.__name__)
def test_a_store_with_one_name_opens(on_disk: StoreOnDisk, place: Callable[[StoreOnDisk], Path]) -> None:
    on_disk.path = place(on_disk)
    assert get(on_disk.store(), "TOKEN") == "before"
    put(on_disk.store(), "TOKEN", "after")
    assert get(on_disk.store(), "TOKEN") == "after"


def test_a_store_that_is_being_created_opens(on_disk: StoreOnDisk) -> None:
    draft_of(on_disk.path).hardlink_to(on_disk.path)
    location.refuse_second_name(on_disk.path, on_disk.path.stat())
    before = on_disk.path.stat()
    draft_of(on_disk.path).unlink()  # the other process removes it after this one has read the status
    location.refuse_second_name(on_disk.path, before)


def test_a_store_that_nobody_can_change_is_read_under_any_name(on_disk: StoreOnDisk, tmp_path: Path) -> None:
    (tmp_path / "second.db").hardlink_to(on_disk.path)
    with on_disk.store().read(immutable=True) as tx:
        assert tx.head.changes > 0


# Who notices it


@pytest.mark.parametrize("name", ["first", "second"])
def test_a_file_with_a_second_name_is_neither_read_nor_changed(on_disk: StoreOnDisk, tmp_path: Path, name: str) -> None:
    second = tmp_path / "second" / "secrets.db"
    second.parent.mkdir()
    second.hardlink_to(on_disk.path)
    on_disk.path = {"first": on_disk.path, "second": second}[name]
    before = on_disk.files()
    for step in (lambda: get(on_disk.store(), "TOKEN"), lambda: put(on_disk.store(), "TOKEN", "after")):
        assert "second name" in refused(step).message
    assert on_disk.files() == before
    second.unlink()
    assert get(StoreOnDisk(tmp_path).store(), "TOKEN") == "before"


def test_a_name_that_is_added_while_a_server_runs_is_noticed(on_disk: StoreOnDisk, tmp_path: Path) -> None:
    store = on_disk.store()
    assert get(store, "TOKEN") == "before"
    (tmp_path / "second.db").hardlink_to(on_disk.path)
    refused(lambda: put(store, "TOKEN", "after"))
    (tmp_path / "second.db").unlink()
    assert get(store, "TOKEN") == "before"


def test_a_second_name_is_noticed_while_there_is_a_draft(on_disk: StoreOnDisk, tmp_path: Path) -> None:
    draft_of(on_disk.path).hardlink_to(on_disk.path)
    (tmp_path / "second.db").hardlink_to(on_disk.path)
    refused(lambda: put(on_disk.store(), "TOKEN", "after"))


SecondName = Callable[[Path, Path], AbstractContextManager[Path]]


@contextmanager
def linked(store: Path, at: Path) -> Iterator[Path]:
    at.hardlink_to(store)
    yield at


both_ways = pytest.mark.parametrize("second_name", [linked, pytest.param(mounted, marks=root_on_linux)])


@both_ways
def test_a_person_gets_no_value_and_no_backup_from_an_outdated_file(tmp_path: Path, second_name: SecondName) -> None:
    world = World(tmp_path)
    with closing(world.store()) as server:
        put(server, "TOKEN", "before")
        world.close()
        put(server, "TOKEN", "after")  # this value is only in the log at the first name
        (tmp_path / "second").mkdir()
        with second_name(world.path, tmp_path / "second" / "secrets.db") as second:
            world.path = second
            person, warnings = world.person(), list[str]()
            refused(lambda: secrets.get_value(person, "TOKEN", warn=warnings.append))
            refused(lambda: backups.make(person, tmp_path / "backup", PASSPHRASE, lambda *_: None))
            assert (warnings, (tmp_path / "backup").exists()) == ([], False)


@both_ways
@root_on_linux
def test_a_file_in_a_read_only_place_may_have_a_second_name(tmp_path: Path, second_name: SecondName) -> None:
    world = World(tmp_path)
    put(world.store(), "TOKEN", "before")
    world.close()
    with second_name(world.path, tmp_path / "second.db"), mounted(world.path.parent, tmp_path / "r", read_only=True):
        world.path = tmp_path / "r" / "secrets.db"
        warnings = list[str]()
        assert secrets.get_value(world.person(), "TOKEN", warn=warnings.append) == "before"
        assert len(warnings) == 1
        world.close()


# A file that is mounted without its directory


@root_on_linux
@pytest.mark.parametrize("name", ["secrets.db", "a b\\c\td.db"])
def test_a_mounted_file_is_neither_read_nor_changed(on_disk: StoreOnDisk, tmp_path: Path, name: str) -> None:
    own = on_disk.path
    before = on_disk.files()
    with mounted(own, tmp_path / name) as second:
        on_disk.path = second
        for step in (lambda: get(on_disk.store(), "TOKEN"), lambda: put(on_disk.store(), "TOKEN", "after")):
            assert "mounted" in refused(step).message
        on_disk.path = own
        assert on_disk.files() == before
        assert get(on_disk.store(), "TOKEN") == "before"


@root_on_linux
def test_a_store_in_a_mounted_directory_opens(on_disk: StoreOnDisk, tmp_path: Path) -> None:
    with mounted(on_disk.path.parent, tmp_path / "mounted") as directory:
        on_disk.path = directory / on_disk.path.name
        put(on_disk.store(), "TOKEN", "after")
        assert get(on_disk.store(), "TOKEN") == "after"
        on_disk.close()


def test_a_system_that_does_not_say_what_is_mounted_refuses_nothing(
    on_disk: StoreOnDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(location, "_MOUNTS", tmp_path / "none")
    assert get(on_disk.store(), "TOKEN") == "before"


# Windows packages. A real one cannot be had in a test, so its name is a stand-in.


@pytest.fixture
def packaged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Let this process run in a package, and return the profile directory."""
    monkeypatch.setattr(windows_package, "package_name", lambda: PACKAGE)
    monkeypatch.setattr(windows_package, "account_home", lambda: tmp_path)
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    monkeypatch.setenv("APPDATA", str(tmp_path / "moved"))
    return tmp_path


@pytest.mark.parametrize("place", ["AppData/Local/x/data", "AppData/Roaming/data", "moved/data", "link/data"])
def test_in_a_package_a_store_in_appdata_is_refused(packaged: Path, place: str) -> None:
    (packaged / "AppData").mkdir()
    (packaged / "link").symlink_to("AppData", target_is_directory=True)
    path = packaged / place / "secrets.db"
    store = Store(path, Custody(environment={KEY_FILE_VARIABLE: str(packaged / "k")}), lambda: 1.8e9)
    assert PACKAGE in refused(lambda: put(store, "TOKEN", "value")).message
    assert (path.parent.exists(), (packaged / "k").exists()) == (False, False)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"whatever is there")
    refused(lambda: get(store, "TOKEN"))


def test_in_a_package_a_new_key_file_in_appdata_is_refused(packaged: Path) -> None:
    key_file = packaged / "AppData" / "k"
    store = Store(
        packaged / "data" / "secrets.db", Custody(environment={KEY_FILE_VARIABLE: str(key_file)}), lambda: 1.8e9
    )
    assert "key file" in refused(lambda: put(store, "TOKEN", "value")).message
    assert not (packaged / "data").exists()


def test_in_a_package_a_store_in_the_profile_works(packaged: Path, on_disk: StoreOnDisk) -> None:
    assert packaged in on_disk.path.parents
    put(on_disk.store(), "TOKEN", "after")
    assert get(on_disk.store(), "TOKEN") == "after"


def test_no_package_means_no_restriction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows_package, "account_home", lambda: tmp_path)
    assert windows_package.private_to(tmp_path / "AppData" / "Local" / "x") is None


@pytest.mark.skipif(os.name == "nt", reason="Windows knows the profile")
def test_other_systems_have_no_package() -> None:
    assert windows_package.package_name() is None
