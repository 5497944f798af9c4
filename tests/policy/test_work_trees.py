"""Test linked work trees: files name the main work tree, but cannot give a project another project's identity."""

import os
import sys
from pathlib import Path

import pytest

from claude_secrets.errors import Code, DeniedError
from claude_secrets.policy.project import CallOrigin, Project, locate
from claude_secrets.policy.work_trees import main_work_tree
from tests.support.disk import Disk, git, make_linked
from tests.support.posix import make_pipe


def test_a_linked_work_tree_is_itself_and_knows_the_main_one(disk: Disk) -> None:
    api = disk.repository("work", "api")
    linked = disk.home / "work" / "api-feature"
    git(api, "worktree", "add", "--quiet", str(linked))
    assert disk.locate(linked) == Project(linked, str(linked), linked, main=str(api))
    assert disk.locate(api) == Project(api, str(api), api, main=None)


def test_a_project_below_the_top_knows_the_corresponding_one(disk: Disk) -> None:
    disk.project("work", "api", "services", "inner")
    api = disk.repository("work", "api")
    linked = disk.home / "elsewhere"
    git(api, "worktree", "add", "--quiet", str(linked))
    inner = linked / "services" / "inner"
    assert disk.locate(inner) == Project(inner, str(inner), linked, main=str(api / "services" / "inner"))


def test_a_work_tree_inside_the_main_one_is_a_place_of_its_own(disk: Disk) -> None:
    api = disk.repository("work", "api")
    linked = api / ".claude" / "worktrees" / "feature"
    git(api, "worktree", "add", "--quiet", str(linked))
    assert disk.locate(linked) == Project(linked, str(linked), linked, main=str(api))
    (linked / ".claude" / "secrets.yml").unlink()
    assert disk.refused(linked).code is Code.NO_PROJECT


def test_a_linked_work_tree_and_the_main_one_agree_on_the_linked_one(disk: Disk) -> None:
    api = disk.repository("work", "api")
    linked, inside = disk.home / "linked", api / ".claude" / "worktrees" / "feature"
    for tree in (linked, inside):
        git(api, "worktree", "add", "--quiet", str(tree))
        expected = Project(tree, str(tree), tree, main=str(api))
        assert disk.locate(tree, environment=api) == expected
        assert disk.locate(tree, root=api) == expected
        assert disk.locate(api, environment=tree) == expected
        assert disk.locate(api, root=tree) == expected
        assert disk.locate(api / ".git", environment=tree, root=api) == expected
    assert disk.refused(linked, environment=inside).code is Code.PROJECT_CONFLICT


def test_a_linked_work_tree_without_an_allowlist_agrees_with_the_main_one(disk: Disk) -> None:
    api = disk.repository("work", "api")
    linked = disk.home / "linked"
    git(api, "worktree", "add", "--quiet", str(linked))
    (linked / ".claude" / "secrets.yml").unlink()
    expected = Project(api, str(api), api)
    assert disk.locate(linked, environment=api) == expected
    assert disk.locate(disk.home, environment=api, root=linked) == expected
    assert disk.refused(api, environment=linked).code is Code.NO_ALLOWLIST


def test_projects_of_one_repository_agree_only_if_they_correspond(disk: Disk) -> None:
    disk.project("work", "api", "inner")
    disk.project("work", "api", "other")
    api = disk.repository("work", "api")
    linked = disk.home / "linked"
    git(api, "worktree", "add", "--quiet", str(linked))
    assert disk.locate(linked / "inner", environment=api / "inner").path == linked / "inner"
    for working_directory in (linked, linked / "other"):
        assert disk.refused(working_directory, environment=api / "inner").code is Code.PROJECT_CONFLICT
        assert disk.refused(api / "inner", environment=working_directory).code is Code.PROJECT_CONFLICT


@pytest.mark.parametrize("broken", ["gitdir", "commondir", "pointer"])
def test_a_work_tree_that_only_one_side_knows_of_agrees_with_nobody(disk: Disk, broken: str) -> None:
    api, clone = disk.repository("work", "api"), disk.project("work", "clone")
    entry = make_linked(api, clone)
    assert disk.locate(clone, environment=api).path == clone
    if broken == "pointer":
        (clone / ".git").write_text(f"gitdir: {clone}/fake/worktrees/linked\n")
    else:
        (entry / broken).write_text(f"{disk.home}\n")
    assert disk.refused(clone, environment=api).code is Code.PROJECT_CONFLICT
    (clone / ".claude" / "secrets.yml").unlink()
    assert disk.refused(clone, environment=api).code is Code.PROJECT_CONFLICT


def test_an_agent_stays_in_the_work_tree_that_it_works_in(disk: Disk) -> None:
    api = disk.repository("work", "api")
    linked = disk.home / "linked"
    git(api, "worktree", "add", "--quiet", str(linked))

    def bound(working_directory: Path, environment: Path) -> Project:
        where = CallOrigin(None, environment, None, working_directory, bound=True)
        return locate(where, homes=disk.homes)

    assert bound(linked, api).path == linked
    assert bound(api, linked).path == api
    (linked / ".claude" / "secrets.yml").unlink()
    with pytest.raises(DeniedError) as caught:
        bound(linked, api)
    assert caught.value.code is Code.NO_PROJECT


