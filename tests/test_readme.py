"""What README.md shows of the program, held against the program."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from claude_secrets.cli.commands.hook import EVENTS
from claude_secrets.cli.parser import COMMANDS
from claude_secrets.errors import Code
from claude_secrets.model import Access, Tool
from claude_secrets.paths import OwnDirectories
from claude_secrets.policy.allowlist import AllowlistEntry, parse_allowlist
from claude_secrets.policy.ownership import no_link_check
from claude_secrets.policy.personal_files import read_own_files
from claude_secrets.policy.rules import built_in
from claude_secrets.server.tools import ROWS
from tests.support.machine import Machine

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
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
"""The hosts that documents link to: packages are named, not linked at where somebody happens to get them."""

COLUMNS = 100
"""How wide the terminal is in which the README's excerpts were printed."""


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading, without its first two lines."""
    section = README.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    assert lines, heading
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def excerpts() -> list[tuple[str, str]]:
    """Each `$ claude-secrets …` of a console block with what is shown below it."""
    shown = []
    for block in blocks("console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            shown.append((command, output))
    return shown


def printed(machine: Machine, *arguments: str) -> str:
    """What the program prints, errors included, to a person without any secrets."""
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


@pytest.mark.parametrize(("command", "output"), excerpts(), ids=[command for command, _ in excerpts()])
def test_an_excerpt_is_what_the_program_prints(command: str, output: str, tmp_path: Path) -> None:
    program, *arguments = shlex.split(command)
    assert program == "claude-secrets"
    assert output.strip() == printed(Machine(tmp_path), *arguments).strip()


def test_there_are_excerpts_of_the_usage() -> None:
    assert "claude-secrets --help" in [command for command, _ in excerpts()]


def test_exactly_two_commands_do_all_set_up() -> None:
    commands = [line for block in blocks("sh") for line in block.splitlines() if "-m venv" in line]
    assert [command.rpartition("/")[2] for command in commands] == ["first_session.py", "python -m pytest"]


def test_every_command_is_in_the_table() -> None:
    told = re.findall(r"`([a-z]+)\b", " ".join(cells[0] for cells in rows("The command line")))
    assert set(COMMANDS) - set(told) == {"serve"}
    assert "`serve`" in README


@pytest.mark.parametrize("cells", rows("The command line"), ids=lambda cells: cells[0])
def test_an_option_in_the_table_is_one_of_its_command(cells: list[str], tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    commands = [words.split() for words in re.findall(r"`([a-z]+(?: [a-z][a-z-]*)?)\b", cells[0])]
    usage = "".join(printed(machine, *words, "--help") for words in commands if words[0] in COMMANDS)
    for option in re.findall(r"--[a-z-]+", " ".join(cells)):
        assert option in usage


def test_every_code_is_in_the_table_once() -> None:
    told = [cells[0].strip("`") for cells in rows("When something is refused")]
    assert sorted(told) == sorted(code.value for code in Code)


def test_every_tool_is_in_the_table_with_its_arguments() -> None:
    told = {cells[0].strip("`"): re.findall(r"`(\w+)`", cells[1]) for cells in rows("The six tools")}
    assert told == {name: list(row.properties) for name, row in ROWS.items()}


def test_the_configuration_of_claude_desktop_is_json_that_names_the_project() -> None:
    (server,) = json.loads(blocks("json")[0])["mcpServers"].values()
    assert [server["command"], *server["args"][:2]] == ["uvx", "claude-secrets", "--project"]


def test_the_hooks_that_are_shown_are_those_there_are() -> None:
    shown = json.loads(blocks("json")[1])["hooks"]
    named = {event: one["command"] for event, ((one,),) in ((e, [h["hooks"] for h in hs]) for e, hs in shown.items())}
    assert sorted(named.values()) == sorted(f"claude-secrets hook {event}" for event in EVENTS)
    assert all(command.endswith(re.sub(r"(?<!^)(?=[A-Z])", "-", event).lower()) for event, command in named.items())


def test_the_allowlist_that_is_shown_means_what_the_readme_says() -> None:
    allowlist = parse_allowlist(blocks("yaml")[0].encode())
    assert [entry.pattern for entry in allowlist.entries] == ["GITEA_TOKEN", "GITHUB_*", "STRIPE_*"]
    assert allowlist.entry_for("STRIPE_KEY") == AllowlistEntry(
        "STRIPE_*", Access.USE_ONLY, "Stripe test mode", "https://dashboard.stripe.com"
    )


def test_the_policy_that_is_shown_raises_the_limit(tmp_path: Path) -> None:
    (tmp_path / "policy.yml").write_text(blocks("yaml")[1])
    person = read_own_files(OwnDirectories(tmp_path), no_link_check).rules
    (rule,) = person.tools[Tool.SET_SECRET]
    assert (rule.limit, rule.seconds, list(built_in(person).tools)) == (100, 60, [Tool.INPUT_SECRET])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_links_only_to_what_is_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        assert (document.parent / path).exists(), target
        assert not anchor or path or anchor in anchors, target


def test_documents_link_to_documentation_only() -> None:
    found = [*DOCUMENTS, *ROOT.glob("[a-z]*/*.md")]
    hosts = {host for file in found for host in re.findall(r"https://([A-Za-z0-9.-]+)", file.read_text("utf-8"))}
    assert hosts == LINKED
