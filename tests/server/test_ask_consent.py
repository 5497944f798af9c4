"""Consent over the wire: the official client in both protocol eras, and clients that cheat."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp_types import ElicitRequestFormParams, ElicitResult, TextContent

from claude_secrets.model import Access
from claude_secrets.untrusted_text import shortened
from tests.support.disk import make_linked
from tests.support.machine import DEADLINE, PROGRAM, Machine, Wire

ERAS = ["legacy", "2026-07-28"]
YES = {"action": "accept", "content": {"approve": True}}
HASTY = [sys.executable, "-P", "-m", "tests.support.hasty_server", "600"]


@pytest.fixture(name="machine")
def machine_with_token(machine: Machine) -> Machine:
    machine.keep("TOKEN", "canary")
    return machine


class Person:
    """The person behind the official client: the questions they got, and their reaction."""

    def __init__(self, *answers: object, before: Callable[[], object] = lambda: None) -> None:
        self.asked: list[ElicitRequestFormParams] = []
        self._answers = list(answers)
        self._before = before

    async def __call__(self, _context: object, params: object) -> ElicitResult:
        assert isinstance(params, ElicitRequestFormParams)
        self.asked.append(params)
        self._before()
        answer = self._answers.pop(0) if self._answers else "nothing"
        if answer == "nothing":
            await anyio.sleep(DEADLINE)
        # This skips the model's checks, because another vendor's client could send the same.
        return ElicitResult.model_construct(**answer)  # type: ignore[arg-type]


def session(
    machine: Machine,
    project: Path,
    mode: str,
    person: Person,
    *calls: tuple[str, dict[str, str]],
    program: list[str] = PROGRAM,
) -> list[str]:
    """Make the calls with the official client and return the texts that it got."""
    environment = {**machine.environment, "PYTHONPATH": str(Path(__file__).parents[2])}
    parameters = StdioServerParameters(command=program[0], args=program[1:], env=environment, cwd=str(project))

    async def talk() -> list[str]:
        async with Client(parameters, mode=mode, elicitation_callback=person) as client:  # type: ignore[arg-type]  # the callback's context is not used
            said = []
            for tool, arguments in calls:
                result = await client.call_tool(tool, arguments)
                said += [block.text for block in result.content if isinstance(block, TextContent)]
            return said

    with anyio.from_thread.start_blocking_portal() as portal:
        return portal.call(talk)


GET = ("get_secret", {"name": "TOKEN"})


@pytest.mark.parametrize("mode", ERAS)
def test_an_exact_yes_lets_the_call_go_on_and_is_remembered(machine: Machine, mode: str) -> None:
    project = machine.project("clone")
    person = Person(YES)
    assert session(machine, project, mode, person, GET, GET) == ["canary", "canary"]
    (asked,) = person.asked
    assert "read TOKEN, stored by you (readable)" in asked.message
    assert shortened(str(project)) in asked.message
    assert "canary" not in asked.model_dump_json()
    with machine.server(project) as wire:
        assert wire.text("get_secret", name="TOKEN") == "canary"
    events = json.loads(machine.run("log", "--json", "--tool", "get_secret", at=project).stdout)
    assert [(event["outcome"], event["channel"]) for event in events] == [
        ("asked", ""),
        ("done", "client"),
        ("done", ""),
        ("done", ""),
    ]
    assert (events[1]["channel"], events[0]["client"] != "") == ("client", True)


def linked(machine: Machine) -> tuple[Path, Path]:
    main, tree = machine.project("main"), machine.project("tree")
    (tree / ".git").rmdir()
    make_linked(main, tree)
    for name in ("ONE", "TWO"):
        machine.keep(name, "canary", at=main)
    return main, tree


ONE, TWO = ("get_secret", {"name": "ONE"}), ("get_secret", {"name": "TWO"})


@pytest.mark.parametrize("mode", ERAS)
def test_a_linked_work_tree_is_asked_for_once(machine: Machine, mode: str) -> None:
    main, tree = linked(machine)
    person = Person(YES)
    assert session(machine, tree, mode, person, ONE, TWO) == ["canary", "canary"]
    (asked,) = person.asked
    assert f"count as a work tree of {shortened(f'~/work/{main.name}')}" in asked.message
    assert shortened(str(tree)) in asked.message


@pytest.mark.parametrize("mode", ERAS)
def test_a_no_to_a_linked_work_tree_is_one_to_all_that_needs_it(machine: Machine, mode: str) -> None:
    _, tree = linked(machine)
    person = Person({"action": "decline"}, YES, YES)
    said = session(machine, tree, mode, person, ONE, TWO)
    assert [text.partition("]")[0] for text in said] == ["[NOT_TRUSTED"] * 2
    assert all("said no" in text for text in said)
    assert len(person.asked) == 1
    assert machine.run("projects", "--json").stdout == "[]\n"


NO_YES: list[list[dict[str, object]]] = [
    [
        {"action": "accept", "content": {"approve": "yes!"}},
        {"action": "accept", "content": {"approve": "true"}},
        {"action": "decline"},
        {"action": "accept", "content": {"approve": 1}},
        {"action": "accept", "content": {"approve": 1.0}},
        {"action": "accept", "content": {"approve": False}},
        {"action": "accept", "content": {"approve": None}},
        {"action": "accept", "content": {"approve": ["true"]}},
    ],
    [
        {"action": "accept", "content": {"approved": True}},
        {"action": "accept", "content": {}},
        {"action": "decline", "content": {"approve": True}},
        {"action": "accept"},
        {"action": "cancel"},
    ],
]
"""Answers that are not consent. Each list is for a separate server.

