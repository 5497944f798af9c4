"""The gate on a real store with a real key file: what agents can and cannot do."""

import shutil
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from claude_secrets import paths
from claude_secrets.agent.actions import VISIBLE_LIMIT
from claude_secrets.agent.gate import Gate
from claude_secrets.errors import Code
from claude_secrets.model import VALUE_LIMIT, Access, Ask, Call, Done, Entered, InputQuestion, Refused, Tool
from claude_secrets.paths import OwnDirectories
from claude_secrets.person import history, log, secrets, trust
from claude_secrets.policy.project import CallOrigin, locate
from claude_secrets.policy.snapshot import SnapshotReader
from claude_secrets.store.counters import Window
from tests.support.store_world import Agent, World, allowlist, at, enter


@pytest.fixture
def bare_world(tmp_path: Path) -> Iterator[World]:
    """A world without a store."""
    world = World(tmp_path, store=False)
    yield world
    world.close()


NAMED = [Tool.GET_SECRET, Tool.SET_SECRET, Tool.DELETE_SECRET, Tool.INPUT_SECRET]


@pytest.mark.parametrize(
    "value",
    [
        "x",
        "line one\nline two\r\n\ttabbed\n",
        "emoji 🔑 and e\u0301",
        "\x00",
        "".join(chr(code % 32) for code in range(VALUE_LIMIT)),
        "🔑" * (VALUE_LIMIT // 4),
    ],
    ids=["one letter", "newlines", "emoji", "NUL", "1 MiB of control characters", "1 MiB of emoji"],
)
def test_set_then_get_returns_the_value_exactly(world: World, value: str) -> None:
    agent = Agent(world, world.project("api"))
    agent.set("TOKEN", value)
    assert agent.get("TOKEN") == value


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.text(st.characters(codec="utf-8"), min_size=1))
def test_any_valid_text_comes_back_exactly(world: World, value: str) -> None:
    world.time += 61
    agent = Agent(world, world.project("api"))
    agent.set("TOKEN", value)
    assert agent.get("TOKEN") == value


@pytest.mark.parametrize("value", ["", "\ud800", "x" * (VALUE_LIMIT + 1)], ids=["empty", "surrogate", "too long"])
def test_a_value_that_cannot_be_stored_is_refused_and_changes_nothing(world: World, value: str) -> None:
    agent = Agent(world, world.project("api"))
    before = world.rows()
    assert agent.refused(Tool.SET_SECRET, "TOKEN", value=value) is Code.INVALID_VALUE
    assert world.rows() == before


@pytest.mark.parametrize("name", ["", "-x", ".x", "a b", "a\n", "é", "x" * 129, "a/b", "٣"])
def test_a_name_that_breaks_the_rules_is_refused_without_repeating_it(world: World, name: str) -> None:
    agent = Agent(world, world.project("api"))
    for tool in NAMED:
        outcome = agent(tool, name, value="v")
        assert isinstance(outcome, Refused)
        assert outcome.error.code is Code.INVALID_NAME
        assert len(name) < 3 or name not in str(outcome.error)


@pytest.mark.parametrize("tool", NAMED)
def test_a_denied_name_looks_the_same_whether_or_not_it_exists(world: World, tool: Tool) -> None:
    secrets.set_value(world.person(), "HIDDEN", "canary")
    agent = Agent(world, world.project("api", ["TOKEN"]))
    there, not_there = agent(tool, "HIDDEN", value="v"), agent(tool, "ABSENT", value="v")
    assert isinstance(there, Refused)
    assert isinstance(not_there, Refused)
    assert there.error.code is not_there.error.code is Code.NOT_ALLOWLISTED
    assert there.error.message.replace("HIDDEN", "ABSENT") == not_there.error.message
    assert (there.error.hint or "").replace("HIDDEN", "ABSENT") == not_there.error.hint


@pytest.mark.parametrize("tool", list(Tool))
def test_without_an_allowlist_nothing_works(world: World, tool: Tool) -> None:
    project = world.project("api")
    Agent(world, project).set("TOKEN", "v")
    (project / ".claude" / "secrets.yml").unlink()
    assert Agent(world, project).refused(tool, "TOKEN", value="v", pattern=".") is Code.NO_ALLOWLIST


