"""Servers whose files are replaced or removed while they run: real servers from installations of their own."""

import json
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from claude_secrets.installation import Change
from claude_secrets.model import Access
from claude_secrets.server import preload
from claude_secrets.server.preload import Preloading
from claude_secrets.server.restart import restart_needed
from claude_secrets.version import __version__
from tests.server.test_ask_consent import YES, Modern, question_of
from tests.server.test_ask_value import URLS, answer_of, ask, enter
from tests.support.agent_shells import UV
from tests.support.chromium import Browser
from tests.support.installation import NEXT, Site, add_dependencies, dependencies, wheel
from tests.support.keyrings import RealKeyring, wait_until
from tests.support.machine import PROGRAM, Machine, Wire
from tests.support.program import LOADED, PLACES
from tests.support.requirements import require_real

ALL: dict[str, dict[str, str]] = {
    "get_secret": {"name": "KEPT"},
    "set_secret": {"name": "NEW", "value": "canary"},
    "delete_secret": {"name": "KEPT"},
    "list_secrets": {},
    "search_secrets": {"pattern": "."},
    "input_secret": {"name": "TYPED"},
}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")


def serve(machine: Machine, site: Site, capabilities: Mapping[str, Any] = {}, client: str = "test") -> Wire:
    wire = Wire(PROGRAM, machine.project("api"), {**machine.environment, **site.environment})
    wire.shake_hands(capabilities=capabilities, client=client)
    return wire


def said(wire: Wire, tool: str) -> str:
    result = wire.call(tool, **ALL[tool])
    return str(result["content"][0]["text"])


def names(machine: Machine) -> str:
    return machine.run("list", "--json").stdout


@pytest.mark.parametrize("before_first_call", [True, False], ids=["no call before", "a call before"])
@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (lambda site: site.install(NEXT), f"was updated ({__version__} → {NEXT}) while"),
        (lambda site: site.install(comment="# other\n"), "was installed again with different content while"),
        (lambda site: site.remove(), "was removed while"),
    ],
    ids=["upgraded", "rebuilt", "removed"],
)
def test_every_tool_is_refused_and_nothing_is_changed(
    machine: Machine, site: Site, act: Callable[[Site], None], sentence: str, before_first_call: bool
) -> None:
    machine.keep("KEPT", "canary", at=machine.project("api"))
    before = names(machine)
    with serve(machine, site) as wire:
        if not before_first_call:
            assert said(wire, "get_secret") == "canary"
        act(site)
        for tool in ALL:
            text = said(wire, tool)
            assert text.startswith("[RESTART_NEEDED] Claude Secrets "), text
            assert sentence in text
            assert text.splitlines()[1].endswith("restart the client that runs this server (test).")
            assert "canary" not in text
        assert wire.close() == 0
        assert wire.stderr == b""
    assert names(machine) == before


def test_the_same_content_again_is_not_refused(machine: Machine, site: Site) -> None:
    machine.keep("KEPT", "canary", at=machine.project("api"))
    with serve(machine, site) as wire:
        site.remove()
        assert said(wire, "get_secret").startswith("[RESTART_NEEDED]")
        site.install()
        assert said(wire, "get_secret") == "canary"


def test_a_checkout_or_editable_installation_is_never_refused(machine: Machine, site: Site) -> None:
    machine.keep("KEPT", "canary", at=machine.project("api"))
    shutil.rmtree(site.record.parent)
    with serve(machine, site) as wire:
        assert said(wire, "get_secret") == "canary"
        site.install(NEXT)
        assert said(wire, "get_secret") == "canary"


def test_a_value_that_is_typed_after_the_upgrade_is_stored(machine: Machine, site: Site, browser: Browser) -> None:
    with serve(machine, site, URLS) as wire:
        url = ask(wire, "TYPED", "open")
        site.install(NEXT)
        assert said(wire, "list_secrets").startswith("[RESTART_NEEDED]")
        enter(browser, url, "typed")
        assert answer_of(wire, "open").startswith("Stored 'TYPED' (version 1)")
        assert said(wire, "input_secret").startswith("[RESTART_NEEDED]")
    assert machine.run("get", "TYPED", at=machine.project("api")).stdout == "typed"


def test_a_second_call_may_wait_for_a_page_that_was_open_before(machine: Machine, site: Site, browser: Browser) -> None:
    with serve(machine, site, URLS) as wire:
        url = ask(wire, "TYPED", "open")
        cancelled = {"requestId": "open"}
        wire.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancelled})
        site.remove()
        other = wire.call("input_secret", name="OTHER")
        assert other["content"][0]["text"].startswith("[RESTART_NEEDED]")
        assert ask(wire, "TYPED", "again") == url
        enter(browser, url, "typed")
        assert answer_of(wire, "again").startswith("Stored 'TYPED' (version 1)")