A list has a refusal after every two unanswered questions, because a third one in a row would start a pause.
"""


@pytest.mark.parametrize("answers", NO_YES, ids=["first", "second"])
@pytest.mark.parametrize("mode", ERAS)
def test_nothing_but_an_exact_yes_does(machine: Machine, mode: str, answers: list[dict[str, object]]) -> None:
    project = machine.project("clone")
    for number in range(len(answers)):
        machine.keep(f"T{number}", "canary")
    person = Person(*answers)
    calls = [("get_secret", {"name": f"T{number}"}) for number in range(len(answers))]
    said = session(machine, project, mode, person, *calls)
    assert len(person.asked) == len(said) == len(answers)
    assert all(text.startswith("[NOT_TRUSTED]") and "canary" not in text for text in said)
    assert machine.run("projects", "--json").stdout == "[]\n"


@pytest.mark.parametrize("mode", ERAS)
def test_after_three_refusals_nobody_is_asked_for_that_project(machine: Machine, mode: str) -> None:
    project = machine.project("clone", ["ASK_*", "TOKEN"])
    rules = {"version": "1", "default": "allow", "tools": {"get_secret": {"action": "require_approval"}}}
    (project / ".claude" / "secrets.yml").write_text(json.dumps({"allow": "*", "policy": rules}))
    person = Person(*[{"action": "decline"}] * 3, YES)
    calls = [("get_secret", {"name": f"ASK_{number}"}) for number in range(5)]
    said = session(machine, project, mode, person, *calls, GET)
    assert len(person.asked) == 3
    assert ["refused three questions" in text for text in said] == [False] * 3 + [True] * 3
    assert said[-1].startswith("[NOT_TRUSTED]")


@pytest.mark.parametrize("mode", ERAS)
def test_what_a_projects_own_rules_ask_is_a_question_of_its_own(machine: Machine, mode: str) -> None:
    project = machine.project("clone")
    words = "Routine check. Please press Allow."
    rules = {"get_secret": {"rules": [{"name": "check", "action": "require_approval", "reason": words}]}}
    policy = {"version": "1", "default": "allow", "tools": rules}
    (project / ".claude" / "secrets.yml").write_text(json.dumps({"allow": "*", "policy": policy}))
    person = Person(YES, {"action": "cancel"}, YES, YES)
    said = session(machine, project, mode, person, GET, GET)
    assert (said[0].partition("]")[0], said[1]) == ("[APPROVAL_REFUSED", "canary")
    assert [words in asked.message for asked in person.asked] == [False, True, False, True]
    assert ["stored by you" in asked.message for asked in person.asked] == [True, False, True, False]


@pytest.mark.parametrize("mode", ERAS)
def test_after_a_no_the_person_is_not_asked_again_for_a_while(machine: Machine, mode: str) -> None:
    person = Person({"action": "decline"}, YES)
    said = session(machine, machine.project("clone"), mode, person, GET, GET)
    assert [text.partition("]")[0] for text in said] == ["[NOT_TRUSTED"] * 2
    assert "said no" in said[1]
    assert len(person.asked) == 1


@pytest.mark.parametrize("mode", ERAS)
def test_nor_where_there_is_no_store_yet(tmp_path: Path, mode: str) -> None:
    machine = Machine(tmp_path)
    project = machine.project("clone")
    (project / ".claude" / "secrets.yml").write_text("scope: acme\nallow: '*'\n")
    person = Person({"action": "decline"}, YES)
    said = session(machine, project, mode, person, GET, ("list_secrets", {}))
    assert all(text.startswith("[NOT_TRUSTED]") and "said no" in text for text in said)
    assert len(person.asked) == 1


def test_a_question_that_waited_for_its_turn_is_not_put_after_a_no(machine: Machine) -> None:
    wire = Wire(PROGRAM, machine.project("clone"), machine.environment)
    with wire:
        wire.shake_hands(capabilities={"elicitation": {}})
        for number in ("one", "two"):
            call = {"name": "get_secret", "arguments": GET[1]}
            wire.send({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": call})
        question = wire.receive()
        assert question["params"]["mode"] == "form"
        wire.request("ping", {})  # after this answer, both calls have arrived
        wire.send({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "decline"}})
        answers = {answer["id"]: answer["result"]["content"][0]["text"] for answer in (wire.receive(), wire.receive())}
        assert sorted(answers) == ["one", "two"]
        assert all("said no" in text for text in answers.values())


@pytest.mark.parametrize("mode", ERAS)
def test_an_allowlist_swapped_while_the_person_thinks_gets_nothing(machine: Machine, mode: str) -> None:
    project = machine.project("clone", ["TOKEN"])
    path = project / ".claude" / "secrets.yml"
    before, status = path.read_bytes(), path.stat()

    def swap() -> None:
        path.write_bytes(before.replace(b"TOKEN", b"TOKE?"))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    person = Person(YES, {"action": "cancel"}, before=swap)
    (said,) = session(machine, project, mode, person, GET)
    assert said.partition("]")[0] in ("[NOT_TRUSTED", "[APPROVAL_REFUSED")
    with machine.server(project) as wire:
        assert wire.code("get_secret", name="TOKEN") == "NOT_TRUSTED"


@pytest.mark.parametrize("mode", ERAS)
def test_a_use_only_value_is_read_with_the_persons_yes_alone(machine: Machine, mode: str) -> None:
    project = machine.project("api")
    machine.keep("KEPT", "canary", at=project, access=Access.USE_ONLY)
    get = ("get_secret", {"name": "KEPT"})
    for_session = {"action": "accept", "content": {"approve": True, "session": True}}
    person = Person(YES, {"action": "cancel"}, for_session)
    said = session(machine, project, mode, person, get, get, get, get)
    assert (said[0], said[1].partition("]")[0], said[2:]) == ("canary", "[USE_ONLY", ["canary", "canary"])
    assert len(person.asked) == 3


def test_a_question_that_nobody_answers_ends_and_after_three_nobody_is_asked(machine: Machine) -> None:
    project = machine.project("clone")
    person = Person("nothing", "nothing", "nothing", YES)
    said = session(machine, project, "legacy", person, GET, GET, GET, GET, program=HASTY)
    assert all(text.startswith("[NOT_TRUSTED]") for text in said)
    assert ["Nobody answered" in text for text in said] == [True, True, True, False]
    assert "not asked for the moment" in said[3]
    assert len(person.asked) == 3


@pytest.mark.parametrize(("client", "asked"), [("claude-code", False), ("another", True)])
def test_a_client_whose_hooks_could_answer_is_not_asked(machine: Machine, client: str, asked: bool) -> None:
    with Wire(PROGRAM, machine.project("clone"), machine.environment) as wire:
        wire.shake_hands(capabilities={"elicitation": {"form": {}}}, client=client)
        call = {"name": "get_secret", "arguments": {"name": "TOKEN"}}
        wire.send({"jsonrpc": "2.0", "id": "get", "method": "tools/call", "params": call})
        message = wire.receive()
        if asked:
            assert message["method"] == "elicitation/create"
        else:
            assert message["result"]["content"][0]["text"].startswith("[NOT_TRUSTED]")


def test_whoever_wants_dialogs_is_not_asked_by_a_client(machine: Machine) -> None:
    machine.configure("presence: any", "consent: dialog")
    person = Person(YES)
    (said,) = session(machine, machine.project("clone"), "legacy", person, GET)
    assert said.startswith("[NOT_TRUSTED]")
    assert person.asked == []


def test_a_cancelled_call_is_not_carried_out_when_the_yes_comes_late(machine: Machine) -> None:
    project = machine.project("clone")
    wire = Wire(PROGRAM, project, machine.environment)
    with wire:
        wire.shake_hands(capabilities={"elicitation": {}})
        wire.send(
            {"jsonrpc": "2.0", "id": "c", "method": "tools/call", "params": {"name": "get_secret", "arguments": GET[1]}}
        )
        question = wire.receive()
        assert question["params"]["mode"] == "form"
        wire.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "c"}})
        wire.send({"jsonrpc": "2.0", "id": question["id"], "result": YES})
        assert wire.request("ping", {})["result"] == {}
    with machine.server(project) as again:
        assert again.code("get_secret", name="TOKEN") == "NOT_TRUSTED"


# Protocol 2026-07-28: the client keeps the state.


class Modern:
    """A hand-written client of protocol 2026-07-28."""

    def __init__(self, machine: Machine, project: Path) -> None:
        self.wire = Wire(PROGRAM, project, machine.environment)

    def call(self, tool: str, arguments: dict[str, str], **more: object) -> dict[str, Any]:
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
            "io.modelcontextprotocol/clientInfo": {"name": "cheat", "version": "1"},
        }
        return self.wire.request("tools/call", {"name": tool, "arguments": arguments, **more, "_meta": meta})


def question_of(answer: dict[str, Any]) -> tuple[str, str]:
    """Return the state, and the question's key, from an answer."""
    result = answer["result"]
    assert result["resultType"] == "input_required", answer
    (key,) = result["inputRequests"]
    return result["requestState"], key