def test_outside_a_project_nothing_works_and_the_message_shows_the_configuration_that_helps(world: World) -> None:
    elsewhere = world.root / "elsewhere"
    elsewhere.mkdir()
    nowhere = CallOrigin(argument=None, environment=None, root=None, working_directory=elsewhere)
    outcome = world.gate().call(Call(tool=Tool.LIST_SECRETS), nowhere)
    assert isinstance(outcome, Refused)
    assert outcome.error.code is Code.NO_PROJECT
    assert "--project" in f"{outcome.error.message}{outcome.error.hint}"


def test_a_project_uses_what_it_stored_and_what_the_person_stored_from_inside_it(world: World) -> None:
    project = world.project("api")
    agent = Agent(world, project)
    agent.set("BY_AGENT", "1")
    secrets.set_value(world.person(project), "BY_PERSON", "2")
    assert (agent.get("BY_AGENT"), agent.get("BY_PERSON")) == ("1", "2")
    assert agent.names() == ["BY_AGENT", "BY_PERSON"]


def test_a_clone_that_allows_itself_everything_gets_nothing_of_anyone_elses(world: World) -> None:
    Agent(world, world.project("api")).set("API_TOKEN", "canary-api")
    secrets.set_value(world.person(), "PERSONAL", "canary-person")
    clone = Agent(world, world.project("clone", "*"))
    for name in ("API_TOKEN", "PERSONAL"):
        for tool in NAMED:
            assert clone.refused(tool, name, value="v") is Code.NOT_TRUSTED
    assert clone.names() == []
    assert clone.done(Tool.SEARCH_SECRETS, pattern=".*").data["names"] == []


def test_a_deleted_name_still_belongs_to_its_origin(world: World) -> None:
    api = Agent(world, world.project("api"))
    api.set("TOKEN", "v")
    api.done(Tool.DELETE_SECRET, "TOKEN")
    assert Agent(world, world.project("clone")).refused(Tool.SET_SECRET, "TOKEN", value="w") is Code.NOT_TRUSTED


def test_trust_grants_exactly_what_was_shown(world: World) -> None:
    secrets.set_value(world.person(), "ONE", "1")
    project = world.project("api")
    wanted = trust.wanted(world.person(project), allowlist(project))
    assert [record.name for record in wanted.secrets] == ["ONE"]
    secrets.set_value(world.person(), "TWO", "2")  # stored after the question was shown and before the answer
    trust.grant(world.person(project), wanted)
    agent = Agent(world, project)
    assert agent.get("ONE") == "1"
    assert agent.refused(Tool.GET_SECRET, "TWO") is Code.NOT_TRUSTED
    assert [record.name for record in trust.wanted(world.person(project), allowlist(project)).secrets] == ["TWO"]


def test_a_grant_holds_for_its_project_alone_and_until_it_is_revoked(world: World) -> None:
    secrets.set_value(world.person(), "TOKEN", "v")
    api, clone = world.project("api"), world.project("clone")
    trust.allow(world.person(api), "TOKEN")
    assert Agent(world, api).get("TOKEN") == "v"
    assert Agent(world, clone).refused(Tool.GET_SECRET, "TOKEN") is Code.NOT_TRUSTED
    assert len(trust.revoke(world.person(api), "TOKEN")) == 1
    assert Agent(world, api).refused(Tool.GET_SECRET, "TOKEN") is Code.NOT_TRUSTED


def test_a_trusted_name_outside_the_allowlist_is_still_denied(world: World) -> None:
    secrets.set_value(world.person(), "TOKEN", "v")
    project = world.project("api", ["OTHER"])
    trust.allow(world.person(project), "TOKEN")
    assert Agent(world, project).refused(Tool.GET_SECRET, "TOKEN") is Code.NOT_ALLOWLISTED


def test_setting_from_inside_a_project_lets_it_use_a_secret_of_another_origin(world: World) -> None:
    api, web = world.project("api"), world.project("web")
    secrets.set_value(world.person(api), "TOKEN", "v1")
    secrets.set_value(world.person(web), "TOKEN", "v2")
    assert Agent(world, web).get("TOKEN") == "v2"
    assert Agent(world, api).get("TOKEN") == "v2"


