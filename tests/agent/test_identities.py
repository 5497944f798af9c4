"""Project identities in the real program: no file on the disk gives a project another project's identity.

In the first part, an agent with a shell in the project `evil` may write any file, and the secret belongs to the project
`victim`. The second part is a table of ordinary projects whose results must not change.
"""

import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from claude_secrets.errors import Code
from claude_secrets.model import Tool
from claude_secrets.store import grants
from tests.support.disk import git, make_linked
from tests.support.machine import Machine, Wire
from tests.support.store_world import Agent, World

pytestmark = pytest.mark.usefixtures("quick_starts")

CANARY = "canary-9f2a-of-the-victim"
REFUSED = {"NOT_TRUSTED", "PROJECT_CONFLICT", "NO_PROJECT", "NO_ALLOWLIST"}


class Scene:
    """A machine with the person's own project, which has a secret, and a project that the person does not trust."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.work = machine.home / "work"
        self.victim = machine.project("victim")
        self.evil = machine.project("evil")
        machine.keep("TOKEN", CANARY, at=self.victim)
        shutil.rmtree(self.evil / ".git")

    def get_nothing(self, wire: Wire) -> None:
        """Check that no tool gives the agent a name or a value of the victim's."""
        assert wire.code("get_secret", name="TOKEN") in REFUSED
        assert wire.code("set_secret", name="TOKEN", value="x") in REFUSED
        assert wire.code("delete_secret", name="TOKEN") in REFUSED
        for tool, arguments in (("list_secrets", {}), ("search_secrets", {"pattern": "."})):
            result = wire.call(tool, **arguments)
            assert result.get("isError") or result["structuredContent"]["names"] == []
        assert CANARY.encode() not in b"".join(wire.said)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(Machine(tmp_path).use_key_file())


# Files that an agent with a shell writes before it calls a tool


def forged_work_tree(scene: Scene) -> Path:
    make_linked(scene.victim, scene.evil)
    return scene.evil


def forged_bare_repository(scene: Scene) -> Path:
    """Unpack an archive in the victim's parent directory. It contains a project with the victim's name."""
    inner = scene.evil / "victim"
    (inner / ".claude").mkdir(parents=True)
    (inner / ".claude" / "secrets.yml").write_text('allow: "*"\n')
    entry = scene.work / "worktrees" / "x"
    entry.mkdir(parents=True)
    (scene.work / "HEAD").write_text("ref: refs/heads/main\n")
    (entry / "commondir").write_text("../..\n")
    (entry / "gitdir").write_text(f"{scene.evil}/.git\n")
    (scene.evil / ".git").write_text(f"gitdir: {entry}\n")
    return inner


def four_files_in_a_monorepo(scene: Scene) -> Path:
    """Let a directory of a repository claim to be a work tree of a neighbouring directory."""
    shutil.rmtree(scene.victim / ".git")
    (scene.work / ".git").mkdir()
    make_linked(scene.victim, scene.evil)
    return scene.evil


def moved_git_file(scene: Scene) -> Path:
    """Let git make a work tree, move the tree's `.git` file to `evil`, and let git repair its own entry."""
    shutil.rmtree(scene.victim / ".git")
    git(scene.victim, "init", "--quiet")
    git(scene.victim, "commit", "--quiet", "--allow-empty", "--message=first")
    git(scene.victim, "worktree", "add", "--quiet", str(scene.work / "tree"))
    (scene.work / "tree" / ".git").rename(scene.evil / ".git")
    git(scene.evil, "worktree", "repair")
    return scene.evil


def taken_over_work_tree(scene: Scene) -> Path:
    """Let the person trust a work tree, and then move the tree's `.git` file to `evil`."""
    tree = scene.machine.project("tree")
    shutil.rmtree(tree / ".git")
    entry = make_linked(scene.victim, tree)
    assert scene.machine.run("trust", "--yes", at=tree).returncode == 0
    (tree / ".git").rename(scene.evil / ".git")
    (entry / "gitdir").write_text(f"{scene.evil / '.git'}\n")
    return scene.evil


