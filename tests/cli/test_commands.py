"""The person's commands: what each prints, what it leaves behind, and its exit code."""

import json
import os
import pty
import shlex
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from claude_secrets.agent import client_records
from claude_secrets.agent.processes import Process
from tests.support import sqlite_attacker as attacker
from tests.support.disk import make_linked
from tests.support.machine import DEADLINE, PROGRAM, Machine


def test_a_value_from_standard_input_comes_back_exactly(machine: Machine) -> None:
    for given, stored in [("tok", "tok"), ("tok\n", "tok"), ("tok\r\n", "tok"), ("a\nb\n", "a\nb\n"), ("\n\n", "\n\n")]:
        assert machine.run("set", "T", stdin=given).returncode == 0
        assert machine.run("get", "T").stdout == stored
    assert machine.run("set", "T", "--exact", stdin="tok\n").returncode == 0
    assert machine.run("get", "T").stdout == "tok\n"


@pytest.mark.parametrize("given", ["", "\n"], ids=["nothing", "a newline"])
def test_an_empty_value_is_refused(machine: Machine, given: str) -> None:
    done = machine.run("set", "T", stdin=given)
    assert (done.returncode, done.stderr.split()[1]) == (2, "[INVALID_VALUE]")


def test_a_hidden_prompt_takes_the_value_and_shows_nothing_of_it(machine: Machine) -> None:
    code, screen = on_a_terminal(machine, ["set", "T"], machine.home, [("not shown", "typed-value\n")])
    assert (code, "typed-value" in screen) == (0, False)
    assert "Stored 'T' (version 1)." in screen
    assert machine.run("get", "T").stdout == "typed-value"


@pytest.mark.parametrize(("answer", "code", "left"), [("y\n", 0, []), ("n\n", 1, ["T"]), ("\n", 1, ["T"])])
def test_deleting_asks_first(machine: Machine, answer: str, code: int, left: list[str]) -> None:
    machine.run("set", "T", stdin="v")
    assert on_a_terminal(machine, ["delete", "T"], machine.home, [("[y/N]", answer)])[0] == code
    assert [secret["name"] for secret in json.loads(machine.run("list", "--json").stdout)] == left


def test_nobody_to_ask_means_no(machine: Machine) -> None:
    machine.run("set", "T", stdin="v")
    done = machine.run("delete", "T")
    assert (done.returncode, "--yes" in done.stderr) == (2, True)
    assert machine.run("get", "T").stdout == "v"


def test_exit_codes_tell_who_can_mend_it(machine: Machine) -> None:
    assert machine.run("list").returncode == 0
    assert machine.run("get", "ABSENT").returncode == 1
    assert machine.run("get", "-x").returncode == 2
    assert machine.run("get", "a b").returncode == 2
    assert machine.run("no-such-command").returncode == 2
    assert machine.run("allow", "T").returncode == 3
    machine.key_file.unlink()
    assert machine.run("list").returncode == 4


def test_errors_are_one_line_and_a_hint_on_standard_error(machine: Machine) -> None:
    machine.key_file.unlink()
    done = machine.run("list")
    lines = done.stderr.splitlines()
    assert done.stdout == ""
    assert [line.split()[0] for line in lines] == ["error:", "hint:"]
    assert lines[0].startswith("error: [KEY_MISSING] ")


def test_a_value_given_as_an_argument_is_refused_and_not_repeated(machine: Machine) -> None:
    done = machine.run("set", "T", "canary-in-argv")
    assert done.returncode == 2
    assert "canary" not in done.stdout + done.stderr


def test_listing_shows_everything_but_values(machine: Machine) -> None:
    project = machine.project("api")
    machine.run("set", "SHARED_ONE", stdin="canary")
    machine.run("set", "PROJECT_ONE", "--use-only", at=project, stdin="canary")
    machine.run("set", "SCOPED", "--scope", "acme", stdin="canary")
    done = machine.run("list", "--json")
    listed = {secret["name"]: secret for secret in json.loads(done.stdout)}
    assert {name: (secret["scope"], secret["access"], secret["version"]) for name, secret in listed.items()} == {
        "SHARED_ONE": ("shared", "readable", 1),
        "PROJECT_ONE": ("shared", "use-only", 1),
        "SCOPED": ("acme", "readable", 1),
    }
    assert listed["PROJECT_ONE"]["origin"] == str(project)
    assert listed["SHARED_ONE"]["origin"] == "person"
    table = machine.run("list").stdout
    assert table.splitlines()[0].split() == ["NAME", "SCOPE", "ACCESS", "VERSION", "STORED", "FROM"]
    assert "~/work/api" in table
    assert "canary" not in done.stdout + table
    assert [secret["name"] for secret in json.loads(machine.run("search", "one$", "--json").stdout)] == [
        "PROJECT_ONE",
        "SHARED_ONE",
    ]
    assert machine.run("get", "SCOPED", "--scope", "acme").stdout == "canary"
    assert machine.run("get", "SCOPED").returncode == 1


def test_renaming_keeps_versions_and_takes_no_name_that_was_used(machine: Machine) -> None:
    machine.run("set", "OLD", stdin="one")
    machine.run("set", "OLD", stdin="two")
    assert machine.run("rename", "OLD", "NEW").returncode == 0
    assert machine.run("get", "NEW").stdout == "two"
    assert machine.run("get", "OLD").returncode == 1
    assert json.loads(machine.run("list", "--json").stdout)[0]["version"] == 2
    machine.run("set", "OTHER", stdin="x")
    machine.run("delete", "OTHER", "--yes")
    assert machine.run("rename", "NEW", "OTHER").returncode == 2
    assert machine.run("rename", "ABSENT", "X").returncode == 1


def test_init_makes_an_allowlist_once_and_none_at_home(machine: Machine) -> None:
    project = machine.home / "fresh"
    project.mkdir()
    assert machine.run("init", at=project).returncode == 0
    written = (project / ".claude" / "secrets.yml").read_bytes()
    assert b"#" in written
    (project / ".claude" / "secrets.yml").write_bytes(written + b"# mine\n")
    again = machine.run("init", at=project)
    assert (again.returncode, "is there already" in again.stdout) == (0, True)
    assert (project / ".claude" / "secrets.yml").read_bytes() == written + b"# mine\n"
    assert machine.run("init", at=machine.home).returncode == 3
    assert not (machine.home / ".claude").exists()


