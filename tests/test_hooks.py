"""Hooks of Claude Code: what each event is answered with; none that fails blocks anything or tells a value."""

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.machine import DEADLINE, PROGRAM, Machine
from tests.test_agents import agent_runs

VALUE = "canary/" + "q7Rt+" * 9
KEPT = "canary-kept-0123456789"
SHORT = "canary-short"
EVENTS = ["session-start", "user-prompt-submit", "pre-tool-use", "post-tool-use"]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    machine = Machine(tmp_path_factory.mktemp("hooks")).use_key_file()
    a, b = machine.project("a"), machine.project("b")
    machine.run("set", "TOKEN", at=a, stdin=VALUE)
    machine.run("set", "KEPT", "--use-only", at=a, stdin=KEPT)
    machine.run("set", "SHORT", at=a, stdin=SHORT)
    machine.run("set", "OTHERS", at=b, stdin="canary-of-another-project")
    return machine


def hook(machine: Machine, event: str, *, at: str = "a", **fields: object) -> dict[str, Any]:
    """What is answered to an event; {} for nothing."""
    told = {"session_id": "s", "cwd": str(machine.home / "work" / at), "hook_event_name": event, **fields}
    done = machine.run("hook", event, stdin=json.dumps(told))
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout) if done.stdout else {}


def test_a_session_begins_with_the_names_and_how_to_use_them(machine: Machine) -> None:
    said = hook(machine, "session-start", source="startup")["hookSpecificOutput"]
    assert said["hookEventName"] == "SessionStart"
    assert "KEPT (use-only), SHORT, TOKEN. " in said["additionalContext"]
    for word in ("exec --only NAME", "secret://NAME", "input_secret"):
        assert word in said["additionalContext"]
    assert "canary" not in str(said)
    assert hook(machine, "session-start", at="../..") == {}


def spelled(value: str) -> dict[str, str]:
    encoded = base64.encodebytes(f"x{value}y".encode()).decode()
    return {
        "plain": f"<{value}>",
        "base64": encoded,
        "hex": value.encode().hex(),
        "JSON": json.dumps({"a": value}),
        "in a text of JSON": json.dumps(json.dumps({"a": encoded})),
    }


@pytest.mark.parametrize("form", spelled(""))
def test_what_tools_print_is_redacted(machine: Machine, form: str) -> None:
    text = spelled(VALUE)[form]
    response = {"stdout": f"begin\n{text}\nend", "stderr": "", "code": 0, "lines": [text, None, 1.5, True], text: {}}
    told = hook(machine, "post-tool-use", tool_name="Bash", tool_response=response)["hookSpecificOutput"]
    assert told["hookEventName"] == "PostToolUse"
    changed = told["updatedToolOutput"]
    assert "[secret://TOKEN]" in changed["stdout"]
    assert changed["stdout"].startswith("begin\n")
    assert changed["stdout"].endswith("\nend")
    assert {key: changed[key] for key in ("stderr", "code")} == {"stderr": "", "code": 0}
    assert changed["lines"][1:] == [None, 1.5, True]
    assert text not in json.dumps(changed)
    assert json.dumps(changed).count("[secret://TOKEN]") == 3


def test_use_only_values_are_redacted_too_and_what_is_not_ours_stays(machine: Machine) -> None:
    told = hook(machine, "post-tool-use", tool_name="Read", tool_response=f"a {KEPT} b")
    assert told["hookSpecificOutput"]["updatedToolOutput"] == "a [secret://KEPT] b"
    for text in ("nothing", SHORT, "canary-of-another-project", VALUE[:-1], "", ["\ud800"], None, 7):
        assert hook(machine, "post-tool-use", tool_name="Bash", tool_response=text) == {}
    for name in ("mcp__secrets__get_secret", "mcp__claude-secrets__get_secret"):
        given = {"name": "TOKEN"}
        assert hook(machine, "post-tool-use", tool_name=name, tool_input=given, tool_response=VALUE) == {}
    assert hook(machine, "post-tool-use", tool_name="mcp__other__fetch", tool_response=VALUE) != {}


def test_a_prompt_with_a_value_is_warned_of(machine: Machine) -> None:
    said = hook(machine, "user-prompt-submit", prompt=f"use {VALUE} please")
    assert "the value of TOKEN" in said["systemMessage"]
    assert "secret://TOKEN" in said["hookSpecificOutput"]["additionalContext"]
    assert "canary" not in str(said)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("a GitHub token", "ghp_" + "a1B2" * 9),
        ("an Anthropic key", "sk-ant-api03-" + "x" * 40),
        ("an AWS access key", "AKIA" + "ABCD" * 4),
        ("a private key", "-----BEGIN OPENSSH PRIVATE KEY-----"),
        ("an address with a password", "postgres://app:hunter2hunter2@db.example/app"),
    ],
)
def test_a_prompt_with_what_looks_like_a_credential_is_warned_of(machine: Machine, kind: str, text: str) -> None:
    said = hook(machine, "user-prompt-submit", prompt=f"here it is: {text} ok?")
    assert kind in said["systemMessage"]
    assert "input_secret" in said["hookSpecificOutput"]["additionalContext"]
    assert text not in str(said)