@pytest.mark.parametrize("deleted", [False, True], ids=["stored", "stored and deleted"])
@pytest.mark.parametrize("value", ["canary", "x"], ids=["another value", "the same value"])
@pytest.mark.parametrize("place", ["outside", "inside", "by the page"])
def test_a_name_that_only_agents_took_is_not_theirs_when_the_person_enters_it(
    world: World, deleted: bool, value: str, place: str
) -> None:
    good, evil = world.project("good"), world.project("evil")
    squatter = Agent(world, evil)
    squatter.set("GITHUB_TOKEN", "x")
    if deleted:
        squatter.done(Tool.DELETE_SECRET, "GITHUB_TOKEN")
    agent = Agent(world, good)
    if place == "by the page":
        wanted = trust.wanted(world.person(good), allowlist(good))
        assert [record.name for record in wanted.secrets] == ["GITHUB_TOKEN"]
        trust.grant(world.person(good), wanted)
        agent.enter("GITHUB_TOKEN", value)
    else:
        stored = secrets.set_value(world.person(good if place == "inside" else None), "GITHUB_TOKEN", value)
        assert stored.moved_from == str(evil)
    assert squatter.refused(Tool.GET_SECRET, "GITHUB_TOKEN") is Code.NOT_TRUSTED
    assert squatter.names() == []
    if place != "outside":
        assert agent.get("GITHUB_TOKEN") == value


def test_a_guess_at_a_use_only_value_is_answered_like_any_other(world: World) -> None:
    project = world.project("api", ["PIN", {"name": "CODE", "access": "use-only"}])
    agent = Agent(world, project)
    secrets.set_value(world.person(project), "PIN", "4821", Access.USE_ONLY)
    secrets.set_value(world.person(project), "CODE", "4821")
    for name in ("PIN", "CODE"):
        assert agent.set(name, "4821") == f"Stored '{name}' (version 2)."


@pytest.mark.parametrize("tool", list(Tool))
def test_a_scope_must_be_claimed_by_the_person_first(world: World, tool: Tool) -> None:
    project = world.project("api", scope="acme-dev")
    agent = Agent(world, project)
    assert agent.refused(tool, "TOKEN", value="v", pattern=".") is Code.NOT_TRUSTED
    trust.grant(world.person(project), trust.wanted(world.person(project), allowlist(project)))
    agent.set("TOKEN", "v")
    assert agent.get("TOKEN") == "v"


def test_scopes_are_separate_shelves(world: World) -> None:
    dev, plain = world.project("dev", scope="acme-dev"), world.project("plain")
    secrets.set_value(world.person(dev, scope="acme-dev"), "TOKEN", "dev")
    secrets.set_value(world.person(plain), "TOKEN", "shared")
    assert Agent(world, dev).get("TOKEN") == "dev"
    assert Agent(world, plain).get("TOKEN") == "shared"


def test_the_value_of_a_use_only_secret_is_not_handed_out(world: World) -> None:
    project = world.project("api")
    secrets.set_value(world.person(project), "TOKEN", "canary", Access.USE_ONLY)
    agent = Agent(world, project)
    assert agent.refused(Tool.GET_SECRET, "TOKEN") is Code.USE_ONLY
    agent.set("TOKEN", "an agent's own value")
    assert agent.refused(Tool.GET_SECRET, "TOKEN") is Code.USE_ONLY
    agent.done(Tool.DELETE_SECRET, "TOKEN")
    agent.set("TOKEN", "again")
    assert agent.refused(Tool.GET_SECRET, "TOKEN") is Code.USE_ONLY


def test_an_allowlist_entry_can_make_names_use_only(world: World) -> None:
    project = world.project("api", ["TOKEN", {"name": "STRIPE_*", "access": "use-only"}])
    agent = Agent(world, project)
    agent.set("STRIPE_KEY", "v")
    agent.set("TOKEN", "v")
    assert agent.refused(Tool.GET_SECRET, "STRIPE_KEY") is Code.USE_ONLY
    assert agent.get("TOKEN") == "v"


def test_an_allowlist_entry_cannot_widen_a_secrets_access(world: World) -> None:
    project = world.project("api", [{"name": "TOKEN", "access": "readable"}])
    secrets.set_value(world.person(project), "TOKEN", "canary", Access.USE_ONLY)
    assert Agent(world, project).refused(Tool.GET_SECRET, "TOKEN") is Code.USE_ONLY


def test_a_change_of_the_allowlist_counts_from_the_next_call(world: World) -> None:
    agent = Agent(world, world.project("api", ["TOKEN"]))
    agent.set("TOKEN", "v")
    world.project("api", ["OTHER"])
    assert agent.refused(Tool.GET_SECRET, "TOKEN") is Code.NOT_ALLOWLISTED


