"""Agent detection never mistakes these people for agents. Each case is a real process tree."""

import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.account import PROGRAM, Account, account
from tests.support.machine import DEADLINE
from tests.support.posix import skip_without
from tests.support.requirements import require
from tests.support.terminals import PROMPT, Bash

skip_without("POSIX users, sessions and shells")
assert sys.platform != "win32"

pytestmark = pytest.mark.usefixtures("quick_starts")

VALUE = "Zq9-token-value-8841XY"
SHOW = f"{PROGRAM} projects >/dev/null 2>&1 && {PROGRAM} get TOK"
SHELL = f"TERM=dumb PS1={shlex.quote(PROMPT)} exec bash --norc --noprofile -i"
WIDE = (31, 500)
"""Two commands. Only the person may run the first one anywhere, and the second one outside of a project."""

EDITOR = (
    "import os, pty, subprocess, sys\n"
    "server = subprocess.Popen(sys.argv[1:2], stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
    'server.stdin.write(b\'{"jsonrpc": "2.0", "id": 1, "method": "ping"}\\n\')\n'
    "server.stdin.flush()\n"
    "assert server.stdout.readline()\n"
    "sys.exit(os.waitstatus_to_exitcode(pty.spawn(['bash', '-c', sys.argv[2]])))\n"
)
"""An editor that starts our server for its agent and a terminal for the person."""

CRON_SECONDS = 150


@pytest.fixture(scope="module")
def person(worker_id: str) -> Iterator[Account]:
    with account(f"cs-{worker_id}") as person:
        for words in (["init", "--key-file", "keys/master.key"], ["set", "TOK"]):
            done = person.run(str(PROGRAM), *words, stdin=VALUE)
            assert done.returncode == 0, done.stderr
        yield person


def test_a_service(person: Account) -> None:
    done = person.run("sh", "-c", SHOW)
    assert (done.returncode, done.stdout) == (0, VALUE), done.stderr


def test_su(person: Account) -> None:
    done = subprocess.run(
        [*person.enter, require("su"), "-", person.name, "-c", SHOW],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, VALUE), done.stderr


def test_a_login_at_a_terminal_who_loosens_something(person: Account) -> None:
    login = [*person.enter, require("su"), "-", person.name, "--session-command", SHELL]
    with Bash(Path("/"), {}, words=login, size=WIDE) as shell:
        assert VALUE in shell.run(SHOW)
        shell.run(f"mkdir -p api && cd api && {PROGRAM} init")
        assert "error" not in shell.run(f"{PROGRAM} allow NEW")
        assert "NEW" in (person.home / "api" / ".claude" / "secrets.yml").read_text()
        assert f"export TOK='{VALUE}'" in shell.run(f"{PROGRAM} export --only TOK")
        shell.run(f'eval "$({PROGRAM} export --only TOK)"')
        assert VALUE in shell.run("printenv TOK")


@pytest.fixture
def ssh(person: Account, tmp_path: Path) -> Iterator[list[str]]:
    """Return the command prefix that runs a command on this machine over ssh, through a real sshd."""
    require("ssh")
    key = tmp_path / "key"
    for file in (key, tmp_path / "host"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file], check=True)
    person.write(".ssh/authorized_keys", key.with_suffix(".pub").read_text(), 0o600)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {
        "ListenAddress": "127.0.0.1",
        "Port": port,
        "HostKey": tmp_path / "host",
        "PidFile": "none",
        "UsePAM": "no",
        "StrictModes": "no",
        "AuthorizedKeysFile": person.home / ".ssh" / "authorized_keys",
    }
    Path("/run/sshd").mkdir(exist_ok=True)
    settings = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    daemon = subprocess.Popen([*person.enter, require("sshd"), "-D", "-e", "-f", "/dev/null", *settings])
    try:
        until_listening(port)
        yield ["ssh", "-F", "/dev/null", "-i", str(key), "-p", str(port), "-o", "StrictHostKeyChecking=no",
               "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", f"{person.name}@127.0.0.1"]  # fmt: skip
    finally:
        daemon.terminate()
        daemon.wait(DEADLINE)


def until_listening(port: int) -> None:
    ends = time.monotonic() + DEADLINE
    while True:
        with socket.socket() as visitor:
            if visitor.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_ssh(person: Account, ssh: list[str]) -> None:
    done = subprocess.run(
        [*ssh, SHOW], capture_output=True, text=True, timeout=DEADLINE, stdin=subprocess.DEVNULL, check=False
    )
    assert (done.returncode, done.stdout) == (0, VALUE), done.stderr


def test_ssh_with_a_terminal(person: Account, ssh: list[str]) -> None:
    with Bash(Path("/"), {"PATH": os.environ["PATH"]}, words=[ssh[0], "-tt", *ssh[1:], SHELL], size=WIDE) as shell:
        assert VALUE in shell.run(SHOW)
        assert f"export TOK='{VALUE}'" in shell.run(f"{PROGRAM} export --only TOK")