def linked_git_directory(scene: Scene) -> Path:
    (scene.evil / ".git").symlink_to(scene.victim / ".git")
    return scene.evil


ON_DISK = [
    forged_work_tree,
    forged_bare_repository,
    four_files_in_a_monorepo,
    moved_git_file,
    taken_over_work_tree,
    linked_git_directory,
]


@pytest.mark.parametrize("forge", ON_DISK, ids=lambda forge: forge.__name__)
def test_no_files_on_the_disk_give_a_project_anothers_secret(scene: Scene, forge: Callable[[Scene], Path]) -> None:
    evil = forge(scene)
    with scene.machine.server(evil) as wire:
        scene.get_nothing(wire)
    for arguments in (["get", "TOKEN"], ["exec", "--only", "TOKEN", "--", "env"]):
        done = scene.machine.run(*arguments, at=evil, environment={"CLAUDECODE": "1"})
        assert done.returncode != 0
        assert CANARY not in done.stdout + done.stderr
    with scene.machine.server(scene.victim) as wire:
        assert wire.text("get_secret", name="TOKEN") == CANARY


def test_whatever_files_say_a_project_stands_as_itself_until_the_person_says_otherwise(tmp_path: Path) -> None:
    """Write the git files of work trees and repositories with random mixtures of right and wrong contents."""
    chance = random.Random(20261123)
    world = World(tmp_path)
    victim, evil = world.project("victim"), world.project("evil")
    Agent(world, victim).set("TOKEN", CANARY)
    bases = [victim, evil, victim.parent, world.project("third")]
    claimed = 0
    for _ in range(150):
        for base in bases:
            shutil.rmtree(base / ".git", ignore_errors=True)
            (base / ".git").unlink(missing_ok=True)
            for name in ("HEAD", "worktrees"):
                shutil.rmtree(base / name, ignore_errors=True)
                (base / name).unlink(missing_ok=True)
        base = chance.choice(bases)
        common = chance.choice([base / ".git", base / ".git", base])
        inside_evil_s_file = common == evil / ".git"
        entry = common / "worktrees" / chance.choice(["x", "evil"])
        entry.mkdir(parents=True)
        (common / "HEAD").write_text("ref: refs/heads/main\n")
        (entry / "commondir").write_text(chance.choice(["../..\n", "../..", f"{common}\n", f"{victim}/.git\n"]))
        (entry / "gitdir").write_text(chance.choice([f"{evil}/.git\n", f"{evil}/.git", f"{victim}/.git\n"]))
        if not inside_evil_s_file:
            (evil / ".git").write_text(chance.choice([f"gitdir: {entry}\n", f"gitdir: ../{entry.name}\n"]))
        project = world.person(evil).project
        assert project is not None
        claimed += project.main == str(victim)
        with world.store().read() as tx:
            assert project.with_identity(partial(grants.joins, tx)).identities == (str(evil),)
    assert claimed > 3, "too few of the mixtures were good forgeries"
    assert Agent(world, evil).refused(Tool.GET_SECRET, "TOKEN") is Code.NOT_TRUSTED
    world.close()


# Changes to directories while a server runs


def put_a_link(scene: Scene, place: Path) -> None:
    place.rename(scene.work / "aside")
    place.symlink_to(scene.victim)


def put_the_victim(scene: Scene, place: Path) -> None:
    """Move the victim's directory to `place`, a path of evil's, and leave a link at its old path."""
    place.rename(scene.work / "aside")
    scene.victim.rename(place)
    scene.victim.symlink_to(place)


def link_the_directory_around(scene: Scene, place: Path) -> None:
    around = place.parent
    around.rename(scene.machine.home / "aside")
    around.mkdir()
    (scene.machine.home / "aside" / "victim").rename(around / "victim")
    (around / place.name).symlink_to(around / "victim")


MOVES = [put_a_link, put_the_victim, link_the_directory_around]
NAMED_BY = ["working directory", "argument", "environment"]
MOVED = [
    *((move, named, True) for move in MOVES for named in NAMED_BY),
    *((put_a_link, named, False) for named in NAMED_BY),
]