def test_thirty_writes_a_minute_and_project_whatever_the_process(world: World) -> None:
    project = world.project("api")
    for number in range(30):
        Agent(world, project).set(f"T{number}", "v")
    outcome = Agent(world, project)(Tool.SET_SECRET, "T30", value="v")
    assert isinstance(outcome, Refused)
    assert outcome.error.code is Code.RATE_LIMITED
    assert "wait 62 seconds" in outcome.error.message
    assert "/tools/set_secret/limits/set_secret_rate" in outcome.error.message
    assert len(Agent(world, project).names()) == 30
    Agent(world, world.project("other")).set("ELSEWHERE", "v")
    world.time += 59
    assert Agent(world, project).refused(Tool.SET_SECRET, "T30", value="v") is Code.RATE_LIMITED
    world.time += 3
    Agent(world, project).set("T30", "v")


def test_a_write_that_fails_gives_its_count_back(world: World) -> None:
    world.write_limit(1)
    secrets.set_value(world.person(), "FOREIGN", "v")
    agent = Agent(world, world.project("api"))
    assert agent.refused(Tool.SET_SECRET, "FOREIGN", value="w") is Code.NOT_TRUSTED
    agent.set("OWN", "v")
    assert agent.refused(Tool.SET_SECRET, "OWN", value="w") is Code.RATE_LIMITED
    assert agent.get("OWN") == "v"


MIB = 1 << 20


def test_agents_of_a_project_store_so_many_bytes_a_minute(world: World) -> None:
    project = world.project("api")
    for number in range(4):
        Agent(world, project).set(f"T{number}", chr(97 + number) * MIB)
    for agent in (Agent(world, project), Agent(world, world.linked(project, "tree"))):
        outcome = agent(Tool.SET_SECRET, "MORE", value="v")
        assert isinstance(outcome, Refused)
        assert (outcome.error.code, outcome.error.rule) == (Code.RATE_LIMITED, "agent_mib_per_minute")
        assert "config.yml" in str(outcome.error.hint)
    assert Agent(world, world.project("other")).set("OTHER", "v" * MIB).startswith("Stored")
    assert Agent(world, project).get("T0") == "a" * MIB
    secrets.set_value(world.person(project), "MINE", "v" * MIB)  # the person's own commands are not limited
    (world.config / "config.yml").write_text("agent_mib_per_minute: 6\n")
    Agent(world, project).set("MORE", "v" * MIB)
    (world.config / "config.yml").unlink()
    world.time += 120
    Agent(world, project).set("LATER", "w" * MIB)


def test_what_fails_or_stores_nothing_spends_no_bytes(world: World) -> None:
    secrets.set_value(world.person(), "FOREIGN", "v")
    agent = Agent(world, world.project("api"))
    for _ in range(6):
        assert agent.refused(Tool.SET_SECRET, "FOREIGN", value="w" * MIB) is Code.NOT_TRUSTED
    assert agent.set("OWN", "w" * MIB).startswith("Stored")


def test_what_a_person_enters_for_an_agent_counts_too(world: World) -> None:
    project, gate = world.project("api"), world.gate()
    for number in range(4):
        enter(gate, Call(tool=Tool.INPUT_SECRET, name=f"T{number}"), project, chr(97 + number) * MIB)
    outcome = enter(gate, Call(tool=Tool.INPUT_SECRET, name="MORE"), project, "v" * MIB)
    assert isinstance(outcome, Refused)
    assert outcome.error.code is Code.RATE_LIMITED


def test_agents_fill_the_store_to_a_size_that_the_person_sets(world: World) -> None:
    (world.config / "config.yml").write_text("agent_mib_total: 3\n")
    agent = Agent(world, world.project("api"))
    assert agent.set("ONE", "v" * MIB).startswith("Stored")
    assert agent.set("TWO", "w" * MIB).startswith("Stored")
    outcome = agent(Tool.SET_SECRET, "MORE", value="x" * MIB)
    assert isinstance(outcome, Refused)
    assert outcome.error.code is Code.STORE_FULL
    assert agent.set("SMALL", "v").startswith("Stored")
    assert agent.get("ONE") == "v" * MIB
    secrets.set_value(world.person(), "MINE", "v" * MIB)
    assert agent.done(Tool.DELETE_SECRET, "ONE").text.startswith("Deleted")
    history.purge(world.person(), "MINE")
    history.purge(world.person(agent.project), "ONE")
    assert agent.set("MORE", "x" * MIB).startswith("Stored")


