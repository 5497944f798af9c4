"""Test finding the project: the places to search, and the refusal if these places lead to different projects."""

import os
import sys
from pathlib import Path

import pytest

from claude_secrets.errors import Code
from claude_secrets.paths import command
from claude_secrets.policy.project import Project
from tests.support.disk import Disk, git

# The places to search


def test_the_working_directory_of_a_project_is_that_project(disk: Disk) -> None:
    api = disk.repository("work", "api")
    assert disk.locate(api) == Project(api, str(api), api)


def test_a_directory_below_belongs_to_the_nearest_project_of_its_work_tree(disk: Disk) -> None:
    api = disk.repository("work", "api")
    inner = disk.project("work", "api", "services", "inner")
    assert disk.locate(disk.directory("work", "api", "src", "deep")).path == api
    assert disk.locate(disk.directory("work", "api", "services", "inner", "src")) == Project(inner, str(inner), api)


def test_a_work_tree_without_a_project_does_not_reach_the_project_around_it(disk: Disk) -> None:
    disk.repository("work", "api")
    clone = disk.directory("work", "api", "vendor", "clone")
    git(clone, "init", "--quiet")
    assert disk.refused(clone).code is Code.NO_PROJECT


def test_without_a_work_tree_a_project_is_found_anywhere_below_the_home_directory(disk: Disk) -> None:
    notes = disk.project("notes")
    assert disk.locate(disk.directory("notes", "2026", "november")) == Project(notes, str(notes), None)


def test_without_a_work_tree_and_outside_of_the_home_directory_only_the_directory_itself_counts(disk: Disk) -> None:
    outside = disk.root / "srv" / "app"
    (outside / ".claude").mkdir(parents=True)
    (outside / ".claude" / "secrets.yml").touch()
    (outside / "src").mkdir()
    assert disk.locate(outside).path == outside
    assert disk.refused(outside / "src").code is Code.NO_PROJECT
    git(outside, "init", "--quiet")
    assert disk.locate(outside / "src").path == outside


def test_the_home_directory_and_what_is_above_it_is_no_project(disk: Disk) -> None:
    disk.project()
    (disk.root / ".claude").mkdir()
    (disk.root / ".claude" / "secrets.yml").touch()
    for directory in (disk.home, disk.directory("downloads"), disk.root, Path("/")):
        assert disk.refused(directory).code is Code.NO_PROJECT
        assert disk.refused(disk.root, environment=directory).code is Code.NO_ALLOWLIST


def test_a_home_directory_kept_in_git_counts_as_no_work_tree(disk: Disk) -> None:
    disk.repository()
    notes = disk.project("notes")
    assert disk.refused(disk.directory("downloads")).code is Code.NO_PROJECT
    assert disk.locate(notes) == Project(notes, str(notes), None)
    assert disk.locate(disk.home, environment=notes).path == notes


def test_a_link_to_a_project_leads_to_its_real_path(disk: Disk) -> None:
    api = disk.repository("work", "api")
    link = disk.home / "link"
    link.symlink_to(api)
    assert disk.locate(link) == disk.locate(api)
    assert disk.locate(api, environment=link, root=api / "." / ".." / "api") == disk.locate(api)


@pytest.mark.parametrize("target", ["elsewhere.yml", "secrets.yml"])
def test_an_allowlist_that_is_a_link_is_not_passed_over_for_the_project_above(disk: Disk, target: str) -> None:
    disk.repository("work", "api")
    inner = disk.directory("work", "api", "inner")
    (inner / ".claude").mkdir()
    (inner / ".claude" / "secrets.yml").symlink_to(target)  # one link is broken, the other links to itself
    assert disk.locate(inner).path == inner


# The choice among several places


def test_the_argument_names_exactly_its_directory(disk: Disk) -> None:
    api, other = disk.repository("work", "api"), disk.repository("work", "other")
    inner = disk.directory("work", "api", "src")
    assert disk.locate(other, argument=api, environment=other, root=other).path == api
    error = disk.refused(api, argument=inner)
    assert error.code is Code.NO_ALLOWLIST
    assert str(inner) in error.message
    assert f"{command()} init" in str(error.hint)


def test_the_argument_may_name_the_home_directory(disk: Disk) -> None:
    disk.project()
    assert disk.locate(disk.root, argument=disk.home).path == disk.home


def test_the_environment_and_the_root_each_name_a_project_where_the_working_directory_is_none(disk: Disk) -> None:
    api = disk.repository("work", "api")
    for elsewhere in (disk.home, Path("/"), disk.directory("downloads")):
        assert disk.locate(elsewhere, environment=api).path == api
        assert disk.locate(elsewhere, root=api).path == api
        assert disk.locate(elsewhere, environment=disk.directory("work", "api", "src"), root=api).path == api


