"""Hooks that run after a tool: they replace values in its output, and withhold output that they cannot search."""

import base64
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from claude_secrets.cli.commands import hook as hook_command
from claude_secrets.cli.guarded_paths import texts
from tests.support.hook_events import KEPT, OTHERS, SHORT, UNREADABLE, VALUE, broken, hook
from tests.support.keyrings import RealKeyring
from tests.support.machine import DEADLINE, PROGRAM, Machine
from tests.support.rounds import rounds

pytestmark = pytest.mark.usefixtures("quick_starts")


@pytest.fixture(scope="module", name="machine")
def machine_of_two_projects(machine_with_two_projects: Machine) -> Machine:
    return machine_with_two_projects


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
    for text in ("nothing", SHORT, OTHERS[:-1], VALUE[:-1], "", ["\ud800"], None, 7):
        assert hook(machine, "post-tool-use", tool_name="Bash", tool_response=text) == {}
    for name in ("mcp__secrets__get_secret", "mcp__claude-secrets__get_secret"):
        given = {"name": "TOKEN"}
        assert hook(machine, "post-tool-use", tool_name=name, tool_input=given, tool_response=VALUE) == {}
    assert hook(machine, "post-tool-use", tool_name="mcp__other__fetch", tool_response=VALUE) != {}


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


@pytest.mark.parametrize("stdin", UNREADABLE)
def test_an_output_that_cannot_be_read_is_not_shown(machine: Machine, stdin: str) -> None:
    """The output's shape is not known, so the hook makes Claude Code stop before the model sees anything."""
    done = machine.run("hook", "post-tool-use", stdin=stdin)
    said = json.loads(done.stdout)
    assert said["continue"] is False
    assert "withheld" in said["stopReason"]
    assert "withheld" in said["hookSpecificOutput"]["updatedToolOutput"]
    assert "canary" not in done.stdout + done.stderr
    done = machine.run("hook", "post-tool-use-failure", stdin=stdin)
    assert "could not check its output for secrets" in json.loads(done.stdout)["systemMessage"]
    assert "canary" not in done.stdout + done.stderr


def test_nor_is_one_that_is_too_deep_or_too_large(machine: Machine) -> None:
    deep = '{"tool_response": ' + "[" * 700 + json.dumps(VALUE) + "]" * 700 + "}"
    too_deep = '{"tool_response": ' + "[" * 100_000 + "]" * 100_000 + "}"
    too_large = '{"tool_response": "' + "x" * hook_command.SIZE_LIMIT + '"}'
    for stdin, told in (
        (deep, r"withheld .*\((RecursionError|the event is nested too deeply)\)|secret://TOKEN"),  # per Python version
        (too_deep, r"withheld .*\(the event is nested too deeply\)"),
        (too_large, r"withheld .*\(the event is larger than 64 MiB\)"),
    ):
        done = machine.run("hook", "post-tool-use", stdin=stdin)
        assert VALUE not in done.stdout
        assert re.search(told, done.stdout), done.stderr


@pytest.mark.parametrize("number", ["NaN", "1e999", "-Infinity"])
def test_an_answer_is_json_for_any_reader(machine: Machine, number: str) -> None:
    stdin = f'{{"tool_name": "Bash", "tool_response": {{"stdout": "{VALUE}", "n": {number}}}}}'
    done = machine.run("hook", "post-tool-use", stdin=stdin)
    said = json.loads(done.stdout, parse_constant=lambda _: pytest.fail("no JSON"))
    assert "withheld" in said["hookSpecificOutput"]["updatedToolOutput"]


BASH = {"stdout": "a line of some length", "stderr": "", "interrupted": False, "isImage": False}
READ = {
    "type": "text",
    "file": {"filePath": "/work/a/some/file.txt", "content": "a line of some length", "numLines": 1},
}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo" * 20}}
FOUND = {"mode": "files_with_matches", "filenames": ["a/long/name/of/a/file", "b/long/name/of/a/file"], "numFiles": 2}
WITHHELD: dict[str, tuple[object, object]] = {
    "Bash": (BASH, {**BASH, "stdout": "TEXT"}),
    "Read": (READ, {"type": "text", "file": {"filePath": "TEXT", "content": "TEXT", "numLines": 1}}),
    "Grep": (FOUND, {**FOUND, "filenames": ["TEXT"]}),
    "text": ("the answer of a server", "TEXT"),
    "blocks": ([{"type": "text", "text": "the answer of a server"}, IMAGE], [{"type": "text", "text": "TEXT"}, IMAGE]),
    "key": ({VALUE: {"camelCaseAsFieldsAre": 1}}, {"TEXT": {"camelCaseAsFieldsAre": 1}}),
}
BREAKING = {
    "key": "KEY_MISSING",
    "another key": "KEY_WRONG",
    "store": "STORE_FORMAT",
    "row": "STORE_TAMPERED",
    "config.yml": "ALLOWLIST_INVALID",
    "inside": "STORE_UNAVAILABLE",
    "option": "PERSON_ONLY",
}


