"""Finding the project, with repositories and work trees that git itself makes; and what may not lie inside one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from claude_secrets.errors import Code, CustodyError, DeniedError, SecretsError, StoreError
from claude_secrets.project import Project, Whereabouts, locate, refuse_inside
from tests.realparts import require

COMMAND = "uvx claude-secrets"


class Disk:
    """A home directory with projects in it."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.home = self.root / "home"
        self.home.mkdir()
        self.homes = frozenset({self.home})

    def directory(self, *parts: str) -> Path:
        path = self.home.joinpath(*parts)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def project(self, *parts: str) -> Path:
        """A directory with an allowlist."""
        path = self.directory(*parts)
        (path / ".claude").mkdir(exist_ok=True)
        (path / ".claude" / "secrets.yml").write_text("allow: [A]\n")
        return path

    def repository(self, *parts: str) -> Path:
        """A directory in which git made a repository with one commit, allowlist and all."""
        path = self.project(*parts)
        git(path, "init", "--quiet", "--initial-branch=main")
        git(path, "add", "--all")
        git(path, "commit", "--quiet", "--message=first")
        return path

    def locate(
        self,
        working_directory: Path,
        *,
        argument: Path | None = None,
        environment: Path | None = None,
        root: Path | None = None,
    ) -> Project:
        return locate(Whereabouts(argument, environment, root, working_directory), homes=self.homes, command=COMMAND)

    def refused(
        self,
        working_directory: Path,
        *,
        argument: Path | None = None,
        environment: Path | None = None,
        root: Path | None = None,
    ) -> DeniedError:
        with pytest.raises(DeniedError) as caught:
            self.locate(working_directory, argument=argument, environment=environment, root=root)
        return caught.value