def is_value(answer: dict[str, Any]) -> bool:
    return "canary" in json.dumps(answer)


def test_an_answer_counts_once_for_the_call_it_was_asked_for_and_with_its_own_state(machine: Machine) -> None:
    project = machine.project("api")
    for name in ("KEPT", "OTHER"):
        machine.keep(name, "canary", at=project, access=Access.USE_ONLY)
    client = Modern(machine, project)
    kept, other = {"name": "KEPT"}, {"name": "OTHER"}
    with client.wire:
        state, key = question_of(client.call("get_secret", kept))
        said = {key: YES}
        forged: list[dict[str, Any]] = [
            {"inputResponses": said},  # no state
            {"inputResponses": said, "requestState": "consent:guess"},
            {"inputResponses": said, "requestState": state[:-4] + "AAAA"},
            {"inputResponses": {"page": YES}, "requestState": state},
        ]
        for more in forged[:3]:
            assert not is_value(client.call("get_secret", kept, **more)), more
        assert not is_value(client.call("get_secret", other, inputResponses=said, requestState=state))
        state, key = question_of(client.call("get_secret", kept))
        assert not is_value(client.call("get_secret", kept, **{**forged[3], "requestState": state}))
        state, key = question_of(client.call("get_secret", kept))
        assert is_value(client.call("get_secret", kept, inputResponses={key: YES}, requestState=state))
        assert not is_value(client.call("get_secret", kept, inputResponses={key: YES}, requestState=state))  # replayed


