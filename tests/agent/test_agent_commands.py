"""Commands that an agent runs count as that agent's: same project, same rules, however the agent starts them."""

import json
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from claude_secrets.agent import detection, processes
from claude_secrets.cli.parser import COMMANDS
from claude_secrets.model import Access
from tests.support.agent_shells import ANSWERS_ITSELF, CONVERSATION, UV, agent_runs
from tests.support.machine import DEADLINE, PROGRAM, Machine
from tests.support.posix import skip_without
from tests.support.requirements import require_real
from tests.support.rounds import in_turn

skip_without("POSIX shells")
assert sys.platform != "win32"

pytestmark = pytest.mark.usefixtures("quick_starts")


@pytest.fixture(scope="module", name="machine")
def machine_with_two_projects(shared_machine: Machine) -> Machine:
    a, b = (shared_machine.project(name) for name in ("a", "b"))
    shared_machine.keep("TOKEN", "canary-a-value", at=a)
    shared_machine.keep("B_TOKEN", "canary-b-value", at=b)
    shared_machine.keep("B_GIVEN", "given", at=b)
    shared_machine.keep("KEPT", "canary-kept-value", at=a, access=Access.USE_ONLY)
    (shared_machine.home / "link").symlink_to(b)
    (shared_machine.home / "answers.py").write_text(ANSWERS_ITSELF)
    evil = shared_machine.home / "evil" / "claude-secrets"
    evil.mkdir(parents=True)
    (evil / "config.yml").write_text("trust: off\n")
    for directory in ("claude-secrets", ".config/claude-secrets"):
        evil_b = shared_machine.home / "evil-b" / directory
        evil_b.mkdir(parents=True)
        (evil_b / "config.yml").write_text(f"trust: off\nstore: {shared_machine.store}\n")
    return shared_machine


MODEL = Path(__file__).parents[2] / "docs" / "explanation" / "security-model.md"
SECURITY = " ".join(MODEL.read_text("utf-8").split())


def until(fact: Callable[[], bool]) -> None:
    ends = time.monotonic() + DEADLINE
    while not fact():
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_an_agent_gets_what_its_project_may_and_the_log_says_who(machine: Machine) -> None:
    assert agent_runs(machine, "$cs get TOKEN").stdout == "canary-a-value"
    assert agent_runs(machine, "cd / && $cs get TOKEN").stdout == "canary-a-value"
    listed = agent_runs(machine, "$cs list").stdout
    assert listed == "KEPT  use-only\nTOKEN\n"
    assert json.loads(agent_runs(machine, "$cs search --json tok").stdout)["names"] == ["TOKEN"]
    stored = agent_runs(machine, "$cs set NEW && $cs delete NEW", stdin="v\n")
    assert (stored.returncode, stored.stdout.count("\n")) == (0, 2)
    refused = agent_runs(machine, "$cs get KEPT")
    assert (refused.returncode, refused.stdout) == (3, "")
    assert "[USE_ONLY]" in refused.stderr
    events = json.loads(machine.run("log", "--json", at=machine.home / "work" / "a").stdout)
    assert {event["client"] for event in events if event["caller"] == "agent"} == {"command line (CLAUDECODE)"}


def test_an_agent_uses_what_it_may_not_read_and_sees_its_reference(machine: Machine) -> None:
    show = "printenv KEPT; printenv KEPT | base64; printf %s \"$KEPT\" | od -v -An -tx1 | tr -d ' \\n'"
    done = agent_runs(machine, f"cd / && $cs exec --only KEPT --only TOKEN -- sh -c {shlex.quote(show)}; pwd")
    assert done.stdout == "[secret://KEPT]\n[secret://KEPT]K\n[secret://KEPT]/\n"
    counted = agent_runs(machine, "$cs exec --only KEPT -- sh -c 'test ${#KEPT} = 17; echo $?'")
    assert (counted.stdout, counted.stderr) == ("0\n", "")
    events = json.loads(machine.run("log", "--json", "--tool", "exec", at=machine.home / "work" / "a").stdout)
    assert {(event["caller"], event["outcome"]) for event in events} == {("agent", "done")}
    missing = agent_runs(machine, "$cs exec --only NO_1 --only NO_2 --only KEPT -- true")
    assert "'NO_1', 'NO_2'" in missing.stderr
    assert "The person can store 'NO_1': " in missing.stderr