@pytest.mark.parametrize("what", BREAKING)
def test_where_values_cannot_be_looked_for_the_output_is_withheld(breakable: Machine, what: str) -> None:
    environment, options = broken(breakable, what)
    code = BREAKING[what]
    at = str(breakable.home / "work" / "a")

    def answered(event: str, **fields: object) -> dict[str, Any]:
        given = json.dumps({"cwd": at, **fields})
        done = breakable.run("hook", event, *options, stdin=given, environment=environment)
        assert done.returncode == 0
        assert done.stderr == f"claude-secrets hook {event}: {code}\n"
        assert "canary" not in done.stdout
        return json.loads(done.stdout)  # type: ignore[no-any-return]

    for tool, (output, shape) in WITHHELD.items():
        said = answered("post-tool-use", tool_name=tool, tool_response=output)
        changed = said["hookSpecificOutput"]["updatedToolOutput"]
        (text,) = {one for one in texts(changed) if "withheld" in one}
        assert json.loads(json.dumps(changed).replace(json.dumps(text)[1:-1], "TEXT")) == shape
        assert "doctor" in text
        assert f"({code})" in text
        assert f"({code})" in said["systemMessage"]
        assert "continue" not in said
    said = answered("post-tool-use-failure", tool_name="Bash", error=f"Exit code 1\n{VALUE}")
    assert f"could not check its output for secrets ({code})" in said["systemMessage"]


def test_nor_does_an_output_pass_while_the_keyring_is_locked(tmp_path: Path, keyring_session: RealKeyring) -> None:
    machine = Machine(tmp_path)
    machine.environment.update(keyring_session.environment)
    assert machine.run("set", "TOKEN", at=machine.project("a"), stdin=VALUE).returncode == 0
    given = json.dumps({"cwd": str(machine.home / "work" / "a"), "tool_name": "Bash", "tool_response": VALUE})
    assert "[secret://TOKEN]" in machine.run("hook", "post-tool-use", stdin=given).stdout
    keyring_session.lock()
    said = json.loads(machine.run("hook", "post-tool-use", stdin=given).stdout)
    assert "(KEYRING_LOCKED)" in said["hookSpecificOutput"]["updatedToolOutput"]


WITHOUT_TEXT = [
    None,
    7,
    "",
    "short",
    [],
    {},
    {"stdout": "", "stderr": "ok", "noOutputExpected": True},
    [IMAGE],
    {"type": "image", "file": {"base64": "iVBORw0KGgo" * 20, "type": "image/png"}},
    {"stdout": "data:image/png;base64,iVBORw0KGgo=", "isImage": True},
]


@pytest.mark.parametrize("what", ["key", "store", "config.yml"])
def test_an_output_without_text_passes_all_the_same(breakable: Machine, what: str) -> None:
    broken(breakable, what)
    for output in WITHOUT_TEXT:
        assert hook(breakable, "post-tool-use", tool_name="Bash", tool_response=output) == {}
    assert hook(breakable, "post-tool-use-failure", tool_name="Bash", error="Exit code 1") == {}