@pytest.mark.parametrize(("move", "named", "called"), MOVED)
def test_a_directory_that_is_replaced_under_a_running_server_gives_it_nothing(
    scene: Scene, move: Callable[[Scene, Path], None], named: str, called: bool
) -> None:
    at = scene.evil if named == "working directory" else scene.machine.home
    arguments = ["--project", str(scene.evil)] if named == "argument" else []
    environment = {"CLAUDE_PROJECT_DIR": str(scene.evil)} if named == "environment" else {}
    with scene.machine.server(at, *arguments, environment=environment) as wire:
        if called:
            assert wire.code("get_secret", name="TOKEN") == "NOT_TRUSTED"
        move(scene, scene.evil)
        result = wire.call("get_secret", name="TOKEN")
        assert result["content"][0]["text"].startswith("[PROJECT_CONFLICT] A directory from which this server found")
        scene.get_nothing(wire)


def test_a_working_directory_that_is_moved_into_another_project_is_not_that_project_s(scene: Scene) -> None:
    (scene.evil / "src").mkdir()
    with scene.machine.server(scene.evil / "src") as wire:
        (scene.evil / "src").rename(scene.victim / "src")
        (scene.evil / "src").symlink_to(scene.victim / "src")
        scene.get_nothing(wire)


def test_a_project_that_loses_its_allowlist_does_not_become_the_one_around_it(scene: Scene) -> None:
    inner = scene.victim / "evil"
    scene.evil.rename(inner)
    with scene.machine.server(inner) as wire:
        assert wire.code("get_secret", name="TOKEN") == "NOT_TRUSTED"
        (inner / ".claude" / "secrets.yml").unlink()
        scene.get_nothing(wire)
        (inner / ".claude" / "secrets.yml").write_text('allow: "*"\n')
        assert wire.code("get_secret", name="TOKEN") == "NOT_TRUSTED"


# Ordinary projects, whose results must not change


def ordinary(scene: Scene) -> Path:
    project = scene.machine.project("ordinary")
    shutil.rmtree(project / ".git")
    return project


def main_work_tree(scene: Scene) -> Path:
    project = ordinary(scene)
    git(project, "init", "--quiet", "--initial-branch=main")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message=first")
    return project


def submodule(scene: Scene) -> Path:
    library, main = main_work_tree(scene), scene.work / "main"
    main.mkdir()
    git(main, "init", "--quiet")
    git(main, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "library")
    return main / "library"


def tree_of_a_bare_repository(scene: Scene) -> Path:
    bare, tree = scene.work / "api.git", scene.work / "tree"
    git(scene.work, "clone", "--quiet", "--bare", str(main_work_tree(scene)), str(bare))
    git(bare, "worktree", "add", "--quiet", str(tree), "main")
    return tree


def directory_below(scene: Scene) -> Path:
    below = main_work_tree(scene) / "src" / "deep"
    below.mkdir(parents=True)
    return below


def reached_by_a_link(scene: Scene) -> Path:
    link = scene.work / "link"
    link.symlink_to(ordinary(scene))
    return link


UNCHANGED = [ordinary, main_work_tree, submodule, tree_of_a_bare_repository, directory_below, reached_by_a_link]


@pytest.mark.parametrize("make", UNCHANGED, ids=lambda make: make.__name__)
def test_what_is_stored_in_a_project_is_used_there_without_a_question(
    scene: Scene, make: Callable[[Scene], Path]
) -> None:
    project = make(scene)
    done = scene.machine.run("set", "OWN", at=project, stdin="own")
    assert (done.returncode, done.stderr) == (0, "")
    for named in ([], ["--project", str(project)] if (project / ".claude").is_dir() else []):
        with scene.machine.server(project, *named) as wire:
            assert wire.text("get_secret", name="OWN") == "own"
            wire.text("set_secret", name="NEW", value="v")
            assert wire.text("get_secret", name="NEW") == "v"
    assert scene.machine.run("projects", "--json").stdout == "[]\n"


