"""Test the directories that a process was given: they are compared at every call, held open, and closed in the end."""

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from claude_secrets.errors import Code, DeniedError
from claude_secrets.policy.pinned_directories import Directories
from claude_secrets.policy.project import CallOrigin

needs_descriptors = pytest.mark.skipif(
    not Path("/proc/self/fd").is_dir(), reason="only Linux lists a process's open files in /proc"
)


@pytest.fixture
def directories() -> Iterator[Directories]:
    directories = Directories()
    yield directories
    directories.close()


def at(working: Path, *, argument: Path | None = None, root: Path | None = None) -> CallOrigin:
    return CallOrigin(argument=argument, environment=None, root=root, working_directory=working)


def made(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def is_refused(directories: Directories, where: CallOrigin, project: Path | None = None) -> bool:
    try:
        directories.check(where)
        if project is not None:
            directories.check_project(where, project)
    except DeniedError as error:
        return error.code is Code.PROJECT_CONFLICT
    return False


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_directory_that_stays_is_the_same_however_often_one_looks(directories: Directories, tmp_path: Path) -> None:
    where = at(made(tmp_path / "api" / "src"), root=tmp_path / "api")
    assert not any(is_refused(directories, where, tmp_path / "api") for _ in range(3))


def test_another_directory_of_the_same_name_is_not_the_same(directories: Directories, tmp_path: Path) -> None:
    """Many file systems reuse a directory's number unless the directory is held open."""
    api = made(tmp_path / "api")
    for where in (at(api), at(tmp_path, root=api), at(tmp_path, argument=api)):
        assert not is_refused(directories, where)
    api.rmdir()
    made(tmp_path / "api")
    for where in (at(api), at(tmp_path, root=api), at(tmp_path, argument=api)):
        assert is_refused(directories, where)


def test_a_root_that_becomes_known_is_held_from_then_on(directories: Directories, tmp_path: Path) -> None:
    api, other = made(tmp_path / "api"), made(tmp_path / "other")
    assert not is_refused(directories, at(tmp_path))
    where = at(tmp_path, root=api)
    assert not is_refused(directories, where)
    api.rename(tmp_path / "aside")
    api.symlink_to(other)
    assert is_refused(directories, where)
    assert not is_refused(directories, at(tmp_path))


def test_where_the_argument_names_the_project_no_other_place_is_looked_at(
    directories: Directories, tmp_path: Path
) -> None:
    api, elsewhere = made(tmp_path / "api"), made(tmp_path / "elsewhere")
    where = at(elsewhere, argument=api)
    assert not is_refused(directories, where, api)
    elsewhere.rmdir()
    elsewhere.symlink_to(api)
    assert not is_refused(directories, where, api)


def test_a_link_that_is_pointed_elsewhere_is_noticed_and_one_that_stays_is_none(
    directories: Directories, tmp_path: Path
) -> None:
    one, two, link = made(tmp_path / "one"), made(tmp_path / "two"), tmp_path / "link"
    link.symlink_to(one)
    assert not any(is_refused(directories, at(link)) for _ in range(2))
    link.unlink()
    link.symlink_to(two)
    assert is_refused(directories, at(link))


def test_the_same_directory_in_another_place_is_not_where_it_was(directories: Directories, tmp_path: Path) -> None:
    src, other = made(tmp_path / "evil" / "src"), made(tmp_path / "victim")
    assert not is_refused(directories, at(src))
    src.rename(other / "src")
    src.symlink_to(other / "src")
    assert is_refused(directories, at(src))


def test_a_directory_that_is_gone_or_not_there_yet_is_no_other_one(directories: Directories, tmp_path: Path) -> None:
    gone, later = made(tmp_path / "gone"), tmp_path / "later"
    assert not is_refused(directories, at(gone, root=later))
    gone.rmdir()
    made(later)
    assert not is_refused(directories, at(gone, root=later))
    later.rename(tmp_path / "aside")
    made(later)
    assert is_refused(directories, at(gone, root=later))


def test_a_project_found_from_the_same_place_stays_that_one(directories: Directories, tmp_path: Path) -> None:
    inner = made(tmp_path / "api" / "inner")
    where = at(inner)
    assert not is_refused(directories, where, inner)
    assert is_refused(directories, where, tmp_path / "api")
    assert not is_refused(directories, where, inner)


def test_a_project_s_directory_is_compared_too(directories: Directories, tmp_path: Path) -> None:
    api, aside = tmp_path / "api", tmp_path / "aside"
    where = at(made(api / "src"))
    assert not is_refused(directories, where, api)
    api.rename(aside)
    made(api)
    (aside / "src").rename(api / "src")
    assert not is_refused(directories, where)
    assert is_refused(directories, where, api)


def test_a_project_that_lies_around_no_place_is_none_that_was_found_there(
    directories: Directories, tmp_path: Path
) -> None:
    """An attacker may change a directory between two checks, so that the checks see different projects."""
    assert is_refused(directories, at(made(tmp_path / "evil")), made(tmp_path / "victim"))


def test_the_working_directory_at_the_start_is_the_process_s_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, directories: Directories
) -> None:
    api, other = made(tmp_path / "api"), made(tmp_path / "other")
    monkeypatch.chdir(api)
    api.rename(tmp_path / "aside")
    api.symlink_to(other)
    with pytest.raises(DeniedError) as caught:
        directories.start(at(api))
    assert caught.value.code is Code.PROJECT_CONFLICT


@pytest.mark.skipif(sys.platform == "win32", reason="a working directory cannot be deleted on Windows")
def test_a_working_directory_that_was_deleted_is_the_root_as_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, directories: Directories
) -> None:
    gone = made(tmp_path / "gone")
    monkeypatch.chdir(gone)
    gone.rmdir()
    directories.start(at(Path(os.sep)))
    assert not is_refused(directories, at(Path(os.sep)))


@needs_descriptors
def test_what_is_held_open_is_let_go_of_in_the_end(tmp_path: Path) -> None:
    gc.collect()
    before = open_files()
    closed, lost = Directories(), Directories()
    for directories in (closed, lost):
        directories.check(at(made(tmp_path / str(id(directories)))))
    del directories
    assert open_files() == before + 2
    closed.close()
    assert open_files() == before + 1
    del lost
    gc.collect()
    assert open_files() == before


@needs_descriptors
def test_however_many_places_are_named_few_are_held_open_and_all_compared(
    directories: Directories, tmp_path: Path
) -> None:
    before, one = open_files(), made(tmp_path / "one")
    places = [tmp_path / str(number) for number in range(300)]
    for place in places:
        place.symlink_to(one)
        assert not is_refused(directories, at(place))
    assert open_files() <= before + 64
    other = made(tmp_path / "other")
    for place in places:
        place.unlink()
        place.symlink_to(other)
        assert is_refused(directories, at(place))