def test_tmux(person: Account) -> None:
    require("tmux")
    tmux = ["tmux", "-S", str(person.home / "tmux"), "-f", "/dev/null"]
    done = person.run(
        *tmux, "new-session", "-d", f"({SHOW}; {PROGRAM} export --only TOK) >shown 2>&1; tmux wait -S shown"
    )
    assert done.returncode == 0, done.stderr
    assert person.run(*tmux, "wait", "shown").returncode == 0
    assert (person.home / "shown").read_text() == f"{VALUE}export TOK='{VALUE}'\n"


@pytest.mark.skipif(not Path("/run/systemd/system").exists(), reason="this machine was not started by systemd")
def test_a_terminal_of_systemds_user_instance(person: Account) -> None:
    done = subprocess.run(
        ["systemd-run", f"--machine={person.name}@", "--user", "--wait", "--pipe", "--collect", "sh", "-c", SHOW],
        capture_output=True, text=True, timeout=DEADLINE, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, VALUE), done.stderr


@pytest.mark.parametrize(
    ("editor", "variables"),
    [
        (
            "code",
            ["TERM_PROGRAM=vscode", "VSCODE_INJECTION=1", "CLAUDE_CODE_SSE_PORT=1", "ENABLE_IDE_INTEGRATION=true"],
        ),
        ("cursor", ["TERM_PROGRAM=vscode", "CURSOR_TRACE_ID=4f"]),
        ("zed", ["TERM_PROGRAM=zed", "ZED_TERM=true"]),
        ("idea", ["TERMINAL_EMULATOR=JetBrains-JediTerm", "CLAUDE_CODE_SSE_PORT=1"]),
    ],
)
def test_a_terminal_of_an_editor_whose_agent_has_our_server(person: Account, editor: str, variables: list[str]) -> None:
    """The editors are fake programs with these names, which start the same processes as the real ones."""
    program = person.home / editor
    if not program.exists():
        program.symlink_to(sys.executable)
    done = person.run(
        "env", *variables, str(program), "-c", EDITOR, str(PROGRAM), f"{SHOW}; {PROGRAM} export --only TOK"
    )
    assert done.stdout.split() == [VALUE, "export", f"TOK='{VALUE}'"], done.stdout


@pytest.mark.parametrize("launcher", ["uv run --no-project --offline --", "env", "nohup", "setsid -w", "timeout 60"])
def test_launchers(person: Account, launcher: str) -> None:
    done = person.run(*launcher.split(), "sh", "-c", SHOW)
    assert (done.returncode, done.stdout) == (0, VALUE), done.stderr


def test_make_and_a_hook_of_git(person: Account) -> None:
    require("make")
    person.write("repository/Makefile", f"all:\n\t@{SHOW}\n")
    done = person.run("make", "-C", "repository", "--no-print-directory")
    assert (done.returncode, done.stdout) == (0, VALUE), done.stderr
    git = ["git", "-c", "user.name=P", "-c", "user.email=p@localhost", "-C", "repository"]
    assert person.run(*git, "init", "-q").returncode == 0
    person.write("repository/.git/hooks/pre-commit", f"#!/bin/sh\n{SHOW} >shown && {PROGRAM} scan --staged\n", 0o755)
    done = person.run(*git, "commit", "-q", "--allow-empty", "-m", "x")
    assert done.returncode == 0, done.stderr
    assert (person.home / "repository" / "shown").read_text() == VALUE


def test_cron_with_the_documented_setting(person: Account) -> None:
    require("cron")
    person.write(".config/claude-secrets/config.yml", "presence: any\n")
    line = (
        f"* * * * * ({SHOW}; {PROGRAM} export --only TOK) >$HOME/by-cron.new 2>&1; mv $HOME/by-cron.new $HOME/by-cron\n"
    )
    subprocess.run(["crontab", "-u", person.name, "-"], input=line, text=True, check=True)
    daemon = subprocess.Popen([*person.enter, require("cron"), "-f"], stdin=subprocess.DEVNULL)
    try:
        shown, ends = person.home / "by-cron", time.monotonic() + CRON_SECONDS
        while not shown.exists():
            assert daemon.poll() is None, "another cron runs on this machine"
            assert time.monotonic() < ends, "cron has run nothing"
            time.sleep(0.2)
        assert shown.read_text() == f"{VALUE}export TOK='{VALUE}'\n"
    finally:
        daemon.terminate()
        daemon.wait(DEADLINE)
        subprocess.run(["crontab", "-u", person.name, "-r"], check=False)
        (person.home / ".config" / "claude-secrets" / "config.yml").unlink()


def test_without_a_terminal_and_the_setting_what_loosens_is_refused(person: Account) -> None:
    for words in (["export", "--only", "TOK"], ["allow", "X"], ["trust"], ["key", "rotate"], ["recover", "create"]):
        done = person.run(str(PROGRAM), *words)
        assert (done.returncode, done.stdout) == (3, "")
        assert "[PERSON_ONLY]" in done.stderr
        assert f"`presence: any` into {person.home}/.config/claude-secrets/config.yml" in done.stderr
