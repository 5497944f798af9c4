"""Compare the folders of ARCHITECTURE.md with the imports of every module."""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

import claude_secrets
from tests.support.machine import Machine

PACKAGE = Path(claude_secrets.__file__).parent
LINE_LIMIT = 350
FUNCTION_LIMIT = 50

# The folders, lowest first; `root` means the modules in no folder. A folder may import itself and the folders in
# IMPORTS.
LAYERS: list[set[str]] = [
    {"root"},
    {"clients", "keys", "policy", "prompt", "redaction"},
    {"exec", "store"},
    {"agent", "person"},
    {"server"},
    {"cli"},
]
IMPORTS: dict[str, set[str]] = {
    "root": set(),
    "clients": {"root"},
    "keys": {"root"},
    "policy": {"root"},
    "prompt": {"root"},
    "redaction": {"root"},
    "exec": {"root", "redaction"},
    "store": {"root", "keys"},
    "agent": {"root", "policy", "store"},
    "person": {"root", "keys", "policy", "store", "exec"},
    "server": {"root", "agent", "prompt", "policy"},
    "cli": {"root", "clients", "keys", "policy", "prompt", "redaction", "exec", "store", "agent", "person"},
}
STARTS_THE_SERVER = "cli.commands.serve"
BEGINS = "__main__"
"""The module with which the program begins. Only this module is above all folders."""

# Packages outside the standard library, each with the one folder (or module of the root) that imports it.
OUTSIDE: dict[str, str] = {
    "cryptography": "keys",
    "keyring": "keys",
    "zxcvbn": "keys",
    "yaml": "policy",
    "dotenv": "exec",
    "psutil": "agent",
    "mcp": "server",
    "mcp_types": "server",
    "anyio": "server",
    "pydantic": "server",
    "re2": "regex",
    "ahocorasick_rs": "regex",
    "platformdirs": "paths",
}
ALSO: dict[str, str] = {"mcp": "clients", "mcp_types": "clients", "anyio": "clients"}
"""The second folder that imports a package: `clients` starts our server as a client does."""

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
"""The packages that the command line loads only for commands that need them."""

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
"""The packages that reading a value does not need. Each takes at least as long to load as all our own modules."""


def modules() -> dict[str, Path]:
    """Return every module by its name inside the package: `errors`, `server.stdio`, `` for the package itself."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()
each_module = pytest.mark.parametrize("module", MODULES, ids=lambda module: module or "claude_secrets")


@cache
def imports(module: str) -> frozenset[str]:
    """Return the full names of all modules that `module` imports anywhere."""
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


def folder_of(module: str) -> str:
    top, _, inner = module.partition(".")
    return top if inner or top in IMPORTS else "root"


def test_every_folder_has_its_place() -> None:
    folders = {folder_of(module) for module in MODULES}
    assert folders == set(IMPORTS) == {folder for layer in LAYERS for folder in layer}
    level = {folder: number for number, layer in enumerate(LAYERS) for folder in layer}
    for folder, below in IMPORTS.items():
        assert all(level[other] < level[folder] for other in below), (
            f"{folder} would import a folder that is not below it"
        )


@each_module
def test_a_module_imports_only_what_its_folder_may(module: str) -> None:
    if module == BEGINS:
        return
    own = folder_of(module)
    for name in own_imports(module):
        if folder_of(name) == "server" and module == STARTS_THE_SERVER:
            continue
        assert folder_of(name) in {own, *IMPORTS[own]}, f"{module} imports {name}"


@pytest.mark.parametrize("folder", IMPORTS)
def test_every_folder_uses_what_it_may_import(folder: str) -> None:
    used = {folder_of(name) for module in MODULES if folder_of(module) == folder for name in own_imports(module)}
    assert IMPORTS[folder] <= used | {folder}


def test_no_modules_import_each_other_in_a_circle() -> None:
    left = {module: own_imports(module) & set(MODULES) for module in MODULES}
    while free := [module for module, needed in left.items() if not needed & set(left)]:
        for module in free:
            del left[module]
    assert not left, f"in or above a circle: {sorted(left)}"


@each_module
def test_what_is_not_the_standard_library_is_imported_only_where_it_belongs(module: str) -> None:
    for name in imports(module):
        top = name.partition(".")[0]
        if top == "claude_secrets" or top in sys.stdlib_module_names:
            continue
        places = {OUTSIDE.get(top), ALSO.get(top)}
        assert places & {module, folder_of(module)}, f"{module} imports {name}; allowed in: {places}"


@pytest.mark.parametrize(("outside", "place"), [*OUTSIDE.items(), *ALSO.items()])
def test_every_place_for_an_outside_import_is_used(outside: str, place: str) -> None:
    assert any(
        name.partition(".")[0] == outside
        for module in MODULES
        if place in (module, folder_of(module))
        for name in imports(module)
    )


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("__init__.py")), ids=lambda path: path.parent.name)
def test_an_init_file_holds_a_docstring_alone(path: Path) -> None:
    [node] = ast.parse(path.read_text(encoding="utf-8")).body
    assert isinstance(node, ast.Expr)
    assert isinstance(node.value, ast.Constant)


@each_module
def test_a_module_says_what_it_is_for_and_can_be_read_at_a_sitting(module: str) -> None:
    text = MODULES[module].read_text(encoding="utf-8")
    head = ast.get_docstring(ast.parse(text))
    assert head, f"{module} does not begin with a docstring"
    assert not re.search(r"\bimports? it\b", head), f"{module} says who imports it; the folder says that"
    assert len(text.splitlines()) <= LINE_LIMIT


@each_module
def test_functions_are_short(module: str) -> None:
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < FUNCTION_LIMIT, f"{module}.{node.name}"


def loaded_by(arguments: list[str], at: Path, environment: Mapping[str, str]) -> set[str]:
    """Return the packages that a command has loaded when it ends."""
    code = (
        "import json, sys\n"
        "from claude_secrets.cli.main import main\n"
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