@pytest.mark.parametrize(
    "line", ["agent_mib_total: 0", "agent_mib_total: -1", "agent_mib_per_minute: 1.5", "agent_mib_per_minute: 4 MiB"]
)
def test_a_size_that_is_none_denies_everything(world: World, line: str) -> None:
    (world.config / "config.yml").write_text(f"{line}\n")
    assert Agent(world, world.project("api")).refused(Tool.LIST_SECRETS) is Code.ALLOWLIST_INVALID


def test_the_persons_file_raises_the_limit_and_the_projects_cannot(world: World) -> None:
    project = world.project("api")
    (project / ".claude" / "policy.yml").write_text(
        'version: "1"\ndefault: allow\ntools: {set_secret: {rules: [{rate_limit: 99/minute}]}}\n'
    )
    agent = Agent(world, project)
    for number in range(30):
        agent.set(f"T{number}", "v")
    assert agent.refused(Tool.SET_SECRET, "T30", value="v") is Code.RATE_LIMITED
    world.write_limit(31)
    for number in range(31):  # the person's limit has a separate counter
        agent.set(f"U{number}", "v")
    assert agent.refused(Tool.SET_SECRET, "T31", value="v") is Code.RATE_LIMITED


def test_a_clock_set_back_by_a_little_frees_nothing_and_by_much_blocks_nobody_for_long(world: World) -> None:
    world.write_limit(1)
    agent = Agent(world, world.project("api"))
    agent.set("A", "v")
    world.time -= 59
    assert agent.refused(Tool.SET_SECRET, "B", value="v") is Code.RATE_LIMITED
    world.time -= 86_400
    agent.set("B", "v")


def test_no_more_fit_across_the_end_of_a_minute(world: World) -> None:
    world.write_limit(30)
    agent = Agent(world, world.project("api"))
    agent.set("FIRST", "v")
    world.time += 59.5
    stored = sum(isinstance(agent(Tool.SET_SECRET, f"A{n}", value="v"), Done) for n in range(40))
    world.time += 0.6
    stored += sum(isinstance(agent(Tool.SET_SECRET, f"B{n}", value="v"), Done) for n in range(40))
    assert stored == 29


@given(
    limit=st.integers(1, 40),
    seconds=st.integers(1, 86_400),
    steps=st.lists(st.floats(0, 100_000) | st.floats(0, 1), min_size=1, max_size=60),
)
def test_whoever_waits_as_long_as_told_gets_through_and_nobody_sooner(
    limit: int, seconds: int, steps: list[float]
) -> None:
    now, window = 1_800_000_000.0, Window(1_800_000_000.0, seconds=seconds)
    for step in steps:
        now += step
        window = window.at(now)
        if (wait := window.wait(limit, now)) > 0.001:
            assert window.at(now + wait * 0.9).wait(limit, now + wait * 0.9) > 0
            now += wait + 0.001
            window = window.at(now)
            assert window.wait(limit, now) <= 0.001
        window = window._replace(calls=window.calls + 1)
        assert window.calls <= limit


def test_deleting_says_what_happened_and_keeps_the_name_for_the_person(world: World) -> None:
    agent = Agent(world, world.project("api"))
    assert "no 'TOKEN'" in agent.done(Tool.DELETE_SECRET, "TOKEN").text
    agent.set("TOKEN", "v")
    assert agent.done(Tool.DELETE_SECRET, "TOKEN").text.startswith("Deleted 'TOKEN'.")
    assert agent.refused(Tool.GET_SECRET, "TOKEN") is Code.NOT_FOUND
    assert "no 'TOKEN'" in agent.done(Tool.DELETE_SECRET, "TOKEN").text
    assert agent.set("TOKEN", "w") == "Stored 'TOKEN' (version 3)."


def test_the_same_value_again_makes_no_version(world: World) -> None:
    agent = Agent(world, world.project("api"))
    agent.set("TOKEN", "v")
    assert "version 1" in agent.set("TOKEN", "v")
    assert agent.set("TOKEN", "w") == "Stored 'TOKEN' (version 2)."


def test_list_counts_what_is_permitted_and_returns_a_thousand_at_most(world: World) -> None:
    world.write_limit(5000)
    agent = Agent(world, world.project("api", ["T*"]))
    for number in range(VISIBLE_LIMIT + 5):
        agent.set(f"T{number:05}", "v")
    data = agent.done(Tool.LIST_SECRETS).data
    assert (data["total"], data["visible"]) == (VISIBLE_LIMIT + 5, VISIBLE_LIMIT)
    names = data["names"]
    assert isinstance(names, list)
    assert names == sorted(names)
    assert len(names) == VISIBLE_LIMIT