NOT_NOTICED = {
    "substituted processes that it reads": "{} diff <(echo a; echo b) <(echo a; echo c)",
    "a file to read": "{} bash -c 'cat <&7' 7<text",
    "a file to read, by its path": "{} cat /dev/fd/7 7<text",
    "a pipe to read": "exec 8< <(echo piped); {} bash -c 'cat <&8'",
    "text to read": "{} bash -c 'cat <&9' 9<<<text",
    "its input": "echo given | {} cat",
    "its output and errors": "{} bash -c 'echo out; echo err >&2; exit 5'",
    "descriptors of its own": "{} bash -c 'exec 3>own 4>&1; echo a >&3; echo b >&4; cat own'",
    "what it starts inherits": "{} bash -c 'exec 5>&1; bash -c \"echo deeper >&5\"'",
    "a substituted process of its own": "{} bash -c 'exec 5> >(cat >own); echo a >&5; exec 5>&-; wait $!; cat own'",
}
"""Common uses of file descriptors in which output reaches the agent only through the filter, or there is no output.
This table was written before the others.
"""


@pytest.mark.parametrize("habit", NOT_NOTICED)
def test_an_agent_does_not_notice_that_ways_around_the_filter_are_closed(machine: Machine, habit: str) -> None:
    (machine.home / "work" / "a" / "text").write_text("text\n")
    plain, done = (
        agent_runs(machine, f"set -o pipefail; {NOT_NOTICED[habit].format(words)}")
        for words in ("", "$cs exec --only KEPT --")
    )
    assert (done.returncode, done.stdout, done.stderr) == (plain.returncode, plain.stdout, plain.stderr)
    assert plain.stdout != ""


OUTLETS = {
    "a copy of its output": "exec 3>&1; {} 3",
    "a copy of its errors": "exec 4>&2; {} 4",
    "a number far up": "exec 250>&1; {} 250",
    "a file": "exec 5>leak; {} 5; cat leak",
    "a file to add to": "exec 5>>leak; {} 5; cat leak",
    "a file to read and write": "exec 6<>leak; {} 6; cat leak",
    "a substituted process that it writes to": "exec 7> >(cat); {} 7",
    "a pipe with a name": "mkfifo pipe; cat pipe & exec 8>pipe; {} 8; exec 8>&-; wait",
    "a socket": """$python -c '
import socket, subprocess, sys
ours, its = socket.socketpair()
subprocess.run([*sys.argv[1:], str(its.fileno())], pass_fds=[its.fileno()])
its.close()
print(ours.recv(100))' {}""",
    "a terminal": """$python -c '
import os, subprocess, sys
ours, its = os.openpty()
subprocess.run([*sys.argv[1:], str(its)], pass_fds=[its])
os.write(its, b"end")
print(os.read(ours, 100))' {}""",
}
WRITE = """$cs exec --only TOKEN -- bash -c 'printenv TOKEN; printenv TOKEN >&$1' bash"""


@pytest.mark.parametrize("outlet", OUTLETS)
def test_an_agents_program_has_no_way_around_the_filter_that_it_was_handed(machine: Machine, outlet: str) -> None:
    for left in ("leak", "pipe"):
        (machine.home / "work" / "a" / left).unlink(missing_ok=True)
    done = agent_runs(machine, OUTLETS[outlet].format(WRITE))
    assert "canary" not in done.stdout + done.stderr
    assert done.stdout.startswith("[secret://TOKEN]\n")
    assert "Bad file descriptor" in done.stderr


def test_nor_has_it_on_a_terminal(machine: Machine) -> None:
    inside = machine.home / "inside"
    inside.write_text(f"exec 3>&1 4</dev/null; {WRITE} 3; $cs exec --only TOKEN -- bash -c 'cat <&4 && echo read'\n")
    done = agent_runs(machine, f"script -qec 'bash {inside}' /dev/null")
    assert "canary" not in done.stdout
    assert "[secret://TOKEN]" in done.stdout
    assert done.stdout.count("Bad file descriptor") == 1
    # When its input ends, `script` sends an end-of-file character, which the terminal may echo as ^@ at any point.
    assert "read" in done.stdout.replace("^@", "").splitlines(), done


