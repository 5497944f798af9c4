"""Hooks that run before a tool: no tool reads the store or a key, and no tool changes the person's own files."""

import json
from pathlib import Path

import pytest

from tests.support.hook_events import VALUE, hook
from tests.support.machine import Machine
from tests.support.rounds import in_turn

pytestmark = pytest.mark.usefixtures("quick_starts")


@pytest.fixture(scope="module", name="machine")
def machine_of_two_projects(machine_with_two_projects: Machine) -> Machine:
    return machine_with_two_projects


def test_file_tools_do_not_read_the_store_or_a_key(machine: Machine) -> None:
    link = machine.home / "work" / "a" / "link"
    link.unlink(missing_ok=True)
    link.symlink_to(machine.key_file)
    kept = [
        machine.store,
        f"{machine.store}-wal",
        machine.store.parent,
        machine.key_file,
        link,
        "link",
        "../../.keys/master.key",
    ]
    hard = machine.home / "work" / "a" / "hard"
    hard.hardlink_to(machine.key_file)
    kept.append(hard)
    for tool in ("Read", "Edit", "Grep", "Write"):
        for path in kept:
            key = "path" if tool == "Grep" else "file_path"
            said = hook(machine, "pre-tool-use", tool_name=tool, tool_input={key: str(path)})["hookSpecificOutput"]
            assert (said["hookEventName"], said["permissionDecision"]) == ("PreToolUse", "deny"), (tool, path)
    hard.unlink()
    for above in ({"path": str(machine.home)}, {"path": "/", "glob": "**/master.key"}, {"path": "../.."}):
        said = hook(machine, "pre-tool-use", tool_name="Grep", tool_input=above)["hookSpecificOutput"]
        assert "Search in a narrower directory" in said["permissionDecisionReason"]
    said = hook(machine, "pre-tool-use", at="../.keys", tool_name="Grep", tool_input={"pattern": "."})
    assert said["hookSpecificOutput"]["permissionDecision"] == "deny"
    assert hook(machine, "pre-tool-use", tool_name="Grep", tool_input={"pattern": "."}) == {}
    for given in ({"file_path": "README.md"}, {"file_path": str(machine.home)}, {}, {"file_path": 1}, "text"):
        assert hook(machine, "pre-tool-use", tool_name="Read", tool_input=given) == {}
    assert hook(machine, "pre-tool-use", tool_name="Bash", tool_input={"command": f"cat {machine.key_file}"}) == {}


