"""After sessions that produce every error code, values and keys are only where they belong."""

import base64
import json
import os
import re
import shutil
import sqlite3
import sys
import threading
import time
import traceback
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from claude_secrets.cli.commands.hook import EVENTS
from claude_secrets.errors import CallerError, Code
from claude_secrets.exec import windows_words
from tests.support.chromium import Browser
from tests.support.installation import NEXT, Site
from tests.support.keychain import StandInKeychain
from tests.support.machine import DEADLINE, Machine, Wire
from tests.support.program import BUSY_SECONDS, KERNEL, KEY_FILE_ACCESS, PLACES, SECURITY
from tests.support.program_places import make
from tests.support.requirements import require_real
from tests.support.rounds import in_turn
from tests.support.sddl import PERSON, descriptor
from tests.support.wsl_stand_in import WslStandIn

pytestmark = pytest.mark.usefixtures("quick_starts")

HASTY = ["tests.support.hasty_server"]
"""A server with short waits, as a process of its own."""

VALUE = "canary-value-6b1f9e/+=?&%~ü-end"
PASSPHRASE = "canary-passphrase-1dbe/+=?&%~ü-end"
TYPED = "canary-typed-c0ffee/+=?&%~ü-end"
RENEWED = "canary-renewed-77aa31c4/+=?&%~ü-end"
SHORTEST = 12
"""The shortest piece of an encoded value that is searched for, in characters. Shorter pieces could match by accident.
"""


def forms(secret: str) -> set[bytes]:
    """Return a secret unchanged, JSON-escaped, and in base64 (three alignments), hexadecimal and percent-encoding."""
    raw = secret.encode()
    found = {raw, raw[:SHORTEST], raw.hex().encode(), raw.hex().upper().encode(), json.dumps(secret)[1:-1].encode()}
    found |= {urllib.parse.quote(secret, safe=safe).encode() for safe in ("", "/")}
    for shift in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            # The first base64 group also encodes preceding bytes, and the last group also encodes following bytes.
            found.add(encode(bytes(shift) + raw)[4:-4])
    assert all(len(form) >= SHORTEST for form in found)
    return found