def test_a_file_may_name_as_many_secrets_as_fit_into_it(world: World) -> None:
    names = [f"N{number:03x}" for number in range(2300)]
    agent = Agent(world, world.project("api", names))
    agent.set(names[-1], "v")
    assert agent.done(Tool.LIST_SECRETS).data["names"] == names[-1:]


def test_search_is_case_insensitive_and_linear(world: World) -> None:
    agent = Agent(world, world.project("api"))
    agent.set("GITHUB_TOKEN", "v")
    agent.set("a" * 128, "v")
    assert agent.done(Tool.SEARCH_SECRETS, pattern="github").data["names"] == ["GITHUB_TOKEN"]
    assert agent.done(Tool.SEARCH_SECRETS, pattern="(a+)+$").data["visible"] == 1
    assert agent.refused(Tool.SEARCH_SECRETS, pattern="(unclosed") is Code.INVALID_PATTERN


def test_a_rule_on_a_searchs_pattern_sees_an_empty_one(world: World) -> None:
    project = world.project("api")
    ask = {"action": "require_approval", "conditions": [{"path": "args.pattern", "op": "exists"}]}
    tools = {"search_secrets": {"rules": [ask]}}
    (world.config / "policy.yml").write_text(yaml.safe_dump({"version": "1", "default": "allow", "tools": tools}))
    agent = Agent(world, project)
    for pattern in ("", "T"):
        assert agent.refused(Tool.SEARCH_SECRETS, pattern=pattern) is Code.APPROVAL_REFUSED


@pytest.mark.parametrize("action", ["deny", "require_approval"])
def test_storing_tells_nothing_about_a_value_that_could_not_be_read(world: World, action: str) -> None:
    project = world.project("api")
    tools = {"get_secret": {"rules": [{"action": action}]}}
    agent = Agent(world, project)
    agent.set("TOKEN", "guess")
    assert "Nothing to change" in agent.set("TOKEN", "guess")
    (world.config / "policy.yml").write_text(yaml.safe_dump({"version": "1", "default": "allow", "tools": tools}))
    assert agent.set("TOKEN", "guess") == "Stored 'TOKEN' (version 2)."
    assert agent.set("TOKEN", "wrong") == "Stored 'TOKEN' (version 3)."


def test_deleting_what_is_not_there_does_not_fill_the_log(world: World) -> None:
    agent = Agent(world, world.project("api"))
    agent.set("OTHER", "v")
    for _ in range(50):
        world.time += 61
        agent.done(Tool.DELETE_SECRET, "TOKEN")
    entries = log.entries(world.person(), lambda entry: entry.event.action == "delete_secret")
    assert [(entry.event.outcome, entry.times) for entry in entries] == [("nothing", 50)]


@pytest.mark.parametrize("tool", [Tool.GET_SECRET, Tool.DELETE_SECRET, Tool.LIST_SECRETS, Tool.SEARCH_SECRETS])
def test_reading_never_makes_a_store(bare_world: World, tool: Tool) -> None:
    agent = Agent(bare_world, bare_world.project("api"))
    agent(tool, "TOKEN", pattern=".")
    assert not bare_world.path.parent.exists()


def test_input_asks_with_what_the_person_needs_to_know_and_stores_only_with_an_answer(world: World) -> None:
    project = world.project("api", [{"name": "TOKEN", "about": "Test mode", "url": "https://example.com/keys"}])
    agent = Agent(world, project)
    outcome = agent.gate.call(Call(tool=Tool.INPUT_SECRET, name="TOKEN", prompt="please"), at(project))
    assert isinstance(outcome, Ask)
    question = outcome.question
    assert isinstance(question, InputQuestion)
    assert (question.name, question.project, question.replaces) == ("TOKEN", str(project.resolve()), None)
    assert (question.about, question.url, question.prompt) == ("Test mode", "https://example.com/keys", "please")
    assert question.access is Access.USE_ONLY
    assert question.store == str(world.path)
    assert agent.names() == []
    answer = Entered(value="typed", access=Access.READABLE, question=question)
    assert isinstance(agent(Tool.INPUT_SECRET, "TOKEN", answer=answer), Done)
    assert agent.get("TOKEN") == "typed"
    again = agent(Tool.INPUT_SECRET, "TOKEN")
    assert isinstance(again, Ask)
    assert isinstance(again.question, InputQuestion)
    assert (again.question.replaces, again.question.access) == (1, Access.READABLE)