def decided(machine: Machine, tool: str, given: object, *, at: str = "a", **environment: str) -> str:
    """Return the hook's decision on a tool's call: "deny", or "" if it does not decide."""
    told = {"cwd": str(machine.home / "work" / at), "tool_name": tool, "tool_input": given}
    done = machine.run("hook", "pre-tool-use", stdin=json.dumps(told), environment=environment)
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)["hookSpecificOutput"] if done.stdout else {}
    return str(said.get("permissionDecision", ""))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine with personal files, one of them a link to a dotfile, and a project with links to all of them."""
    machine = Machine(tmp_path_factory.mktemp("guarded")).use_key_file()
    project = machine.project("a")
    machine.run("set", "TOKEN", at=project, stdin=VALUE)
    own, dotfiles = machine.forget_configuration(), machine.home / "dotfiles"
    own.mkdir()
    dotfiles.mkdir()
    (own / "config.yml").write_text("trust: ask\n")
    (dotfiles / "policy.yml").write_text('version: "1"\ndefault: allow\n')
    (own / "policy.yml").symlink_to(dotfiles / "policy.yml")
    (project / "to-config").symlink_to(own)
    (project / "to-keys").symlink_to(machine.key_file.parent)
    (project / "to-home").symlink_to(machine.home)
    (project / "hard").hardlink_to(own / "config.yml")
    (project / "config.yml").write_text("a: 1\n")
    (project / "docs").mkdir()
    return machine


OWN = [
    "~/.config/claude-secrets/config.yml",
    "{home}/.config/claude-secrets/config.yml",
    "{home}/.config/claude-secrets/policy.yml",
    "{home}/.config/claude-secrets/config.yaml",
    "{home}/.config/claude-secrets/new/deep",
    "{home}/dotfiles/policy.yml",
    "../../.config/claude-secrets/config.yml",
    "../../.config/./x/../claude-secrets//config.yml",
    "docs/../../../.config/claude-secrets/config.yml",
    "to-config/config.yml",
    "to-home/.config/claude-secrets/config.yml",
    "to-home/../home/.config/claude-secrets/config.yml",
    "hard",
]
KEPT_PATHS = [
    "{store}",
    "{store}-wal",
    "{key}",
    "../../.keys/master.key",
    "to-keys/master.key",
    "to-home/.keys/master.key",
]
INNOCENT = [
    "config.yml",
    "docs/policy.yml",
    "{home}/work/b/config.yml",
    "{home}/.config/other/config.yml",
    "{home}/.config/claude-secrets-notes.md",
    "{home}/dotfiles/other.yml",
    "{home}/config.yml",
    "~/notes.md",
    "new/deep/file.py",
]


def filled(machine: Machine, text: str) -> str:
    for name, path in (("{home}", machine.home), ("{store}", machine.store), ("{key}", machine.key_file)):
        text = text.replace(name, str(path))
    return text


@pytest.mark.parametrize("path", OWN)
def test_the_persons_own_files_are_read_by_file_tools_and_written_by_none(guarded: Machine, path: str) -> None:
    given = filled(guarded, path)
    keys = {"NotebookEdit": "notebook_path", "mcp__fs__write_file": "path"}
    for tool in in_turn(("Edit", "MultiEdit", "Write", "NotebookEdit", "mcp__fs__write_file"), OWN.index(path), 2):
        assert decided(guarded, tool, {keys.get(tool, "file_path"): given, "content": "x"}) == "deny", tool
    for tool, key in in_turn((("Read", "file_path"), ("Grep", "path")), OWN.index(path), 1):
        assert decided(guarded, tool, {key: given, "pattern": "trust"}) == "", tool


@pytest.mark.parametrize("path", KEPT_PATHS)
def test_the_store_and_its_keys_are_neither_read_nor_written(guarded: Machine, path: str) -> None:
    given = filled(guarded, path)
    number = KEPT_PATHS.index(path)
    for tool in in_turn(("Read", "Write", "Edit", "NotebookEdit"), number, 2):
        assert decided(guarded, tool, {"file_path": given}) == "deny"
    for tool in in_turn(("Grep", "mcp__fs__read_file", "mcp__anything__x"), number, 2):
        assert decided(guarded, tool, {"path": given, "pattern": "."}) == "deny"


@pytest.mark.parametrize("path", INNOCENT)
def test_file_tools_anywhere_else_are_not_noticed(guarded: Machine, path: str) -> None:
    given = filled(guarded, path)
    tools = ("Read", "Write", "Edit", "NotebookEdit", "mcp__fs__write_file", "mcp__fs__delete_file")
    for tool in in_turn(tools, INNOCENT.index(path), 2):
        assert decided(guarded, tool, {"file_path": given}) == "", tool


SHAPES = {
    "path": {"path": "PATH"},
    "another name": {"target": {"where": "PATH"}},
    "an address": {"uri": "file://PATH"},
    "an address with a host": {"uri": "FILE://localhost/%2E%2E/PATH"},
    "an address with escapes": {"uri": "file://%50ATH"},
    "a source": {"source": "PATH", "destination": "docs/x"},
    "a destination": {"source": "config.yml", "destination": "PATH"},
    "a list": {"paths": ["config.yml", "PATH"]},
    "a list of edits": {"edits": [{"file": "config.yml"}, {"file": "PATH", "newText": "x"}]},
    "a key": {"files": {"PATH": "content"}},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_other_servers_tools_are_refused_a_guarded_path_wherever_it_is(guarded: Machine, shape: str) -> None:
    for path in (f"{guarded.home}/.config/claude-secrets/config.yml", str(guarded.key_file)):
        text = json.dumps(SHAPES[shape]).replace("%50ATH", path.replace("/c", "/%63").replace("/.k", "/%2Ek"))
        assert decided(guarded, "mcp__fs__do", json.loads(text.replace("PATH", path))) == "deny", text
    elsewhere = json.dumps(SHAPES[shape]).replace("%50ATH", "/srv/x").replace("PATH", f"{guarded.home}/work/a/docs/x")
    assert decided(guarded, "mcp__fs__do", json.loads(elsewhere)) == ""


def test_what_other_servers_tools_say_of_a_path_is_no_path(guarded: Machine) -> None:
    path = f"{guarded.home}/.config/claude-secrets/config.yml"
    for tool in ("Write", "mcp__fs__write_file"):
        for content in (path, f"see {path}", f"cat {guarded.key_file}\n" * 500):
            assert decided(guarded, tool, {"file_path": "docs/x.md", "path": "docs/x.md", "content": content}) == ""
    given = {"title": f"{path} is ignored", "labels": ["a/b", "~", ".", "..", "/", ""], "body": "x " * 100_000}
    assert decided(guarded, "mcp__tracker__create_issue", given) == ""
    rows = {"rows": [f"row {number}, and/or more" for number in range(20_000)], "n": 1, "x": None}
    assert decided(guarded, "mcp__database__insert", rows) == ""
    for tool in ("mcp__fs__list_directory", "mcp__fs__directory_tree", "mcp__fs__search_files"):
        assert decided(guarded, tool, {"path": str(guarded.home), "pattern": "*.md"}) == ""


def test_what_is_above_guarded_places_is_not_moved_away(guarded: Machine) -> None:
    for tool in ("mcp__fs__move_file", "mcp__fs__deleteDirectory", "mcp__fs__create_symlink"):
        for path in ("~/.config", "../../.config", "to-home/.config", "~/.local", str(guarded.home)):
            assert decided(guarded, tool, {"source": path, "destination": "docs/y"}) == "deny"
        assert decided(guarded, tool, {"source": "docs", "destination": "~/work/b"}) == ""


@pytest.mark.parametrize(
    ("given", "decision"),
    [
        ({"pattern": "../../.keys/*"}, "deny"),
        ({"pattern": "../../.keys/master.key"}, "deny"),
        ({"pattern": "**/*.key", "path": "~"}, "deny"),
        ({"pattern": "~/.keys/*.key"}, "deny"),
        ({"pattern": "{home}/.keys/m[a]ster.*"}, "deny"),
        ({"pattern": "{home}/{work,.keys}/*.key"}, "deny"),
        ({"pattern": "docs/*/../../../../.keys/*"}, "deny"),
        ({"pattern": "to-keys/*"}, "deny"),
        ({"pattern": "*", "path": "to-keys"}, "deny"),
        ({"pattern": "{home}/.local/share/claude-secrets/**"}, "deny"),
        ({"pattern": "{home}/.local/**/*.db"}, "deny"),
        ({"pattern": "**/*.py"}, ""),
        ({"pattern": "**/*"}, ""),
        ({"pattern": "*.{yml,yaml}", "path": "docs"}, ""),
        ({"pattern": "../b/**/*.yml"}, ""),
        ({"pattern": "**/*.md", "path": "~"}, ""),
        ({"pattern": "{home}/.config/claude-secrets/*"}, ""),
        ({}, ""),
        ({"pattern": 1, "path": []}, ""),
    ],
)
def test_patterns_that_lead_to_the_store_or_a_key_are_refused(
    guarded: Machine, given: dict[str, object], decision: str
) -> None:
    filled_in = {key: filled(guarded, text) if isinstance(text, str) else text for key, text in given.items()}
    assert decided(guarded, "Glob", filled_in) == decision


def test_both_homes_and_both_stores_are_guarded(guarded: Machine) -> None:
    elsewhere = guarded.home / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    environment = {"HOME": str(elsewhere)}
    for path in (".config/claude-secrets/config.yml", ".local/share/claude-secrets/secrets.db"):
        for home in (guarded.home, elsewhere):
            assert decided(guarded, "Write", {"file_path": str(home / path)}, **environment) == "deny"
        assert decided(guarded, "Write", {"file_path": f"~/{path}"}, **environment) == "deny"
    assert decided(guarded, "Read", {"file_path": str(guarded.key_file)}, **environment) == "deny"
    environment["XDG_CONFIG_HOME"] = str(guarded.home / ".config")  # a tool may expand ~ to either home
    assert decided(guarded, "Write", {"file_path": "~/.config/claude-secrets/config.yml"}, **environment) == "deny"


def test_a_key_in_ones_home_does_not_guard_all_of_it(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.project("a")
    key = machine.home / "claude-secrets.key"
    assert machine.run("init", "--key-file", str(key), at=machine.home).returncode == 0
    for tool in ("Read", "Write", "mcp__fs__read"):
        assert decided(machine, tool, {"path": str(machine.home / "notes.md")}) == ""
        assert decided(machine, tool, {"path": str(key)}) == "deny"
    assert decided(machine, "mcp__fs__list_directory", {"path": str(machine.home)}) == ""
    assert decided(machine, "Glob", {"path": "~", "pattern": "*.md"}) == ""


def test_a_configuration_that_is_not_there_yet_is_guarded(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.project("a")
    own = machine.forget_configuration()
    for path in ("~/.config/claude-secrets/config.yml", f"{machine.home}/.config/claude-secrets/x"):
        assert decided(machine, "Write", {"file_path": path}) == "deny"
    for path, decision in ((".config/claude-secrets/config.yml", "deny"), (".config/notes.md", ""), ("work/x", "")):
        assert decided(machine, "mcp__fs__write", {"path": path}, at="..") == decision
    own.mkdir()
    assert decided(machine, "mcp__fs__write", {"path": "new.yml"}, at="../.config/claude-secrets") == "deny"


def test_nor_where_the_configuration_is_broken(tmp_path: Path) -> None:
    machine = Machine(tmp_path).use_key_file()
    machine.run("set", "TOKEN", at=machine.project("a"), stdin=VALUE)
    own = machine.home / ".config" / "claude-secrets"
    own.mkdir(parents=True, exist_ok=True)
    (own / "config.yml").write_text("trust: [")
    said = hook(machine, "pre-tool-use", tool_name="Read", tool_input={"file_path": str(machine.key_file)})
    assert said["hookSpecificOutput"]["permissionDecision"] == "deny"