@pytest.mark.parametrize(
    "prompt", ["fix the tests", "https://example.com/a", "postgres://u:secret://PW@h/d", "http://u:${PW}@h", "sk-short"]
)
def test_other_prompts_are_left_alone(machine: Machine, prompt: str) -> None:
    assert hook(machine, "user-prompt-submit", prompt=prompt) == {}


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
        assert "search in a narrower one" in said["permissionDecisionReason"]
    said = hook(machine, "pre-tool-use", at="../.keys", tool_name="Grep", tool_input={"pattern": "."})
    assert said["hookSpecificOutput"]["permissionDecision"] == "deny"
    assert hook(machine, "pre-tool-use", tool_name="Grep", tool_input={"pattern": "."}) == {}
    for given in ({"file_path": "README.md"}, {"file_path": str(machine.home)}, {}, {"file_path": 1}, "text"):
        assert hook(machine, "pre-tool-use", tool_name="Read", tool_input=given) == {}
    assert hook(machine, "pre-tool-use", tool_name="Bash", tool_input={"command": f"cat {machine.key_file}"}) == {}


def test_nor_where_the_configuration_is_broken(tmp_path: Path) -> None:
    machine = Machine(tmp_path).use_key_file()
    machine.run("set", "TOKEN", at=machine.project("a"), stdin=VALUE)
    own = machine.home / ".config" / "claude-secrets"
    own.mkdir(parents=True, exist_ok=True)
    (own / "config.yml").write_text("trust: [")
    said = hook(machine, "pre-tool-use", tool_name="Read", tool_input={"file_path": str(machine.key_file)})
    assert said["hookSpecificOutput"]["permissionDecision"] == "deny"


def test_what_get_secret_was_asked_for_stays_and_nothing_else(machine: Machine) -> None:
    for name, left in (("TOKEN", {"TOKEN"}), ("KEPT", set()), ("OTHERS", set()), (None, set())):
        told = hook(
            machine,
            "post-tool-use",
            tool_name="mcp__anything__get_secret",
            tool_input={"name": name},
            tool_response=f"{VALUE} {KEPT}",
        )["hookSpecificOutput"]["updatedToolOutput"]
        assert {each for each, value in (("TOKEN", VALUE), ("KEPT", KEPT)) if value in told} == left


@pytest.mark.parametrize("arguments", [["pre-tool-use", "more"], ["--what"], ["pre-tool-use", "--x=1"]])
def test_no_wrong_use_ends_with_the_code_that_blocks(machine: Machine, arguments: list[str]) -> None:
    assert machine.run("hook", *arguments, stdin="{}").returncode == 1


@pytest.mark.parametrize("event", [*EVENTS, "no-such-event", ""])
@pytest.mark.parametrize(
    "stdin", ["", "{", "[]", "null", VALUE, json.dumps({"cwd": VALUE, "tool_response": [VALUE], "prompt": 1})]
)
def test_a_hook_that_cannot_answer_blocks_nothing_and_tells_no_value(machine: Machine, event: str, stdin: str) -> None:
    done = machine.run("hook", *([event] if event else []), stdin=stdin)
    assert (done.returncode, done.stdout) == (0, "")
    assert "canary" not in done.stderr
    assert len(done.stderr.splitlines()) <= 1


@pytest.mark.parametrize("broken", ["store", "key", "allowlist"])
def test_nor_does_one_that_finds_things_broken(tmp_path: Path, broken: str) -> None:
    machine = Machine(tmp_path).use_key_file()
    project = machine.project("a")
    machine.run("set", "TOKEN", at=project, stdin=VALUE)
    if broken == "store":
        machine.store.write_bytes(b"x" * 4096)
    elif broken == "key":
        machine.key_file.unlink()
    else:
        (project / ".claude" / "secrets.yml").write_text("allow: [")
    for event in EVENTS:
        told = {"cwd": str(project), "prompt": VALUE, "tool_name": "Read", "tool_response": VALUE, "tool_input": {}}
        done = machine.run("hook", event, stdin=json.dumps(told))
        assert (done.returncode, done.stdout) == (0, "")
        assert "canary" not in done.stderr


def test_an_agent_that_runs_a_hook_is_answered_for_its_own_project(machine: Machine) -> None:
    told = json.dumps(
        {"cwd": str(machine.home / "work" / "b"), "tool_name": "Bash", "tool_response": "canary-of-another-project"}
    )
    for event in ("session-start", "post-tool-use"):
        done = agent_runs(machine, f"cd $b; CLAUDE_PROJECT_DIR=$b $cs hook {event}", stdin=told)
        assert "OTHERS" not in done.stdout
        assert done.returncode == 0
    evil = machine.home / "evil" / "claude-secrets"
    evil.mkdir(parents=True)
    (evil / "config.yml").write_text(f"trust: off\nstore: {machine.store}\n")
    for event in ("session-start", "post-tool-use"):
        done = agent_runs(machine, f"XDG_CONFIG_HOME={evil.parent} $cs hook {event}", stdin=told)
        assert ("OTHERS" in done.stdout, done.stdout != "") == (False, event == "session-start")
    orphan = f"setsid sh -c 'sleep 0.5; $cs hook session-start; echo $?' <<<'{told}' >~/told 2>&1"
    agent_runs(machine, f"({orphan} &); sleep 3")
    assert (machine.home / "told").read_text() == "0\n"


def test_a_client_that_never_says_anything_is_not_waited_for(machine: Machine) -> None:
    with subprocess.Popen(
        [*PROGRAM, "hook", "session-start"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=machine.environment
    ) as process:
        assert process.wait(DEADLINE) == 0
        assert process.stderr is not None
        assert b"TimeoutError" in process.stderr.read()