def test_an_agents_program_has_the_codes_limits_and_end_of_a_persons(machine: Machine) -> None:
    words = "$cs exec --only TOKEN --"
    for word, code, says in (
        ("no-such-program", 127, "There is no such program.\n"),
        ("'echo $TOKEN'", 127, "exec starts a program without a shell"),
        ("/tmp", 126, "The program cannot be run: Is a directory.\n"),
    ):
        done = agent_runs(machine, f"{words} {word}")
        assert (done.returncode, says in done.stderr) == (code, True)
    limits = agent_runs(machine, f"ulimit -Sc 300; ulimit -Hc 4000; {words} bash -c 'ulimit -Sc; ulimit -Hc'")
    assert limits.stdout.split() == ["300", "4000"]
    if sys.platform == "linux":
        inside = "echo $PPID $$ >n.new; mv n.new n; while :; do sleep 0.1; done"
        kill = "read by number <n; kill -9 $by; while test -e /proc/$number; do sleep 0.1; done; echo ended"
        killed = agent_runs(machine, f"{words} sh -c '{inside}' & while test ! -e n; do sleep 0.1; done; {kill}")
        assert killed.stdout == "ended\n"


def test_the_persons_programs_inherit_what_they_are_handed(machine: Machine) -> None:
    for redact in ("", "--redact"):
        for outlet in ("a copy of its output", "a file", "a socket", "a substituted process that it writes to"):
            script = OUTLETS[outlet].format(WRITE.replace("exec", f"exec {redact}"))
            done = agent_runs(machine, f"{script}; exec 7>&-; wait", marker="")
            assert done.stdout.count("canary-a-value") == (1 if redact else 2), done
            assert done.stderr == ""


def test_what_security_says_that_leads_around_the_filter_does(machine: Machine) -> None:
    """Test two known holes. If this test fails because one is fixed, change the sentence in security-model.md."""
    script = f"""$python -c '
import socket, subprocess, sys
ours, its = socket.socketpair()
subprocess.run(sys.argv[1:], stdin=its)
print(ours.recv(100))' {WRITE} 0"""
    assert "canary-a-value" in agent_runs(machine, script).stdout
    script = """script -qec '$cs exec --only TOKEN -- sh -c "printenv TOKEN >/dev/tty" | cat' /dev/null"""
    assert "canary-a-value" in agent_runs(machine, script).stdout
    assert "to `/dev/tty`, or to its standard input if that is a terminal or a socket" in SECURITY


ATTEMPTS = {
    "going there": "cd $b && {}",
    "naming it": "{} --project $b",
    "the environment": "CLAUDE_PROJECT_DIR=$b {}",
    "a link": "cd ~/link && {}",
    "without the mark": "cd $b && env -u CLAUDECODE {}",
    "without an environment": "cd $b && env -i HOME=$HOME PATH=$PATH XDG_RUNTIME_DIR=$XDG_RUNTIME_DIR {}",
    "on another terminal": "cd $b && script -qec '{}' /dev/null",
    "on another terminal without the mark": "cd $b && env -u CLAUDECODE script -qec '{}' /dev/null",
    "in another session": "cd $b && env -u CLAUDECODE setsid -w {}",
    "a configuration of its own": "XDG_CONFIG_HOME=~/evil {}",
    "another home": "cd $b && env -u CLAUDECODE HOME=~/evil {}",
    "another store": "CLAUDE_SECRETS_STORE=/nowhere/secrets.db {}",
    "another scope": "{} --scope shared",
}


@pytest.mark.parametrize(
    ("attempt", "command"),
    [
        (attempt, command)
        for number, attempt in enumerate(ATTEMPTS)
        for command in ("get B_TOKEN", *in_turn(("exec --only B_TOKEN -- printenv B_TOKEN", "list"), number, 1))
    ],
)
def test_an_agent_gets_nothing_of_another_project(machine: Machine, attempt: str, command: str) -> None:
    words = f"$cs {command}"
    if attempt in ("naming it", "another scope"):  # an option must precede the program that `exec` runs
        option = ATTEMPTS[attempt].removeprefix("{} ")
        script = words.replace(" -- ", f" {option} -- ") if " -- " in words else f"{words} {option}"
    else:
        script = ATTEMPTS[attempt].format(words)
    done = agent_runs(machine, script)
    assert "canary" not in done.stdout + done.stderr
    assert command != "list" or "B_TOKEN" not in done.stdout
    assert done.returncode in (0, 3) if command == "list" else done.returncode == 3, done.stderr


