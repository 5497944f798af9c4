"""Files that are not a store, read-only directories and full disks: each gives the right code and changes nothing."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from claude_secrets.errors import Code, StoreError
from tests.support import store_world
from tests.support.posix import skip_without
from tests.support.requirements import require, require_real
from tests.support.store_world import StoreOnDisk, contents, get, put

skip_without("POSIX file modes, limits and mounts")
assert sys.platform != "win32"


@pytest.fixture(name="on_disk")
def keep_with_token(on_disk: StoreOnDisk) -> StoreOnDisk:
    """Create a store with one secret, and close it."""
    put(on_disk.store(), "TOKEN", "before")
    return on_disk.close()


def step(path: Path, *step: str, bound: bool = False) -> str:
    """Run one step in a separate process. A `bound` process obeys file modes even if the tests run as root."""
    wrapper = []
    if bound and os.geteuid() == 0:
        wrapper = [require("setpriv"), "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]
    done = subprocess.run([*wrapper, *store_world.command(path, *step)], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode()


# Files that are not a store


def sqlite_file(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def no_store(path: Path, what: str) -> None:
    path.unlink()
    match what:
        case "a directory":
            path.mkdir()
        case "a named pipe":
            os.mkfifo(path)
        case "an empty file":
            path.touch()
        case "one byte" | "a text file":
            path.write_text("x" if what == "one byte" else "notes of mine\n" * 500)
        case "an SQLite file of another program":
            sqlite_file(path, "CREATE TABLE store (id)", "PRAGMA user_version = 1")
        case "an SQLite file with nothing in it":
            sqlite_file(path, "VACUUM")


@pytest.mark.parametrize(
    "what",
    [
        "a directory",
        "a named pipe",
        "an empty file",
        "one byte",
        "a text file",
        "an SQLite file of another program",
        "an SQLite file with nothing in it",
    ],
)
def test_what_is_no_store_is_refused_and_left_as_it_is(on_disk: StoreOnDisk, what: str) -> None:
    no_store(on_disk.path, what)
    before = on_disk.path.read_bytes() if on_disk.path.is_file() else b""
    for attempt in (lambda: get(on_disk.store(), "TOKEN"), lambda: put(on_disk.store(), "TOKEN", "after")):
        with pytest.raises(StoreError) as caught:
            attempt()
        assert caught.value.code is Code.STORE_FORMAT
    assert [path.name for path in on_disk.path.parent.iterdir()] == ["secrets.db"]
    assert not on_disk.path.is_file() or on_disk.path.read_bytes() == before


@pytest.mark.parametrize("version", [0, 2, 99, -1])
def test_another_format_is_refused_and_says_what_to_upgrade(on_disk: StoreOnDisk, version: int) -> None:
    sqlite_file(on_disk.path, f"PRAGMA user_version = {version}")
    before = on_disk.path.read_bytes()
    for attempt in (lambda: get(on_disk.store(), "TOKEN"), lambda: put(on_disk.store(), "TOKEN", "after")):
        with pytest.raises(StoreError) as caught:
            attempt()
        assert caught.value.code is Code.STORE_FORMAT
        assert f"format {version}," in caught.value.message
        assert "Upgrade" in (caught.value.hint or "")
    assert on_disk.path.read_bytes() == before


@pytest.mark.parametrize("length", [1, 100, 4096, 5000, -4096, -8192])
def test_a_file_that_was_cut_off_gives_out_nothing(on_disk: StoreOnDisk, length: int) -> None:
    on_disk.path.write_bytes(on_disk.path.read_bytes()[:length])
    with pytest.raises(StoreError) as caught:
        get(on_disk.store(), "TOKEN")
    assert caught.value.code in {Code.STORE_FORMAT, Code.STORE_TAMPERED}


def test_a_file_of_another_user_is_refused(on_disk: StoreOnDisk) -> None:
    require_real(os.geteuid() == 0, "the right to give a file to another user")
    os.chown(on_disk.path, 65534, -1)
    with pytest.raises(StoreError) as caught:
        get(on_disk.store(), "TOKEN")
    assert caught.value.code is Code.STORE_UNAVAILABLE


# Read-only


@pytest.mark.parametrize(("directory", "file"), [(0o500, 0o400), (0o500, 0o600)], ids=["file too", "directory only"])
def test_in_a_read_only_directory_nothing_is_changed_and_the_person_still_reads(
    on_disk: StoreOnDisk, directory: int, file: int
) -> None:
    before = on_disk.files()
    on_disk.path.chmod(file)
    on_disk.path.parent.chmod(directory)
    try:
        assert step(on_disk.path, "put", "TOKEN", "after", bound=True) == Code.STORE_UNAVAILABLE
        assert step(on_disk.path, "get", "TOKEN", bound=True) == Code.STORE_UNAVAILABLE
        assert step(on_disk.path, "person-get", "TOKEN", bound=True) == "before (1 warnings)"
    finally:
        on_disk.path.parent.chmod(0o700)
    assert on_disk.files() == before


def test_a_read_only_file_is_not_changed_and_the_person_still_reads(on_disk: StoreOnDisk) -> None:
    before = on_disk.files()
    on_disk.path.chmod(0o400)
    assert step(on_disk.path, "put", "TOKEN", "after", bound=True) == Code.STORE_UNAVAILABLE
    assert step(on_disk.path, "get", "TOKEN", bound=True) == Code.STORE_UNAVAILABLE
    assert step(on_disk.path, "person-get", "TOKEN", bound=True) == "before (1 warnings)"
    assert on_disk.files() == before
    on_disk.path.chmod(0o600)
    assert step(on_disk.path, "put", "TOKEN", "after", bound=True) == "2"


def test_a_file_that_cannot_be_read_is_unavailable(on_disk: StoreOnDisk) -> None:
    on_disk.path.chmod(0)
    for name in ("put", "get", "person-get"):
        value = ["after"] if name == "put" else []
        assert step(on_disk.path, name, "TOKEN", *value, bound=True) == Code.STORE_UNAVAILABLE


def test_in_a_read_only_place_with_changes_in_the_log_the_person_is_not_given_an_old_value(
    on_disk: StoreOnDisk,
) -> None:
    put(on_disk.store(), "TOKEN", "after")
    files = on_disk.files()  # as a running or a killed process leaves them
    on_disk.close()
    for name in ("secrets.db", "secrets.db-wal"):
        on_disk.path.with_name(name).write_bytes(files[name])
    on_disk.path.parent.chmod(0o500)
    try:
        assert step(on_disk.path, "person-get", "TOKEN", bound=True) == Code.STORE_UNAVAILABLE
    finally:
        on_disk.path.parent.chmod(0o700)
    assert step(on_disk.path, "person-get", "TOKEN") == "after (0 warnings)"


def test_no_store_and_no_key_come_to_be_in_a_read_only_directory(tmp_path: Path) -> None:
    on_disk = StoreOnDisk(tmp_path)
    on_disk.path.parent.mkdir(mode=0o500)
    assert step(on_disk.path, "create", str(on_disk.key_file), bound=True) == Code.STORE_UNAVAILABLE
    assert (on_disk.files(), on_disk.key_file.exists()) == ({}, False)


def test_a_store_is_made_with_its_key_in_a_directory_that_can_be_written_but_not_listed(tmp_path: Path) -> None:
    on_disk = StoreOnDisk(tmp_path)
    on_disk.path.parent.mkdir(mode=0o300)
    assert step(on_disk.path, "create", str(on_disk.key_file), bound=True) == "None"
    assert step(on_disk.path, "put", "TOKEN", "v", bound=True) == "1"
    on_disk.path.parent.chmod(0o700)
    assert contents(on_disk.store()) == {"TOKEN": "v"}
    on_disk.close()


# Full


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = [require("mount"), "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)]
    require_real(subprocess.run(mount, capture_output=True, check=False).returncode == 0, "mount of a small tmpfs")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_has_its_code_loses_nothing_and_the_next_write_works_once_there_is_space(
    disk: Path, tmp_path: Path
) -> None:
    on_disk = StoreOnDisk(tmp_path)
    on_disk.path = disk / "data" / "secrets.db"
    on_disk.create()
    store = on_disk.store()
    try:
        put(store, "TOKEN", "before")
        filler = disk / "filler"
        filler.write_bytes(bytes(shutil.disk_usage(disk).free))
        for value in ("after", "x" * 100_000):
            with pytest.raises(StoreError) as caught:
                put(store, "TOKEN", value)
            assert caught.value.code is Code.STORE_FULL
        assert contents(store) == contents(on_disk.store()) == {"TOKEN": "before"}
        filler.unlink()
        put(store, "TOKEN", "after")
        assert contents(on_disk.store()) == {"TOKEN": "after"}
    finally:
        on_disk.close()


def test_a_full_disk_lets_no_store_and_no_key_come_to_be(disk: Path, tmp_path: Path) -> None:
    on_disk = StoreOnDisk(tmp_path)
    on_disk.path = disk / "data" / "secrets.db"
    on_disk.path.parent.mkdir()
    filler = disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(disk).free))
    with pytest.raises(StoreError) as caught:
        on_disk.create()
    assert caught.value.code in {Code.STORE_FULL, Code.STORE_UNAVAILABLE}
    assert (on_disk.files(), on_disk.key_file.exists()) == ({}, False)
    filler.unlink()
    assert contents(on_disk.create().store()) == {}
    on_disk.close()


def test_a_limit_on_the_size_of_files_changes_nothing_and_the_next_write_works(on_disk: StoreOnDisk) -> None:
    outcome = step(on_disk.path, "put-with-file-size-limit", "TOKEN", "x", "100000")
    assert outcome == "2"
    outcome = step(on_disk.path, "put-with-file-size-limit", "TOKEN", "y", "400000")
    assert outcome in {Code.STORE_FULL, Code.STORE_UNAVAILABLE}
    assert contents(on_disk.store()) == {"TOKEN": "x" * 100_000}
    assert step(on_disk.path, "put", "TOKEN", "after") == "3"
    assert contents(on_disk.store()) == {"TOKEN": "after"}