def test_the_answer_is_decided_anew_on_the_allowlist_as_it_is_then(world: World) -> None:
    agent = Agent(world, world.project("api", ["TOKEN"]))
    asked = agent(Tool.INPUT_SECRET, "TOKEN")
    assert isinstance(asked, Ask)
    assert isinstance(asked.question, InputQuestion)
    world.project("api", ["OTHER"])
    answer = Entered(value="typed", access=Access.READABLE, question=asked.question)
    outcome = agent(Tool.INPUT_SECRET, "TOKEN", answer=answer)
    assert isinstance(outcome, Refused)
    assert outcome.error.code is Code.NOT_ALLOWLISTED


@pytest.mark.parametrize("change", ["version", "scope", "note", "access"])
def test_what_was_typed_is_stored_as_it_was_shown_or_not_at_all(world: World, change: str) -> None:
    entry: dict[str, object] = {"name": "TOKEN", "about": "Test mode"}
    project = world.project("api", [entry])
    agent = Agent(world, project)
    agent.set("TOKEN", "first")
    asked = agent(Tool.INPUT_SECRET, "TOKEN")
    assert isinstance(asked, Ask)
    assert isinstance(asked.question, InputQuestion)
    if change == "version":
        Agent(world, project).set("TOKEN", "second")
    elif change == "scope":
        (world.config / "config.yml").write_text("trust: off\n")
        world.project("api", [entry], scope="acme")
    elif change == "note":
        world.project("api", [{**entry, "about": "Live mode"}])
    else:
        secrets.set_value(world.person(project), "TOKEN", "first", Access.USE_ONLY)
    before = world.rows()
    outcome = agent(
        Tool.INPUT_SECRET, "TOKEN", answer=Entered(value="typed", access=Access.READABLE, question=asked.question)
    )
    assert isinstance(outcome, Refused)
    assert outcome.error.code is Code.CANCELLED
    assert "has changed since" in outcome.error.message
    assert world.rows() == before


def test_answers_are_limited_too_and_the_question_says_so_before_a_person_types(world: World) -> None:
    world.write_limit(1, ["input_secret"])
    agent = Agent(world, world.project("api"))
    agent.enter("A", "v")
    assert agent.refused(Tool.INPUT_SECRET, "B") is Code.RATE_LIMITED


def test_a_store_inside_the_project_is_refused(world: World) -> None:
    project = world.project("api")
    world.path = project / "secrets.db"
    world.store().create_with_key_file(world.root / "keys" / "other.key")
    for tool in Tool:
        assert Agent(world, project).refused(tool, "T", value="v", pattern=".") is Code.STORE_UNAVAILABLE


def test_a_policy_file_inside_the_project_is_refused(world: World) -> None:
    project = world.project("api")
    world.config = project / "config"
    world.config.mkdir()
    world.write_limit(10_000)
    assert Agent(world, project).refused(Tool.SET_SECRET, "T", value="v") is Code.ALLOWLIST_INVALID


def test_a_key_file_inside_the_project_is_refused(bare_world: World) -> None:
    project = bare_world.project("api")
    bare_world.store().create_with_key_file(project / "master.key")
    assert Agent(bare_world, project).refused(Tool.LIST_SECRETS) is Code.KEY_MISSING


def test_without_its_key_every_name_gets_the_same_refusal(world: World) -> None:
    project = world.project("api", ["TOKEN"])
    Agent(world, project).set("TOKEN", "v")
    world.key_file.unlink()
    codes = {Agent(world, project).refused(tool, name, value="v") for tool in NAMED for name in ("TOKEN", "DENIED")}
    assert codes == {Code.KEY_MISSING}


def test_a_wrong_key_is_told_apart_and_changes_nothing(world: World, tmp_path: Path) -> None:
    project = world.project("api")
    Agent(world, project).set("TOKEN", "v")
    other = tmp_path / "other"
    other.mkdir()
    shutil.copyfile(World(other).key_file, world.key_file)
    before = world.rows()
    assert Agent(world, project).refused(Tool.SET_SECRET, "TOKEN", value="w") is Code.KEY_WRONG
    assert world.rows() == before


def test_names_and_values_cannot_be_read_from_the_store(world: World) -> None:
    project = world.project("api")
    Agent(world, project).set("SOME_TELLING_NAME", "canary-" + string.ascii_letters)
    content = world.stored_bytes()
    for text in ("SOME_TELLING_NAME", "canary-", str(project.resolve()), "use-only", "readable"):
        assert text.encode() not in content