DESCENDS = {
    "the shell is replaced": "cd $b && exec env -u CLAUDECODE {}",
    "the shell is replaced by its last command": "cd $b; env -u CLAUDECODE {}",
    "unset": "cd $b; unset CLAUDECODE; {}",
    "unset, and replaced": "cd $b; unset CLAUDECODE; exec {}",
    "an empty environment": "cd $b; exec env -i HOME=$HOME PATH=$PATH XDG_RUNTIME_DIR=$XDG_RUNTIME_DIR {}",
    "a subshell": "(cd $b; unset CLAUDECODE; {})",
    "another shell": "unset CLAUDECODE; exec sh -c 'cd $b; {}'",
    "a session of its own": "cd $b; unset CLAUDECODE; exec setsid -w {}",
    "nohup": "cd $b; unset CLAUDECODE; exec nohup {}",
    "in the background": "cd $b; unset CLAUDECODE; {} & wait",
    "a terminal by script": "cd $b; unset CLAUDECODE; exec script -qec '{}' /dev/null",
    "a terminal of its own": "cd $b; unset CLAUDECODE; exec $python -c 'import pty, sys; pty.spawn(sys.argv[1:])' {}",
    "python": "cd $b; unset CLAUDECODE; exec $python -c 'import subprocess, sys; subprocess.run(sys.argv[1:])' {}",
    "env": "cd $b; exec env -u CLAUDECODE env -u CLAUDECODE {}",
    "timeout": "cd $b; exec env -u CLAUDECODE timeout 20 {}",
    "uv": "cd $b; exec env -u CLAUDECODE $uv run --no-project --offline -- {}",
    "a process that does not show its environment": "cd $b; exec $python -c "
    '\'import ctypes, os, subprocess, sys; ctypes.CDLL(None).prctl(4, 0); os.environ.pop("CLAUDECODE");'
    " subprocess.run(sys.argv[1:])' {}",
}
"""Ways to remove the marker while the client stays an ancestor of the process."""


@pytest.mark.parametrize(
    ("way", "shell"),
    [(way, shell) for number, way in enumerate(DESCENDS) for shell in ("bash", *in_turn(("dash", "zsh"), number, 1))],
)
def test_an_agent_below_a_client_that_is_known_by_its_name_stays_one(machine: Machine, way: str, shell: str) -> None:
    if way == "uv":
        require_real(UV.exists(), "uv")
    for command in ("get B_TOKEN", "projects") if shell == "bash" else ("get B_TOKEN",):
        done = agent_runs(machine, DESCENDS[way].format(f"$cs {command}"), client="claude", shell=shell)
        assert "canary" not in done.stdout + done.stderr
        assert re.search(r"\[(NOT_TRUSTED|NOT_ALLOWLISTED|PERSON_ONLY)\]", done.stdout + done.stderr), done


def test_the_same_client_without_a_mark_or_a_name_would_be_the_person(machine: Machine) -> None:
    """Show that the value exists: without a marker or a client's name, the same call returns it."""
    assert agent_runs(machine, "cd $b && exec $cs get B_TOKEN", marker="").stdout == "canary-b-value"


@pytest.mark.skipif(sys.platform != "linux", reason="there are no namespaces")
@pytest.mark.parametrize("options", ["-r", "-rm", "-rpf --mount-proc", "-U"])
def test_nobody_leaves_by_a_namespace(machine: Machine, options: str) -> None:
    require_real(sandboxes(), "a user who may make namespaces")
    for client, mark in (("claude", "CLAUDECODE"), ("runtime", "")):
        script = f"cd $b; unset CLAUDECODE; exec unshare {options} $cs get B_TOKEN"
        done = agent_runs(machine, script, client=client, marker=mark)
        assert (done.returncode, done.stdout) == (3, "")
        assert "`namespace: mine`" in done.stderr


def test_whoever_works_in_a_namespace_says_so(machine: Machine, tmp_path: Path) -> None:
    require_real(sandboxes(), "a user who may make namespaces")
    other = Machine(tmp_path).use_key_file()
    other.run("set", "TOKEN", stdin="canary")
    inside = ["unshare", "-r", *PROGRAM, "get", "TOKEN"]
    assert "[PERSON_ONLY]" in subprocess.run(inside, env=other.environment, capture_output=True, text=True).stderr  # noqa: PLW1510
    other.configure("namespace: mine")
    assert subprocess.run(inside, env=other.environment, capture_output=True, text=True).stdout == "canary"  # noqa: PLW1510


