"""Test which files may not be inside a project, because a repository must not configure its own guard."""

from pathlib import Path

import pytest

from claude_secrets.errors import Code, CustodyError, DeniedError, SecretsError, StoreError
from claude_secrets.policy.planted import key_file_inside, policy_file_inside, refuse_inside, store_inside
from claude_secrets.policy.project import CallOrigin, Project, locate
from tests.support.disk import Disk, git

REFUSALS = {"store": store_inside, "key file": key_file_inside, "policy file": policy_file_inside}


def inside(
    disk: Disk,
    path: Path,
    *,
    at: Path,
    what: str = "store",
    environment: Path | None = None,
    root: Path | None = None,
    argument: Path | None = None,
    homes: frozenset[Path] | None = None,
) -> bool:
    """Return whether `path` is refused for a call that comes from these directories."""
    where = CallOrigin(argument, environment, root, at)
    homes = homes or disk.homes
    try:
        project: Project | None = locate(where, homes=homes)
    except DeniedError:
        project = None
    refusal: SecretsError | None = None
    try:
        refuse_inside(path, REFUSALS[what], where, project, homes)
    except SecretsError as error:
        refusal = error
    assert refusal is None or (what in refusal.message and str(path) not in refusal.message)
    return refusal is not None


@pytest.mark.parametrize(
    ("what", "kind", "code"),
    [
        ("store", StoreError, Code.STORE_UNAVAILABLE),
        ("key file", CustodyError, Code.KEY_MISSING),
        ("policy file", DeniedError, Code.ALLOWLIST_INVALID),
    ],
)
def test_what_lies_inside_the_project_is_refused_by_its_own_code(
    disk: Disk, what: str, kind: type[SecretsError], code: Code
) -> None:
    api = disk.repository("work", "api")
    with pytest.raises(kind) as caught:
        refuse_inside(api / "x", REFUSALS[what], CallOrigin(None, None, None, api), disk.locate(api), disk.homes)
    assert caught.value.code is code


def test_the_usual_places_are_not_inside_a_project(disk: Disk) -> None:
    api = disk.repository("work", "api")
    store = disk.home / ".local" / "share" / "claude-secrets" / "secrets.db"
    for at in (api, disk.home, disk.directory("downloads"), Path("/")):
        assert not inside(disk, store, at=at, environment=api)
        assert not inside(disk, store, at=at)
    assert not inside(disk, disk.home / "work" / "api-keys" / "store.db", at=api)
    assert not inside(disk, api / ".." / "store.db", at=api)


def test_the_whole_work_tree_and_those_around_it_count(disk: Disk) -> None:
    outer = disk.repository("work", "outer")
    inner = disk.repository("work", "outer", "vendor", "inner")
    project = disk.project("work", "outer", "vendor", "inner", "services", "a")
    for place in (project, inner, outer):
        assert inside(disk, place / "x" / "store.db", at=project)
        assert inside(disk, place / "store.db", at=disk.home, argument=project)


def test_every_place_that_was_named_counts(disk: Disk) -> None:
    api, clone = disk.repository("work", "api"), disk.directory("work", "clone")
    git(clone, "init", "--quiet")
    store = clone / "store.db"
    assert inside(disk, store, at=clone)
    assert inside(disk, store, at=api, argument=clone)
    assert inside(disk, store, at=disk.home, environment=clone)
    assert inside(disk, store, at=disk.home, root=clone / "src")
    assert inside(disk, store, at=clone, argument=api)
    assert not inside(disk, store, at=api)


def test_the_main_work_tree_counts_for_a_linked_one(disk: Disk) -> None:
    api = disk.repository("work", "api")
    linked = disk.home / "linked"
    git(api, "worktree", "add", "--quiet", str(linked))
    assert inside(disk, api / "store.db", at=linked)
    assert inside(disk, linked / "store.db", at=linked)


def test_a_link_does_not_hide_what_lies_inside(disk: Disk) -> None:
    api = disk.repository("work", "api")
    (disk.home / "link").symlink_to(api)
    assert inside(disk, disk.home / "link" / "store.db", at=api)
    assert inside(disk, api / "store.db", at=disk.home / "link")


def test_a_link_inside_that_leads_out_is_the_projects_own_choice(disk: Disk) -> None:
    api = disk.repository("work", "api")
    data = disk.directory(".local", "share")
    (api / "data").symlink_to(data)
    (api / "store.db").symlink_to(data / "store.db")
    (disk.home / "way").symlink_to(api)
    assert inside(disk, api / "data" / "store.db", at=api)
    assert inside(disk, api / "store.db", at=api)
    assert inside(disk, disk.home / "way" / "data" / "store.db", at=api)
    assert inside(disk, api / "data" / ".." / "store.db", at=api)


def test_a_link_in_the_middle_of_others_counts_too(disk: Disk) -> None:
    api = disk.repository("work", "api")
    outside = disk.directory("outside")
    (api / "file").symlink_to(outside / "store.db")
    (api / "directory").symlink_to(outside)
    (disk.home / "to-file").symlink_to("work/api/file")
    (disk.home / "to-directory").symlink_to(api / "directory")
    (outside / "to-file").symlink_to(disk.home / "to-file")
    (disk.home / "around").symlink_to(outside)
    for path in ("to-file", "outside/to-file", "around/to-file", "to-directory/store.db", "work/../to-directory/x"):
        assert inside(disk, disk.home / path, at=api), path
    (disk.home / "round").symlink_to(disk.home / "round")
    assert not inside(disk, disk.home / "round" / "x", at=api)
    assert not inside(disk, disk.home / "around" / "store.db", at=api)


def test_a_home_directory_kept_in_git_holds_the_store_all_the_same(disk: Disk) -> None:
    disk.repository()
    api = disk.repository("work", "api")
    store = disk.home / ".local" / "share" / "store.db"
    for at in (disk.home, api, disk.directory("downloads")):
        assert not inside(disk, store, at=at)
    assert not inside(disk, store, at=disk.home, argument=disk.home)


@pytest.mark.parametrize("is_repository", [True, False])
@pytest.mark.parametrize("home", ["", "src", ".."])
def test_a_clone_cannot_pass_for_the_home_directory(disk: Disk, home: str, *, is_repository: bool) -> None:
    clone = disk.repository("work", "clone") if is_repository else disk.project("work", "clone")
    disk.project("work", "clone", "src")
    homes = disk.homes | {(clone / home).resolve()}
    for environment in (None, clone, clone / "src"):
        assert inside(disk, clone / "store.db", at=clone, environment=environment, homes=homes)
    assert not inside(disk, disk.home / "store.db", at=clone, homes=homes)


def test_homes_outside_of_each_other_both_count(disk: Disk) -> None:
    second = disk.root / "second"
    second.mkdir()
    git(second, "init", "--quiet")
    homes = disk.homes | {second, Path("/")}
    assert not inside(disk, second / ".local" / "store.db", at=second / "downloads", homes=homes)


def test_another_spelling_of_the_same_directory_does_not_hide_what_lies_inside(disk: Disk) -> None:
    api = disk.repository("work", "api")
    other = disk.home / "WORK" / "API"
    if not other.exists():
        pytest.skip("this file system tells upper from lower case")
    assert inside(disk, other / "store.db", at=api)