class Evidence:
    """All output and files that must not contain a value."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.pieces: dict[str, bytes] = {}
        self.codes: set[str] = set()

    def add(self, name: str, content: bytes) -> None:
        self.pieces[f"{name} #{len(self.pieces)}"] = content
        self.codes |= set(re.findall(r"\[([A-Z_]+)\]", content.decode("utf-8", "replace")))

    @contextmanager
    def server(
        self,
        at: Path,
        *,
        environment: Mapping[str, str] = {},
        script: Sequence[str] | None = None,
        elicits: bool = True,
        wrapper: Sequence[str] = (),
    ) -> Iterator[Wire]:
        """Start a server whose messages, arguments and standard error become evidence."""
        if script is None:
            wire = self.machine.server(at, environment=environment, wrapper=wrapper)
        else:
            command = [sys.executable, "-P", "-m", *script]
            root = str(Path(__file__).parents[2])
            wire = Wire(command, at, {**self.machine.environment, **environment, "PYTHONPATH": root})
            wire.shake_hands(capabilities={"elicitation": {"url": {}}} if elicits else {})
        try:
            yield wire
            process = Path("/proc") / str(wire.process.pid)
            if process.exists():
                self.add("arguments", (process / "cmdline").read_bytes())
        finally:
            wire.close()
            self.add("wire", b"".join([*wire.said, wire.unread()]))
            self.add("stderr", wire.stderr)

    def run(self, *arguments: str, at: Path, stdin: str | None = None, environment: Mapping[str, str] = {}) -> None:
        done = self.machine.run(*arguments, at=at, stdin=stdin, environment=environment)
        self.add("command output", done.stdout.encode())
        self.add("command stderr", done.stderr.encode())

    def files(self) -> None:
        """Add every file below the home directory, except the key file itself."""
        for path in self.machine.home.rglob("*"):
            if path.is_file() and path != self.machine.key_file:
                self.add(f"file {path}", path.read_bytes())

    def require(self, *sentences: str) -> None:
        """Require that something said each sentence."""
        everything = b"".join(self.pieces.values()).decode("utf-8", "replace")
        assert [sentence for sentence in sentences if sentence not in everything] == []

    def search(self, secrets: dict[str, str]) -> list[str]:
        return [
            f"{what} in {where}"
            for where, content in self.pieces.items()
            for what, secret in secrets.items()
            if any(form in content for form in forms(secret))
        ]


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    return Evidence(Machine(tmp_path).use_key_file())


def test_the_search_finds_each_form_it_looks_for(evidence: Evidence) -> None:
    """Check the search itself: it must find a planted value in every form."""
    for form in forms(VALUE):
        evidence.pieces = {"planted": b"before " + form + b" after"}
        assert evidence.search({"value": VALUE}) == ["value in planted"]


def test_no_value_or_key_stands_anywhere_after_every_code_has_appeared(
    evidence: Evidence, locked_keyring: dict[str, str], browser: Browser
) -> None:
    machine = evidence.machine
    project = machine.project("api", ["T*", {"name": "U*", "access": "use-only"}])
    master_key = machine.key_file.read_text().strip()
    with evidence.server(project, wrapper=["env"]) as wire:  # a process of its own, so that it has its own arguments
        what_a_caller_gets_wrong(evidence, project, wire)
        what_the_person_denies(evidence, project, wire)
    for part in (what_projects_deny, what_the_disk_does, what_the_key_does, what_access_lists_deny):
        part(evidence, project)
    for part in (what_an_upgrade_says, what_clients_files_hold):
        part(evidence, project)
    for part in (what_does_not_reach_the_person, what_systems_say_of_programs):
        part(evidence, project)
    what_the_keyring_says(evidence, project, locked_keyring)
    key_in_keychain = what_the_mac_keychain_says(evidence, project)
    what_the_person_enters(evidence, project, browser)
    code = what_is_kept(evidence, project)
    evidence.files()

    assert {str(code) for code in Code} - evidence.codes == set()
    secrets = {"the value": VALUE, "the typed value": TYPED, "the passphrase": PASSPHRASE, "the code": code}
    keys = {"the old master key": master_key, "the master key": machine.key_file.read_text().strip()}
    assert keys["the old master key"] != keys["the master key"]
    keys["the key in the keychain"] = key_in_keychain
    assert evidence.search({**secrets, "the new passphrase": RENEWED, **keys}) == []
    assert machine.run("get", "TYPED", at=project).stdout == TYPED


def what_an_upgrade_says(evidence: Evidence, project: Path) -> None:
    site = Site(evidence.machine.home.parent / "site")
    with evidence.server(project, environment=site.environment, wrapper=["env"]) as wire:
        site.install(NEXT)
        wire.call("set_secret", name="T", value=VALUE)


def what_clients_files_hold(evidence: Evidence, project: Path) -> None:
    """Other servers' tokens stay in the clients' files: neither a diff nor an error or a check repeats them."""
    home = evidence.machine.home
    other = {"command": "npx", "env": {"TOKEN": VALUE}}
    broken = {"command": "claude-secrets", "args": ["--project", "/nowhere"], "env": {"TOKEN": VALUE, "PATH": VALUE}}
    made = {
        ".cursor/mcp.json": json.dumps({"mcpServers": {"other": other}}, ensure_ascii=False),
        ".codeium/windsurf/mcp_config.json": json.dumps({"mcpServers": {"secrets": broken}}, ensure_ascii=False),
        ".gemini/settings.json": f'{{"mcpServers": {{"a": "{VALUE}',
        ".codex/config.toml": f'[mcp_servers.other]\ncommand = "{VALUE}\n',
        ".config/zed/settings.json": f"// {VALUE}\n{{}}",
    }
    for name, text in made.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    every = ("cursor", "windsurf", "gemini", "codex", "zed")
    for options in (["--dry-run"], ["--json"], []):
        evidence.run("install", *every, *options, at=project)
    evidence.run("setup", "--dry-run", at=project)
    evidence.run("doctor", at=project)
    evidence.run("doctor", "--json", at=project)
    evidence.run("uninstall", *every, "--dry-run", at=project)
    evidence.run("uninstall", "--undo", at=project)
    for name, text in made.items():
        assert (home / name).read_text() == text
        (home / name).unlink()
    evidence.require("would be added", "cannot be changed", "/nowhere does not exist", "Cursor: removed")


def what_hooks_say(evidence: Evidence, project: Path, state: int) -> None:
    """Call every hook in one state of the store and its key. Each hook gets one kind of input in turn, or all kinds."""
    told = {"cwd": str(project), "prompt": VALUE, "tool_response": {VALUE: [VALUE]}, "error": VALUE}
    for number, event in enumerate(EVENTS):
        for given in in_turn((json.dumps(told), json.dumps(told)[:-1], VALUE), state + number, 1):
            evidence.run("hook", event, at=project, stdin=given)


def what_a_caller_gets_wrong(evidence: Evidence, project: Path, wire: Wire) -> None:
    wire.text("set_secret", name="T", value=VALUE)
    wire.call("set_secret", name=f"-{VALUE}", value=VALUE)  # INVALID_NAME
    wire.call("set_secret", name="T", value="")  # INVALID_VALUE
    wire.call("set_secret", name="T", value=VALUE * 50_000)
    wire.call("set_secret", name="T", value=[VALUE])  # INVALID_ARGUMENTS
    wire.call("set_secret", name="T", value=VALUE, note=VALUE)
    wire.call("get_secret", name="TOO", **{VALUE: VALUE})
    wire.call("search_secrets", pattern=f"({VALUE}")  # INVALID_PATTERN
    wire.call("get_secret", name="T_ABSENT")  # NOT_FOUND
    for line in (VALUE, f'{{"jsonrpc":"2.0","id":1,"method":"{VALUE}","params":["{VALUE}"]}}', f'["{VALUE}"]'):
        wire.send_line(line.encode() + b"\n")
    wire.request(VALUE, {VALUE: VALUE})
    wire.request("tools/call", {"name": [VALUE], "arguments": {"value": VALUE}})
    wire.request("tools/call", {"name": "set_secret", "arguments": VALUE})
    wire.call("input_secret", name="T", prompt=VALUE)  # NO_INPUT_CHANNEL
    evidence.run("set", "T", VALUE, at=project)
    evidence.run("get", "T", f"--{VALUE}", at=project)
    evidence.run(f"{VALUE}", at=project)
    with evidence.server(project, script=[*HASTY, "3", "--broken"]) as broken:
        broken.call("set_secret", name="T", value=VALUE)  # INTERNAL


def what_the_person_denies(evidence: Evidence, project: Path, wire: Wire) -> None:
    evidence.run("set", "T_FOREIGN", at=evidence.machine.home, stdin=VALUE)
    what_belongs_to_others(evidence, project)
    wire.call("get_secret", name="DENIED")  # NOT_ALLOWLISTED
    wire.call("set_secret", name="T_FOREIGN", value=VALUE)  # NOT_TRUSTED
    wire.text("set_secret", name="U", value=VALUE)
    wire.call("get_secret", name="U")  # USE_ONLY
    for number in range(31):
        wire.call("set_secret", name=f"T{number}", value=VALUE)  # RATE_LIMITED


def what_projects_deny(evidence: Evidence, project: Path) -> None:
    machine = evidence.machine
    what_rules_deny(evidence, machine.project("ruled"))
    with evidence.server(machine.home) as wire:
        wire.call("set_secret", name="T", value=VALUE)  # NO_PROJECT
    other = machine.project("other")
    named = {"CLAUDE_PROJECT_DIR": str(other)}
    with evidence.server(project, environment=named) as wire:
        wire.call("set_secret", name="T", value=VALUE)  # PROJECT_CONFLICT
    with evidence.server(machine.home, environment=named) as wire:
        for content in (f"allow: [T]\n{VALUE}: 1\n", f"allow: *{VALUE}\n", f"allow: !{VALUE}\n", f"scope: '{VALUE}'\n"):
            (other / ".claude" / "secrets.yml").write_text(content)
            wire.call("set_secret", name="T", value=VALUE)  # ALLOWLIST_INVALID
        (other / ".claude" / "secrets.yml").unlink()
        evidence.run("--project", str(other), "list", at=machine.home)
        wire.call("set_secret", name="T", value=VALUE)  # NO_ALLOWLIST
    shutil.rmtree(other)


def what_belongs_to_others(evidence: Evidence, project: Path) -> None:
    """Run commands of the person that are refused because nobody can be asked."""
    evidence.run("set", "T_FOREIGN", at=project, stdin=VALUE)
    evidence.run("access", "T_FOREIGN", "--readable", at=project)
    (project / ".env").write_text("A=secret://T_FOREIGN\n")
    for words in (["exec", "--", "printenv", "A"], ["export"]):
        evidence.run(*words, at=project)
    (project / ".env").unlink()
    evidence.machine.configure("presence: terminal")
    for words in (["set", "T_FOREIGN", "--yes"], ["export", "--only", "T_FOREIGN"], ["backup", VALUE]):
        evidence.run(*words, at=project, stdin=VALUE)  # PERSON_ONLY
    evidence.machine.configure("presence: any")


def what_rules_deny(evidence: Evidence, ruled: Path) -> None:
    no_canary = {"deny_if": [{"path": "args.value", "op": "contains", "value": VALUE}]}
    tools = {"set_secret": no_canary, "delete_secret": {"action": "require_approval"}}
    allowlist = {"allow": "*", "policy": {"version": "1", "default": "allow", "tools": tools}}
    (ruled / ".claude" / "secrets.yml").write_text(json.dumps(allowlist))
    with evidence.server(ruled) as wire:
        wire.call("set_secret", name="R", value=VALUE)  # DENIED_BY_RULE
        wire.call("delete_secret", name="R")  # APPROVAL_REFUSED
    what_agents_at_the_shell_may_not(evidence, ruled)
    evidence.run("policy", "explain", "set_secret", VALUE, at=ruled)
    evidence.run("policy", "check", VALUE, at=ruled)
    evidence.run("log", "--since", VALUE, at=ruled)
    evidence.run("log", "--json", at=ruled)
    shutil.rmtree(ruled)  # the rule contains the value, and every file is searched at the end


def what_agents_at_the_shell_may_not(evidence: Evidence, project: Path) -> None:
    evidence.run("set", "X", at=project, stdin=VALUE)
    (project / ".env").write_text("A=secret://X\nB='secret://X\n")
    evidence.run("export", at=project)
    (project / ".env").write_text("A=secret://X secret://ABSENT\n")
    evidence.run("export", at=project)
    evidence.run("exec", "--redact", "--only", "X", "--", "printenv", "X", at=project)
    evidence.run("exec", "--redact", "--only", "X", "--", "/", at=project)
    leaking = project / "leaking"
    for number, content in enumerate((f"PK\3\4{VALUE}", f"Rar!\x1a\x07{VALUE}", VALUE)):
        (leaking / f"{VALUE}{number}").parent.mkdir(parents=True, exist_ok=True)
        (leaking / f"{VALUE}{number}").write_text(content)
        for words in in_turn((["scan"], ["scan", "--json"]), number, 1):
            evidence.run(*words, "-", "leaking", at=project, stdin=content)
    evidence.run("scan", "--git", at=leaking)
    shutil.rmtree(leaking)
    for words in ([VALUE], [f"./{VALUE}", VALUE], [f"echo {VALUE}"]):
        evidence.run("exec", "--only", "X", "--", *words, at=project)
    marked = {"CLAUDECODE": "1"}
    for words in (["export"], ["get", "X", "--scope", VALUE], ["set", "X", "--readable"], ["allow", VALUE]):
        evidence.run(*words, at=project, stdin=VALUE, environment=marked)  # PERSON_ONLY


def what_the_disk_does(evidence: Evidence, project: Path) -> None:
    machine = evidence.machine
    whole = machine.store.read_bytes()
    lock = sqlite3.connect(machine.store, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    with evidence.server(project, environment={BUSY_SECONDS: "0.2"}) as wire:
        wire.call("delete_secret", name="T")  # STORE_BUSY
        lock.execute("ROLLBACK")
        lock.execute("DELETE FROM versions")
        lock.close()
        wire.call("get_secret", name="T")  # STORE_TAMPERED
    what_hooks_say(evidence, project, 0)
    machine.store.write_bytes(VALUE.encode() * 100)
    with evidence.server(project) as wire:
        wire.call("get_secret", name="T")  # STORE_FORMAT
    what_hooks_say(evidence, project, 1)
    machine.store.write_bytes(whole)
    what_hooks_say(evidence, project, 2)
    inside = {"CLAUDE_SECRETS_STORE": str(project / "store.db")}
    with evidence.server(project, environment=inside) as wire:
        wire.call("set_secret", name="T", value=VALUE)  # STORE_UNAVAILABLE
    with small_disk(machine) as disk:
        full = {"CLAUDE_SECRETS_STORE": str(disk / "secrets.db")}
        key = machine.home.parent / "small.key"  # a directory that is not searched for the key
        made = machine.run("init", "--key-file", str(key), at=project, environment=full)
        assert made.returncode == 0, made.stderr
        with evidence.server(project, environment=full) as wire:
            wire.call("set_secret", name="T", value=VALUE * 25_000)  # STORE_FULL


@contextmanager
def small_disk(machine: Machine) -> Iterator[Path]:
    disk = machine.home / "disk"
    disk.mkdir()
    mounted = os.system(f"mount -t tmpfs -o size=700k,mode=700 tmpfs '{disk}' 2>/dev/null") == 0
    require_real(mounted, "a small tmpfs that can be mounted")
    try:
        yield disk
    finally:
        os.system(f"umount '{disk}'")


def what_the_key_does(evidence: Evidence, project: Path) -> None:
    machine = evidence.machine
    key = machine.key_file.read_bytes()
    with evidence.server(project) as wire:
        for number, content in enumerate((None, b"A" * 43 + b"=\n")):  # KEY_MISSING, KEY_WRONG
            machine.key_file.unlink()
            if content is not None:
                machine.key_file.write_bytes(content)
                machine.key_file.chmod(0o600)
            wire.call("get_secret", name="T")
            evidence.run("get", "T", at=project)
            evidence.run("doctor", at=project)
            what_hooks_say(evidence, project, 3 + number)
            machine.key_file.write_bytes(key)
    machine.key_file.chmod(0o600)


def what_access_lists_deny(evidence: Evidence, project: Path) -> None:
    machine = evidence.machine
    machine.key_file.chmod(0o644)
    evidence.run("get", "T", at=project)
    evidence.run("doctor", at=project)
    with evidence.server(project) as wire:
        wire.call("get_secret", name="T")
    machine.key_file.chmod(0o600)
    lists = (f"O:{PERSON}D:(A;;FR;;;WD)", f"O:S-1-5-21-1-2-3-4D:(A;;FA;;;{PERSON})", "O:WDD:NO_ACCESS_CONTROL")
    for text in lists:  # a stand-in for Windows gives the key file these lists
        on_windows = {KEY_FILE_ACCESS: f"{PERSON} {descriptor(text).hex()}"}
        evidence.run("get", "T", at=project, environment=on_windows)
        evidence.run("doctor", at=project, environment=on_windows)
        with evidence.server(project, environment=on_windows) as wire:
            wire.call("get_secret", name="T")
    evidence.machine.configure("presence: any", f"# {VALUE}")
    (machine.own_files / "config.yml").chmod(0o666)
    evidence.run("get", "T", at=project)
    with evidence.server(project) as wire:
        wire.call("set_secret", name="T", value=VALUE)
    (machine.own_files / "config.yml").unlink()  # a file that is made anew has the usual mode
    machine.configure("presence: any")
    evidence.require(
        "Others can read the key file.",
        "Others can read or change the key file.",
        "The key file belongs to another user.",
        "The key file has no access list",
        "Users other than you can write your config.yml",
    )


def what_does_not_reach_the_person(evidence: Evidence, project: Path) -> None:
    """Call input_secret where the person cannot be asked, or has not answered yet. The agent's words are the value."""
    home = evidence.machine.home
    none, linked, mirrored = make(home / "none"), WslStandIn(make(home / "wsl")), WslStandIn(make(home / "mirrored"))
    mirrored.mirror()
    for here in (
        {"SSH_CONNECTION": VALUE, "container": VALUE},
        {"DISPLAY": f":{VALUE}", PLACES: str(none)},
        {KERNEL: str(linked.kernel), "WSL_DISTRO_NAME": VALUE, PLACES: str(none)},
        {KERNEL: str(mirrored.kernel), "WSL_DISTRO_NAME": VALUE, PLACES: str(none)},
    ):
        with evidence.server(project, environment=here) as wire:
            wire.call("input_secret", name="T", prompt=VALUE)
    for option in ("--never-asks", "--unseen"):
        with evidence.server(project, script=[*HASTY, "60", option]) as wire:
            wire.call("input_secret", name="T", prompt=VALUE)
    in_wsl = {
        PLACES: f"{linked.system}:{make(home / 'wsl' / 'none')}",
        KERNEL: str(linked.kernel),
        "WSL_DISTRO_NAME": "Ubuntu",
        "TMPDIR": str(make(home / "temporary")),
        "SSH_CONNECTION": "192.0.2.1 50000 192.0.2.2 22",
    }
    with evidence.server(project, script=[*HASTY, "60"], environment=in_wsl, elicits=False) as wire:
        wire.call("input_secret", name="T", prompt=VALUE)  # WAITING
        end = time.monotonic() + DEADLINE
        while not linked.said.exists():
            assert time.monotonic() < end
            time.sleep(0.05)
        evidence.add("arguments of a Windows program", linked.said.read_bytes())
        [entry_file] = (home / "temporary").rglob("*.html")
        evidence.add("entry file", entry_file.read_bytes())
        for number in range(1, 5):
            wire.send(call_of(f"T{number}", str(number), prompt=VALUE))
        wire.call("input_secret", name="TOO_MANY", prompt=VALUE)
    evidence.require(
        "there is no display",
        "no browser and no dialog program could be started",
        "the browser on Windows could not be opened from WSL",
        "WSL mirrors the network",
        "An agent started this server",
        "does not show which user opens a connection",
        "If the page cannot be opened",
        "already being asked for 5 other values",
        "url.dll,FileProtocolHandler",
    )