@pytest.mark.parametrize("kill", ["", "1"])
def test_a_client_without_a_name_is_known_once_it_has_started_a_server(
    machine: Machine, tmp_path: Path, kill: str
) -> None:
    records = {"TESTS_CLIENT_RECORDS": str(tmp_path / "clients")}
    server = {**records, "KILL_SERVER": kill}
    attack = "cd $b && exec $cs get B_TOKEN"
    done = agent_runs(machine, attack, marker="", server=PROGRAM, environment=server)
    assert (done.returncode, done.stdout) == (3, "")
    assert "[NOT_TRUSTED]" in done.stderr
    (record,) = (tmp_path / "clients").iterdir()
    # Meanwhile the person's own commands still work.
    again = machine.run("get", "B_TOKEN", at=machine.home / "work" / "b", environment=records)
    assert again.stdout == "canary-b-value"
    # The next server deletes records from another boot, and records of processes that have ended.
    old = record.with_name("another-boot.1.1")
    old.touch()
    agent_runs(machine, "true", marker="", server=PROGRAM, environment=server)
    assert not old.exists()
    assert not record.exists()


def test_erasing_the_record_is_not_enough_where_the_name_tells(machine: Machine, tmp_path: Path) -> None:
    records = {"TESTS_CLIENT_RECORDS": str(tmp_path / "clients")}
    attack = f"rm -r {tmp_path}/clients; cd $b && exec $cs get B_TOKEN"
    named = agent_runs(machine, attack, marker="", client="claude", server=PROGRAM, environment=records)
    assert (named.returncode, named.stdout) == (3, "")
    unnamed = agent_runs(machine, attack, marker="", server=PROGRAM, environment=records)
    assert unnamed.stdout == "canary-b-value"
    assert "an agent can remove that note" in SECURITY


def test_what_security_says_that_leaves_the_descent_does(machine: Machine) -> None:
    """Test a known hole. If this test fails because the hole is fixed, change the sentence in security-model.md."""
    script = "(setsid sh -c 'unset CLAUDECODE; cd $b; sleep 0.3; exec $cs get B_TOKEN' >~/orphan-said 2>&1 &) ; true"
    agent_runs(machine, script, client="claude")
    until(lambda: (machine.home / "orphan-said").exists() and (machine.home / "orphan-said").read_text() != "")
    assert (machine.home / "orphan-said").read_text() == "canary-b-value"
    assert "a process whose parents have ended" in SECURITY


BY_HAND = {
    "": "cd $b; $answers $cs",
    "without the mark": "cd $b; env -u CLAUDECODE $answers $cs; true",
    "the shell is replaced": "cd $b; unset CLAUDECODE; exec $answers $cs",
    "only the server is unmarked": "cd $b; exec $answers env -u CLAUDECODE $cs",
    "uv": "cd $b; unset CLAUDECODE; exec $answers $uv run --no-project --offline -- $cs",
    "a shell between": 'cd $b; unset CLAUDECODE; exec $answers sh -c "$cs; true"',
    "on a terminal": 'cd $b; unset CLAUDECODE; exec script -qec "$answers $cs" /dev/null',
    "in its own project": "$answers $cs",
    "naming the other": "$answers $cs --project $b",
    "where it looks like the client": "cd $b; python=~/claude; unset CLAUDECODE; exec $answers $cs",
}


@pytest.mark.parametrize("way", BY_HAND)
@pytest.mark.parametrize("client", ["claude", "runtime"])
def test_an_agent_does_not_answer_its_own_questions(machine: Machine, way: str, client: str) -> None:
    mark = "CLAUDECODE" if client == "claude" else "CLAUDE_SECRETS_AGENT"
    if way == "uv":
        require_real(UV.exists(), "uv")
    if client == "runtime" and "unset" in BY_HAND[way]:  # a known hole: only the marker showed the agent
        assert "replaces its shell" in SECURITY
        return
    script = BY_HAND[way].replace("CLAUDECODE", mark)
    answers = f"$python {machine.home / 'answers.py'} B_TOKEN,KEPT"
    done = agent_runs(machine, script.replace("$answers", answers), client=client, marker=mark)
    assert "canary" not in done.stdout + done.stderr
    assert "asked {" not in done.stdout
    refused = re.findall("does not ask the person|NO_PROJECT|PROJECT_CONFLICT", done.stdout)
    assert len(refused) == 3, done  # two values and a page


