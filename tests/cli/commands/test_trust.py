"""`allow`, `trust`, `projects` and `revoke`: a project's grants, and work trees that count as their main work tree."""

import json
from pathlib import Path

import pytest

from tests.support.disk import make_linked
from tests.support.machine import Machine
from tests.support.terminals import on_a_terminal

pytestmark = pytest.mark.usefixtures("quick_starts")


def test_allow_lists_the_name_lets_the_project_use_it_and_keeps_comments(machine: Machine) -> None:
    machine.run("set", "TOKEN", stdin="v")
    project = machine.project("api", [])
    path = project / ".claude" / "secrets.yml"
    path.write_text("# ours\nallow:\n  - OTHER  # why\n")
    path.chmod(0o640)
    with machine.server(project) as wire:
        assert wire.code("get_secret", name="TOKEN") == "NOT_ALLOWLISTED"
        assert machine.run("allow", "TOKEN", "--yes", at=project).returncode == 0
        assert wire.text("get_secret", name="TOKEN") == "v"
        assert {"# ours", "  - OTHER  # why", "  - TOKEN"} <= set(path.read_text().splitlines())
        assert path.stat().st_mode & 0o777 == 0o640
        assert machine.run("revoke", "TOKEN", at=project).returncode == 0
        assert wire.code("get_secret", name="TOKEN") == "NOT_ALLOWLISTED"
    assert path.read_text() == "# ours\nallow:\n  - OTHER  # why\n"
    assert [file.name for file in path.parent.iterdir()] == ["secrets.yml"]


def test_trust_shows_what_is_new_and_grants_that_alone(machine: Machine) -> None:
    machine.run("set", "TOKEN", stdin="v")
    machine.run("set", "OUTSIDE", stdin="v")
    project = machine.project("clone", ["TOKEN"])
    with machine.server(project) as wire:
        assert wire.code("get_secret", name="TOKEN") == "NOT_TRUSTED"
        code, screen = on_a_terminal(machine, ["trust"], project, [("[y/N]", "n\n")])
        assert (code, "TOKEN, stored from you" in screen, "OUTSIDE" in screen) == (1, True, False)
        assert wire.code("get_secret", name="TOKEN") == "NOT_TRUSTED"
        assert on_a_terminal(machine, ["trust"], project, [("[y/N]", "y\n")])[0] == 0
        assert wire.text("get_secret", name="TOKEN") == "v"
        assert "already has access to everything" in machine.run("trust", at=project).stdout
        assert machine.run("revoke", "--all", at=project).returncode == 0
        assert wire.code("get_secret", name="TOKEN") == "NOT_TRUSTED"


def linked(machine: Machine) -> tuple[Path, Path]:
    """Return a project, and a directory whose files make it a linked git work tree of that project."""
    main, tree = machine.project("main"), machine.project("tree")
    (tree / ".git").rmdir()
    make_linked(main, tree)
    return main, tree


def test_in_a_linked_work_tree_trust_asks_whether_it_counts_as_the_main_one(machine: Machine) -> None:
    main, tree = linked(machine)
    machine.run("set", "TOKEN", at=main, stdin="v")
    machine.run("set", "ELSEWHERE", stdin="v")
    done = machine.run("trust", "--yes", at=tree)
    assert done.stdout.splitlines()[1:3] == [
        "  to count as a work tree of ~/work/main, and to use everything that project may use",
        "  ELSEWHERE, stored from you (readable)",
    ]
    assert json.loads(machine.run("projects", "--json").stdout) == [
        {"project": str(main), "scope": "shared", "name": "ELSEWHERE", "work_tree_of": None},
        {"project": str(tree), "scope": None, "name": None, "work_tree_of": str(main)},
    ]
    listed = machine.run("projects").stdout
    assert (
        "~/work/tree\n  counts as a work tree of ~/work/main, and may use everything that project may use\n" in listed
    )
    assert "already has access to everything it asks for" in machine.run("trust", at=tree).stdout
    assert "already has access to everything it asks for" in machine.run("trust", at=main).stdout
    taken = "Revoked: the permission to count as a work tree of ~/work/main (that project keeps its own grants).\n"
    assert machine.run("revoke", "--all", at=tree).stdout == taken
    assert [row["project"] for row in json.loads(machine.run("projects", "--json").stdout)] == [str(main)]


