"""Changing files of other programs so that every change can be undone."""

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from claude_secrets.clients.changed_files import ChangedFiles, find_file, refuse_unwritable
from claude_secrets.errors import CallerError, SecretsError
from tests.support.posix import make_pipe

BEFORE, AFTER, LATER = b'{"a": 1}\r\n', b'{"a": 1, "b": 2}\r\n', b'{"c": 3}'


@pytest.fixture
def files(tmp_path: Path) -> ChangedFiles:
    return ChangedFiles(tmp_path / "records")


def test_a_changed_file_gets_its_bytes_and_mode_back(tmp_path: Path, files: ChangedFiles) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(BEFORE)
    path.chmod(0o640)
    found = find_file(path)
    files.write("zed", found, AFTER, original=BEFORE)
    assert path.read_bytes() == AFTER
    record = files.find(path)
    assert record is not None
    assert (record.client, record.original, record.is_as_written(AFTER)) == ("zed", BEFORE, True)
    assert not record.is_as_written(LATER)
    files.undo(find_file(path), record.original)
    assert path.read_bytes() == BEFORE
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(files) == []
    assert not (tmp_path / "records").exists()


def test_a_made_file_goes_with_its_directories(tmp_path: Path, files: ChangedFiles) -> None:
    path = tmp_path / "new" / "deep" / "config.json"
    files.write("zed", find_file(path), AFTER, original=None)
    assert path.read_bytes() == AFTER
    files.undo(find_file(path), None)
    assert not (tmp_path / "new").exists()


def test_a_directory_with_other_files_stays(tmp_path: Path, files: ChangedFiles) -> None:
    path = tmp_path / "new" / "config.json"
    files.write("zed", find_file(path), AFTER, original=None)
    (path.parent / "other").touch()
    files.undo(find_file(path), None)
    assert [one.name for one in path.parent.iterdir()] == ["other"]


def test_the_first_content_survives_a_second_change(tmp_path: Path, files: ChangedFiles) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(BEFORE)
    files.write("zed", find_file(path), AFTER, original=BEFORE)
    files.write("zed", find_file(path), LATER, original=BEFORE)
    (record,) = files
    assert (record.original, record.is_as_written(LATER)) == (BEFORE, True)


def test_a_file_that_changed_meanwhile_is_not_replaced(tmp_path: Path, files: ChangedFiles) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(BEFORE)
    found = find_file(path)
    path.write_bytes(LATER)
    with pytest.raises(SecretsError, match="has changed"):
        files.write("zed", found, AFTER, original=BEFORE)
    assert path.read_bytes() == LATER
    assert list(files) == []


def test_a_failed_second_change_keeps_the_first_record(tmp_path: Path, files: ChangedFiles) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(BEFORE)
    files.write("zed", find_file(path), AFTER, original=BEFORE)
    found = find_file(path)
    path.write_bytes(LATER)
    with pytest.raises(SecretsError):
        files.write("zed", found, BEFORE, original=BEFORE)
    (record,) = files
    assert record.is_as_written(AFTER)


def test_a_file_that_has_just_appeared_is_not_replaced(tmp_path: Path, files: ChangedFiles) -> None:
    found = find_file(tmp_path / "config.json")
    found.path.write_bytes(LATER)
    with pytest.raises(SecretsError, match="appeared"):
        files.write("zed", found, AFTER, original=None)
    assert found.path.read_bytes() == LATER
    with pytest.raises(SecretsError, match="has changed"):
        files.undo(find_file(found.path)._replace(file=find_file(found.path).file._replace(data=AFTER)), None)  # type: ignore[union-attr]
    assert found.path.read_bytes() == LATER


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_link_stays_a_link(tmp_path: Path, files: ChangedFiles) -> None:
    real, link = tmp_path / "dotfiles" / "config.json", tmp_path / "config.json"
    real.parent.mkdir()
    real.write_bytes(BEFORE)
    link.symlink_to(real)
    files.write("zed", find_file(link), AFTER, original=BEFORE)
    assert link.is_symlink()
    assert real.read_bytes() == AFTER
    files.undo(find_file(link), BEFORE)
    assert link.is_symlink()
    assert real.read_bytes() == BEFORE


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    dangling, directory, pipe = tmp_path / "dangling", tmp_path / "directory", tmp_path / "pipe"
    dangling.symlink_to(tmp_path / "nowhere")
    directory.mkdir()
    make_pipe(pipe)
    for path in (dangling, directory, pipe):
        with pytest.raises(CallerError, match=path.name):
            find_file(path)


def test_a_read_only_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(BEFORE)
    refuse_unwritable(find_file(path))
    path.chmod(0o444)
    with pytest.raises(CallerError, match="read-only"):
        refuse_unwritable(find_file(path))
    path.chmod(0o644)


def test_a_record_that_somebody_changed_counts_as_none(tmp_path: Path, files: ChangedFiles) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(BEFORE)
    files.write("zed", find_file(path), AFTER, original=BEFORE)
    (record,) = (tmp_path / "records").glob("*.json")
    good = json.loads(record.read_bytes())
    others = [
        {**good, "path": str(tmp_path / "other")},  # the name of a record belongs to one path
        {**good, "path": "config.json"},
        {**good, "path": "\0"},
        {**good, "directories": [str(tmp_path / "other")]},
    ]
    for broken in (
        b"",
        b"[]",
        b'{"client": 1}',
        b"\xff",
        b"[" * 100_000,
        *(json.dumps(one).encode() for one in others),
    ):
        record.write_bytes(broken)
        assert files.find(path) is None
        assert list(files) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pipes in directories")
def test_a_pipe_is_no_record_and_nobody_waits_for_it(tmp_path: Path, files: ChangedFiles) -> None:
    (tmp_path / "records").mkdir()
    if sys.platform != "win32":
        os.mkfifo(tmp_path / "records" / "a.json")
    assert list(files) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has access lists instead of modes")
def test_copies_are_private(tmp_path: Path, files: ChangedFiles) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(BEFORE)
    os.umask(os.umask(0))
    files.write("zed", find_file(path), AFTER, original=BEFORE)
    assert stat.S_IMODE((tmp_path / "records").stat().st_mode) == 0o700
    assert {stat.S_IMODE(one.stat().st_mode) for one in (tmp_path / "records").iterdir()} == {0o600}
