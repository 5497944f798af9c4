"""The documents compared with the real program, and the documents' links, lengths and line widths."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path, PureWindowsPath
from typing import Any

import pytest

from claude_secrets.cli.commands.hook import EVENTS
from claude_secrets.cli.parser import COMMANDS, parse
from claude_secrets.clients.known import CLIENTS, Account, Client, Format
from claude_secrets.errors import Code
from claude_secrets.model import Access, Tool
from claude_secrets.paths import OwnDirectories
from claude_secrets.policy.allowlist import AllowlistEntry, parse_allowlist
from claude_secrets.policy.config import Config, parse_config
from claude_secrets.policy.ownership import no_link_check
from claude_secrets.policy.personal_files import read_own_files
from claude_secrets.policy.rules import built_in
from claude_secrets.server.tools import ROWS
from tests.support.machine import PROGRAM as MACHINES_PROGRAM
from tests.support.machine import Machine
from tests.support.requirements import require

ROOT = Path(__file__).parent.parent
PROGRAM = Path(sys.executable).with_name("claude-secrets")
LINKED = {
    "cryptography.io",
    "dashboard.stripe.com",
    "docs.astral.sh",
    "github.com",
    "keepachangelog.com",
    "modelcontextprotocol.io",
    "semver.org",
}
"""The hosts that documents may link to. Documents name packages without a link to a download."""

LONGEST = {"README.md": 150, "ARCHITECTURE.md": 100, "SECURITY.md": 40}
WIDTH = 100
"""Columns of prose; tables and code may be wider."""

COLUMNS = 100
"""The width of the terminal in which excerpts were printed."""


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


NAMES = [relative(path) for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("[a-z]*/*.md")])]


def page_of(client: str) -> str:
    return f"docs/how-to/clients/{client}.md"


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name: str, language: str) -> list[str]:
    """Return the fenced blocks of one language in a document."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(name), re.MULTILINE | re.DOTALL)


def shell_lines(names: Iterable[str], language: str = "sh") -> list[str]:
    """Return each line of the shell blocks in these documents, without its comment."""
    lines = [
        line.partition(" #")[0].rstrip()
        for name in names
        for block in blocks(name, language)
        for line in block.splitlines()
    ]
    return [line for line in lines if line]


def rows(name: str) -> list[list[str]]:
    """Return the cells of a document's first table, without the table's first two lines."""
    table = re.search(r"(?:^\|.*\n)+", text_of(name), re.MULTILINE)
    assert table is not None, name
    lines = [line.replace("\\|", "/").strip("|") for line in table[0].splitlines()]
    return [[cell.strip() for cell in line.split("|")] for line in lines[2:]]


# Excerpts


def excerpts() -> list[tuple[str, str]]:
    """Return each `$ claude-secrets …` line of the console blocks, with the output shown below it."""
    shown = []
    for name in NAMES:
        for block in blocks(name, "console"):
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                shown.append((command, output))
    return shown


def printed(machine: Machine, *arguments: str) -> str:
    """Return what the program prints, errors included, for a person without any secrets."""
    return subprocess.run(
        [PROGRAM, *arguments],
        env={**machine.environment, "COLUMNS": str(COLUMNS), "NO_COLOR": "1"},
        cwd=machine.home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=60,
        check=False,
    ).stdout


def test_there_are_excerpts() -> None:
    assert excerpts()


@pytest.mark.parametrize(("command", "output"), excerpts(), ids=[command for command, _ in excerpts()])
def test_an_excerpt_is_what_the_program_prints(command: str, output: str, tmp_path: Path) -> None:
    program, *arguments = shlex.split(command)
    assert program == "claude-secrets"
    assert output.strip() == printed(Machine(tmp_path), *arguments).strip()


# Commands

KEY = "claude-secrets init --key-file ~/claude-secrets.key"
TYPED = {"claude-secrets set GITEA_TOKEN": "a-value-of-the-documents\n"}
"""The person's typed input. Here it comes from standard input."""

USED = "claude-secrets exec --redact --only GITEA_TOKEN -- sh -c 'echo \"the token is $GITEA_TOKEN\"'"

