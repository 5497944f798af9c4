"""Consent at the gate: which questions the person gets, and what an answer covers and for how long."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from claude_secrets.agent.gate import Gate
from claude_secrets.errors import Code
from claude_secrets.model import (
    Access,
    Ask,
    Call,
    Channel,
    Consented,
    ConsentKind,
    ConsentQuestion,
    Declined,
    Done,
    InputQuestion,
    Outcome,
    Refused,
    Tool,
)
from claude_secrets.paths import OwnDirectories
from claude_secrets.person import log, secrets, trust
from claude_secrets.policy.config import Trust
from claude_secrets.server.ask_consent import asked
from claude_secrets.untrusted_text import shortened
from tests.support.disk import make_linked
from tests.support.store_world import Agent, World, allowlist, at, enter

GET = Call(tool=Tool.GET_SECRET, name="TOKEN")


class Asked:
    """A call at a gate, and the question that the call leads to."""

    def __init__(self, world: World, project: Path, call: Call = GET, gate: Gate | None = None) -> None:
        self.gate = gate or world.gate()
        self.project = project
        self.call = call
        outcome = self.gate.call(call, at(project))
        assert isinstance(outcome, Ask), outcome
        assert isinstance(outcome.question, ConsentQuestion)
        self.question = outcome.question

    def yes(self, *, session: bool = False, call: Call | None = None) -> Outcome:
        answer = Consented(digest=self.question.digest, channel=Channel.CLIENT, session=session)
        return self.gate.call(call or self.call, at(self.project), answer)

    def no(self, *, said: bool = True) -> Refused:
        answer = Declined(digest=self.question.digest, channel=Channel.CLIENT, said_no=said)
        outcome = self.gate.call(self.call, at(self.project), answer)
        assert isinstance(outcome, Refused)
        return outcome

    @property
    def words(self) -> list[str]:
        return [want.words for want in self.question.items]


def kinds(outcome: Outcome) -> list[ConsentKind]:
    assert isinstance(outcome, Ask)
    assert isinstance(outcome.question, ConsentQuestion)
    return [want.kind for want in outcome.question.items]


def text(outcome: Outcome) -> str:
    assert isinstance(outcome, Done), outcome
    return outcome.text


def policy(world: World, project: Path, tools: dict[str, object]) -> None:
    content = {"allow": "*", "policy": {"version": "1", "default": "allow", "tools": tools}}
    (project / ".claude" / "secrets.yml").write_text(yaml.safe_dump(content))


def test_a_secret_from_elsewhere_is_asked_for_once_with_where_it_comes_from(world: World) -> None:
    api = world.project("api")
    Agent(world, api).set("TOKEN", "v")
    clone = world.project("clone")
    asked = Asked(world, clone)
    assert asked.words == [
        f"read TOKEN, stored from {shortened(str(api))} (readable); this project may then use, change and delete it"
    ]
    assert text(asked.yes()) == "v"
    assert Agent(world, clone).get("TOKEN") == "v"  # another process, later


def test_only_what_is_new_is_asked(world: World) -> None:
    secrets.set_value(world.person(), "ONE", "1")
    secrets.set_value(world.person(), "TWO", "2")
    clone = world.project("clone")
    gate = world.gate()
    assert text(Asked(world, clone, Call(tool=Tool.GET_SECRET, name="ONE"), gate).yes()) == "1"
    asked = Asked(world, clone, Call(tool=Tool.GET_SECRET, name="TWO"), gate)
    assert asked.words == ["read TWO, stored by you (readable); this project may then use, change and delete it"]


def test_a_scope_and_a_secret_in_it_are_asked_for_together(world: World) -> None:
    secrets.set_value(world.person(scope="acme"), "TOKEN", "v")
    project = world.project("clone", scope="acme")
    asked = Asked(world, project)
    assert [want.kind for want in asked.question.items] == [ConsentKind.SCOPE, ConsentKind.SECRET]
    assert text(asked.yes()) == "v"
    assert world.gate().call(Call(tool=Tool.LIST_SECRETS), at(project)).data["names"] == ["TOKEN"]  # type: ignore[union-attr]


def test_a_no_holds_for_ten_minutes_for_that_project_and_name_in_every_process(world: World) -> None:
    secrets.set_value(world.person(), "TOKEN", "v")
    secrets.set_value(world.person(), "OTHER", "w")
    clone = world.project("clone")
    refused = Asked(world, clone).no()
    assert refused.error.code is Code.NOT_TRUSTED
    assert "said no" in refused.error.message
    world.time += 599
    again = world.gate().call(GET, at(clone))
    assert isinstance(again, Refused)
    assert again.error.code is Code.NOT_TRUSTED
    assert "said no" in again.error.message
    assert kinds(world.gate().call(GET._replace(name="OTHER"), at(clone))) == [ConsentKind.SECRET]
    assert kinds(world.gate().call(GET, at(world.project("another")))) == [ConsentKind.SECRET]
    world.time += 2
    assert kinds(world.gate().call(GET, at(clone))) == [ConsentKind.SECRET]


def test_a_no_to_a_scope_holds_for_every_name_of_the_project(world: World) -> None:
    secrets.set_value(world.person(scope="acme"), "TOKEN", "v")
    project = world.project("clone", scope="acme")
    assert "said no" in Asked(world, project).no().error.message
    for call in (GET, GET._replace(name="OTHER"), Call(tool=Tool.LIST_SECRETS)):
        outcome = world.gate().call(call, at(project))
        assert isinstance(outcome, Refused)
        assert outcome.error.code is Code.NOT_TRUSTED
        assert "said no" in outcome.error.message
    elsewhere = world.project("elsewhere", scope="acme")
    assert kinds(world.gate().call(GET, at(elsewhere))) == [ConsentKind.SCOPE, ConsentKind.SECRET]


def test_a_no_stays_one_where_the_question_has_changed_meanwhile(world: World) -> None:
    secrets.set_value(world.person(), "TOKEN", "v")
    clone = world.project("clone")
    asked = Asked(world, clone)
    secrets.set_value(world.person(), "TOKEN", "w", Access.USE_ONLY)
    assert "said no" in asked.no().error.message
    outcome = world.gate().call(GET, at(clone))
    assert isinstance(outcome, Refused)
    assert "said no" in outcome.error.message


def test_a_yes_is_kept_where_there_is_nothing_to_read(world: World) -> None:
    secrets.set_value(world.person(), "TOKEN", "v")
    secrets.delete(world.person(), "TOKEN")
    asked = Asked(world, world.project("clone"))
    outcome = asked.yes()
    assert isinstance(outcome, Refused)
    assert outcome.error.code is Code.NOT_FOUND
    again = asked.gate.call(GET, at(asked.project))
    assert isinstance(again, Refused)
    assert again.error.code is Code.NOT_FOUND
    (last, _) = log.entries(world.person(), lambda entry: entry.event.code == "NOT_FOUND")
    assert (last.event.outcome, last.event.channel) == ("refused", "client")


def test_a_question_that_nobody_answered_is_refused_and_may_be_put_again(world: World) -> None:
    secrets.set_value(world.person(), "TOKEN", "v")
    clone = world.project("clone")
    assert "Nobody answered" in Asked(world, clone).no(said=False).error.message
    assert kinds(world.gate().call(GET, at(clone))) == [ConsentKind.SECRET]


CHANGES: dict[str, Callable[[World, Path], object]] = {
    "the allowlist": lambda _, project: (project / ".claude" / "secrets.yml").write_text('allow: "*"  # x\n'),
    "the person's policy": lambda world, _: world.write_limit(99),
    "the person's settings": lambda world, _: (world.config / "config.yml").write_text("consent: any\n"),
    "the access of the secret": lambda world, _: secrets.set_access(world.person(), ["TOKEN"], Access.USE_ONLY),
    "the value of the secret": lambda world, _: secrets.set_value(world.person(), "TOKEN", "canary of another version"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_yes_counts_for_what_was_shown_and_nothing_else(world: World, change: str) -> None:
    secrets.set_value(world.person(), "TOKEN", "canary")
    clone = world.project("clone")
    asked = Asked(world, clone)
    CHANGES[change](world, clone)
    outcome = asked.yes()
    assert isinstance(outcome, Ask)
    assert isinstance(world.gate().call(GET, at(clone)), Ask)  # nothing was granted


def test_an_allowlist_swapped_for_one_of_the_same_size_and_time_is_noticed(world: World) -> None:
    secrets.set_value(world.person(), "TOKEN", "canary")
    clone = world.project("clone", ["TOKEN"])
    path = clone / ".claude" / "secrets.yml"
    before, status = path.read_bytes(), path.stat()
    asked = Asked(world, clone)
    path.write_bytes(before.replace(b"TOKEN", b"OTHER"))
    import os

    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    outcome = asked.yes()
    assert isinstance(outcome, Refused)
    assert outcome.error.code is Code.NOT_ALLOWLISTED


@pytest.mark.parametrize(
    "other",
    [
        GET._replace(name="OTHER"),
        GET._replace(tool=Tool.DELETE_SECRET),
        Call(tool=Tool.SET_SECRET, name="TOKEN", value="x"),
    ],
    ids=["another name", "another tool", "another tool with a value"],
)
def test_a_yes_to_one_call_is_none_to_another(world: World, other: Call) -> None:
    secrets.set_value(world.person(), "TOKEN", "v")
    secrets.set_value(world.person(), "OTHER", "w")
    asked = Asked(world, world.project("clone"))
    assert isinstance(asked.yes(call=other), Ask)


def test_a_yes_to_one_value_is_none_to_another(world: World) -> None:
    secrets.set_value(world.person(), "TOKEN", "v")
    call = Call(tool=Tool.SET_SECRET, name="TOKEN", value="shown")
    asked = Asked(world, world.project("clone"), call)
    assert isinstance(asked.yes(call=call._replace(value="another")), Ask)


def test_a_yes_is_none_in_another_project(world: World) -> None:
    secrets.set_value(world.person(), "TOKEN", "v")
    asked = Asked(world, world.project("clone"))
    asked.project = world.project("other")
    assert isinstance(asked.yes(), Ask)


# Use-only


def test_reading_a_use_only_secret_is_asked_for_each_time(world: World) -> None:
    project = world.project("api")
    secrets.set_value(world.person(project), "TOKEN", "v", Access.USE_ONLY)
    asked = Asked(world, project)
    assert asked.words == ["read the value of TOKEN (version 1), which is use-only"]
    assert text(asked.yes()) == "v"
    assert kinds(asked.gate.call(GET, at(project))) == [ConsentKind.READ]
    assert asked.no().error.code is Code.USE_ONLY


def test_or_once_for_the_session_of_one_server(world: World) -> None:
    project = world.project("api")
    secrets.set_value(world.person(project), "TOKEN", "v", Access.USE_ONLY)
    asked = Asked(world, project)
    assert asked.question.for_session
    assert text(asked.yes(session=True)) == "v"
    assert text(asked.gate.call(GET, at(project))) == "v"
    assert kinds(world.gate().call(GET, at(project))) == [ConsentKind.READ]


@pytest.mark.parametrize("change", ["another value", "revoked"])
def test_but_not_for_another_value_nor_after_it_was_revoked(world: World, change: str) -> None:
    secrets.set_value(world.person(), "TOKEN", "v", Access.USE_ONLY)
    project = world.project("api")
    person = world.person(project)
    trust.allow(person, "TOKEN")
    asked = Asked(world, project)
    assert text(asked.yes(session=True)) == "v"
    assert text(asked.gate.call(GET, at(project))) == "v"
    if change == "another value":
        secrets.set_value(world.person(), "TOKEN", "w")
        assert kinds(asked.gate.call(GET, at(project))) == [ConsentKind.READ]
    else:
        trust.revoke(person, "TOKEN")
        assert kinds(asked.gate.call(GET, at(project))) == [ConsentKind.SECRET, ConsentKind.READ]


def test_an_entry_of_the_allowlist_makes_reading_a_question_too(world: World) -> None:
    project = world.project("api", [{"name": "TOKEN", "access": "use-only"}])
    secrets.set_value(world.person(project), "TOKEN", "v")
    assert kinds(world.gate().call(GET, at(project))) == [ConsentKind.READ]


def test_a_use_only_secret_from_elsewhere_is_asked_for_once_for_both(world: World) -> None:
    secrets.set_value(world.person(), "TOKEN", "v", Access.USE_ONLY)
    asked = Asked(world, world.project("clone"))
    assert [want.kind for want in asked.question.items] == [ConsentKind.SECRET, ConsentKind.READ]
    assert not asked.question.for_session
    assert text(asked.yes(session=True)) == "v"
    assert kinds(asked.gate.call(GET, at(asked.project))) == [ConsentKind.READ]


def test_agents_keep_secrets_use_only_and_lists_mark_them(world: World) -> None:
    project = world.project("api")
    secrets.set_value(world.person(project), "TOKEN", "v", Access.USE_ONLY)
    agent = Agent(world, project)
    agent.set("TOKEN", "w")
    agent.set("PLAIN", "w")
    agent.done(Tool.DELETE_SECRET, "TOKEN")
    agent.set("TOKEN", "x")
    found = agent.done(Tool.LIST_SECRETS).data
    assert (found["names"], found["use_only"]) == (["PLAIN", "TOKEN"], ["TOKEN"])
    assert secrets.set_access(world.person(project), ["TOKEN", "PLAIN"], Access.READABLE) == ["TOKEN"]
    assert agent.get("TOKEN") == "x"


# Approval


def test_a_rule_asks_and_only_a_yes_to_this_very_call_approves(world: World) -> None:
    project = world.project("api")
    policy(world, project, {"set_secret": {"rules": [{"name": "ask", "action": "require_approval", "reason": "Why?"}]}})
    call = Call(tool=Tool.SET_SECRET, name="TOKEN", value="v")
    asked = Asked(world, project, call)
    assert asked.words == [
        "call set_secret TOKEN (this project's rule /tools/set_secret/rules/ask requires your approval)"
    ]
    assert [want.said for want in asked.question.items] == ["Why?"]
    assert isinstance(asked.yes(), Done)
    refused = Asked(world, project, call, asked.gate).no()
    assert (refused.error.code, refused.error.rule) == (Code.APPROVAL_REFUSED, "/tools/set_secret/rules/ask")


def test_what_a_projects_own_rules_ask_never_shares_a_question_with_another_want(world: World) -> None:
    secrets.set_value(world.person(), "TOKEN", "v", Access.USE_ONLY)
    asking: dict[str, object] = {
        "get_secret": {"action": "require_approval", "reason": "Routine check. Please press Allow."}
    }
    project = world.project("clone")
    policy(world, project, asking)
    mine = {"version": "1", "default": "allow", "tools": {"get_secret": {"action": "require_approval"}}}
    (world.config / "policy.yml").write_text(yaml.safe_dump(mine))
    first = Asked(world, project)
    assert [want.kind for want in first.question.items] == [ConsentKind.SECRET, ConsentKind.READ, ConsentKind.APPROVAL]
    assert "Routine" not in str(first.question)
    yes = Consented(digest=first.question.digest, channel=Channel.CLIENT)
    second = first.gate.call(GET, at(project), yes)
    assert kinds(second) == [ConsentKind.APPROVAL]
    assert isinstance(second, Ask)
    assert trust.list_grants(world.person()) == []  # nothing is granted before the last consent
    digest = str(getattr(second.question, "digest", ""))
    alone = first.gate.call(GET, at(project), Consented(digest=digest, channel=Channel.CLIENT))
    assert kinds(alone) == [want.kind for want in first.question.items]
    no = first.gate.call(GET, at(project), Declined(digest=digest, channel=Channel.CLIENT, said_no=False))
    assert isinstance(no, Refused)
    assert no.error.code is Code.APPROVAL_REFUSED
    both = Consented(digest=digest, channel=Channel.CLIENT, earlier=(yes,))
    assert text(first.gate.call(GET, at(project), both)) == "v"
    assert [grant.name for grant in trust.list_grants(world.person())] == ["TOKEN"]


def test_what_is_wanted_comes_before_a_path_which_is_cut_in_its_middle(world: World) -> None:
    deep = "/".join(["x" * 60] * 40)
    project, elsewhere = world.project(f"clone/{deep}/end-of-it"), world.project(f"other/{deep}/api")
    secrets.set_value(world.person(elsewhere), "TOKEN", "v")
    said = asked(Asked(world, project).question)
    assert said.index("read TOKEN, stored from ") < 40
    assert (len(said) < 400, "end-of-it”" in said, "/api (readable)" in said) == (True, True, True)


def test_an_approval_is_needed_even_for_the_first_secret_of_all(tmp_path: Path) -> None:
    world = World(tmp_path, store=False)
    project = world.project("api")
    policy(world, project, {"set_secret": {"action": "require_approval"}})
    asked = Asked(world, project, Call(tool=Tool.SET_SECRET, name="TOKEN", value="v"))
    assert not world.path.exists()
    assert asked.no().error.code is Code.APPROVAL_REFUSED
    assert not world.path.exists()
    world.close()


def test_what_the_person_types_they_approve_of(world: World) -> None:
    project = world.project("api")
    policy(world, project, {"input_secret": {"action": "require_approval"}})
    call = Call(tool=Tool.INPUT_SECRET, name="TOKEN")
    outcome = world.gate().call(call, at(project))
    assert isinstance(outcome, Ask)
    assert isinstance(outcome.question, InputQuestion)
    assert isinstance(enter(world.gate(), call, project, "v"), Done)


def test_entering_over_a_secret_from_elsewhere_is_asked_for_before_the_page(world: World) -> None:
    secrets.set_value(world.person(), "TOKEN", "v")
    asked = Asked(world, world.project("clone"), Call(tool=Tool.INPUT_SECRET, name="TOKEN"))
    outcome = asked.yes()
    assert isinstance(outcome, Ask)
    assert isinstance(outcome.question, InputQuestion)
    assert isinstance(enter(asked.gate, asked.call, asked.project, "w"), Done)


# Linked work trees

TREE_WORDS = "count as a work tree of {}; it may then use, change and delete the same secrets as that project"


def test_a_linked_work_tree_is_asked_for_once_and_then_is_the_main_one(world: World) -> None:
    main = world.project("main")
    Agent(world, main).set("TOKEN", "v")
    Agent(world, main).set("OTHER", "w")
    tree = world.linked(main, "tree")
    asked = Asked(world, tree)
    assert asked.words == [TREE_WORDS.format(shortened(str(main)))]
    assert text(asked.yes()) == "v"
    later = Agent(world, tree)  # another process
    assert (later.get("OTHER"), later.names()) == ("w", ["OTHER", "TOKEN"])
    later.set("NEW", "x")
    assert Agent(world, main).get("NEW") == "x"
    assert [record.origin for record in secrets.list_all(world.person())] == [str(main)] * 3


def test_what_it_does_by_that_very_yes_it_does_as_the_main_one(world: World) -> None:
    main = world.project("main")
    secrets.set_value(world.person(main), "TOKEN", "v", Access.USE_ONLY)
    tree = world.linked(main, "tree")
    asked = Asked(world, tree)
    assert [want.kind for want in asked.question.items] == [ConsentKind.WORK_TREE, ConsentKind.READ]
    assert text(asked.yes()) == "v"
    assert kinds(asked.gate.call(GET, at(tree))) == [ConsentKind.READ]


def test_what_it_stores_by_that_very_yes_is_the_main_one_s(world: World) -> None:
    main = world.project("main", scope="acme")
    secrets.set_value(world.person(main, scope="acme"), "TOKEN", "v")
    tree = world.linked(main, "tree", scope="acme")
    asked = Asked(world, tree, Call(tool=Tool.SET_SECRET, name="NEW", value="w"))
    assert [want.kind for want in asked.question.items] == [ConsentKind.WORK_TREE]
    assert isinstance(asked.yes(), Done)
    assert [record.origin for record in secrets.list_all(world.person())] == [str(main)] * 2
    assert Agent(world, main).get("NEW") == "w"


def test_it_is_asked_for_only_where_the_main_one_may_do_more(world: World) -> None:
    secrets.set_value(world.person(), "TOKEN", "v")
    main = world.project("main")
    tree = world.linked(main, "tree")
    assert kinds(world.gate().call(GET, at(tree))) == [ConsentKind.SECRET]
    Agent(world, tree).set("OWN", "own")
    assert Agent(world, tree).get("OWN") == "own"
    trust.allow(world.person(main), "TOKEN")
    assert kinds(world.gate().call(GET, at(tree))) == [ConsentKind.WORK_TREE]


def test_what_neither_may_use_is_asked_for_with_it_and_granted_to_both(world: World) -> None:
    secrets.set_value(world.person(scope="acme"), "TOKEN", "v")
    secrets.set_value(world.person(scope="acme"), "OTHER", "w")
    main = world.project("main", scope="acme")
    tree = world.linked(main, "tree", scope="acme")
    assert kinds(world.gate().call(GET, at(tree))) == [ConsentKind.SCOPE, ConsentKind.SECRET]
    trust.allow(world.person(main, scope="acme"), "OTHER")
    asked = Asked(world, tree)
    assert [want.kind for want in asked.question.items] == [ConsentKind.WORK_TREE, ConsentKind.SECRET]
    assert text(asked.yes()) == "v"
    assert Agent(world, main).get("TOKEN") == "v"
    assert Agent(world, tree).get("OTHER") == "w"


def test_what_the_tree_stored_and_was_granted_before_stays_its_own(world: World) -> None:
    secrets.set_value(world.person(), "GRANTED", "g")
    main = world.project("main")
    Agent(world, main).set("TOKEN", "v")
    tree = world.linked(main, "tree")
    Agent(world, tree).set("OWN", "own")
    trust.allow(world.person(tree), "GRANTED")
    assert text(Asked(world, tree).yes()) == "v"
    assert [Agent(world, tree).get(name) for name in ("OWN", "GRANTED", "TOKEN")] == ["own", "g", "v"]
    for name in ("OWN", "GRANTED"):
        assert Agent(world, main).refused(Tool.GET_SECRET, name) is Code.NOT_TRUSTED


def test_a_no_to_it_holds_for_every_name_that_would_need_it_and_for_no_other_project(world: World) -> None:
    main = world.project("main")
    for name in ("TOKEN", "OTHER"):
        Agent(world, main).set(name, "v")
    tree = world.linked(main, "tree")
    refused = Asked(world, tree).no()
    assert refused.error.code is Code.NOT_TRUSTED
    assert "said no" in refused.error.message
    assert str(main) not in f"{refused.error.message} {refused.error.hint}"
    again = world.gate().call(GET._replace(name="OTHER"), at(tree))
    assert isinstance(again, Refused)
    assert "said no" in again.error.message
    Agent(world, tree).set("OWN", "own")
    assert Agent(world, main).get("TOKEN") == "v"
    assert kinds(world.gate().call(GET, at(world.linked(main, "another")))) == [ConsentKind.WORK_TREE]
    world.time += 601
    assert kinds(world.gate().call(GET._replace(name="OTHER"), at(tree))) == [ConsentKind.WORK_TREE]


def test_it_counts_only_as_long_as_both_sides_name_that_main_work_tree(world: World) -> None:
    main, other = world.project("main"), world.project("other")
    Agent(world, main).set("TOKEN", "v")
    Agent(world, other).set("TOKEN_TWO", "w")
    tree = world.linked(main, "tree")
    assert text(Asked(world, tree).yes()) == "v"
    make_linked(other, tree)
    for name in ("TOKEN", "TOKEN_TWO"):
        assert Agent(world, tree).refused(Tool.GET_SECRET, name) is Code.NOT_TRUSTED
    (tree / ".git").unlink()
    assert Agent(world, tree).refused(Tool.GET_SECRET, "TOKEN") is Code.NOT_TRUSTED
    make_linked(main, tree)
    assert Agent(world, tree).get("TOKEN") == "v"


def test_a_yes_to_one_main_work_tree_is_none_to_another(world: World) -> None:
    main, other = world.project("main"), world.project("other")
    Agent(world, main).set("TOKEN", "v")
    trust.allow(world.person(other), "TOKEN")
    tree = world.linked(main, "tree")
    asked = Asked(world, tree)
    make_linked(other, tree)
    outcome = asked.yes()
    assert isinstance(outcome, Ask)
    assert isinstance(outcome.question, ConsentQuestion)
    assert [want.subject for want in outcome.question.items] == [str(other)]
    assert trust.list_grants(world.person()) == [
        grant for grant in trust.list_grants(world.person()) if grant.project == str(other)
    ]


def test_revoking_all_in_a_work_tree_ends_it_and_leaves_the_main_one_its_grants(world: World) -> None:
    secrets.set_value(world.person(), "TOKEN", "v")
    main = world.project("main")
    trust.allow(world.person(main), "TOKEN")
    tree = world.linked(main, "tree")
    assert text(Asked(world, tree).yes()) == "v"
    assert [grant.main for grant in trust.revoke(world.person(tree))] == [str(main)]
    assert Agent(world, tree).refused(Tool.GET_SECRET, "TOKEN") is Code.NOT_TRUSTED
    assert Agent(world, main).get("TOKEN") == "v"


def test_revoking_a_name_in_a_work_tree_takes_it_from_the_main_one_as_which_it_counts(world: World) -> None:
    secrets.set_value(world.person(), "TOKEN", "v")
    main = world.project("main")
    trust.allow(world.person(main), "TOKEN")
    tree = world.linked(main, "tree")
    assert trust.revoke(world.person(tree), "TOKEN") == []
    assert text(Asked(world, tree).yes()) == "v"
    assert [(grant.project, grant.name) for grant in trust.revoke(world.person(tree), "TOKEN")] == [
        (str(main), "TOKEN")
    ]
    assert Agent(world, main).refused(Tool.GET_SECRET, "TOKEN") is Code.NOT_TRUSTED


def test_work_trees_write_within_the_limits_of_the_main_one_granted_or_not(world: World) -> None:
    world.write_limit(3)
    main = world.project("main")
    Agent(world, main).set("TOKEN", "v")
    one, two = world.linked(main, "one"), world.linked(main, "two")
    Agent(world, one).set("ONE", "v")
    trust.grant(world.person(two), trust.wanted(world.person(two), allowlist(two)))
    Agent(world, two).set("TWO", "v")
    for project in (main, one, two, world.linked(main, "three")):
        assert Agent(world, project).refused(Tool.SET_SECRET, "MORE", value="v") is Code.RATE_LIMITED


def test_claiming_one_main_work_tree_after_another_gives_no_new_limits(world: World) -> None:
    world.write_limit(3)
    tree = world.project("tree")
    for number in range(3):
        make_linked(world.project(f"made-up-{number}"), tree)
        Agent(world, tree).set(f"T{number}", "v")
    make_linked(world.project("made-up-more"), tree)
    assert Agent(world, tree).refused(Tool.SET_SECRET, "MORE", value="v") is Code.RATE_LIMITED


def test_required_and_off_hold_for_work_trees_too(world: World) -> None:
    main = world.project("main")
    tree = world.linked(main, "tree")
    secrets.set_value(world.person(main), "TOKEN", "v")
    (world.config / "config.yml").write_text("trust: off\n")
    assert Agent(world, tree).get("TOKEN") == "v"
    (world.config / "config.yml").write_text("trust: required\n")
    assert kinds(world.gate().call(GET, at(tree))) == [ConsentKind.SECRET]
    trust.allow(world.person(main), "TOKEN")
    assert text(Asked(world, tree).yes()) == "v"


# The settings of `trust`


def test_required_needs_a_grant_even_for_what_the_project_stores(world: World) -> None:
    (world.config / "config.yml").write_text("trust: required\n")
    project = world.project("api")
    call = Call(tool=Tool.SET_SECRET, name="TOKEN", value="v")
    asked = Asked(world, project, call)
    assert asked.words == ["overwrite TOKEN, which is not stored yet"]
    assert isinstance(asked.yes(), Done)
    assert Agent(world, project).get("TOKEN") == "v"


def test_required_says_the_same_of_every_name_and_how_to_grant_it(world: World) -> None:
    (world.config / "config.yml").write_text("trust: required\n")
    project = world.project("api")
    secrets.set_value(world.person(project), "OWN", "v")
    trust.revoke(world.person(project))
    secrets.set_value(world.person(), "OTHER", "v")

    def said(name: str) -> str:
        outcome = Asked(world, project, Call(tool=Tool.GET_SECRET, name=name)).no(said=False)
        assert isinstance(outcome, Refused)
        assert outcome.error.code is Code.NOT_TRUSTED
        return f"{outcome.error.message} {outcome.error.hint}".replace(name, "NAME")

    own = said("OWN")
    assert own == said("OTHER") == said("NEVER_STORED")
    assert "stored outside" not in own
    assert "allow NAME" in own


def test_trust_grants_a_projects_own_secrets_if_that_is_required(world: World) -> None:
    project = world.project("api")
    person = world.person(project)
    secrets.set_value(person, "OWN", "v")
    assert not trust.wanted(person, allowlist(project))
    wanted = trust.wanted(person, allowlist(project), required=True)
    assert [record.name for record in wanted.secrets] == ["OWN"]
    (world.config / "config.yml").write_text("trust: required\n")
    assert Agent(world, project).refused(Tool.GET_SECRET, "OWN") is Code.NOT_TRUSTED
    trust.grant(person, wanted)
    assert Agent(world, project).get("OWN") == "v"
    assert not trust.wanted(person, allowlist(project), required=True)


def test_off_lets_the_allowlist_alone_decide(world: World) -> None:
    secrets.set_value(world.person(), "TOKEN", "v")
    secrets.set_value(world.person(scope="acme"), "OTHER", "w")
    (world.config / "config.yml").write_text("trust: off\n")
    assert Agent(world, world.project("clone")).get("TOKEN") == "v"
    assert Agent(world, world.project("scoped", scope="acme")).get("OTHER") == "w"


@pytest.mark.parametrize("own", list(Trust))
@pytest.mark.parametrize("asked_for", list(Trust))
def test_arguments_only_tighten(world: World, own: Trust, asked_for: Trust) -> None:
    (world.config / "config.yml").write_text(f"trust: {own.name.lower()}\n")
    project = world.project("clone")
    secrets.set_value(world.person(), "FOREIGN", "v")
    gate = Gate(store=world.store(), config=OwnDirectories(world.config), tighten=asked_for)
    foreign = gate.call(GET._replace(name="FOREIGN"), at(project))
    new = gate.call(Call(tool=Tool.SET_SECRET, name="NEW", value="v"), at(project))
    mode = max(own, asked_for)
    assert isinstance(foreign, Done) == (mode is Trust.OFF)
    assert isinstance(new, Done) == (mode is not Trust.REQUIRED)


# The log


def test_every_decision_is_in_the_log_with_who_asked_and_which_rule(world: World) -> None:
    secrets.set_value(world.person(), "FOREIGN", "v")
    project = world.project("api")
    policy(world, project, {"delete_secret": {"rules": [{"name": "never", "action": "deny"}]}})
    gate = world.gate()
    for call in (
        Call(tool=Tool.SET_SECRET, name="TOKEN", value="canary"),
        GET,
        GET,
        Call(tool=Tool.LIST_SECRETS),
        Call(tool=Tool.DELETE_SECRET, name="TOKEN"),
        Call(tool=Tool.DELETE_SECRET, name="TOKEN"),
        Call(tool=Tool.GET_SECRET, name="ABSENT"),
    ):
        gate.call(call, at(project), client="test 1")
    Asked(world, project, GET._replace(name="FOREIGN"), gate).no()
    events = [
        (e.event.action, e.event.name, e.event.code or e.event.outcome, e.event.rule, e.times)
        for e in log.entries(world.person(), lambda entry: entry.event.caller == "agent")
    ]
    assert events == [
        ("set_secret", "TOKEN", "done", "", 1),
        ("get_secret", "TOKEN", "done", "", 2),
        ("list_secrets", "", "done", "", 1),
        ("delete_secret", "TOKEN", "DENIED_BY_RULE", "/tools/delete_secret/rules/never", 2),
        ("get_secret", "ABSENT", "NOT_FOUND", "", 1),
        ("get_secret", "FOREIGN", "asked", "", 1),
        ("get_secret", "FOREIGN", "NOT_TRUSTED", "", 1),
    ]
    last = log.entries(world.person(), lambda _: True)[-1].event
    assert (last.channel, last.project) == ("client", str(project))
    assert log.verify_log(world.person()) == len(log.entries(world.person(), lambda _: True))


def test_what_the_person_does_is_in_the_log(world: World) -> None:
    project = world.project("api")
    person = world.person(project)
    secrets.set_value(person, "TOKEN", "v")
    secrets.get_value(person, "TOKEN", warn=print)
    secrets.set_access(person, ["TOKEN"], Access.USE_ONLY)
    secrets.rename(person, "TOKEN", "NEW")
    trust.allow(person, "NEW")
    trust.revoke(person, "NEW")
    secrets.delete(person, "NEW")
    actions = [
        (entry.event.caller, entry.event.action, entry.event.name) for entry in log.entries(person, lambda _: True)
    ]
    assert actions == [
        ("person", "set", "TOKEN"),
        ("person", "get", "TOKEN"),
        ("person", "access use-only", "TOKEN"),
        ("person", "rename", "TOKEN"),
        ("person", "rename to", "NEW"),
        ("person", "allow", "NEW"),
        ("person", "revoke", "NEW"),
        ("person", "delete", "NEW"),
    ]


def test_hidden_tools_are_told_and_denied(world: World) -> None:
    project = world.project("api")
    content = {"allow": "*", "policy": {"version": "1", "default": "allow", "hide": ["delete_secret"]}}
    (project / ".claude" / "secrets.yml").write_text(yaml.safe_dump(content))
    assert world.gate().hidden(at(project)) == {Tool.DELETE_SECRET}
    assert Agent(world, project).refused(Tool.DELETE_SECRET, "T") is Code.DENIED_BY_RULE