def what_systems_say_of_programs(evidence: Evidence, project: Path) -> None:
    evidence.run("exec", "--only", "T", "--", "/bin/echo", VALUE * 9000, at=project)
    evidence.run("exec", "--redact", "--only", "T", "--", "/bin/echo", VALUE * 9000, at=project)
    for program, words in (
        ("C:\\tool.cmd", [VALUE]),
        (f"C:\\{VALUE}\\tool.bat", []),
        ("C:\\tool.exe", [VALUE * 2000]),
        ("C:\\tool.cmd", [VALUE[:SHORTEST] * 1000]),
    ):
        with pytest.raises((CallerError, OSError)) as refused:  # as on Windows, where nothing is started
            windows_words.command_line(program, words, "C:\\cmd.exe")
        said = traceback.format_exception_only(refused.value)
        evidence.add("Windows' error", f"{said} {getattr(refused.value, 'hint', '')}".encode())
    evidence.require("Argument list too long", "contains a line break or one of these", "The path of a batch file")


def what_the_keyring_says(evidence: Evidence, project: Path, locked_keyring: dict[str, str]) -> None:
    elsewhere = {"CLAUDE_SECRETS_STORE": str(evidence.machine.home / "other" / "secrets.db")}
    with evidence.server(project, environment={**elsewhere, **locked_keyring}) as wire:
        wire.call("set_secret", name="T", value=VALUE)  # KEYRING_LOCKED
    absent = {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nonexistent"}
    with evidence.server(project, environment={**elsewhere, **absent}) as wire:
        wire.call("set_secret", name="T", value=VALUE)  # KEYRING_UNAVAILABLE


def what_the_mac_keychain_says(evidence: Evidence, project: Path) -> str:
    """Keep a key as on macOS, by a stand-in for `security` that fails in every way. Return the key."""
    keychain = StandInKeychain(evidence.machine.home.parent / "keychain")  # not searched: the key belongs there
    mac = {
        "CLAUDE_SECRETS_STORE": str(evidence.machine.home / "mac" / "secrets.db"),
        SECURITY: str(keychain.program),
    }
    with evidence.server(project, environment=mac) as wire:
        wire.text("set_secret", name="T", value=VALUE)
    [(place, key)] = keychain.items().items()
    keychain.set(items={})
    keychain.put("claude-secrets", place[1], key)  # as an earlier version kept it
    with evidence.server(project, environment=mac) as wire:
        wire.text("list_secrets")
    evidence.run("doctor", at=project, environment=mac)
    with evidence.server(project, environment=mac) as wire:
        for fault in (["say", 36, key], ["say", 1, key], ["say", 0, f"{key}{VALUE}"], ["endless", key]):
            keychain.set(fault=fault)
            wire.call("list_secrets")
            evidence.run("doctor", at=project, environment=mac)
    assert list(keychain.items()) == [place]  # it was moved
    for run in keychain.runs():
        evidence.add("arguments", json.dumps([run["arguments"], run["environment"]]).encode())
    return key


def what_the_person_enters(evidence: Evidence, project: Path, browser: Browser) -> None:
    with evidence.server(project, script=[*HASTY, "3"]) as wire:
        elicit(wire, "TYPED", "decline")  # CANCELLED
        elicit(wire, "TYPED", "accept")  # WAITING
        while wire.code("input_secret", name="TYPED") != "TIMED_OUT":
            pass
    with evidence.server(project, script=[*HASTY, "60"]) as wire:

        def person(url: str) -> None:
            with browser.page(url) as page:
                page.get_by_role("button", name="Continue").click()
                page.get_by_role("textbox").fill(TYPED)
                page.get_by_text("agents may read it").click()
                page.get_by_role("button", name="Store").click()
                evidence.add("shown", page.content().encode())
                evidence.add("address", page.url.encode())

        url = elicit(wire, "TYPED", "accept")
        evidence.add("address", url.encode())
        thread = threading.Thread(target=person, args=(url,))
        thread.start()
        thread.join()
        assert "Stored 'TYPED'" in wire.text("input_secret", name="TYPED")


def what_is_kept(evidence: Evidence, project: Path) -> str:
    """Use versions, backups, passphrases and a recovery code, correctly and incorrectly. Return the recovery code."""
    machine = evidence.machine
    for words in (["history", "T"], ["restore", "T"], ["restore", "T", "--version", VALUE], ["purge", VALUE, "--yes"]):
        evidence.run(*words, at=project)
    evidence.run("set", "EXPIRING", "--expires", VALUE, at=project, stdin=VALUE)
    new, old = ["--new-passphrase-fd", "0"], ["--passphrase-fd", "0"]
    evidence.run("key", "add-passphrase", *new, at=project, stdin=PASSPHRASE[: SHORTEST - 1])
    evidence.run("key", "add-passphrase", *new, at=project, stdin=PASSPHRASE)
    code = machine.run("recover", "create", at=project).stdout.strip()
    evidence.run("recover", "create", at=project)
    evidence.run("recover", "use", at=project, stdin=code)
    evidence.run("recover", "use", at=project, stdin=f"{code[:-1]}{'2' if code[-1] != '2' else '3'}")
    evidence.run("recover", "use", at=project, stdin=VALUE)
    key = machine.key_file.read_bytes()
    machine.key_file.unlink()
    with evidence.server(project) as wire:
        wire.call("get_secret", name="T")
    evidence.run(*old, "list", at=project, stdin=PASSPHRASE)
    evidence.run(*old, "list", at=project, stdin=VALUE)
    evidence.run("recover", "use", "--key-file", str(machine.home.parent / "other.key"), at=project, stdin=code)
    machine.key_file.write_bytes(key)
    machine.key_file.chmod(0o600)
    backup, by = str(machine.home / "backup"), ["--backup-passphrase-fd", "0"]
    evidence.run("backup", backup, *by, at=project, stdin=PASSPHRASE)
    for number, words in enumerate(([backup], ["--verify", VALUE], ["restore", VALUE])):
        for given in in_turn((PASSPHRASE, VALUE), number, 1):
            evidence.run("backup", *words, *by, at=project, stdin=given)
    for words in (["--verify", backup], ["restore", backup]):
        for given in (PASSPHRASE, VALUE):
            evidence.run("backup", *words, *by, at=project, stdin=given)
    evidence.run("key", "list", at=project)
    evidence.run("key", "remove", VALUE, "--yes", at=project)
    evidence.run("key", "rotate", at=project)
    for given in (PASSPHRASE, RENEWED[: SHORTEST - 1], RENEWED):  # the store already opens with the first one
        evidence.run("key", "rotate", "--data", "--yes", *new, at=project, stdin=given)
    evidence.run(*old, "list", at=project, stdin=RENEWED)
    evidence.run("doctor", "--deep", at=project)
    evidence.run("purge", "T", "--yes", at=project)
    return code


def call_of(name: str, number: str, **arguments: str) -> dict[str, object]:
    """Return the message that calls input_secret."""
    call = {"name": "input_secret", "arguments": {"name": name, **arguments}}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": call}


def elicit(wire: Wire, name: str, action: str) -> str:
    """Call input_secret, answer its elicitation with `action`, and return the page's address."""
    wire.send(call_of(name, f"ask-{name}"))
    question = wire.receive()
    assert question["method"] == "elicitation/create", question
    wire.send({"jsonrpc": "2.0", "id": question["id"], "result": {"action": action}})
    while wire.receive().get("id") != f"ask-{name}":
        pass
    return str(question["params"]["url"])
