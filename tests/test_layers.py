"""The layers of ARCHITECTURE.md, held against the imports of every module."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

import claude_secrets
from tests.machine import Machine

PACKAGE = Path(claude_secrets.__file__).parent
LINE_LIMIT = 350

# From the ground up. A module imports only from layers below its own.
LAYERS: list[set[str]] = [
    {
        "",
        "errors",
        "globs",
        "interrupts",
        "signals",
        "work_trees",
        "processes",
        "draft_file",
        "reasons",
        "archive_kinds",
    },
    {"paths", "agents", "archive_streams"},
    {"client_records"},
    {"model"},
    {
        "archives",
        "cipher",
        "regex",
        "strict_yaml",
        "references",
        "dotenv_file",
        "credentials",
        "variable_names",
        "matching",
        "strength",
    },
    {"rules", "views", "sources"},
    {"policy", "rules_file", "dumps"},
    {"probes", "forms"},
    {"redaction"},
    {"leaks"},
    {"contents"},
    {"passphrase"},
    {"schema", "human", "keyring_backend", "key_file", "plain_file"},
    {"key_slot", "transaction"},
    {"custody", "slots"},
    {"creation", "migrations", "key_change"},
    {"store"},
    {"versions", "grants", "counters", "audit"},
    {"records"},
    {"damage"},
    {"policy_file", "project"},
    {"grounds"},
    {"allowlist_edit", "ownership", "trust", "directories"},
    {"config_file"},
    {"own_files"},
    {"setting"},
    {"consent", "replies", "rate_limits"},
    {"visible"},
    {"gate", "person"},
    {"past", "inspection", "reseal", "foreign", "copies"},
    {"imports"},
    {"keys", "backups"},
    {"rotation"},
    {"server"},
    {"cli"},
    {"__main__"},
]
# Packages whose modules may import each other.
TOGETHER = {"server", "cli", "human"}
# The command line is above the server only for the one command that starts it.
STARTS_THE_SERVER = "cli.serve"

# Who may import what is not the standard library; a package stands for its modules.
OUTSIDE: dict[str, set[str]] = {
    "cryptography": {"cipher"},
    "keyring": {"keyring_backend"},
    "mcp": {"server"},
    "mcp_types": {"server"},
    "anyio": {"server"},
    "pydantic": {"server"},
    "yaml": {"strict_yaml"},
    "re2": {"regex"},
    "ahocorasick_rs": {"regex"},
    "dotenv": {"dotenv_file"},
    "psutil": {"processes"},
    "zxcvbn": {"strength"},
    "platformdirs": {"paths"},
}
HEAVY = (
    "ahocorasick_rs",
    "anyio",
    "cryptography",
    "dotenv",
    "keyring",
    "mcp",
    "mcp_types",
    "pydantic",
    "re2",
    "sqlite3",
    "yaml",
    "zxcvbn",
)
"""What the command line loads only for the commands that need it."""

COSTLY = (
    "anyio",
    "asyncio",
    "concurrent",
    "dataclasses",
    "dotenv",
    "keyring",
    "logging",
    "mcp",
    "pydantic",
    "re2",
    "zxcvbn",
)
"""What nothing needs that only reads a value; each is as much as all of our own modules, or more."""


def modules() -> dict[str, Path]:
    """Every module by its name inside the package: `errors`, `server.stdio`, `` for the package itself."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()
each_module = pytest.mark.parametrize("module", MODULES, ids=lambda module: module or "claude_secrets")


@cache
def imports(module: str) -> frozenset[str]:
    """The full names of all modules that `module` imports, anywhere in it."""
    return frozenset(_imports(module))


def _imports(module: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively; write the whole name"
            assert node.module is not None
            for alias in node.names:
                inner = f"{node.module}.{alias.name}".removeprefix("claude_secrets.")
                yield f"claude_secrets.{inner}" if inner in MODULES else node.module


def own_imports(module: str) -> set[str]:
    names = {name for name in imports(module) if name.partition(".")[0] == "claude_secrets"}
    return {name.removeprefix("claude_secrets").removeprefix(".") for name in names} - {module}


def layer_of(module: str) -> int:
    top = module.partition(".")[0]
    found = [number for number, layer in enumerate(LAYERS) if top in layer]
    assert len(found) == 1, f"{module or 'the package'} has no place in LAYERS; see ARCHITECTURE.md"
    return found[0]


@each_module
def test_a_module_imports_only_from_layers_below_its_own(module: str) -> None:
    own = layer_of(module)
    for name in own_imports(module):
        top, other = module.partition(".")[0], name.partition(".")[0]
        if top == other and top in TOGETHER:
            continue
        assert layer_of(name) < own, f"{module} imports {name}, which is not below it"


@each_module
def test_the_faces_do_not_import_each_other(module: str) -> None:
    if module.partition(".")[0] in {"cli", "__main__"} and module != STARTS_THE_SERVER:
        reached = {name for name in own_imports(module) if name.partition(".")[0] == "server"}
        assert not reached, f"{module} imports {reached}; only {STARTS_THE_SERVER} starts the server"


@each_module
def test_what_is_not_the_standard_library_is_imported_only_where_it_belongs(module: str) -> None:
    for name in imports(module):
        top = name.partition(".")[0]
        if top == "claude_secrets" or top in sys.stdlib_module_names:
            continue
        allowed = OUTSIDE.get(top, set())
        assert {module, module.partition(".")[0]} & allowed, f"{module} imports {name}; allowed in: {sorted(allowed)}"


def test_every_place_for_an_outside_import_is_used() -> None:
    used = {(name.partition(".")[0], module) for module in MODULES for name in imports(module)}
    for outside, places in OUTSIDE.items():
        for place in places:
            members = {module for module in MODULES if module == place or module.startswith(f"{place}.")}
            assert any((outside, module) in used for module in members), f"{place} does not import {outside}"


@each_module
def test_a_module_says_what_it_is_for_and_can_be_read_at_a_sitting(module: str) -> None:
    text = MODULES[module].read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), f"{module} does not begin with a docstring"
    assert len(text.splitlines()) <= LINE_LIMIT


def loaded_by(arguments: list[str], at: Path, environment: Mapping[str, str]) -> set[str]:
    """The packages that a command has loaded when it ends."""
    code = (
        "import json, sys\n"
        "from claude_secrets.cli import main\n"
        "try:\n    main(json.loads(sys.argv[1]))\n"
        "except SystemExit:\n    pass\n"
        "print()\n"
        "print(json.dumps(sorted(name.partition('.')[0] for name in sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, json.dumps(arguments)],
        cwd=at,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert "claude_secrets" in loaded
    return loaded


@pytest.mark.parametrize("arguments", [["--version"], ["--help"]], ids=" ".join)
def test_telling_the_version_or_the_usage_loads_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    assert not loaded_by(arguments, tmp_path, os.environ) & set(HEAVY)


def test_getting_a_value_with_a_key_file_loads_what_it_needs_and_nothing_that_costs_as_much(tmp_path: Path) -> None:
    machine = Machine(tmp_path).use_key_file()
    project = machine.project("api")
    machine.run("set", "TOKEN", at=project, stdin="value")
    loaded = loaded_by(["get", "TOKEN"], project, machine.environment)
    assert {"cryptography", "sqlite3", "yaml"} <= loaded
    assert not loaded & set(COSTLY)