def git(directory: Path, *arguments: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    identity = ["-c", "user.name=A Person", "-c", "user.email=person@example.com", "-c", "commit.gpgSign=false"]
    subprocess.run(
        [require("git"), *identity, *arguments],
        cwd=directory,
        env=environment,
        check=True,
        timeout=60,
        capture_output=True,
    )


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


# Where a project is looked for


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
    (inner / ".claude" / "secrets.yml").symlink_to(target)  # one leads nowhere, the other to itself
    assert disk.locate(inner).path == inner


# Which of several places


def test_the_argument_names_exactly_its_directory(disk: Disk) -> None:
    api, other = disk.repository("work", "api"), disk.repository("work", "other")
    inner = disk.directory("work", "api", "src")
    assert disk.locate(other, argument=api, environment=other, root=other).path == api
    error = disk.refused(api, argument=inner)
    assert error.code is Code.NO_ALLOWLIST
    assert str(inner) in error.message
    assert f"{COMMAND} init" in str(error.hint)


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
    assert '"args": ["claude-secrets", "--project", "/path/to/project"]' in str(error.hint)
    assert f"{COMMAND} init" in str(error.hint)


# Places that contradict each other


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


# Work trees of one repository


def test_linked_work_trees_have_the_identity_of_the_main_one(disk: Disk) -> None:
    api = disk.repository("work", "api")
    linked = disk.home / "work" / "api-feature"
    git(api, "worktree", "add", "--quiet", str(linked))
    assert disk.locate(linked) == Project(linked, str(api), linked)
    assert disk.locate(api) == Project(api, str(api), api)


def test_a_project_below_the_top_has_the_corresponding_identity(disk: Disk) -> None:
    disk.project("work", "api", "services", "inner")
    api = disk.repository("work", "api")
    linked = disk.home / "elsewhere"
    git(api, "worktree", "add", "--quiet", str(linked))
    inner = linked / "services" / "inner"
    assert disk.locate(inner) == Project(inner, str(api / "services" / "inner"), linked)


def test_a_work_tree_inside_the_main_one_is_its_own_place_with_the_same_identity(disk: Disk) -> None:
    api = disk.repository("work", "api")
    linked = api / ".claude" / "worktrees" / "feature"
    git(api, "worktree", "add", "--quiet", str(linked))
    assert disk.locate(linked) == Project(linked, str(api), linked)
    (linked / ".claude" / "secrets.yml").unlink()
    assert disk.refused(linked).code is Code.NO_PROJECT


def test_work_trees_of_a_bare_repository_share_an_identity(disk: Disk) -> None:
    api = disk.repository("work", "api")
    bare = disk.home / "work" / "api.git"
    git(api, "clone", "--quiet", "--bare", str(api), str(bare))
    first, second = disk.home / "first", disk.home / "second"
    git(bare, "worktree", "add", "--quiet", str(first), "main")
    git(bare, "worktree", "add", "--quiet", "-b", "other", str(second))
    assert disk.locate(first).identity == disk.locate(second).identity == str(bare)


def test_a_work_tree_with_relative_links_is_recognised(disk: Disk) -> None:
    api = disk.repository("work", "api")
    linked = disk.home / "work" / "linked"
    git(api, "worktree", "add", "--quiet", str(linked))
    entry = api / ".git" / "worktrees" / "linked"
    # What git writes since 2.48 with worktree.useRelativePaths.
    (linked / ".git").write_text("gitdir: ../api/.git/worktrees/linked\n")
    (entry / "gitdir").write_text("../../../../linked/.git\n")
    assert disk.locate(linked).identity == str(api)


def test_a_submodule_is_a_work_tree_of_its_own(disk: Disk) -> None:
    library, api = disk.repository("work", "library"), disk.repository("work", "api")
    git(api, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "library")
    inner = api / "library"
    assert disk.locate(inner) == Project(inner, str(inner), inner)


def test_a_clone_cannot_claim_to_be_a_work_tree_of_another_repository(disk: Disk) -> None:
    api = disk.repository("work", "api")
    real = disk.home / "work" / "real"
    git(api, "worktree", "add", "--quiet", str(real))
    clone = disk.project("work", "clone")
    for claim in (
        f"gitdir: {api}/.git/worktrees/real\n",
        f"gitdir: {api}/.git/worktrees/clone\n",
        f"gitdir: {api}/.git\n",
        "gitdir: ../api/.git/worktrees/real",
        f"gitdir: {real}/.git\n",
    ):
        (clone / ".git").write_text(claim)
        assert disk.locate(clone).identity == str(clone)


def test_a_link_in_the_place_of_git_s_file_gives_no_other_identity(disk: Disk) -> None:
    api = disk.repository("work", "api")
    real = disk.home / "work" / "real"
    git(api, "worktree", "add", "--quiet", str(real))
    clone = disk.project("work", "clone")
    (clone / ".git").symlink_to(real / ".git")
    assert disk.locate(clone).identity == str(clone)
    (clone / ".git").unlink()
    (clone / ".git").symlink_to(api / ".git")
    assert disk.locate(clone).identity == str(clone)


def test_a_repository_it_made_up_gives_a_clone_no_identity_but_inside_itself(disk: Disk) -> None:
    clone = disk.project("work", "clone")
    entry = disk.directory("work", "clone", "fake", ".git", "worktrees", "x")
    (clone / ".git").write_text("gitdir: fake/.git/worktrees/x\n")
    (entry / "gitdir").write_text(f"{clone}/.git\n")
    assert disk.locate(clone).identity == str(clone)
    (entry.parent.parent / "HEAD").write_text("ref: refs/heads/main\n")
    assert disk.locate(clone).identity == str(clone / "fake")


@pytest.mark.parametrize(
    "content",
    [b"", b"gitdir: ", b"gitdir: \0", b"nonsense", b"gitdir: \xff\xfe", b"gitdir: a\nb", b"gitdir: " + b"a/" * 9000],
)
def test_a_git_file_without_sense_changes_no_identity(disk: Disk, content: bytes) -> None:
    clone = disk.project("work", "clone")
    (clone / ".git").write_bytes(content)
    assert disk.locate(clone) == Project(clone, str(clone), clone)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes in directories on Windows")
def test_a_named_pipe_in_the_place_of_gits_file_is_not_waited_for(disk: Disk) -> None:
    clone = disk.project("work", "clone")
    os.mkfifo(clone / ".git")
    assert disk.locate(clone).identity == str(clone)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux lists a process's open files there")
def test_looking_leaves_no_file_open(disk: Disk) -> None:
    api = disk.repository("work", "api")
    linked = disk.home / "linked"
    git(api, "worktree", "add", "--quiet", str(linked))
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        disk.locate(api)
        disk.locate(linked)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_git_is_never_run(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    api = disk.repository("work", "api")
    linked = disk.home / "linked"
    git(api, "worktree", "add", "--quiet", str(linked))
    started: list[str] = []
    watching = True

    def watch(event: str, arguments: object) -> None:
        if watching and event in {"subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "os.system"}:
            started.append(event)

    sys.addaudithook(watch)
    disk.locate(linked)
    watching = False
    assert not started


# Places that cannot be looked at


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


@pytest.mark.skipif(sys.platform == "win32" or os.getuid() == 0, reason="this user may look everywhere")
def test_a_directory_one_may_not_look_into_has_no_project(disk: Disk) -> None:
    api = disk.project("work", "api")
    (api / ".claude").chmod(0)
    try:
        assert disk.refused(api).code is Code.NO_PROJECT
    finally:
        (api / ".claude").chmod(0o700)


# What may not lie inside


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
    """Whether `path` is refused for a call from those places."""
    where = Whereabouts(argument, environment, root, at)
    homes = homes or disk.homes
    try:
        project: Project | None = locate(where, homes=homes, command=COMMAND)
    except DeniedError:
        project = None
    try:
        refuse_inside(path, what, where, project, homes)
    except SecretsError as error:
        assert what in error.message
        assert str(path) not in error.message
        return True
    return False


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
        refuse_inside(api / "x", what, Whereabouts(None, None, None, api), disk.locate(api), disk.homes)
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
