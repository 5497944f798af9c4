"""Commands that were typed wrongly or too early: the error says what is wrong, and the hint is a command."""

import json

import pytest

from tests.support.machine import Machine

pytestmark = pytest.mark.usefixtures("quick_starts")

PROGRAM = "python -P -m claude_secrets"


@pytest.mark.parametrize(
    ("words", "code", "said", "hint"),
    [
        ("exec --only NEW -- true", 1, "This secret was not found: 'NEW'.", "To store it: {} set NEW"),
        ("export --only NEW --scope other", 1, "not found: 'NEW'.", "To store it: {} set NEW --scope other"),
        ("exec --only A1 --only A2 -- true", 1, "were not found: 'A1', 'A2'.", "To store the first of them: {} set A1"),
        ("exec --only A1,A2 -- true", 2, "it is not shown", "repeat the option before each name: --only FIRST --only"),
        ("exec --only 1a-b -- true", 2, "'1a-b' cannot be the name", "--file instead: _1A_B=secret://1a-b"),
        ("exec --only NEW", 2, "There is no program to run.", "{} exec --only NAME -- COMMAND ARGUMENTS"),
        ("set NAME=canary", 2, "[INVALID_NAME]", "Run `{} set NAME`, then type the value. If the value is now in"),
        ("list --scope other", 0, "No secrets are stored in this scope.", "to see all secrets, in all scopes: {} list"),
        ("search canary", 0, "No secret names match.", "to see all secrets, in all scopes: {} list"),
        ("backup verify canary", 2, "`backup` has no verb `verify`.", "To verify a backup: {} backup --verify FILE"),
        ("backup create canary", 2, "`backup` has no verb `create`.", "To make a backup: {} backup FILE"),
        ("backup restore", 2, "The name of the file is missing.", "To restore a backup: {} backup restore FILE"),
        ("backup create", 2, "write ./create", "To make a backup: {} backup FILE"),
        ("backup canary canary", 2, "`backup` takes one file, or", "To make a backup: {} backup FILE"),
        ("backup restore canary canary", 2, "`backup` takes one file, or", "{} backup restore FILE"),
        ("backup restore canary --verify", 2, "cannot be used with `restore`", "{} backup restore FILE"),
        ("purge", 2, "Name either one secret or --deleted.", "To purge one secret: {} purge NAME."),
        ("restore T", 1, "The store does not keep an earlier value", "{} history T --scope shared"),
        (
            "key rotate",
            2,
            "No key of this store is in the system's keyring.",
            "{} key add-file NEWPATH, then {} key remove",
        ),
    ],
)
def test_the_hint_is_a_command(machine: Machine, words: str, code: int, said: str, hint: str) -> None:
    machine.keep("T", "v")
    done = machine.run(*words.split(), stdin="")
    assert (done.returncode, "canary" in done.stderr) == (code, False), done.stderr
    assert said in done.stderr
    assert hint.replace("{}", PROGRAM) in done.stderr.partition("hint: ")[2]


def test_an_empty_store_is_called_empty(machine: Machine) -> None:
    for words in (["list"], ["list", "--scope", "other"], ["search", "x"]):
        assert machine.run(*words).stderr == f"No secrets are stored.\nhint: to store one: {PROGRAM} set NAME\n"
    assert json.loads(machine.run("search", "x", "--json").stdout) == []


def test_allowing_a_name_without_a_secret_says_how_to_store_it(machine: Machine) -> None:
    project = machine.project("api", [])
    first = machine.run("allow", "NEW", at=project)
    assert first.stderr.splitlines()[-1] == f"hint: no secret has this name yet; to store it: {PROGRAM} set NEW"
    machine.run("set", "NEW", at=project, stdin="v")
    assert "set NEW" not in machine.run("allow", "NEW", at=project).stderr
    assert "own commands can still use every secret" in machine.run("revoke", "NEW", at=project).stderr
    assert f"{PROGRAM} revoke --all" in machine.run("revoke", at=project).stderr


def test_a_project_option_that_names_no_project_is_explained(machine: Machine) -> None:
    (machine.home / "plain dir").mkdir()
    (machine.home / "file").write_text("")
    for name, code, said in (
        ("away", 2, "[INVALID_ARGUMENTS] The directory that --project names does not exist: {}"),
        ("file", 2, "[INVALID_ARGUMENTS] The path that --project names is not a directory: {}"),
        ("plain dir", 3, "[NO_ALLOWLIST] The directory that --project names is not a project: {} has no .claude"),
    ):
        path = machine.home / name
        done = machine.run("--project", str(path), "allow", "T")
        assert (done.returncode, said.format(path) in done.stderr) == (code, True), done.stderr
    assert f"hint: To create this file: {PROGRAM} --project '{path}' init" in done.stderr
    assert machine.run("--project", str(path), "init").returncode == 0
    assert machine.run("--project", str(path), "allow", "T").returncode == 0
