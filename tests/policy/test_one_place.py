"""Test that one directory is one project in every spelling, and that a mount gives no directory another's secrets.

These must not notice any refusal: people whose client and terminal spell the project's path differently on macOS, and
people who have the same directory mounted at two paths.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from claude_secrets import true_names
from claude_secrets.errors import Code, DeniedError, StoreError
from claude_secrets.policy.pinned_directories import Directories
from claude_secrets.policy.planted import refuse_inside, store_inside
from claude_secrets.policy.project import CallOrigin, locate
from tests.support.disk import Disk, git, make_linked
from tests.support.mac_disk import MacDisk
from tests.support.machine import Machine
from tests.support.mounts import mounted, root_on_linux

pytestmark = pytest.mark.usefixtures("quick_starts")

posix = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in opens directories, which Windows cannot")


@pytest.fixture
def mac(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> Disk:
    """A home directory with projects, on the stand-in for a disk of macOS."""
    monkeypatch.setattr(true_names, "calls", MacDisk(disk.root).calls())
    return disk


def spellings(directory: Path) -> Iterator[Path]:
    """Yield other spellings of a directory whose name is `Projé` with a composed letter."""
    for name in ("Projé", "projé", "PROJÉ", "Proje\u0301", "PROJE\u0301"):
        yield directory.with_name(name)
        yield Path(directory.parent.parent, directory.parent.name.upper(), name)


@posix
def test_every_spelling_in_every_place_is_the_same_project(mac: Disk) -> None:
    project = mac.repository("work", "Projé")
    for spelled in spellings(project):
        found = [
            mac.locate(mac.home, argument=spelled),
            mac.locate(project, argument=spelled),
            mac.locate(project, environment=spelled),
            mac.locate(project, root=spelled),
            mac.locate(spelled, environment=project, root=spelled),
            mac.locate(spelled / ".claude", environment=spelled),
        ]
        assert {each.identity for each in found} == {str(project)}


@posix
def test_another_directory_is_another_project_in_every_spelling(mac: Disk) -> None:
    project, other = mac.repository("work", "Projé"), mac.repository("work", "Proje")
    for spelled in spellings(project):
        assert mac.refused(other, environment=spelled).code is Code.PROJECT_CONFLICT
        assert mac.refused(spelled, root=other).code is Code.PROJECT_CONFLICT
        assert mac.locate(other, argument=other).identity == str(other)


@posix
def test_a_linked_work_tree_is_recognised_if_git_s_files_spell_it_differently(mac: Disk) -> None:
    main, tree = mac.project("work", "Projé"), mac.project("work", "tree")
    entry = make_linked(main, tree)
    (entry / "gitdir").write_text(f"{mac.home / 'WORK' / 'Tree' / '.git'}\n")
    (tree / ".git").write_text(f"gitdir: {mac.home / 'Work' / 'projé' / '.git' / 'worktrees' / entry.name}\n")
    assert mac.locate(mac.home / "WORK" / "TREE").main == str(main)


@posix
def test_a_running_server_takes_another_spelling_for_the_same_place(mac: Disk) -> None:
    project, other = mac.repository("work", "Projé"), mac.repository("work", "other")
    directories = Directories()
    where = CallOrigin(None, mac.home / "work" / "PROJÉ", None, project)
    directories.check(where)
    directories.check_project(where, mac.locate(project, environment=where.environment).path)
    project.rename(project.with_name("old"))
    other.rename(project)
    with pytest.raises(DeniedError) as refused:
        directories.check(where)
    assert refused.value.code is Code.PROJECT_CONFLICT
    directories.close()


@posix
def test_a_store_inside_the_project_is_found_in_every_spelling(mac: Disk) -> None:
    project = mac.repository("work", "Projé")
    for spelled in spellings(project):
        for at in (project, spelled):
            with pytest.raises(StoreError):
                refuse_inside(
                    spelled / "new" / "store.db",
                    store_inside,
                    CallOrigin(None, None, None, at),
                    mac.locate(at),
                    mac.homes,
                )


# A directory that is mounted at two paths


@root_on_linux
def test_two_paths_of_one_directory_do_not_contradict_each_other(disk: Disk) -> None:
    project = disk.repository("work", "proj")
    with mounted(project, disk.home / "work" / "Proj") as second:
        for first, last in ((project, second), (second, project)):
            assert disk.locate(last, environment=first).identity == str(first)
            assert disk.locate(last, root=first).identity == str(first)
            assert disk.locate(disk.home, environment=first, root=last).identity == str(first)
            assert disk.locate(last / ".claude", environment=first / ".git").identity == str(first)
            bound = CallOrigin(None, first, None, last, bound=True)
            assert locate(bound, homes=disk.homes).identity == str(last)


@root_on_linux
def test_a_root_that_is_mounted_elsewhere_still_contains_the_project(disk: Disk) -> None:
    project, other = disk.project("work", "proj"), disk.directory("other")
    with mounted(disk.home / "work", disk.home / "mnt") as second:
        assert disk.locate(project, environment=project, root=second).identity == str(project)
        assert disk.refused(project, environment=project, root=other).code is Code.PROJECT_CONFLICT


@root_on_linux
def test_a_linked_work_tree_agrees_with_its_main_work_tree_at_either_path(disk: Disk) -> None:
    main = disk.repository("work", "main")
    git(main, "worktree", "add", "--quiet", str(disk.home / "work" / "tree"))
    tree = disk.home / "work" / "tree"
    with mounted(main, disk.home / "work" / "Main") as second:
        for found in (disk.locate(second, environment=tree), disk.locate(tree, environment=second)):
            assert (found.identity, found.main) == (str(tree), str(main))


@root_on_linux
def test_a_mount_gives_no_directory_the_identity_of_another(disk: Disk) -> None:
    victim, evil = disk.repository("work", "victim"), disk.repository("work", "evil")
    with mounted(victim, evil):
        for found in (disk.locate(evil), disk.locate(victim, environment=evil), disk.locate(victim, argument=evil)):
            assert found.identities == (str(evil),)
    with mounted(evil, disk.home / "work" / "second") as second:
        assert disk.refused(second, environment=victim).code is Code.PROJECT_CONFLICT
        assert disk.refused(victim, environment=second).code is Code.PROJECT_CONFLICT


@root_on_linux
def test_a_running_server_refuses_another_directory_that_is_mounted_over_its_project(disk: Disk) -> None:
    victim, evil = disk.repository("work", "victim"), disk.repository("work", "evil")
    for where in (CallOrigin(victim, None, None, disk.home), CallOrigin(None, victim, None, evil)):
        directories = Directories()
        directories.check(where)
        with mounted(evil, victim), pytest.raises(DeniedError) as refused:
            directories.check(where)
        assert refused.value.code is Code.PROJECT_CONFLICT
        directories.check(where)
        directories.close()


@root_on_linux
def test_a_server_at_both_paths_answers_and_a_secret_stays_with_its_path(machine: Machine) -> None:
    project = machine.project("proj")
    machine.keep("TOKEN", "the value", at=project)
    with mounted(project, project.with_name("Proj")) as second:
        with machine.server(second, environment={"CLAUDE_PROJECT_DIR": str(project)}) as wire:
            assert wire.text("get_secret", name="TOKEN") == "the value"
        with machine.server(project, environment={"CLAUDE_PROJECT_DIR": str(second)}) as wire:
            assert wire.code("get_secret", name="TOKEN") == "NOT_TRUSTED"
        with machine.server(machine.home, "--project", str(second)) as wire:
            assert wire.code("get_secret", name="TOKEN") == "NOT_TRUSTED"
