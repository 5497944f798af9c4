"""Creating a store: complete and private or not at all. Processes that start together make one store with one key."""

import multiprocessing
import os
import stat
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from claude_secrets import atomic_file
from claude_secrets.atomic_file import Draft
from claude_secrets.errors import CallerError, Code, CustodyError, SecretsError, StoreError
from claude_secrets.keys.cipher import DataKey
from claude_secrets.keys.custody import Custody
from claude_secrets.keys.slot import NewSlot
from claude_secrets.store import creation
from claude_secrets.store.store import Store
from tests.support.store_world import NO_KEYRING, StoreOnDisk, contents, get, put

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="modes are a POSIX matter")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_store_is_one_file_that_opens_and_is_empty(on_disk: StoreOnDisk) -> None:
    assert list(on_disk.files()) == ["secrets.db"]
    store = on_disk.store()
    assert contents(store) == {}
    assert [slot.kind for slot in store.slots()] == ["file"]
    assert store.key_files() == [on_disk.key_file]


@posix_only
@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_a_new_store_is_private_whatever_the_umask(bare: StoreOnDisk, umask: int) -> None:
    before = os.umask(umask)
    try:
        bare.create()
    finally:
        os.umask(before)
    assert mode(bare.path) == 0o600
    assert mode(bare.path.parent) == 0o700


@posix_only
def test_the_rights_of_others_are_taken_from_a_store_when_it_is_opened(on_disk: StoreOnDisk) -> None:
    on_disk.path.chmod(0o644)
    put(on_disk.store(), "TOKEN", "v")
    modes = {path.name: mode(path) for path in on_disk.path.parent.iterdir()}
    assert modes == {"secrets.db": 0o600, "secrets.db-wal": 0o600, "secrets.db-shm": 0o600}


@posix_only
@pytest.mark.parametrize("foreign", [b"notes of mine", b"SQLite format 3\x00" + bytes(500)], ids=["text", "database"])
def test_the_rights_of_a_file_that_is_no_store_are_left_alone(bare: StoreOnDisk, foreign: bytes) -> None:
    bare.path.parent.mkdir()
    bare.path.write_bytes(foreign)
    bare.path.chmod(0o644)
    with pytest.raises(StoreError):
        get(bare.store(), "TOKEN")
    assert mode(bare.path) == 0o644
    assert bare.files() == {"secrets.db": foreign}


def test_a_store_is_not_made_a_second_time(on_disk: StoreOnDisk, tmp_path: Path) -> None:
    put(on_disk.store(), "TOKEN", "v")
    before = on_disk.close().files()
    with pytest.raises(StoreError) as caught:
        on_disk.store().create_with_key_file(tmp_path / "keys" / "second.key")
    assert caught.value.code is Code.STORE_UNAVAILABLE
    assert not (tmp_path / "keys" / "second.key").exists()
    assert on_disk.files() == before


@pytest.mark.parametrize("what", ["empty file", "text", "dangling link"])
def test_no_store_is_made_over_something_else(bare: StoreOnDisk, tmp_path: Path, what: str) -> None:
    on_disk = bare
    on_disk.path.parent.mkdir()
    if what == "dangling link":
        on_disk.path.symlink_to(tmp_path / "elsewhere")
    else:
        on_disk.path.write_text("" if what == "empty file" else "notes of mine")
    for attempt in (lambda: put(on_disk.store(), "TOKEN", "v"), on_disk.create):
        with pytest.raises(StoreError):
            attempt()
    assert not on_disk.key_file.exists()
    assert not (tmp_path / "elsewhere").exists()


def test_a_store_that_cannot_be_made_leaves_no_file_and_no_key(bare: StoreOnDisk) -> None:
    bare.path.parent.write_text("a file where the directory should be")
    with pytest.raises(StoreError) as caught:
        bare.create()
    assert caught.value.code is Code.STORE_UNAVAILABLE
    assert not bare.key_file.exists()