# Settings that an environment must not choose


def asked_at(world: World, gate: Gate) -> InputQuestion:
    outcome = gate.call(Call(tool=Tool.INPUT_SECRET, name="NEW"), at(world.project("api")))
    assert isinstance(outcome, Ask)
    assert isinstance(outcome.question, InputQuestion)
    return outcome.question


def test_usual_is_the_store_of_the_account_wherever_the_environment_leads(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.path = paths.usual_store(None)
    world.store().create_with_key_file(tmp_path / "other.key")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data-home"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert asked_at(world, world.gate()).store is None
    world.path = paths.default_store()
    world.store().create_with_key_file(tmp_path / "another.key")
    gate = world.gate()
    assert asked_at(world, gate).store == str(world.path)
    other = tmp_path / "of-the-environment"
    other.mkdir()
    (other / "config.yml").write_text(f"store: {world.path}\n")
    redirected = Gate(store=world.store(), config=OwnDirectories(world.config, other))
    assert asked_at(world, redirected).store == str(world.path)
    (world.config / "config.yml").write_text(f"store: {world.path}\n")
    assert asked_at(world, gate).store is None


def test_a_policy_of_the_environments_narrows_and_its_limit_raises_nothing(world: World, tmp_path: Path) -> None:
    other = tmp_path / "of-the-environment"
    other.mkdir()
    agent = Agent(world, world.project("api"))
    agent.gate = Gate(store=world.store(), config=OwnDirectories(world.config, other))
    limit = {"rules": [{"rate_limit": "1000/minute"}]}
    policy = {"version": "1", "default": "allow", "tools": {"set_secret": limit}, "hide": ["delete_secret"]}
    (other / "policy.yml").write_text(yaml.safe_dump(policy))
    for number in range(30):
        agent.set(f"N{number}", "v")
    assert agent.refused(Tool.SET_SECRET, "N30", value="v") is Code.RATE_LIMITED
    assert agent.refused(Tool.DELETE_SECRET, "N1") is Code.DENIED_BY_RULE
    assert agent.gate.hidden(at(agent.project)) == {Tool.DELETE_SECRET}
    world.write_limit(40)
    agent.set("N30", "v")
    (world.config / "policy.yml").write_text(yaml.safe_dump({"version": "1", "default": "deny"}))
    assert agent.refused(Tool.GET_SECRET, "N1") is Code.DENIED_BY_RULE


def test_a_change_of_the_environments_files_changes_the_fingerprint(world: World, tmp_path: Path) -> None:
    other = tmp_path / "of-the-environment"
    other.mkdir()
    project = world.project("api")
    reader = SnapshotReader(OwnDirectories(world.config, other))
    place = locate(at(project), homes=paths.home_directories())
    seen = [reader.read(at(project), place).fingerprint]
    for directory in (world.config, other):
        (directory / "config.yml").write_text("# another byte\n")
        seen.append(reader.read(at(project), place).fingerprint)
    assert len(set(seen)) == 3


@pytest.mark.parametrize("name", ["config.yml", "policy.yml"])
def test_a_file_of_the_persons_that_becomes_a_link_into_the_project_denies_everything(world: World, name: str) -> None:
    agent = Agent(world, world.project("api"))
    agent.set("TOKEN", "v")
    inside, outside = agent.project / "mine.yml", world.root / "dotfiles.yml"
    for file in (inside, outside):
        file.write_text("trust: off\n" if name == "config.yml" else 'version: "1"\ndefault: allow\n')
    own, between = world.config / name, world.root / "between.yml"

    def lead(*ways: tuple[Path, Path]) -> None:
        for link, end in ways:
            link.unlink(missing_ok=True)
            link.symlink_to(end)

    for refused in (
        [(own, inside)],
        [(own, between), (between, outside), (between, inside)],
        [(own, inside), (inside, outside)],  # the project controls the target of a link inside it
    ):
        lead((own, outside))
        assert agent.get("TOKEN") == "v"
        for way in refused[:-1]:
            lead(way)
        if (between, outside) in refused:
            assert agent.get("TOKEN") == "v"
        lead(refused[-1])
        assert agent.refused(Tool.GET_SECRET, "TOKEN") is Code.ALLOWLIST_INVALID
    assert isinstance(
        Agent(world, world.project("other"))(Tool.LIST_SECRETS), Done
    )  # for another project it is an ordinary dotfile