def test_an_answer_to_another_server_is_none(machine: Machine) -> None:
    project = machine.project("clone")
    first, second = Modern(machine, project), Modern(machine, project)
    with first.wire, second.wire:
        state, key = question_of(first.call("get_secret", GET[1]))
        assert not is_value(second.call("get_secret", GET[1], inputResponses={key: YES}, requestState=state))


@pytest.mark.parametrize("mode", ERAS)
def test_hidden_tools_are_not_listed(machine: Machine, mode: str) -> None:
    project = machine.project("api")
    policy = {"version": "1", "default": "allow", "hide": ["delete_secret", "get_secret"]}
    (project / ".claude" / "secrets.yml").write_text(json.dumps({"allow": "*", "policy": policy}))
    parameters = StdioServerParameters(
        command=PROGRAM[0], args=PROGRAM[1:], env=dict(machine.environment), cwd=str(project)
    )

    async def names() -> list[str]:
        async with Client(parameters, mode=mode) as client:
            return [tool.name for tool in (await client.list_tools()).tools]

    with anyio.from_thread.start_blocking_portal() as portal:
        assert portal.call(names) == ["set_secret", "list_secrets", "search_secrets", "input_secret"]


@pytest.mark.parametrize(
    ("arguments", "environment", "code"),
    [
        (["serve", "--trust", "required"], {}, "NOT_TRUSTED"),
        (["serve"], {"CLAUDE_SECRETS_TRUST": "required"}, "NOT_TRUSTED"),
        (["serve"], {"CLAUDE_SECRETS_TRUST": "nonsense"}, "NOT_TRUSTED"),
        (["serve", "--trust", "off"], {"CLAUDE_SECRETS_TRUST": "required"}, "NOT_TRUSTED"),
        (["serve", "--trust", "off"], {"CLAUDE_SECRETS_TRUST": "off"}, None),
    ],
)
def test_arguments_and_environment_only_tighten(
    machine: Machine, arguments: list[str], environment: dict[str, str], code: str | None
) -> None:
    with machine.server(machine.project("api"), *arguments, environment=environment) as wire:
        assert wire.code("get_secret", name="TOKEN") == "NOT_TRUSTED"
        result = wire.call("set_secret", name="OWN", value="v")
        assert bool(result.get("isError")) == (code is not None)


def test_while_one_question_is_open_another_is_not_put_and_does_not_count_as_unanswered(machine: Machine) -> None:
    project = machine.project("api")
    for name in ("KEPT", "OTHER"):
        machine.keep(name, "canary", at=project, access=Access.USE_ONLY)
    client = Modern(machine, project)
    with client.wire:
        state, key = question_of(client.call("get_secret", {"name": "KEPT"}))
        for _ in range(4):
            assert "Another question" in json.dumps(client.call("get_secret", {"name": "OTHER"}))
        assert is_value(client.call("get_secret", {"name": "KEPT"}, inputResponses={key: YES}, requestState=state))
        question_of(client.call("get_secret", {"name": "OTHER"}))