def test_the_persons_own_client_is_asked(machine: Machine) -> None:
    """Show that the person's client does get the questions that the agents in the other tests do not get."""
    done = agent_runs(machine, "exec $python ~/answers.py KEPT $cs", marker="")
    assert "canary-kept-value" in done.stdout
    assert done.stdout.count("asked {") == 2


def test_an_agent_does_not_answer_through_pipes_beside_a_server_that_replaces_its_shell(machine: Machine) -> None:
    for client, name, expected in (("claude", "B_TOKEN", "NOT_TRUSTED"), ("runtime", "B_GIVEN", "asked\n")):
        pipes = machine.home / f"pipes-{client}"
        talk = CONVERSATION.replace("IN", f"{pipes}/in").replace("OUT", f"{pipes}/out").replace("NAME", name)
        script = (
            f"mkdir {pipes}; mkfifo {pipes}/in {pipes}/out; unset CLAUDECODE; {talk} exec $cs <{pipes}/in >{pipes}/out"
        )
        done = agent_runs(machine, script, client=client)
        assert expected in done.stderr, done
        assert client == "runtime" or "asked\n" not in done.stderr
    # The second client got a grant. Revoke it, since the other tests use the project without it.
    assert "B_GIVEN" in machine.run("revoke", "B_GIVEN", at=machine.home / "work" / "a").stdout


def test_a_server_that_an_agent_starts_by_hand_is_bound_to_its_project(machine: Machine) -> None:
    lines = [
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "initialize",
            "params": {
                "protocolVersion": "2025-11-25",
                "capabilities": {},
                "clientInfo": {"name": "c", "version": "1"},
            },
        },
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        *(
            {
                "jsonrpc": "2.0",
                "id": n,
                "method": "tools/call",
                "params": {"name": "get_secret", "arguments": {"name": n}},
            }
            for n in ("TOKEN", "B_TOKEN")
        ),
    ]
    stdin = "".join(json.dumps(line) + "\n" for line in lines)
    for script in (
        "cd $b && $cs",
        "$cs --project $b",
        "CLAUDE_PROJECT_DIR=$b $cs",
        "cd $b && env -u CLAUDECODE $cs serve",
        "XDG_CONFIG_HOME=~/evil-b $cs",
        "cd $b && env -u CLAUDECODE XDG_CONFIG_HOME=~/evil-b $cs",
        "HOME=~/evil-b XDG_CONFIG_HOME= $cs",
    ):
        done = agent_runs(machine, script, stdin=stdin)
        assert "canary-b" not in done.stdout
        assert done.stdout.count('"id"') == 3
    assert "canary-a" in agent_runs(machine, "cd /; $cs", stdin=stdin).stdout
    for script in ("$cs --project $b", "CLAUDE_PROJECT_DIR=$b $cs", "cd $b && $cs"):
        done = agent_runs(machine, script, stdin=stdin, at="../..")  # this directory is in no project
        assert ("canary" in done.stdout, done.stdout.count("[NO_PROJECT]")) == (False, 2)


def test_a_server_whose_agent_cannot_be_seen_does_not_start(machine: Machine) -> None:
    script = "(setsid sh -c 'sleep 0.5; $cs serve; echo $?' </dev/null >~/served 2>&1 &)"
    agent_runs(machine, f"{script}; until grep -qx '[0-9][0-9]*' ~/served; do sleep 0.1; done")
    said = (machine.home / "served").read_text()
    assert "[NO_PROJECT]" in said
    assert said.endswith("3\n")


def test_a_clients_own_settings_of_the_server_hold(machine: Machine) -> None:
    script = f"CLAUDE_SECRETS_STORE={machine.home}/other.db $cs --store {machine.home}/another.db"
    ping = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"}) + "\n"
    assert agent_runs(machine, script, stdin=ping).returncode == 0
    assert agent_runs(machine, "cd ~; $cs --project work/a", stdin=ping).returncode == 0


def sandboxes() -> bool:
    sandboxed = [shutil.which("unshare") or "false", "-rpf", "--mount-proc", "true"]
    return subprocess.run(sandboxed, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not sandboxes(), reason="this user may make no namespaces")