def test_a_creation_that_is_interrupted_leaves_no_file_and_no_key(
    bare: StoreOnDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(draft: Draft, target: Path) -> bool:
        assert draft.path.exists()
        assert bare.key_file.exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(Draft, "put_in_place", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bare.create()
    assert bare.files() == {}
    assert not bare.key_file.exists()


def test_a_key_that_cannot_be_made_leaves_no_store(bare: StoreOnDisk, tmp_path: Path) -> None:
    on_disk = bare
    for key_file in (on_disk.path.parent / "beside.key", tmp_path / "missing" / "master.key"):
        with pytest.raises(CallerError):
            on_disk.store().create_with_key_file(key_file)
    with pytest.raises(CustodyError) as caught:
        put(on_disk.store(), "TOKEN", "v")  # no keyring
    assert caught.value.code is Code.KEYRING_UNAVAILABLE
    assert not on_disk.path.exists()


class FirstWriteToFile(Custody):
    """Custody that keeps a new store's key in a file, so that tests of races need no keyring."""

    def __init__(self, key_file: Path) -> None:
        super().__init__(environment=dict(NO_KEYRING))
        self.first_key_file = key_file

    def new_keyring_slot(self, store_id: str, data_key: DataKey) -> NewSlot:
        return self.new_file_slot(store_id, data_key, self.first_key_file, store=Path("/nonexistent/secrets.db"))


class Beaten(FirstWriteToFile):
    """Custody in a process that is always too late: another process, which ignores drafts, creates the store first."""

    def __init__(self, path: Path, key_file: Path, winner: StoreOnDisk) -> None:
        super().__init__(key_file)
        self.path = path
        self.winner = winner

    def new_keyring_slot(self, store_id: str, data_key: DataKey) -> NewSlot:
        put(self.winner.create().store(), "WINNER", "first")
        self.winner.close()
        self.winner.path.rename(self.path)
        return super().new_keyring_slot(store_id, data_key)


def test_who_comes_second_goes_on_with_the_store_of_the_first_and_takes_its_own_key_back(
    bare: StoreOnDisk, tmp_path: Path
) -> None:
    on_disk = bare
    (tmp_path / "elsewhere").mkdir()
    second, winner = tmp_path / "keys" / "second.key", StoreOnDisk(tmp_path / "elsewhere")
    loser = Store(on_disk.path, Beaten(on_disk.path, second, winner), lambda: on_disk.time)
    put(loser, "LOSER", "second")
    loser.close()
    assert contents(on_disk.store()) == {"WINNER": "first", "LOSER": "second"}
    assert not second.exists()
    assert winner.key_file.exists()
    assert list(on_disk.close().files()) == ["secrets.db"]


_barrier: Barrier


def _line_up(barrier: Barrier) -> None:
    global _barrier  # noqa: PLW0603  the way to give a barrier to a pool's processes
    _barrier = barrier


def _first_writes(root: Path, number: int, count: int) -> str:
    on_disk = StoreOnDisk(root)
    store = Store(on_disk.path, FirstWriteToFile(root / "keys" / f"{number}.key"), lambda: on_disk.time)
    _barrier.wait(60)
    for turn in range(count):
        put(store, f"P{number}_{turn}", f"value {number} {turn}")
    store.close()
    return "done"


def _create(root: Path, number: int) -> str:
    _barrier.wait(60)
    try:
        StoreOnDisk(root).store().create_with_key_file(root / "keys" / f"{number}.key")
    except SecretsError as error:
        return error.code
    return "made"


def _at_once(processes: int, task: Callable[..., str], root: Path, *more: object) -> list[str]:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(processes)
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_line_up, initargs=(barrier,)) as pool:
        futures = [pool.submit(task, root, number, *more) for number in range(processes)]
        return [future.result(120) for future in futures]


def test_two_processes_that_create_at_once_make_one_store_and_one_key(tmp_path: Path) -> None:
    for round_ in range(5):
        root = tmp_path / str(round_)
        root.mkdir()
        outcomes = _at_once(2, _create, root)
        assert sorted(outcomes) == [Code.STORE_UNAVAILABLE, "made"]
        assert [path.name for path in (root / "keys").iterdir()] == [f"{outcomes.index('made')}.key"]
        on_disk = StoreOnDisk(root)
        assert list(on_disk.files()) == ["secrets.db"]
        assert contents(on_disk.store()) == {}
        on_disk.close()


def test_four_processes_with_many_first_writes_make_one_store_with_one_key_and_keep_all(tmp_path: Path) -> None:
    _at_once(4, _first_writes, tmp_path, 50)
    assert len(list((tmp_path / "keys").iterdir())) == 1
    expected = {f"P{number}_{turn}": f"value {number} {turn}" for number in range(4) for turn in range(50)}
    on_disk = StoreOnDisk(tmp_path)
    assert contents(on_disk.store()) == expected
    assert list(on_disk.close().files()) == ["secrets.db"]


def test_a_draft_beside_a_store_is_removed_and_no_key_with_it(on_disk: StoreOnDisk) -> None:
    put(on_disk.store(), "TOKEN", "v")
    on_disk.close()
    draft = on_disk.path.with_name(".secrets.db.claude-secrets-draft")
    for content in (on_disk.path.read_bytes(), b"", b"notes"):  # a copied store also names the store's key
        draft.write_bytes(content)
        assert get(on_disk.store(), "TOKEN") == "v"
        assert not draft.exists()
        on_disk.close()
    assert on_disk.key_file.exists()


def test_a_draft_that_somebody_holds_is_left_alone(on_disk: StoreOnDisk) -> None:
    draft = on_disk.path.with_name(".secrets.db.claude-secrets-draft")
    with atomic_file.draft(draft, patience=0) as held:
        assert held is not None
        put(on_disk.store(), "TOKEN", "v")
        assert draft.exists()
        with atomic_file.draft(draft, patience=0.1) as second:
            assert second is None
    assert not draft.exists()


def killed_after(on_disk: StoreOnDisk, moment: str) -> None:
    """Leave the files of a process that was killed while it made the store."""
    on_disk.create().close()
    draft = on_disk.path.with_name(".secrets.db.claude-secrets-draft")
    if moment == "the store has its name":
        draft.hardlink_to(on_disk.path)
        return
    on_disk.path.rename(draft)
    if moment == "the draft is begun":
        os.truncate(draft, 5000)
    if moment == "the draft is empty":
        os.truncate(draft, 0)
    if moment != "the key is in its place":
        on_disk.key_file.unlink()


MOMENTS = [
    "the draft is empty",
    "the draft is begun",
    "the draft is written",
    "the key is in its place",
    "the store has its name",
]


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_next_one_finishes_what_a_killed_process_began(bare: StoreOnDisk, moment: str) -> None:
    killed_after(bare, moment)
    if moment == "the store has its name":
        with pytest.raises(StoreError):
            bare.create()
    else:
        bare.create()
    put(bare.store(), "TOKEN", "v")
    assert contents(bare.store()) == {"TOKEN": "v"}
    bare.close()
    assert list(bare.files()) == ["secrets.db"]
    assert [path.name for path in bare.key_file.parent.iterdir()] == ["master.key"]


def test_a_store_that_is_finished_has_the_key_it_was_begun_with(bare: StoreOnDisk, tmp_path: Path) -> None:
    killed_after(bare, "the key is in its place")
    with pytest.raises(StoreError) as caught:
        bare.store().create_with_key_file(tmp_path / "keys" / "second.key")
    assert caught.value.code is Code.STORE_UNAVAILABLE
    assert not (tmp_path / "keys" / "second.key").exists()
    assert contents(bare.store()) == {}


def test_a_draft_that_is_a_link_or_a_directory_is_not_written_through(bare: StoreOnDisk, tmp_path: Path) -> None:
    bare.path.parent.mkdir()
    notes = tmp_path / "notes"
    notes.write_text("my notes")
    draft = bare.path.with_name(".secrets.db.claude-secrets-draft")
    draft.symlink_to(notes)
    with pytest.raises(StoreError) as caught:
        bare.create()
    assert caught.value.code is Code.STORE_UNAVAILABLE
    assert (notes.read_text(), bare.key_file.exists()) == ("my notes", False)
    draft.unlink()
    draft.mkdir()
    with pytest.raises(StoreError):
        bare.create()


def test_a_store_that_another_process_is_making_is_waited_for(
    bare: StoreOnDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(creation, "_PATIENCE", 0.2)
    bare.path.parent.mkdir()
    with atomic_file.draft(bare.path.with_name(".secrets.db.claude-secrets-draft"), patience=0):
        with pytest.raises(StoreError) as caught:
            bare.create()
        assert caught.value.code is Code.STORE_BUSY
    assert not bare.key_file.exists()
    assert contents(bare.create().store()) == {}