def test_who_has_no_store_notices_nothing(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.project("a")
    text = f"a text of some length and {VALUE}"
    for at in ("a", "../.."):
        assert hook(machine, "post-tool-use", at=at, tool_name="Bash", tool_response={"stdout": text}) == {}
        assert hook(machine, "post-tool-use-failure", at=at, tool_name="Bash", error=text) == {}
    assert not machine.store.exists()


def test_nor_who_has_no_long_secrets(tmp_path: Path) -> None:
    machine = Machine(tmp_path).use_key_file()
    machine.run("set", "SHORT", at=machine.project("a"), stdin="fifteen-letters")
    text = "fifteen-letters and a text of some length"
    for event, fields in (("post-tool-use", {"tool_response": text}), ("post-tool-use-failure", {"error": text})):
        assert hook(machine, event, tool_name="Bash", **fields) == {}


PLACES = ["a", "no allowlist", "broken allowlist", "no project", "gone"]


@pytest.mark.parametrize("place", PLACES)
def test_values_are_replaced_wherever_it_is_and_named_only_to_their_project(machine: Machine, place: str) -> None:
    directory = machine.home / "work" / place
    if place != "gone":
        directory.mkdir(exist_ok=True)
    if place in ("no allowlist", "broken allowlist"):
        (directory / ".git").mkdir(exist_ok=True)
        (directory / ".claude").mkdir(exist_ok=True)
    if place == "broken allowlist":
        (directory / ".claude" / "secrets.yml").write_text("allow: [")
    assert hook(machine, "post-tool-use", at=place, tool_name="Bash", tool_response="a text of some length") == {}
    told = hook(machine, "post-tool-use", at=place, tool_name="Bash", tool_response=f"{VALUE} {OTHERS} {SHORT}")
    first = "[secret://TOKEN]" if place == "a" else "[a secret]"
    assert told["hookSpecificOutput"]["updatedToolOutput"] == f"{first} [a secret] {SHORT}"
    assert "systemMessage" not in told


def test_a_name_in_another_scope_is_not_the_projects(tmp_path: Path) -> None:
    machine = Machine(tmp_path).use_key_file()
    a = machine.project("a")
    elsewhere = "canary-in-another-scope"
    machine.run("set", "TOKEN", at=a, stdin=VALUE)
    machine.run("set", "TOKEN", "--scope", "acme", at=machine.home, stdin=elsewhere)
    machine.run("set", "SAME", "--scope", "acme", at=machine.home, stdin=VALUE)
    machine.run("set", "PART", "--scope", "acme", at=machine.home, stdin=VALUE[:20])
    machine.run("set", "GONE", at=a, stdin="canary-that-was-deleted")
    assert machine.run("delete", "GONE", "--yes", at=a).returncode == 0
    text = f"{elsewhere} {VALUE} canary-that-was-deleted"
    told = hook(machine, "post-tool-use", tool_name="Bash", tool_response=text)["hookSpecificOutput"]
    assert told["updatedToolOutput"] == "[a secret] [secret://TOKEN] canary-that-was-deleted"
    told = hook(machine, "user-prompt-submit", prompt=f"use {elsewhere}")
    assert "secret://" not in str(told)
    assert "the value of a secret that this project's agents have no access to" in told["systemMessage"]
    assert "TOKEN" not in str(told)
    tool, given = "mcp__secrets__get_secret", {"name": "TOKEN"}
    assert hook(machine, "post-tool-use", tool_name=tool, tool_input=given, tool_response=VALUE) == {}
    told = hook(machine, "post-tool-use", tool_name=tool, tool_input=given, tool_response=elsewhere)
    assert told["hookSpecificOutput"]["updatedToolOutput"] == "[a secret]"


def test_what_a_failing_tool_showed_is_reported_to_both(machine: Machine) -> None:
    told = hook(
        machine, "post-tool-use-failure", tool_name="Bash", error=f"Exit code 1\n{VALUE}\n{KEPT.encode().hex()}"
    )
    assert "the value of KEPT and TOKEN" in told["systemMessage"]
    assert "set KEPT` " in told["systemMessage"]
    assert "set TOKEN`" in told["systemMessage"]
    assert told["hookSpecificOutput"]["hookEventName"] == "PostToolUseFailure"
    assert "the value of KEPT and TOKEN. Do not repeat it" in told["hookSpecificOutput"]["additionalContext"]
    told = hook(machine, "post-tool-use-failure", tool_name="mcp__x__y", error=OTHERS)
    assert "a secret that this project's agents have no access to" in told["systemMessage"]
    assert "scan --transcripts" in told["systemMessage"]
    assert not re.search("OTHERS|canary", str(told))
    for text in ("Exit code 1\nnothing to see here", "", None, VALUE[:-1]):
        assert hook(machine, "post-tool-use-failure", tool_name="Bash", error=text) == {}


ENDLESS = """
import runpy, sys, threading, time
from claude_secrets.cli import hook_output

begun = threading.Event()

def search(*_):
    begun.set()
    while True:
        pass

hook_output.replaced = hook_output.reported = search
time.sleep = lambda _: begun.wait()  # the deadline is when the search has begun
runpy.run_path(sys.argv.pop(1), run_name="__main__")
"""


def test_a_search_that_does_not_end_withholds_the_output(machine: Machine) -> None:
    at = str(machine.home / "work" / "a")

    def told(event: str, **fields: object) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-P", "-c", ENDLESS, PROGRAM[-1], "hook", event],
            input=json.dumps({"cwd": at, **fields}),
            env=machine.environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=True,
        )
        assert "canary" not in done.stdout + done.stderr
        return json.loads(done.stdout)  # type: ignore[no-any-return]

    said = told("post-tool-use", tool_name="Bash", tool_response={"stdout": VALUE, "code": 0})
    changed = said["hookSpecificOutput"]["updatedToolOutput"]
    assert changed["code"] == 0
    assert "withheld this output because it could not check it for secrets (TimeoutError)" in changed["stdout"]
    assert "(TimeoutError)" in told("post-tool-use-failure", error=VALUE)["systemMessage"]


@pytest.mark.parametrize("size", [20_480, rounds(1 << 18, 1 << 20)])
def test_a_long_value_of_one_letter_does_not_hold_an_output_back(tmp_path: Path, size: int) -> None:
    machine = Machine(tmp_path).use_key_file()
    machine.run("set", "LONG", at=machine.project("a"), stdin="a" * size)
    half, other = {"stdout": "a" * (size // 2)}, {"stdout": "a" * (size // 2) + "b" + "a" * (size // 2)}
    for response in (half, other):
        assert hook(machine, "post-tool-use", tool_name="Bash", tool_response=response) == {}
    assert hook(machine, "post-tool-use-failure", tool_name="Bash", error="a" * (size // 2)) == {}
    told = hook(machine, "post-tool-use", tool_name="Bash", tool_response={"stdout": f"<{'a' * size}>"})
    assert told["hookSpecificOutput"]["updatedToolOutput"] == {"stdout": "<[secret://LONG]>"}