@pytest.mark.parametrize("options", ["-rpf --mount-proc", "-rpf"])
def test_who_hides_what_is_above_is_taken_for_an_agent(machine: Machine, options: str) -> None:
    for command in ("get B_TOKEN", "projects", "serve"):
        done = agent_runs(machine, f"cd $b && unset CLAUDECODE; unshare {options} $cs {command}")
        assert (done.returncode, done.stdout) == (3, "")


def test_thousands_of_processes_hide_nothing(machine: Machine) -> None:
    deep = "d() { if [ $1 = 0 ]; then $cs projects; else (d $(($1 - 1)); :); fi; }; unset CLAUDECODE; d 300"
    assert "[PERSON_ONLY]" in agent_runs(machine, deep).stderr


@pytest.mark.parametrize(
    "command", sorted(set(COMMANDS) - {"serve", "get", "set", "delete", "list", "search", "exec", "hook"})
)
def test_what_is_the_persons_alone_is_refused(machine: Machine, command: str) -> None:
    arguments = {
        "history": "TOKEN", "restore": "TOKEN", "purge": "TOKEN", "rename": "TOKEN X", "access": "TOKEN --readable",
        "allow": "X", "backup": "x", "key": "list", "recover": "create", "policy": "check", "import": "x.env",
    }  # fmt: skip
    done = agent_runs(machine, f"$cs {command} {arguments.get(command, '')}")
    assert (done.returncode, done.stdout) == (3, "")
    assert f"[PERSON_ONLY] An agent runs this command, but only the person may run `{command}`." in done.stderr


def test_access_and_expiry_are_the_persons_to_choose(machine: Machine) -> None:
    for option in ("--readable", "--use-only", "--expires 1d"):
        done = agent_runs(machine, f"$cs set KEPT {option}", stdin="w")
        assert "[PERSON_ONLY]" in done.stderr


@pytest.mark.parametrize("marker", sorted(detection.MARKERS))
def test_every_clients_mark_is_known(machine: Machine, marker: str) -> None:
    assert "[PERSON_ONLY]" in agent_runs(machine, "$cs projects", marker=marker).stderr


@pytest.mark.parametrize(
    "name", ["CODEX_HOME", "CURSOR_TRACE_ID", "CLAUDE_PROJECT_DIR", "CLAUDE_CONFIG_DIR", "claudecode"]
)
def test_what_people_have_in_their_environment_is_no_mark(machine: Machine, name: str) -> None:
    assert agent_runs(machine, "$cs projects", marker=name).returncode == 0


def test_where_the_agent_cannot_be_seen_nothing_is_allowed(machine: Machine) -> None:
    gone = machine.project("gone")
    done = agent_runs(machine, f"rm -r {gone}; $cs get TOKEN", at="gone")
    assert (done.returncode, done.stdout) == (3, "")
    script = "(setsid sh -c 'sleep 0.5; $cs get TOKEN' >~/orphan 2>&1 &) ; true"
    agent_runs(machine, f"{script}; until test -s ~/orphan; do sleep 0.1; done")
    assert "canary" not in (machine.home / "orphan").read_text()


def test_a_broken_policy_of_the_persons_refuses_an_agent(machine: Machine, tmp_path: Path) -> None:
    other = Machine(tmp_path).use_key_file()
    project = other.project("a")
    other.run("set", "TOKEN", at=project, stdin="canary")
    (other.home / ".config" / "claude-secrets").mkdir(parents=True, exist_ok=True)
    (other.home / ".config" / "claude-secrets" / "policy.yml").write_text("version: '1'\ndefault: deny\n")
    done = agent_runs(other, "$cs get TOKEN; $cs exec --only TOKEN -- true")
    assert done.stderr.count("[DENIED_BY_RULE]") == 2


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc to compare with")
def test_both_ways_of_looking_at_processes_see_the_same() -> None:
    ours, theirs = list(processes._Linux().ancestors()), list(processes._Psutil().ancestors())
    assert ours
    for one, other in zip(ours, theirs, strict=False):
        if one.environment is not None:
            seen = one._replace(executable=one.executable.removesuffix(" (deleted)"))
            assert seen == other._replace(started=one.started, privileged=one.privileged)


def test_psutil_may_find_no_ancestors(monkeypatch: pytest.MonkeyPatch) -> None:
    # On Windows a process outlives its parent and then has none. Here a stand-in says so.
    monkeypatch.setattr("psutil.Process.parents", lambda _: [])
    assert list(processes._Psutil().ancestors()) == []