def test_a_work_tree_of_a_bare_repository_is_a_project_of_its_own(disk: Disk) -> None:
    api = disk.repository("work", "api")
    bare = disk.home / "work" / "api.git"
    git(api, "clone", "--quiet", "--bare", str(api), str(bare))
    first, second = disk.home / "first", disk.home / "second"
    git(bare, "worktree", "add", "--quiet", str(first), "main")
    git(bare, "worktree", "add", "--quiet", "-b", "other", str(second))
    assert disk.locate(first) == Project(first, str(first), first, main=None)
    assert disk.locate(second) == Project(second, str(second), second, main=None)


def test_a_work_tree_with_relative_links_is_recognised(disk: Disk) -> None:
    api = disk.repository("work", "api")
    linked = disk.home / "work" / "linked"
    git(api, "worktree", "add", "--quiet", str(linked))
    entry = api / ".git" / "worktrees" / "linked"
    # Git writes this since 2.48 with worktree.useRelativePaths.
    (linked / ".git").write_text("gitdir: ../api/.git/worktrees/linked\n")
    (entry / "gitdir").write_text("../../../../linked/.git\n")
    assert disk.locate(linked).main == str(api)


def test_a_submodule_is_a_work_tree_of_its_own(disk: Disk) -> None:
    library, api = disk.repository("work", "library"), disk.repository("work", "api")
    git(api, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "library")
    inner = api / "library"
    assert disk.locate(inner) == Project(inner, str(inner), inner, main=None)
    linked = disk.home / "linked"
    git(inner, "worktree", "add", "--quiet", str(linked))
    (linked / ".claude").mkdir(exist_ok=True)
    (linked / ".claude" / "secrets.yml").touch()
    assert disk.locate(linked) == Project(linked, str(linked), linked, main=None)


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
        assert disk.locate(clone).identities == (str(clone),)
        assert disk.locate(clone).main is None


@pytest.mark.parametrize("said", [None, "", "..\n", "../../..\n", "/nowhere\n", "../..\n../..\n"])
def test_an_entry_that_does_not_say_which_repository_it_is_of_tells_of_none(disk: Disk, said: str | None) -> None:
    api, tree = disk.project("work", "api"), disk.project("work", "tree")
    entry = make_linked(api, tree)
    assert disk.locate(tree).main == str(api)
    (entry / "commondir").unlink()
    if said is not None:
        (entry / "commondir").write_text(said)
    assert disk.locate(tree).main is None


def test_a_link_in_the_place_of_git_s_file_tells_of_none(disk: Disk) -> None:
    api = disk.repository("work", "api")
    real = disk.home / "work" / "real"
    git(api, "worktree", "add", "--quiet", str(real))
    clone = disk.project("work", "clone")
    (clone / ".git").symlink_to(real / ".git")
    assert disk.locate(clone).main is None
    (clone / ".git").unlink()
    (clone / ".git").symlink_to(api / ".git")
    assert disk.locate(clone).main is None


def test_a_repository_it_made_up_inside_tells_of_no_main_work_tree(disk: Disk) -> None:
    """Anyone who can write in a project could invent many main work trees. Each would reset the rate limits' counts."""
    clone = disk.project("work", "clone")
    entry = disk.directory("work", "clone", "fake", ".git", "worktrees", "x")
    (clone / ".git").write_text("gitdir: fake/.git/worktrees/x\n")
    (entry / "gitdir").write_text(f"{clone}/.git\n")
    (entry.parent.parent / "HEAD").write_text("ref: refs/heads/main\n")
    assert disk.locate(clone).main is None


@pytest.mark.parametrize(
    "content",
    [b"", b"gitdir: ", b"gitdir: \0", b"nonsense", b"gitdir: \xff\xfe", b"gitdir: a\nb", b"gitdir: " + b"a/" * 9000],
)
def test_a_git_file_without_sense_changes_no_identity(disk: Disk, content: bytes) -> None:
    clone = disk.project("work", "clone")
    (clone / ".git").write_bytes(content)
    assert disk.locate(clone) == Project(clone, str(clone), clone)


@pytest.mark.parametrize("refuses", ["fsdecode", "path.realpath"])
def test_a_name_that_the_system_refuses_is_no_link(disk: Disk, monkeypatch: pytest.MonkeyPatch, refuses: str) -> None:
    clone = disk.project("work", "clone")
    (clone / ".git").write_bytes(b"gitdir: \xff\xfe")
    real = os.path.realpath

    def fsdecode(data: bytes) -> str:
        """Stand-in for Windows, which decodes only UTF-8."""
        return data.decode("utf-8")

    def realpath(path: Path, **options: bool) -> str:
        """Stand-in for Windows, which refuses to look up names that are too long."""
        if "\udcff" in str(path):
            raise OSError
        return str(real(path, **options))

    monkeypatch.setattr(f"claude_secrets.policy.work_trees.os.{refuses}", {"fsdecode": fsdecode}.get(refuses, realpath))
    assert main_work_tree(clone) is None


@pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes in directories on Windows")
def test_a_named_pipe_in_the_place_of_gits_file_is_not_waited_for(disk: Disk) -> None:
    clone = disk.project("work", "clone")
    make_pipe(clone / ".git")
    assert disk.locate(clone).main is None


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux lists a process's open files in /proc")
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