def test_a_consent_that_was_asked_before_the_upgrade_counts(machine: Machine, site: Site) -> None:
    project = machine.project("api")
    machine.keep("KEPT", "canary", at=project, access=Access.USE_ONLY)
    machine.environment |= site.environment
    client = Modern(machine, project)
    with client.wire:
        state, key = question_of(client.call("get_secret", ALL["get_secret"]))
        site.install(NEXT)
        assert "RESTART_NEEDED" in json.dumps(client.call("get_secret", ALL["get_secret"]))
        answer = client.call("get_secret", ALL["get_secret"], inputResponses={key: YES}, requestState=state)
        assert "canary" in json.dumps(answer)


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_real_installers_upgrade_reinstall_and_remove(machine: Machine, tmp_path: Path, installer: str) -> None:
    require_real(UV.exists() and (dependencies() / "pip").exists(), "pip and uv")
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=False, symlinks=sys.platform != "win32")
    add_dependencies(environment)
    python = environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    start, more = {
        "pip": ([sys.executable, "-m", "pip", "--isolated", "--python", str(python)], ["--no-compile", "--no-index"]),
        "uv": ([str(UV), "pip"], ["--no-index"]),
    }[installer]
    target = ["--python", str(python), "--offline", "--no-config", "--cache-dir", str(tmp_path / "cache")]

    def run(*words: str) -> None:
        command = [*start, *words, *(target if installer == "uv" else [])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr

    def install(*words: str) -> None:
        run("install", "--no-deps", *more, *words)

    again = "--force-reinstall" if installer == "pip" else "--reinstall"
    install(str(wheel(tmp_path)))
    machine.keep("KEPT", "canary", at=machine.project("api"))
    with Wire([str(python), *PROGRAM[1:]], machine.project("api"), machine.environment) as wire:
        wire.shake_hands()
        assert said(wire, "get_secret") == "canary"
        install(again, str(wheel(tmp_path)))
        assert said(wire, "get_secret") == "canary"
        install("--upgrade", str(wheel(tmp_path, NEXT)))
        assert f"was updated ({__version__} → {NEXT}) while" in said(wire, "get_secret")
        if installer == "uv":  # each run of pip takes many seconds
            run("uninstall", "claude-secrets")
            assert "was removed while" in said(wire, "get_secret")


# After loading, the server needs no files.


def test_a_removed_dependency_does_not_matter_after_loading(machine: Machine, site: Site, tmp_path: Path) -> None:
    machine.keep("KEPT", "canary", at=machine.project("api"))
    for package in ("re2", "keyring", "secretstorage", "jeepney"):
        shutil.copytree(dependencies() / package, site.path / package)
    loaded = tmp_path / "loaded"
    machine.environment |= {LOADED: str(loaded)}
    with serve(machine, site) as wire:
        wait_until(loaded.exists, "the modules are loaded")
        for package in ("re2", "keyring", "secretstorage", "jeepney"):
            shutil.rmtree(site.path / package)
        assert json.loads(said(wire, "search_secrets"))["names"] == ["KEPT"]


POLICY = """
version: "1"
default: allow
tools:
  delete_secret:
    rules:
      - {name: ask-me, action: require_approval}
  get_secret:
    rules:
      - {name: names, conditions: [{path: args.name, op: regex, value: "^[A-Z]"}]}
      - {name: often, rate_limit: 100/minute}
"""


def test_a_server_imports_nothing_after_loading(tmp_path: Path, keyring_session: RealKeyring, browser: Browser) -> None:
    machine, loaded = Machine(tmp_path), tmp_path / "loaded"
    project, places = machine.project("api"), tmp_path / "no-programs"
    places.mkdir()
    (machine.own_files / "policy.yml").write_text(POLICY)
    wire = Wire(
        PROGRAM,
        project,
        {**machine.environment, **keyring_session.environment, LOADED: str(loaded), PLACES: str(places)},
    )
    with wire:
        wire.shake_hands(capabilities=URLS)
        wait_until(loaded.exists, "the modules are loaded")
        assert wire.text("set_secret", name="T", value="canary") == "Stored 'T' (version 1)."
        assert wire.text("set_secret", name="T", value="canary 2") == "Stored 'T' (version 2)."
        assert wire.text("get_secret", name="T") == "canary 2"
        assert json.loads(wire.text("list_secrets"))["names"] == ["T"]
        assert json.loads(wire.text("search_secrets", pattern="^t"))["names"] == ["T"]
        assert wire.code("search_secrets", pattern="(") == "INVALID_PATTERN"
        assert wire.code("delete_secret", name="T") == "APPROVAL_REFUSED"
        assert wire.code("get_secret", name="lower") == "DENIED_BY_RULE"
        assert wire.code("get_secret", name="OTHER") == "NOT_FOUND"
        assert wire.code("get_secret", name="no name") == "INVALID_NAME"
        enter(browser, ask(wire, "TYPED", "page"), "typed")
        assert answer_of(wire, "page").startswith("Stored 'TYPED' (version 1)")
        assert wire.code("get_secret", name="TYPED") == "USE_ONLY"
        assert machine.run("key", "rotate", environment=keyring_session.environment).returncode == 0
        assert wire.text("get_secret", name="T") == "canary 2"
        machine.configure("trust: [")
        assert wire.code("get_secret", name="T") == "ALLOWLIST_INVALID"
        machine.configure("trust: required")
        assert wire.code("get_secret", name="T") == "NOT_TRUSTED"
        machine.configure()
        machine.project("api", {"T": None})
        assert wire.code("get_secret", name="T") == "ALLOWLIST_INVALID"
        shutil.rmtree(project / ".claude")
        assert wire.code("get_secret", name="T") in {"NO_PROJECT", "PROJECT_CONFLICT"}
        assert wire.close() == 0
        assert wire.stderr == b""
    assert loaded.read_text() == ""


@pytest.mark.parametrize("keyring", ["absent", "locked"])
def test_a_keyring_that_fails_needs_no_files_after_loading(
    tmp_path: Path, keyring: str, request: pytest.FixtureRequest
) -> None:
    machine, loaded = Machine(tmp_path), tmp_path / "loaded"
    environment = request.getfixturevalue(f"{keyring}_keyring")
    machine.environment |= {**environment, LOADED: str(loaded)}
    with machine.server(machine.project("api")) as wire:
        wait_until(loaded.exists, "the modules are loaded")
        assert wire.code("set_secret", name="T", value="canary") in {"KEYRING_UNAVAILABLE", "KEYRING_LOCKED"}
    assert loaded.read_text() == ""


# The loading


def test_a_call_waits_for_one_module_at_most() -> None:
    queue: list[Callable[[], None]] = []
    preloading = Preloading(queue.append, ["json", "no_such_module", "html"])
    preloading.begin()
    queue.append(lambda: None)  # a call
    queue.pop(0)()
    assert len(queue) == 2, "the second module is queued behind the call"
    while queue:
        queue.pop(0)()
    assert not queue


def test_nothing_is_loaded_after_the_end() -> None:
    queue: list[Callable[[], None]] = []
    preloading = Preloading(queue.append, ["json", "no_such_module"])
    preloading.begin()
    preloading.stop()
    queue.pop(0)()
    assert not queue


def test_a_module_that_fails_to_load_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_when_loaded.py").write_text("raise SystemError")
    (tmp_path / "loaded_after_it.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    queue: list[Callable[[], None]] = []
    Preloading(queue.append, ["broken_when_loaded", "loaded_after_it"]).begin()
    while queue:
        queue.pop(0)()
    assert "loaded_after_it" in sys.modules


@pytest.mark.parametrize(
    ("variable", "loaded"),
    [
        ("keyring.backends.kwallet.DBusKeyring", ["keyring.backends.kwallet"]),
        ("keyring.backends.libsecret.Keyring", ["keyring.backends.libsecret"]),
        ("evil.module.Keyring", []),
        ("", []),
    ],
)
def test_only_keyrings_own_backends_are_loaded(variable: str, loaded: list[str]) -> None:
    usual = preload.modules({}, "linux")
    assert [*preload.modules({"PYTHON_KEYRING_BACKEND": variable}, "linux")] == [*usual, *loaded]


@pytest.mark.parametrize(
    ("client", "hint"),
    [
        ("claude-code", "type /mcp in Claude Code, choose the server, and then choose Reconnect."),
        ("Zed", "restart the client that runs this server (Zed)."),
        ("", "restart the client that runs this server."),
        ("\u202ea\nb\x1b[1m" + "c" * 50, f"restart the client that runs this server (a b[1m{'c' * 34}…)."),
    ],
)
def test_the_hint_says_what_to_restart(client: str, hint: str) -> None:
    error = restart_needed(Change("1.0", "2.0", removed=False), client=client)
    assert error.hint is not None
    assert error.hint.endswith(hint)