@pytest.mark.parametrize("place", ["beside", ".claude/worktrees/feature"])
def test_a_work_tree_that_git_made_is_trusted_once(scene: Scene, place: str) -> None:
    main = main_work_tree(scene)
    scene.machine.run("set", "OWN", at=main, stdin="own")
    tree = scene.work / "beside" if place == "beside" else main / place
    git(main, "worktree", "add", "--quiet", str(tree))
    with scene.machine.server(tree) as wire:
        assert wire.code("get_secret", name="OWN") == "NOT_TRUSTED"
        assert scene.machine.run("trust", "--yes", at=tree).returncode == 0
        assert wire.text("get_secret", name="OWN") == "own"
    with scene.machine.server(tree) as wire:
        assert wire.text("get_secret", name="OWN") == "own"


def replace_by_rename(project: Path) -> None:
    new = project / ".claude" / "secrets.yml.new"
    new.write_text('allow: "*"  # edited\n')
    new.replace(project / ".claude" / "secrets.yml")


def replace_its_directory(project: Path) -> None:
    (project / ".claude").rename(project / "old")
    shutil.copytree(project / "old", project / ".claude")


def check_out(project: Path) -> None:
    git(project, "checkout", "--quiet", "-b", "empty")
    git(project, "rm", "--quiet", "-r", ".claude")
    git(project, "commit", "--quiet", "--allow-empty", "--message=none")
    git(project, "checkout", "--quiet", "main")


def make_git_anew(project: Path) -> None:
    shutil.rmtree(project / ".git")
    git(project, "init", "--quiet")


@pytest.mark.parametrize(
    "change", [replace_by_rename, replace_its_directory, check_out, make_git_anew], ids=lambda change: change.__name__
)
def test_what_editors_and_git_replace_under_a_running_server_changes_nothing(
    scene: Scene, change: Callable[[Path], None]
) -> None:
    project = main_work_tree(scene)
    with scene.machine.server(project) as wire:
        wire.text("set_secret", name="OWN", value="own")
        change(project)
        assert wire.text("get_secret", name="OWN") == "own"


def test_a_project_that_is_made_or_whose_directory_comes_after_the_start_is_found(scene: Scene) -> None:
    later = scene.work / "later"
    with scene.machine.server(scene.machine.home, environment={"CLAUDE_PROJECT_DIR": str(later)}) as wire:
        assert wire.code("set_secret", name="OWN", value="v") == "NO_ALLOWLIST"
        scene.machine.project("later")
        wire.text("set_secret", name="OWN", value="v")
        assert wire.text("get_secret", name="OWN") == "v"


def test_the_directory_below_in_which_a_server_started_may_go(scene: Scene) -> None:
    below = directory_below(scene)
    with scene.machine.server(below) as wire:
        wire.text("set_secret", name="OWN", value="v")
        below.rmdir()
        assert wire.text("get_secret", name="OWN") == "v"


def test_a_project_that_is_made_anew_under_a_running_server_is_refused_until_it_is_started_again(scene: Scene) -> None:
    project = ordinary(scene)
    with scene.machine.server(project) as wire:
        wire.text("set_secret", name="OWN", value="v")
        shutil.rmtree(project)
        ordinary(scene)
        result = wire.call("get_secret", name="OWN")
        assert result["content"][0]["text"].startswith("[PROJECT_CONFLICT]")
        assert "restart the server" in result["content"][0]["text"]
    with scene.machine.server(project) as wire:
        assert wire.text("get_secret", name="OWN") == "v"


def test_a_project_that_is_moved_while_no_server_runs_is_another_path_as_ever(scene: Scene) -> None:
    project = ordinary(scene)
    scene.machine.run("set", "OWN", at=project, stdin="own")
    moved = project.rename(scene.work / "moved")
    with scene.machine.server(moved) as wire:
        assert wire.code("get_secret", name="OWN") == "NOT_TRUSTED"
        assert scene.machine.run("trust", "--yes", at=moved).returncode == 0
        assert wire.text("get_secret", name="OWN") == "own"