def test_the_root_may_be_a_directory_around_the_project(disk: Disk) -> None:
    api = disk.repository("work", "api")
    assert disk.locate(api, environment=api, root=disk.home / "work").path == api


def test_a_place_that_is_named_and_has_no_allowlist_is_not_passed_over(disk: Disk) -> None:
    api = disk.repository("work", "api")
    empty = disk.directory("work", "empty")
    for error in (disk.refused(api, environment=empty), disk.refused(api, root=empty, environment=None)):
        assert error.code is Code.NO_ALLOWLIST
    assert disk.refused(api, environment=disk.home / "nowhere").code is Code.NO_ALLOWLIST


def test_no_project_says_where_it_looked_and_how_a_client_names_one(disk: Disk) -> None:
    downloads = disk.directory("downloads")
    error = disk.refused(downloads)
    assert error.code is Code.NO_PROJECT
    assert str(downloads) in error.message
    assert f"cd {downloads} && {command()} init" in str(error.hint)
    assert f"{command()} install CLIENT --project DIR" in str(error.hint)


def test_no_project_proposes_none_where_none_can_be(disk: Disk) -> None:
    error = disk.refused(disk.home)
    assert "init" not in str(error.hint)
    assert "--project DIR" in str(error.hint)


# Places that lead to different projects


def test_two_places_with_different_projects_are_a_conflict(disk: Disk) -> None:
    api, other = disk.repository("work", "api"), disk.repository("work", "other")
    conflicts = [
        disk.refused(other, environment=api),
        disk.refused(other, root=api),
        disk.refused(disk.home, environment=api, root=other),
        disk.refused(api, environment=api, root=other),
        disk.refused(other, environment=api, root=api),
    ]
    for error in conflicts:
        assert error.code is Code.PROJECT_CONFLICT
        assert str(disk.home) not in f"{error.message} {error.hint}"
        assert "--project" in str(error.hint)


def test_a_project_inside_another_is_not_the_other(disk: Disk) -> None:
    api = disk.repository("work", "api")
    inner = disk.project("work", "api", "inner")
    assert disk.refused(inner, environment=api).code is Code.PROJECT_CONFLICT
    assert disk.refused(api, environment=inner).code is Code.PROJECT_CONFLICT


def test_a_repository_without_an_allowlist_cannot_name_another_project(disk: Disk) -> None:
    api = disk.repository("work", "api")
    clone = disk.directory("work", "clone")
    git(clone, "init", "--quiet")
    src = disk.directory("work", "clone", "src")
    for places in (
        disk.refused(clone, environment=api),
        disk.refused(src, environment=api),
        disk.refused(disk.home, environment=api, root=clone),
        disk.refused(disk.home, environment=clone / ".." / "api", root=src),
    ):
        assert places.code is Code.PROJECT_CONFLICT


def test_a_root_without_a_repository_cannot_name_another_project_either(disk: Disk) -> None:
    api = disk.repository("work", "api")
    unpacked = disk.directory("downloads", "unpacked")
    assert disk.refused(disk.home, environment=api, root=unpacked).code is Code.PROJECT_CONFLICT


def test_names_that_begin_alike_are_different_directories(disk: Disk) -> None:
    disk.repository("work", "project-a")
    longer = disk.repository("work", "project-abc")
    root = disk.directory("work", "project-a", "docs")
    assert disk.refused(longer, environment=longer, root=root).code is Code.PROJECT_CONFLICT
    bare = disk.directory("work", "project")
    assert disk.refused(longer, environment=longer, root=bare).code is Code.PROJECT_CONFLICT


# Places that cannot be read


@pytest.mark.parametrize("name", ["nul\0", "a" * 5000, "/".join(["a" * 200] * 30)])
def test_a_directory_that_cannot_be_is_refused_like_one_that_is_not_there(disk: Disk, name: str) -> None:
    api = disk.repository("work", "api")
    for error in (disk.refused(api, environment=disk.home / name), disk.refused(api, argument=disk.home / name)):
        assert error.code in (Code.NO_PROJECT, Code.NO_ALLOWLIST)


def test_links_in_a_circle_are_refused_like_a_directory_that_is_not_there(disk: Disk) -> None:
    api = disk.repository("work", "api")
    (disk.home / "one").symlink_to("two")
    (disk.home / "two").symlink_to("one")
    error = disk.refused(api, environment=disk.home / "one" / "project")
    assert error.code in (Code.NO_PROJECT, Code.NO_ALLOWLIST)


@pytest.mark.skipif(sys.platform == "win32" or os.getuid() == 0, reason="this user may read every directory")
def test_a_directory_one_may_not_look_into_has_no_project(disk: Disk) -> None:
    api = disk.project("work", "api")
    (api / ".claude").chmod(0)
    try:
        assert disk.refused(api).code is Code.NO_PROJECT
    finally:
        (api / ".claude").chmod(0o700)