RUN = {
    "README.md": [
        "claude-secrets init",
        "claude-secrets allow GITEA_TOKEN",
        "claude-secrets set GITEA_TOKEN",
        USED,
    ],
    "docs/getting-started.md": [
        "claude-secrets init",
        "claude-secrets allow GITEA_TOKEN",
        "claude-secrets set GITEA_TOKEN",
        USED,
        "claude-secrets recover create",
        "claude-secrets doctor",
    ],
}
"""The commands that a test runs, in this order. It first makes a key file, which a machine without a keyring needs."""

NEEDS = {
    "uv tool install .": "a package index: .ci/run runs it",
    "python3 -m venv .venv && .venv/bin/pip install -q . && .venv/bin/python examples/first_session.py": "the same",
    "python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]' && .venv/bin/python -m pytest": "the same",
    "claude-secrets setup": "a terminal: other tests answer its questions",
    "claude mcp add --scope user secrets -- claude-secrets": "Claude Code: the next test runs it",
}


@pytest.mark.parametrize("name", RUN)
def test_each_shell_line_runs_or_says_what_it_needs(name: str, tmp_path: Path) -> None:
    assert set(shell_lines([name])) - set(NEEDS) <= set(RUN[name])
    assert all(line in text_of(name) for line in RUN[name])
    machine = Machine(tmp_path)
    project = machine.home / "work"
    project.mkdir()
    program = tmp_path / "bin" / "claude-secrets"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.join(MACHINES_PROGRAM)} "$@"\n')
    program.chmod(0o755)
    said = {}
    for line in [KEY, *RUN[name]]:
        done = subprocess.run(
            ["sh", "-c", line],
            env={**machine.environment, "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"},
            cwd=project,
            input=TYPED.get(line, ""),
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        said[line] = done.stdout
    for line, output in said.items():
        if "--redact" in line:
            assert output == "the token is [secret://GITEA_TOKEN]\n"
            assert output.strip() in text_of(name)


def test_claude_code_takes_the_server_as_its_page_says(tmp_path: Path) -> None:
    (line,) = [line for line in shell_lines([page_of("claude-code")]) if line.startswith("claude mcp add")]
    program, *arguments = shlex.split(line)
    subprocess.run(
        [require(program), *arguments],
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        cwd=tmp_path,
        check=True,
        capture_output=True,
        timeout=60,
    )
    (server,) = json.loads((tmp_path / ".claude.json").read_text())["mcpServers"].values()
    assert (server["type"], server["command"], server["args"]) == ("stdio", "claude-secrets", [])


def test_exactly_three_commands_do_all_set_up() -> None:
    lines = [line for line in shell_lines(["README.md"]) if "install" in line]
    assert [line.split("/")[-1] for line in lines] == ["uv tool install .", "first_session.py", "python -m pytest"]


STARTS = (
    r'eval "\$\((.*)\)"',
    r'cmd /c "(.*)"',
    r"ssh -t HOST 'cd \S+ && (.*)'",
    r"docker exec -it -u \w+ -w \S+ CONTAINER (.*)",
)
"""How documents run a command in another shell, on another machine or in a container."""

ALL_LINES = [*shell_lines(NAMES), *shell_lines(NAMES, "powershell")]


@pytest.mark.parametrize("line", sorted({line for line in ALL_LINES if "claude-secrets " in line}))
def test_a_command_in_a_document_can_be_parsed(line: str) -> None:
    if line in NEEDS:
        return
    program, *words = shlex.split(commanded(line))
    assert program in {"claude-secrets", "~/.local/bin/claude-secrets"}
    assert parse(words).command == words[0]


def commanded(line: str) -> str:
    """Return the command that a line runs in another shell, on another machine or in a container, or else the line."""
    for pattern in STARTS:
        if match := re.fullmatch(pattern, line):
            line = match[1]
    return line.partition(" <")[0]


def test_an_option_in_a_document_is_one_of_the_program() -> None:
    known = set(re.findall(r"--[a-z][a-z-]+", text_of("docs/reference/cli.md")))
    for name in NAMES:
        if name in ("CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md") or "/decisions/" in name:
            continue
        told = set(
            re.findall(r"(?<![\w-])--[a-z][a-z-]+", re.sub(r"```(?:sh|json).*?```", "", text_of(name), flags=re.DOTALL))
        )
        assert told - known <= {"--from", "--env-file"}, name  # options of uvx and docker


def test_every_command_has_its_reference() -> None:
    told = re.findall(r"^## ([a-z]+)$", text_of("docs/reference/cli.md"), re.MULTILINE)
    assert set(told) >= set(COMMANDS)


# Tables and files


def test_every_code_is_in_the_table_once() -> None:
    told = [cells[0].strip("`") for cells in rows("docs/reference/errors.md")]
    assert sorted(told) == sorted(code.value for code in Code)


def test_every_tool_is_in_the_table_with_its_arguments() -> None:
    told = {cells[0].strip("`"): re.findall(r"`(\w+)`", cells[1]) for cells in rows("docs/reference/tools.md")}
    assert told == {name: list(row.properties) for name, row in ROWS.items()}


@pytest.mark.parametrize("client", CLIENTS, ids=[client.id for client in CLIENTS])
class TestThePageOfAClient:
    """The page of each client compared with what the program does for this client."""

    def test_shows_the_entry_that_install_writes(self, client: Client) -> None:
        shown: Any
        if client.format is Format.TOML:
            shown = tomllib.loads(blocks(page_of(client.id), "toml")[0])
        else:
            shown = json.loads(blocks(page_of(client.id), "json")[0])
        for key in client.path():
            (found,) = shown
            assert found == key
            shown = shown[key]
        arguments = [] if client.tells_project else ["--project", "/path/to/your/project"]
        assert shown == client.entry("/path/to/claude-secrets", arguments, {})

    @pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
    def test_names_the_file_of_each_system(self, client: Client, platform: str) -> None:
        account = Account(Path("~"), {"APPDATA": "/%APPDATA%"} if platform == "win32" else {}, platform)
        file = client.file(account).as_posix().lstrip("/")
        assert f"`{file}`" in text_of(page_of(client.id)).replace("\\", "/")

    def test_says_how_to_install_and_remove_and_where_the_server_works(self, client: Client) -> None:
        lines = shell_lines([page_of(client.id)])
        assert lines[0] == f"claude-secrets install {client.id}" + " --hooks" * (client.id == "claude-code")
        assert f"claude-secrets uninstall {client.id}" in lines
        said = " ".join(text_of(page_of(client.id)).replace("its entry", "the entry").split())
        assert ("the entry names the project" in said) is not client.tells_project
        assert f"docs/how-to/clients/{client.id}.md" in text_of("README.md")
        assert f"`{lines[0]}`" in text_of("README.md")


def test_the_configurations_of_claude_desktop_on_windows_name_programs_and_the_project() -> None:
    (server,) = json.loads(blocks("docs/how-to/windows.md", "json")[0])["mcpServers"].values()
    assert PureWindowsPath(server["command"]).is_absolute()
    assert server["command"].endswith("claude-secrets.exe")
    assert parse(server["args"]).project == r"C:\Users\you\work\api"
    (server,) = json.loads(blocks("docs/how-to/wsl.md", "json")[0])["mcpServers"].values()
    assert PureWindowsPath(server["command"]) == PureWindowsPath(r"C:\Windows\System32\wsl.exe")
    launcher, arguments = server["args"][:3], server["args"][3:]
    assert (launcher, arguments[0]) == (["-d", "Ubuntu", "-e"], "/home/you/.local/bin/claude-secrets")
    assert parse(arguments[1:]).project == "/home/you/api"


@pytest.mark.skipif(sys.platform == "win32", reason="the commands are for a container with Linux")
def test_a_container_keeps_its_store_and_its_key_in_a_volume(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    volume = tmp_path / "secrets"
    volume.mkdir(mode=0o700)
    *others, command = blocks("docs/how-to/ssh-and-containers.md", "sh")[1].splitlines()
    words = shlex.join([*MACHINES_PROGRAM, *shlex.split(command.replace("/secrets/", f"{volume}/"))[1:]])
    script = "\n".join(["set -e", *[line.replace("/secrets/", f"{volume}/") for line in others], words])
    subprocess.run(["sh", "-c", script], env=machine.environment, cwd=machine.home, check=True, timeout=60)
    made = [path.relative_to(volume).as_posix() for path in volume.rglob("*") if path.is_file()]
    assert sorted(made) == ["key/claude-secrets.key", "store/secrets.db"]


def test_the_hooks_that_are_shown_are_those_there_are() -> None:
    shown = json.loads(blocks("docs/how-to/agents-and-hooks.md", "json")[0])["hooks"]
    named = {event: one["command"] for event, ((one,),) in ((e, [h["hooks"] for h in hs]) for e, hs in shown.items())}
    assert sorted(named.values()) == sorted(f"claude-secrets hook {event}" for event in EVENTS)
    assert all(command.endswith(re.sub(r"(?<!^)(?=[A-Z])", "-", event).lower()) for event, command in named.items())


def test_the_allowlist_that_is_shown_means_what_the_document_says() -> None:
    allowlist = parse_allowlist(blocks("docs/reference/allowlist.md", "yaml")[0].encode())
    assert [entry.pattern for entry in allowlist.entries] == ["GITEA_TOKEN", "GITHUB_*", "STRIPE_*"]
    assert allowlist.entry_for("STRIPE_KEY") == AllowlistEntry(
        "STRIPE_*", Access.USE_ONLY, "Stripe test mode", "https://dashboard.stripe.com"
    )


def test_the_policies_that_are_shown_do_what_the_document_says(tmp_path: Path) -> None:
    more, other = blocks("docs/how-to/write-rules.md", "yaml")
    (tmp_path / "policy.yml").write_text(more)
    person = read_own_files(OwnDirectories(tmp_path), no_link_check).rules
    (rule,) = person.tools[Tool.SET_SECRET]
    assert (rule.limit, rule.seconds, list(built_in(person).tools)) == (100, 60, [Tool.INPUT_SECRET])
    (tmp_path / "policy.yml").write_text(other)
    rules = read_own_files(OwnDirectories(tmp_path), no_link_check).rules
    assert (set(rules.hidden), len(rules.tools[Tool.GET_SECRET]), len(rules.everywhere)) == ({Tool.DELETE_SECRET}, 2, 1)


def test_the_configuration_that_is_shown_has_every_key() -> None:
    shown = parse_config(blocks("docs/reference/config.md", "yaml")[0].encode())
    assert set(shown) == set(Config._fields) - {"usual_store"}


# Links and form


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as the code host makes them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", NAMES)
def test_a_document_links_only_to_what_is_there(name: str) -> None:
    document = ROOT / name
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(name)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        linked = (document.parent / path) if path else document
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        targets = re.findall(r"\]\(([^)\s#]+)[^)\s]*\)", page.read_text("utf-8"))
        waiting += [(page.parent / target).resolve() for target in targets if not target.startswith("https://")]
    assert {relative(page) for page in reached} >= {relative(page) for page in ROOT.glob("docs/**/*.md")}


def test_documents_link_to_documentation_only() -> None:
    hosts = {host for name in NAMES for host in re.findall(r"https://([A-Za-z0-9.-]+)", text_of(name))}
    assert hosts == LINKED


def test_no_document_names_a_package_that_is_not_published() -> None:
    for name in NAMES:
        assert not re.search(r"(uvx|uv tool install|pip install) claude-secrets", text_of(name)), name


@pytest.mark.parametrize(("name", "lines"), LONGEST.items(), ids=list(LONGEST))
def test_a_document_is_short(name: str, lines: int) -> None:
    assert len(text_of(name).splitlines()) <= lines


@pytest.mark.parametrize("name", NAMES)
def test_prose_is_wrapped(name: str) -> None:
    prose = re.sub(r"^```.*?^```$", "", text_of(name), flags=re.DOTALL | re.MULTILINE)
    wide = [line for line in prose.splitlines() if len(line) > WIDTH and not line.startswith("|")]
    assert [line for line in wide if "](" not in line] == []