@pytest.mark.parametrize("mask", ["0", "0777", "0022"])
def test_directories_that_are_made_are_private_whatever_the_umask_is(tmp_path: Path, mask: str) -> None:
    machine = Machine(tmp_path)
    home, backup = machine.home, machine.home / "a" / "made.backup"
    (home / "a").mkdir(mode=0o755)
    store, key = home / "a" / "b" / "c" / "secrets.db", home / "a" / "k" / "l" / "master.key"

    def run(*words: str, stdin: str) -> None:
        masked = ["sh", "-c", f'umask {mask}; exec "$@"', "-", *PROGRAM, "--store", str(store), *words]
        at = {"cwd": home, "env": machine.environment}
        done = subprocess.run(masked, input=stdin, text=True, capture_output=True, check=False, **at)  # type: ignore[call-overload]
        assert done.returncode == 0, done.stderr

    run("init", "--key-file", str(key), stdin="")
    run("set", "A", stdin="v")
    run("backup", str(backup), "--backup-passphrase-fd", "0", stdin="five parrots juggle quartz lemons")
    run("key", "rotate", "--data", "--yes", stdin="")
    made = {path: path.stat().st_mode & 0o777 for path in (home / "a").rglob("*")}
    assert {store, key, backup, key.parent.parent} <= {*made}
    assert made == {path: 0o700 if path.is_dir() else 0o600 for path in made}
    assert (home / "a").stat().st_mode & 0o777 == 0o755  # which was there


@pytest.mark.parametrize("mask", [0, 0o777])
def test_notes_of_clients_are_in_private_directories_whatever_the_umask_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mask: int
) -> None:
    monkeypatch.setattr(client_records, "directory", lambda: tmp_path / "a" / "b" / "clients")
    before = os.umask(mask)
    try:
        client_records.note(Process(number=1, parent=0, started="1"), lambda *_: True)
    finally:
        os.umask(before)
    made = [*(tmp_path / "a").rglob("*")]
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "a", *made) if path.is_dir()] == [0o700] * 3
    assert len(made) == 3


def test_init_never_replaces_a_store_or_a_key_file(machine: Machine) -> None:
    before = (machine.store.read_bytes(), machine.key_file.read_bytes())
    project = machine.project("api")
    done = machine.run("init", "--key-file", str(machine.home / "keys" / "another"), at=project)
    assert (done.returncode, done.stderr.split()[1]) == (1, "[STORE_UNAVAILABLE]")
    assert not (machine.home / "keys" / "another").exists()
    other = str(machine.home / "second" / "secrets.db")
    done = machine.run("--store", other, "init", "--key-file", str(machine.key_file), at=project)
    assert (done.returncode, done.stderr.split()[1]) == (4, "[KEY_MISSING]")
    assert not Path(other).exists()
    assert (machine.store.read_bytes(), machine.key_file.read_bytes()) == before


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
        assert "nothing" in machine.run("trust", at=project).stdout
        assert machine.run("revoke", "--all", at=project).returncode == 0
        assert wire.code("get_secret", name="TOKEN") == "NOT_TRUSTED"