def test_a_no_to_that_grants_nothing(machine: Machine) -> None:
    _, tree = linked(machine)
    code, screen = on_a_terminal(machine, ["trust"], tree, [("[y/N]", "n\n")])
    assert (code, "count as a work tree of ~/work/main" in screen) == (1, True)
    assert machine.run("projects", "--json").stdout == "[]\n"


def test_what_is_stored_in_a_linked_work_tree_is_its_own_until_it_counts_as_the_main_one(machine: Machine) -> None:
    main, tree = linked(machine)
    for arguments in (["set", "OWN"], ["allow", "OTHER"]):
        done = machine.run(*arguments, at=tree, stdin="v")
        assert done.stderr.startswith(
            "hint: this is a git work tree of ~/work/main, but it may not use that project's secrets yet; "
            "to change this: python -P -m claude_secrets trust\n"
        )
    machine.run("trust", "--yes", at=tree)
    assert machine.run("set", "NEW", at=tree, stdin="v").stderr == ""
    assert machine.run("set", "NEW", at=main, stdin="w").stderr == ""
    origins = {secret["name"]: secret["origin"] for secret in json.loads(machine.run("list", "--json").stdout)}
    assert origins == {"OWN": str(tree), "NEW": str(main)}


def test_doctor_and_the_log_tell_as_whom_a_linked_work_tree_counts(machine: Machine) -> None:
    main, tree = linked(machine)
    machine.run("set", "OWN", at=tree, stdin="v")
    found = {line["about"]: line for line in json.loads(machine.run("doctor", "--json", at=tree).stdout)}
    assert found["project"]["message"] == str(tree)
    assert (found["work tree"]["state"], found["work tree"]["hint"]) == (
        "warn",
        "To let it use that project's secrets: python -P -m claude_secrets trust",
    )
    assert str(main) in found["work tree"]["message"]
    machine.run("trust", "--yes", at=tree)
    machine.run("set", "NEW", at=tree, stdin="v")
    found = {line["about"]: line for line in json.loads(machine.run("doctor", "--json", at=tree).stdout)}
    assert (found["work tree"]["state"], found["work tree"]["hint"]) == ("ok", None)
    assert "work tree" not in machine.run("doctor", at=main).stdout

    def names(project: Path) -> list[str]:
        events = json.loads(machine.run("log", "--json", "--tool", "set", "--project", str(project)).stdout)
        return [event["name"] for event in events]

    assert (names(main), names(tree)) == (["NEW"], ["OWN", "NEW"])


def test_no_scope_can_be_taken_for_a_work_tree(machine: Machine) -> None:
    project = machine.project("api")
    done = machine.run("set", "T", "--scope", f"worktree:{project}", at=machine.project("evil"), stdin="v")
    assert (done.returncode, done.stderr.split()[1]) == (2, "[INVALID_NAME]")
    assert machine.run("projects", "--json").stdout == "[]\n"


def test_projects_lists_grants_and_revoke_takes_them_back(machine: Machine) -> None:
    machine.run("set", "TOKEN", stdin="v")
    project = machine.project("clone")
    assert machine.run("projects").stdout == ""
    assert machine.run("allow", "TOKEN", "--yes", at=project).returncode == 0
    assert machine.run("projects").stdout == "~/work/clone\n  TOKEN\n"
    assert machine.run("--project", str(project), "revoke", "--all").returncode == 0
    assert machine.run("projects", "--json").stdout == "[]\n"