def linked(machine: Machine) -> tuple[Path, Path]:
    """A project and a linked git work tree of it, as far as files tell."""
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
        "  to count as a work tree of ~/work/main, and to use whatever that project may",
        "  ELSEWHERE, stored from you (readable)",
    ]
    assert json.loads(machine.run("projects", "--json").stdout) == [
        {"project": str(main), "scope": "shared", "name": "ELSEWHERE", "work_tree_of": None},
        {"project": str(tree), "scope": None, "name": None, "work_tree_of": str(main)},
    ]
    listed = machine.run("projects").stdout
    assert "~/work/tree\n  counts as a work tree of ~/work/main, and may use whatever that project may\n" in listed
    assert "wants nothing" in machine.run("trust", at=tree).stdout
    assert "wants nothing" in machine.run("trust", at=main).stdout
    taken = "Revoked: counting as a work tree of ~/work/main (which keeps its own grants).\n"
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
        assert done.stderr == (
            "hint: this is a git work tree of ~/work/main, and does not count as that project; "
            "to let it: python -P -m claude_secrets trust\n"
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
        "If it should: python -P -m claude_secrets trust",
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


def test_doctor_says_what_to_do_in_every_line_that_is_not_ok(machine: Machine) -> None:
    project = machine.project("api", ["T"])
    well = machine.run("doctor", "--json", at=project)
    assert well.returncode == 0
    assert {finding["about"]: finding["state"] for finding in json.loads(well.stdout)} == {
        "project": "ok",
        "allowlist": "ok",
        "policy": "ok",
        "store": "ok",
        "key": "warn",  # it is the only one
    }
    (project / ".claude" / "secrets.yml").write_text("allow: [\n")
    machine.key_file.unlink()
    ill = machine.run("doctor", "--json", at=project)
    assert ill.returncode == 1
    for finding in json.loads(ill.stdout):
        assert finding["state"] == "ok" or finding["hint"]


def told_by_doctor(machine: Machine, about: str, **environment: str) -> list[str]:
    """What `doctor` warns of, with what to do."""
    found = json.loads(machine.run("doctor", "--json", environment=environment).stdout)
    return [f"{each['message']} {each['hint']}" for each in found if (each["about"], each["state"]) == (about, "warn")]


def test_doctor_says_which_settings_of_an_environment_do_not_count_and_where_to_put_them(machine: Machine) -> None:
    account, dotfiles = machine.home / ".config" / "claude-secrets", machine.home / "dotfiles" / "claude-secrets"
    dotfiles.mkdir(parents=True)
    (dotfiles / "config.yml").write_text("trust: off\nconsent: dialog\ndefault_access: readable\n")
    limit = {"set_secret": {"rules": [{"rate_limit": "90/minute"}]}}
    (dotfiles / "policy.yml").write_text(json.dumps({"version": "1", "default": "allow", "tools": limit}))
    assert "ln -s" not in told_by_doctor(machine, "policy", XDG_CONFIG_HOME=str(dotfiles.parent))[0]
    shutil.rmtree(account)
    (said,) = told_by_doctor(machine, "policy", XDG_CONFIG_HOME=str(dotfiles.parent))
    assert "trust, default_access of config.yml; the higher limit of set_secret of the policy." in said
    command = said.rpartition(": ")[2]
    assert command == f"ln -s {dotfiles} {account}"
    account.parent.mkdir(exist_ok=True)
    subprocess.run(["sh", "-c", command], check=True)
    assert told_by_doctor(machine, "policy", XDG_CONFIG_HOME=str(dotfiles.parent)) == []
    assert "trust off, consent dialog" in machine.run("doctor").stdout
    assert (
        "at most 90 calls a minute"
        in machine.run("policy", "explain", "set_secret", "A", at=machine.project("api")).stdout
    )


def test_policy_check_reads_the_environments_directory_too(machine: Machine) -> None:
    other = machine.home / "other" / "claude-secrets"
    other.mkdir(parents=True)
    environment = {"XDG_CONFIG_HOME": str(other.parent)}
    (other / "policy.yml").write_text('version: "1"\ndefault: deny\n')
    said = machine.run("policy", "check", environment=environment).stdout.splitlines()
    own = machine.home / ".config/claude-secrets/policy.yml"
    assert said[-2:] == [
        f"{own}: there is none, and no policy.json; the built-in limits hold",
        f"{other / 'policy.yml'}: understood, 0 rules, denies by default",
    ]
    explained = machine.run("policy", "explain", "get_secret", "A", at=machine.project("api"), environment=environment)
    assert (
        explained.returncode,
        "Refused by your environment's policy: refuse what no rule is for" in explained.stdout,
    ) == (3, True)


def test_doctor_tells_an_unusual_store_by_the_home_of_the_account(machine: Machine) -> None:
    machine.run("set", "T", stdin="v")
    assert "not the usual one" not in machine.run("doctor").stdout
    elsewhere = {"HOME": str(machine.home / "elsewhere")}
    used = {**elsewhere, "CLAUDE_SECRETS_STORE": str(machine.store)}
    assert "not the usual one" not in machine.run("doctor", environment=used).stdout
    data = machine.home / "elsewhere" / "data"
    data.parent.mkdir()
    shutil.copytree(machine.store.parent, data / "claude-secrets")
    environment = {"XDG_DATA_HOME": str(data)}
    assert "not the usual one" in machine.run("doctor", environment=environment).stdout
    own = machine.home / ".config" / "claude-secrets"
    (own / "config.yml").write_text("store: ~/elsewhere/data/claude-secrets/secrets.db\n")
    assert "not the usual one" not in machine.run("doctor", environment=environment).stdout


@pytest.mark.parametrize("place", ["key file's", "store's", "files'", "link's"])
def test_doctor_warns_of_directories_that_others_can_write(machine: Machine, place: str) -> None:
    machine.run("set", "T", stdin="v")
    own = machine.home / ".config" / "claude-secrets"
    (own / "config.yml").unlink()
    linked = machine.home / "dotfiles" / "deep"
    linked.mkdir(parents=True)
    (linked / "config.yml").touch()
    (own / "config.yml").symlink_to(linked / "config.yml")
    assert told_by_doctor(machine, "places") == []
    directory = {
        "key file's": machine.key_file.parent,
        "store's": machine.store.parent.parent,
        "files'": own.parent,
        "link's": linked.parent,
    }[place]
    mode = directory.stat().st_mode
    directory.chmod(0o777)
    (said,) = told_by_doctor(machine, "places")
    assert said.startswith(f"{directory}, on the way to ")
    assert said.endswith(f" can be written by others. chmod go-w {directory}")
    directory.chmod(0o1777)
    assert told_by_doctor(machine, "places") == []
    directory.chmod(mode)


def test_doctor_warns_of_a_file_that_others_can_write(machine: Machine) -> None:
    machine.run("set", "T", stdin="v")
    path = machine.key_file
    path.chmod(0o666)
    assert told_by_doctor(machine, "places") == [f"{path} can be written by others. chmod go-w {path}"]
    path.chmod(0o600)
    assert told_by_doctor(machine, "places") == []


def test_doctor_finds_a_row_that_was_changed(machine: Machine) -> None:
    import sqlite3

    machine.run("set", "T", stdin="one")
    machine.run("set", "T", stdin="two")
    connection = sqlite3.connect(machine.store)
    with connection:
        connection.execute("DELETE FROM versions WHERE version = 1")
    connection.close()
    done = machine.run("doctor")
    assert (done.returncode, "STORE_TAMPERED" in done.stdout) == (1, True)


def test_without_arguments_it_serves_on_a_pipe_and_helps_on_a_terminal(machine: Machine) -> None:
    assert machine.run(stdin="").returncode == 0
    code, screen = on_a_terminal(machine, [], machine.home, [])
    assert (code, "usage:" in screen) == (0, True)


OURS = ("claude_secrets", "yaml", "keyring", "re2", "cryptography", "mcp", "platformdirs", "sitecustomize")


def test_code_in_the_working_directory_does_not_run(machine: Machine) -> None:
    project = machine.project("clone")
    for name in {*sys.stdlib_module_names, *OURS}:
        (project / f"{name}.py").write_text(f"open({str(machine.home / 'ran')!r}, 'w')\n")
    script = Path(sys.executable).with_name("claude-secrets")
    for program in ([str(script)], [sys.executable, "-P", "-m", "claude_secrets"]):
        done = subprocess.run(
            [*program, "list"], cwd=project, env=machine.environment, capture_output=True, timeout=DEADLINE, check=False
        )
        assert done.returncode == 0, done.stderr
    assert not (machine.home / "ran").exists()


def test_a_store_inside_the_project_is_refused(machine: Machine) -> None:
    project = machine.project("clone")
    done = machine.run("--store", "evil.db", "list", at=project)
    assert (done.returncode, done.stderr.split()[1]) == (1, "[STORE_UNAVAILABLE]")


def on_a_terminal(machine: Machine, arguments: list[str], at: Path, answers: list[tuple[str, str]]) -> tuple[int, str]:
    """Run a command on a real terminal, typing each answer when its question stands there; exit code and screen."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(at)
        os.execve(PROGRAM[0], [*PROGRAM, *arguments], machine.environment)
    screen = ""
    try:
        for question, answer in answers:
            while question not in screen:
                screen += os.read(terminal, 4096).decode()
            os.write(terminal, answer.encode())
        while True:
            screen += os.read(terminal, 4096).decode()
    except OSError:  # how Linux says that the other side has gone
        pass
    finally:
        os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), screen


def test_names_of_directories_cannot_pose_as_lines_or_move_the_cursor(machine: Machine) -> None:
    evil = machine.project("evil\x1b]0;T\x07\x1b[2K\rfine\n  SAFE, stored from you (use-only)\u202e")
    with machine.server(evil) as wire:
        wire.text("set_secret", name="GITHUB_TOKEN", value="x")
    project = machine.project("api")
    for done in (
        machine.run("list", at=project),
        machine.run("doctor", at=evil),
        machine.run("allow", "OTHER", at=evil),
        machine.run("trust", at=project),
        machine.run("--project", "\x1b[31mnope", "list", at=project),
        machine.run("--store", str(evil / "secrets.db"), "list", at=evil),
    ):
        said = done.stdout + done.stderr
        assert not {"\x1b", "\x07", "\r", "\u202e"} & set(said)
        assert not any(line.startswith("  SAFE") for line in said.splitlines())


@pytest.mark.parametrize(
    "arguments",
    [
        ["set", "T", "--exact=hunter2"],
        ["list", "--json=hunter2"],
        ["set", "T", "hunter2"],
        ["hunter2"],
        ["get", "T", "--hunter2"],
        ["set", "--use-only", "--readable=hunter2", "T"],
    ],
)
def test_arguments_that_do_not_fit_are_not_repeated(machine: Machine, arguments: list[str]) -> None:
    done = machine.run(*arguments)
    assert (done.returncode, "hunter2" in done.stdout + done.stderr) == (2, False)
    assert done.stderr.startswith("error: ")


PRINTING = [
    *("list", "list --json", "search .", "get T", "history T", "log", "log --verify", "projects", "doctor", "scan"),
    *("policy check", "policy explain get_secret T", "key list", "export --only T", "hook session-start <event"),
]
CHANGING = [
    *("set NEW <event", "allow T --yes", "revoke T", "access T --use-only", "rename T U", "restore T --version 1"),
    *("delete T --yes", "purge T --yes"),
]


@pytest.fixture
def printing(machine: Machine) -> Machine:
    """Where each of these commands has something to print."""
    project = machine.project("api", ["T"])
    for value in ("older value", "canary-value-1234567"):
        machine.run("set", "T", at=project, stdin=value)
    machine.run("allow", "T", "--yes", at=project)
    (project / "event").write_text("{}")
    return machine


def ended(machine: Machine, command: str, streams: str) -> tuple[int, str, str]:
    words, _, given = command.partition("<")
    done = in_a_shell(machine, f"cd work/api; {shlex.join(PROGRAM)} {words} <{given or '/dev/null'} {streams}")
    return done.returncode, done.stdout, done.stderr


def unwritten(why: str) -> str:
    return f"error: The output could not be written: {why}.\n"


@pytest.mark.parametrize("command", PRINTING)
def test_output_that_nobody_takes_is_told(printing: Machine, command: str) -> None:
    code, out, err = ended(printing, command, "")
    assert out
    assert ended(printing, command, ">&-") == (1, "", err + unwritten("standard output is closed"))
    assert ended(printing, command, ">/dev/full") == (1, "", err + unwritten("No space left on device"))
    assert ended(printing, command, "2>&-")[0::2] == (code, "")
    assert ended(printing, command, "| head -c0")[1:] == ("", err)


@pytest.mark.parametrize("command", CHANGING)
def test_what_a_command_changes_does_not_depend_on_who_reads(printing: Machine, command: str) -> None:
    kept = printing.home.parent / "kept"
    shutil.copytree(printing.home, kept)
    after = []
    for streams, says in (
        ("", ""),
        (">&-", unwritten("standard output is closed")),
        (">/dev/full", unwritten("No space left on device")),
        ("2>/dev/full", ""),
    ):
        code, _, err = ended(printing, command, streams)
        assert (code, err.endswith(says)) == (int(bool(says)), True)
        after.append(in_a_shell(printing, f"{shlex.join(PROGRAM)} list; {shlex.join(PROGRAM)} projects").stdout)
        shutil.rmtree(printing.home)
        shutil.copytree(kept, printing.home)
    assert after == after[:1] * 4


def test_an_error_that_nobody_takes_has_its_code(machine: Machine) -> None:
    for streams in ("2>&-", "2>/dev/full", ">&- 2>&-"):
        for command, code in (("get ABSENT", 1), ("get 'a b'", 2), ("allow T", 3), ("no-such-command", 2)):
            done = in_a_shell(machine, f"{shlex.join(PROGRAM)} {command} {streams}")
            assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


def test_nobody_answers_what_was_not_shown(machine: Machine) -> None:
    machine.run("set", "TOKEN", at=machine.project("other"), stdin="v")
    project = machine.project("api", ["TOKEN"])
    for streams in (">&-", ">/dev/full"):
        line = shlex.quote(f"cd {shlex.quote(str(project))}; {shlex.join(PROGRAM)} trust {streams}")
        done = in_a_shell(machine, f"script -qec {line} /dev/null")
        assert (done.returncode, "could not be written" in done.stdout) == (1, True)
        assert "[y/N]" not in done.stdout
    assert machine.run("projects").stdout == ""


@pytest.mark.parametrize("command", ["--help", "--version"])
def test_usage_that_nobody_takes_is_told(machine: Machine, command: str) -> None:
    full = in_a_shell(machine, f"{shlex.join(PROGRAM)} {command} >/dev/full")
    assert (full.returncode, full.stderr) == (1, unwritten("No space left on device"))


def test_in_a_directory_that_was_deleted_there_is_no_project(machine: Machine) -> None:
    machine.run("set", "T", stdin="v")
    program = " ".join(PROGRAM)
    gone = f"mkdir {machine.home}/gone; cd {machine.home}/gone; rmdir {machine.home}/gone; {program} "
    assert in_a_shell(machine, f"{gone} get T").stdout == "v"
    assert "not inside a project" in in_a_shell(machine, f"{gone} doctor").stdout
    assert in_a_shell(machine, f"{gone} allow T").stderr.startswith("error: [NO_PROJECT]")
    assert in_a_shell(machine, f"{gone} serve </dev/null").returncode == 0


def in_a_shell(machine: Machine, line: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["bash", "-c", line],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=machine.home,
        env=machine.environment,
        check=False,
    )


def test_init_writes_nothing_through_a_link(machine: Machine) -> None:
    victim, project = machine.home / "victim", machine.home / "clone"
    for directory in (victim, victim / ".claude", project):
        directory.mkdir()
    for target in (victim / ".claude", machine.home / "nowhere"):
        (project / ".claude").symlink_to(target)
        done = machine.run("init", at=project)
        assert (done.returncode, done.stderr.split()[1]) == (3, "[ALLOWLIST_INVALID]")
        (project / ".claude").unlink()
    assert list((victim / ".claude").iterdir()) == []


def test_storing_by_hand_what_an_agent_had_taken_says_whose_it_was(machine: Machine) -> None:
    evil = machine.project("evil")
    with machine.server(evil) as wire:
        wire.text("set_secret", name="GITHUB_TOKEN", value="x")
        assert machine.run("set", "GITHUB_TOKEN", stdin="canary").returncode == 3
        done = machine.run("set", "GITHUB_TOKEN", "--yes", stdin="canary")
        assert (done.returncode, "~/work/evil" in done.stderr) == (0, True)
        assert wire.code("get_secret", name="GITHUB_TOKEN") == "NOT_TRUSTED"


def test_get_from_a_store_that_does_not_fit_together_warns_that_the_value_may_be_an_older_one(machine: Machine) -> None:
    machine.run("set", "T", stdin="old")
    older = machine.store.with_name("older.db")
    older.write_bytes(machine.store.read_bytes())
    machine.run("set", "T", stdin="new")
    with attacker.attacker(machine.store) as connection:
        for table in ("records", "versions"):
            attacker.revert(connection, table, older)
    done = machine.run("get", "T")
    assert (done.stdout, "may be an older one" in done.stderr) == ("old", True)


def test_exec_becomes_the_program_with_the_secrets_in_its_environment(machine: Machine) -> None:
    value = "a 'b' $(touch x)\nüé"
    machine.run("set", "KEPT", "--use-only", stdin=value)
    machine.run("set", "PLAIN", stdin="p")
    show = "import os; print([os.environ[n] for n in ('KEPT', 'PLAIN')], os.environ['HOME'], end='')"
    done = machine.run("exec", "--only", "KEPT", "--only", "PLAIN", "--", sys.executable, "-c", show)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{[value, 'p']} {machine.home}", "")
    assert machine.run("exec", "--only", "PLAIN", "--", "sh", "-c", "exit 7").returncode == 7
    assert machine.run("exec", "--only", "PLAIN", "--", "sh", "-c", "kill -9 $$").returncode == -9
    piped = machine.run("exec", "--only", "PLAIN", "--", "sh", "-c", "cat; echo $PLAIN", stdin="given\n")
    assert piped.stdout == "given\np\n"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--only", "ABSENT", "--", "true"], "NOT_FOUND"),
        (["--only", "PLAIN"], "INVALID_ARGUMENTS"),
        (["--only", "PLAIN", "--", "no-such-program"], "INVALID_ARGUMENTS"),
        (["--only", "with-dash", "--", "true"], "INVALID_NAME"),
        (["--only", "LD_PRELOAD", "--", "true"], "INVALID_NAME"),
        (["--only", "Path", "--", "true"], "INVALID_NAME"),
        (["--only", "NUL", "--", "true"], "INVALID_VALUE"),
    ],
)
def test_exec_says_why_it_cannot(machine: Machine, arguments: list[str], code: str) -> None:
    for name, value in {"PLAIN": "p", "with-dash": "d", "LD_PRELOAD": "/x.so", "Path": "/x", "NUL": "a\0b"}.items():
        machine.run("set", name, stdin=value)
    done = machine.run("exec", *arguments)
    assert (done.returncode != 0, done.stderr.split()[1]) == (True, f"[{code}]")


def test_access_changes_all_names_or_none(machine: Machine) -> None:
    for name in ("A", "B"):
        machine.run("set", name, stdin="v")
    done = machine.run("access", "A", "ABSENT", "--use-only")
    assert (done.returncode, done.stderr.split()[1]) == (1, "[NOT_FOUND]")
    assert accesses(machine) == {"A": "readable", "B": "readable"}
    assert machine.run("access", "A", "B", "--use-only").stdout == "'A' is use-only.\n'B' is use-only.\n"
    assert "already" in machine.run("access", "A", "--use-only").stdout
    assert accesses(machine) == {"A": "use-only", "B": "use-only"}
    assert machine.run("access", "A", "--readable").returncode == 0
    assert machine.run("access", "A").returncode == 2


def accesses(machine: Machine) -> dict[str, str]:
    return {secret["name"]: secret["access"] for secret in json.loads(machine.run("list", "--json").stdout)}


def test_projects_lists_grants_and_revoke_takes_them_back(machine: Machine) -> None:
    machine.run("set", "TOKEN", stdin="v")
    project = machine.project("clone")
    assert machine.run("projects").stdout == ""
    assert machine.run("allow", "TOKEN", "--yes", at=project).returncode == 0
    assert machine.run("projects").stdout == "~/work/clone\n  TOKEN\n"
    assert machine.run("--project", str(project), "revoke", "--all").returncode == 0
    assert machine.run("projects", "--json").stdout == "[]\n"


def test_the_log_tells_what_was_asked_for_and_finds_what_it_is_asked_for(machine: Machine) -> None:
    project = machine.project("api", ["TOKEN"])
    with machine.server(project) as wire:
        wire.text("set_secret", name="TOKEN", value="canary")
        wire.text("get_secret", name="TOKEN")
        for _ in range(3):
            wire.code("get_secret", name="OTHER")
    whole = machine.run("log")
    assert "canary" not in whole.stdout
    lines = whole.stdout.splitlines()
    assert ["set_secret TOKEN" in lines[0], "get_secret TOKEN" in lines[1]] == [True, True]
    assert "NOT_ALLOWLISTED" in lines[2]
    assert "agent “test 1” in ~/work/api; 3 times" in lines[2]
    for arguments, count in {
        ("--name", "TOKEN"): 2,
        ("--tool", "get_secret"): 2,
        ("--denied",): 1,
        ("--since", "1h"): 3,
        ("--since", "2020-01-01"): 3,
        ("--since", "2999-01-01"): 0,
        ("--project", str(project)): 3,
        ("--project", str(machine.home)): 0,
    }.items():
        assert len(json.loads(machine.run("log", "--json", *arguments).stdout)) == count, arguments
    assert machine.run("log", "--since", "yesterday").returncode == 2


def test_a_persons_failed_commands_are_in_the_log(machine: Machine) -> None:
    project = machine.project("api")
    machine.run("set", "THERE", at=project, stdin="canary")
    failing = [
        ("get", "MISSING"),
        ("history", "MISSING"),
        ("rename", "MISSING", "OTHER"),
        ("purge", "MISSING", "--yes"),
        ("access", "MISSING", "--use-only"),
        ("exec", "--only", "MISSING", "--", "true"),
        ("set", "THERE"),  # an empty value: that is mistyped, and not worth a line
    ]
    for arguments in failing:
        assert machine.run(*arguments, at=project, stdin="").returncode != 0, arguments
    events = json.loads(machine.run("log", "--json", "--denied", at=project).stdout)
    assert {(event["caller"], event["project"]) for event in events} == {("person", str(project))}
    assert [(event["action"], event["code"]) for event in events] == [
        *((arguments[0], "NOT_FOUND") for arguments in failing[:-1]),
    ]
    assert [event["name"] for event in events[:2]] == ["MISSING", "MISSING"]


@pytest.mark.parametrize(
    "meddle",
    [
        "DELETE FROM audit WHERE sequence = 2",
        "DELETE FROM audit WHERE sequence = (SELECT max(sequence) FROM audit)",
        "UPDATE audit SET sequence = -sequence",
        "UPDATE audit SET token = (SELECT token FROM audit WHERE sequence = 1) WHERE sequence = 2",
        "DELETE FROM audit",
    ],
)
def test_a_log_that_was_meddled_with_is_found(machine: Machine, meddle: str) -> None:
    for name in ("A", "B", "C"):
        machine.run("set", name, stdin="v")
    assert machine.run("log", "--verify").stdout == "The log is whole: 3 entries, each as it was written.\n"
    with attacker.attacker(machine.store) as connection:
        connection.execute(meddle)
    done = machine.run("log", "--verify")
    assert (done.returncode, done.stderr.split()[1]) == (1, "[STORE_TAMPERED]")
    assert machine.run("doctor").returncode == 1


def test_a_policy_is_checked_and_explained(machine: Machine) -> None:
    project = machine.project("api")
    rules = [
        {"name": "dev", "conditions": [{"path": "args.name", "op": "regex", "value": "^DEV_"}]},
        {"name": "ask", "action": "require_approval"},
    ]
    policy = {"version": "1", "default": "allow", "hide": ["delete_secret"], "tools": {"get_secret": {"rules": rules}}}
    (project / ".claude" / "secrets.yml").write_text(json.dumps({"allow": ["DEV_*", "PROD"], "policy": policy}))
    checked = machine.run("policy", "check", at=project)
    assert (checked.returncode, "2 rules, allows by default, hides delete_secret" in checked.stdout) == (0, True)
    denied = machine.run("policy", "explain", "get_secret", "PROD", at=project)
    assert (denied.returncode, denied.stdout.splitlines()) == (
        3,
        [
            "allowlist: allowed by PROD",
            "this project's policy: refuse unless the name matches ^DEV_ -> refuses    (/tools/get_secret/rules/dev)",
            "this project's policy: ask the person at every call -> asks you    (/tools/get_secret/rules/ask)",
            "Refused by this project's policy: refuse unless the name matches ^DEV_.",
        ],
    )
    allowed = machine.run("policy", "explain", "get_secret", "DEV_A", at=project)
    assert (
        allowed.returncode,
        "Allowed, as far as it is this project's own or granted; you are asked first." in allowed.stdout,
    ) == (0, True)
    assert machine.run("policy", "explain", "get_secret", "OTHER", at=project).returncode == 3
    assert (
        "Refused by this project's policy: the tool is hidden."
        in machine.run("policy", "explain", "delete_secret", "DEV_A", at=project).stdout
    )
    said = machine.run("policy", "explain", "set_secret", "DEV_A", at=project).stdout
    assert "the built-in policy: at most 30 calls a minute -> counts the call" in said
    bad = machine.home / "bad.json"
    bad.write_text('{"version": "1",\n\t"default": "allow", "state": {}}')
    done = machine.run("policy", "check", str(bad))
    assert (done.returncode, "(line 2, column 22)" in done.stderr) == (3, True)
    done = machine.run("policy", "check", str(machine.home / "none.yml"))
    assert (done.returncode, "There is no file of that name." in done.stderr) == (2, True)


def test_history_shows_who_stored_what_and_restore_brings_it_back(machine: Machine) -> None:
    project = machine.project("api")
    machine.run("set", "T", at=project, stdin="canary-mine")
    with machine.server(at=project) as server:
        for number in range(25):
            server.text("set_secret", name="T", value=f"canary-{number}")
        assert "restore T`" in server.text("delete_secret", name="T")
    shown = machine.run("history", "T", at=project)
    lines = shown.stdout.splitlines()
    assert lines[0].split() == ["VERSION", "STORED", "BY", "FROM"]
    assert (lines[1].split()[0], lines[1].split()[-1], "an agent" in lines[1]) == ("27", "deleted", True)
    assert (lines[-1].split()[0], "you" in lines[-1], "~/work/api" in lines[-1]) == ("1", True, True)
    assert len(lines) == 22
    assert shown.stderr.splitlines()[0] == "6 more, stored by agents: --all shows them."
    assert len(machine.run("history", "T", "--all", at=project).stdout.splitlines()) == 28
    told = json.loads(machine.run("history", "T", "--json", at=project).stdout)
    assert [told[0]["version"], told[0]["deleted"], told[-1]["entered_by"]] == [27, True, "person"]
    assert machine.run("get", "T").returncode == 1
    done = machine.run("restore", "T", "--version", "1", at=project)
    assert done.stdout.startswith("Restored 'T': version 28 is what you stored as version 1 on ")
    assert machine.run("get", "T").stdout == "canary-mine"
    assert machine.run("restore", "T", "--version", "1").stdout.startswith("Nothing to change")
    for arguments in (("restore", "T", "--version", "99"), ("restore", "ABSENT"), ("history", "ABSENT")):
        assert machine.run(*arguments).returncode == 1, arguments
    assert machine.run("restore", "T", "--version", "x").returncode == 2
    assert "canary" not in shown.stdout + shown.stderr + done.stdout + done.stderr


def test_purging_asks_and_takes_all_away(machine: Machine) -> None:
    for value in ("one", "two"):
        machine.run("set", "T", stdin=value)
    assert machine.run("purge", "T").returncode == 2
    code, screen = on_a_terminal(machine, ["purge", "T"], machine.home, [("[y/N]", "n\n")])
    assert (code, "2 versions" in screen, machine.run("get", "T").stdout) == (1, True, "two")
    code, screen = on_a_terminal(machine, ["purge", "T"], machine.home, [("[y/N]", "y\n")])
    assert (code, "Purged 'T' of scope 'shared'." in screen) == (0, True)
    assert machine.run("history", "T").returncode == 1
    for name in ("A", "B"):
        machine.run("set", name, "--scope", "acme", stdin="v")
    machine.run("delete", "A", "--scope", "acme", "--yes")
    done = machine.run("purge", "--deleted", "--yes")
    assert (done.stdout, "'A' of scope 'acme'" in done.stderr) == ("Purged 'A' of scope 'acme'.\n", True)
    assert machine.run("purge", "--deleted", "--yes").stderr == "No secret is deleted.\n"
    assert machine.run("purge").returncode == 2
    assert machine.run("purge", "B", "--deleted").returncode == 2
    assert machine.run("get", "B", "--scope", "acme").stdout == "v"


def test_a_value_that_is_out_of_date_is_told(machine: Machine) -> None:
    machine.run("set", "SOON", "--expires", "90d", stdin="v")
    assert machine.run("list").stdout.splitlines()[0].endswith("EXPIRES")
    assert "expire" not in machine.run("list").stderr + machine.run("doctor").stdout
    machine.run("set", "SOON", "--expires", "13d", stdin="v")
    assert "hint: 'SOON' expires in 13 days; to store a new value" in machine.run("list").stderr
    assert "1 secret will soon expire: SOON" in machine.run("doctor").stdout
    for wrong in ("2020-01-01", "soon", "0m", "99999d9"):
        done = machine.run("set", "T", "--expires", wrong, stdin="v")
        assert (done.returncode, "--expires" in done.stderr) == (2, True), wrong
    assert machine.run("get", "T").returncode == 1
    stamp = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    assert machine.run("set", "SOON", "--expires", stamp, stdin="v").returncode == 0
    time.sleep(2.1)
    assert "hint: 'SOON' has expired" in machine.run("list").stderr
    assert "1 secret expired: SOON" in machine.run("doctor").stdout
    assert json.loads(machine.run("list", "--json").stdout)[0]["expires"] is not None
    assert machine.run("get", "SOON").stdout == "v"
    machine.run("set", "SOON", "--expires", "never", stdin="v")
    assert machine.run("list").stderr == ""


PASSPHRASE = "correct horse battery staple"


def with_passphrase(
    machine: Machine, *arguments: str, passphrase: str = PASSPHRASE
) -> "subprocess.CompletedProcess[str]":
    """A `backup` command that is given its passphrase by standard input."""
    return machine.run("backup", *arguments, "--backup-passphrase-fd", "0", stdin=passphrase)


def test_a_backup_is_made_verified_and_restored(machine: Machine, tmp_path: Path) -> None:
    for value in ("canary-one", "canary-two"):
        machine.run("set", "T", stdin=value)
    file = str(tmp_path / "b")
    done = with_passphrase(machine, file)
    assert (done.returncode, done.stdout) == (0, f"Wrote {file}: 1 secret, 2 versions. Grants and the log stay here.\n")
    assert with_passphrase(machine, file).returncode == 2
    assert with_passphrase(machine, "--verify", file).stdout == (
        "The backup is whole: 1 secret, 2 versions, each of which opens.\n"
    )
    wrong = with_passphrase(machine, "--verify", file, passphrase="another one entirely")
    assert (wrong.returncode, wrong.stderr.split()[1]) == (4, "[KEY_WRONG]")
    assert with_passphrase(machine, "restore", file).returncode == 2
    machine.run("set", "T", stdin="canary-three")
    other = Machine(tmp_path / "other")
    key_file = {"CLAUDE_SECRETS_KEY_FILE": str(other.home / "k")}
    restored = other.run(
        "backup", "restore", file, "--backup-passphrase-fd", "0", stdin=PASSPHRASE, environment=key_file
    )
    assert restored.stdout == f"Restored 1 secret, 2 versions into {other.store}.\n"
    assert other.run("get", "T", environment=key_file).stdout == "canary-two"
    assert with_passphrase(machine, "restore", file, "--aside").returncode == 2  # nobody to ask
    printed = done.stdout + done.stderr + wrong.stderr + restored.stdout + restored.stderr
    assert not any(word in printed for word in ("canary", PASSPHRASE, "another one"))
    for words in (["restore"], ["a", "b"], ["restore", file, "--verify"], ["verify", file]):
        assert with_passphrase(machine, *words).returncode == 2, words


def test_a_store_that_is_set_aside_is_put_back_where_no_other_can_be_made(machine: Machine, tmp_path: Path) -> None:
    machine.run("set", "T", stdin="v")
    file = str(tmp_path / "b")
    with_passphrase(machine, file)
    before = sorted(path.name for path in machine.store.parent.iterdir())
    done = with_passphrase(machine, "restore", file, "--aside", "--yes")
    assert (done.returncode, done.stderr.split()[1]) == (4, "[KEYRING_UNAVAILABLE]")
    assert sorted(path.name for path in machine.store.parent.iterdir()) == before
    assert machine.run("get", "T").stdout == "v"
    key = str(machine.home / "another.key")
    done = with_passphrase(machine, "restore", file, "--aside", "--yes", "--key-file", key)
    assert (done.returncode, "The store that was there is" in done.stdout) == (0, True)
    machine.key_file.unlink()
    assert machine.run("get", "T").stdout == "v"


@pytest.mark.parametrize("when", range(4))
def test_a_restore_that_is_killed_leaves_the_store_that_was_there(machine: Machine, tmp_path: Path, when: int) -> None:
    for number in range(20):
        machine.run("set", f"T{number}", stdin="v")
    file = str(tmp_path / "b")
    with_passphrase(machine, file)
    key = str(machine.home / "another.key")
    words = ["backup", "restore", file, "--aside", "--yes", "--key-file", key, "--backup-passphrase-fd", "0"]
    with subprocess.Popen(
        [*PROGRAM, *words], stdin=subprocess.PIPE, env=machine.environment, cwd=machine.home
    ) as process:
        assert process.stdin is not None
        process.stdin.write(PASSPHRASE.encode() + b"\n")
        process.stdin.close()
        ends = time.monotonic() + 20
        while process.poll() is None and time.monotonic() < ends and len(list(machine.store.parent.iterdir())) < 2:
            time.sleep(0.002)
        time.sleep(0.01 * when)
        process.kill()
    listed = json.loads(machine.run("list", "--json").stdout)
    assert len(listed) == 20


def test_a_file_beside_the_store_is_never_taken_for_a_left_over(machine: Machine, tmp_path: Path) -> None:
    machine.run("set", "T", stdin="v")
    file = Path(f"{machine.store}.new")
    with_passphrase(machine, str(file))
    data = file.read_bytes()
    machine.run("set", "T", stdin="w")
    machine.run("--store", str(tmp_path / "x.db"), "init", "--key-file", str(machine.home / "x.key"))
    (tmp_path / "y.db.new").write_bytes(b"mine")
    machine.run("--store", str(tmp_path / "y.db"), "init", "--key-file", str(machine.home / "y.key"))
    assert (file.read_bytes(), (tmp_path / "y.db.new").read_bytes()) == (data, b"mine")
    reserved = str(machine.store.parent / ".x.claude-secrets-draft")
    assert with_passphrase(machine, reserved).stderr.split()[1] == "[STORE_UNAVAILABLE]"


@pytest.mark.parametrize(
    "words",
    [
        ["--store", "", "list"],
        ["--store", "~nobody-of-this-name/x", "list"],
        ["backup", "~nobody-of-this-name/x"],
        ["backup", "--verify", "x" * 300],
        ["backup", "--verify", "x", "--backup-passphrase-fd", "99999999999"],
        ["init", "--key-file", "~nobody-of-this-name/k"],
        ["init", "--key-file", ""],
    ],
)
def test_paths_and_descriptors_that_cannot_be_are_told(machine: Machine, words: list[str]) -> None:
    done = machine.run(*words, at=machine.project("api"))
    assert done.stderr.startswith("error: [INVALID_ARGUMENTS]"), done.stderr


def test_a_new_passphrase_is_typed_twice(machine: Machine, tmp_path: Path) -> None:
    machine.run("set", "T", stdin="v")
    file = str(tmp_path / "b")
    words = ["backup", file]
    differ = [("a new one", "correct horse battery\n"), ("the same again", "correct horse bettery\n")]
    assert on_a_terminal(machine, words, machine.home, differ)[0] == 2
    assert not Path(file).exists()
    alike = [("a new one", f"{PASSPHRASE}\n"), ("the same again", f"{PASSPHRASE}\n")]
    code, screen = on_a_terminal(machine, words, machine.home, alike)
    assert (code, "Wrote" in screen, PASSPHRASE in screen) == (0, True, False)
    asked = [("Passphrase of the backup", f"{PASSPHRASE}\n")]
    assert on_a_terminal(machine, ["backup", "--verify", file], machine.home, asked)[0] == 0


def test_doctor_looks_deep(machine: Machine, tmp_path: Path) -> None:
    for name in ("A", "B"):
        machine.run("set", name, stdin="v")
    assert "Every record opens" in machine.run("doctor", "--deep").stdout
    with attacker.attacker(machine.store) as connection:
        connection.execute("UPDATE versions SET token = x'00' WHERE rowid = 2")
    done = machine.run("doctor", "--deep")
    assert (done.returncode, "'B' of scope 'shared' is lost" in done.stdout) == (1, True)
    assert "backup FILE" in done.stdout
    saved = with_passphrase(machine, str(tmp_path / "b"))
    assert (saved.returncode, "warning: 'B' of scope 'shared' is lost" in saved.stderr) == (1, True)
    assert "1 secret, 1 version" in saved.stdout
