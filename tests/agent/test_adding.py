"""Names that an agent asks for and the person adds to the allowlist: only with their agreement, and wholly or not."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from claude_secrets.agent import adding
from claude_secrets.agent.gate import Gate
from claude_secrets.errors import Code, DeniedError, SecretsError, StoreError
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
    Entered,
    InputQuestion,
    Outcome,
    Refused,
    Tool,
)
from claude_secrets.person import log, secrets, trust
from claude_secrets.policy import allowlist_file
from claude_secrets.policy.strict_yaml import SIZE_LIMIT
from claude_secrets.store.transaction import Transaction
from tests.support.posix import give_away, is_root
from tests.support.store_world import Agent, World, at, find

CALL = Call(tool=Tool.INPUT_SECRET, name="NEW", prompt="please")
CONTENT = b"""\
# Ours, with care.\r
allow:\r
  - OLD   # an old one\r
\r
policy: {version: "1", default: allow}  # the end\r
"""
ADDED = CONTENT.replace(b"an old one\r\n", b"an old one\r\n  - NEW\r\n")


class Project:
    """A project with a file that a person has written, and its gate that can ask the person."""

    def __init__(self, world: World, name: str = "api") -> None:
        self.world = world
        self.path = world.project(name, [])
        self.file = self.path / ".claude" / "secrets.yml"
        self.file.write_bytes(CONTENT)
        self.gate: Gate = world.gate(asks=True)

    def call(self, answer: Entered | Declined | None = None, call: Call = CALL) -> Outcome:
        return self.gate.call(call, at(self.path), answer)

    def question(self) -> InputQuestion:
        outcome = self.call()
        assert isinstance(outcome, Ask), outcome
        assert isinstance(outcome.question, InputQuestion)
        return outcome.question

    def ticked(self) -> Entered:
        return Entered(value="typed", access=Access.READABLE, question=self.question(), adds=True)

    def refused(self, answer: Entered | Declined | None = None, call: Call = CALL) -> SecretsError:
        outcome = self.call(answer, call)
        assert isinstance(outcome, Refused), outcome
        return outcome.error


@pytest.fixture
def project(world: World) -> Project:
    return Project(world)


@pytest.fixture
def bare_world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, store=False)
    yield world
    world.close()


def test_with_the_persons_tick_the_name_is_added_and_the_value_stored(project: Project) -> None:
    question = project.question()
    assert (question.name, question.adds, question.prompt) == ("NEW", True, "please")
    assert (question.about, question.url, question.replaces, question.access) == (None, None, None, Access.USE_ONLY)
    done = project.call(project.ticked())
    assert isinstance(done, Done)
    assert done.text == (
        "Stored 'NEW' (version 1). The value went straight to the store. The person added the name to the allowlist."
    )
    assert project.file.read_bytes() == ADDED
    assert [path.name for path in project.file.parent.iterdir()] == ["secrets.yml"]
    assert Agent(project.world, project.path).get("NEW") == "typed"


def test_the_log_says_that_the_person_changed_the_allowlist_on_the_page(project: Project) -> None:
    project.call(project.ticked())
    events = [entry.event for entry in log.entries(project.world.person(), lambda _: True)]
    assert [(e.caller, e.action, e.outcome, e.name, e.channel) for e in events] == [
        ("agent", "input_secret", "asked", "NEW", ""),
        ("agent", "input_secret", "done", "NEW", "page"),
        ("person", "allow", "done", "NEW", "page"),
    ]
    assert {event.project for event in events} == {str(project.path)}


def test_the_first_secret_of_all_is_added_too(bare_world: World) -> None:
    """Without a store, the key comes from a new file: this machine has no keyring."""
    project = Project(bare_world)
    entered = project.ticked()
    assert project.refused(entered._replace(adds=False)).code is Code.NOT_ALLOWLISTED
    assert not bare_world.path.parent.exists()
    assert project.refused(entered).code is Code.KEYRING_UNAVAILABLE
    assert project.file.read_bytes() == CONTENT
    bare_world.create()
    assert isinstance(project.call(entered), Done)
    assert project.file.read_bytes() == ADDED


def test_without_the_tick_nothing_is_stored_or_changed(project: Project) -> None:
    entered = project.ticked()._replace(adds=False)
    before = project.world.rows()
    assert project.refused(entered).code is Code.NOT_ALLOWLISTED
    assert (project.world.rows(), project.file.read_bytes()) == (before, CONTENT)


def test_a_tick_that_answers_another_question_adds_nothing(project: Project) -> None:
    entered = project.ticked()
    other = Call(tool=Tool.INPUT_SECRET, name="OTHER")
    assert project.refused(entered, other).code is Code.CANCELLED
    assert project.refused(entered._replace(question=entered.question._replace(adds=False))).code is Code.CANCELLED
    for tool in (Tool.GET_SECRET, Tool.SET_SECRET, Tool.DELETE_SECRET):
        assert project.refused(entered, Call(tool=tool, name="NEW", value="v")).code is Code.NOT_ALLOWLISTED
    assert project.file.read_bytes() == CONTENT


def test_a_consent_is_no_tick(project: Project) -> None:
    outcome = project.gate.call(CALL, at(project.path), Consented(digest="", channel=Channel.CLIENT))
    assert isinstance(outcome, Ask)
    assert isinstance(outcome.question, InputQuestion)
    assert project.file.read_bytes() == CONTENT


def test_a_gate_that_cannot_ask_the_person_refuses_as_always(project: Project) -> None:
    entered = project.ticked()
    project.gate = project.world.gate()
    first, second = project.refused(), project.refused(entered)
    assert first.code is second.code is Code.NOT_ALLOWLISTED
    assert "input_secret" not in f"{first.message}{first.hint}"
    assert project.file.read_bytes() == CONTENT


# Whether the person is asked does not depend on the store.


def stored_nowhere(_world: World, _project: Path) -> None:
    pass


def stored_here(world: World, project: Path) -> None:
    secrets.set_value(world.person(project), "NEW", "canary", Access.READABLE)


def stored_by_the_person(world: World, _project: Path) -> None:
    secrets.set_value(world.person(), "NEW", "canary", Access.READABLE)


def stored_elsewhere(world: World, _project: Path) -> None:
    secrets.set_value(world.person(world.project("other")), "NEW", "canary", Access.READABLE)


def deleted_elsewhere(world: World, project: Path) -> None:
    stored_elsewhere(world, project)
    Agent(world, world.project("other")).done(Tool.DELETE_SECRET, "NEW")


def stored_in_the_main_work_tree(world: World, project: Path) -> None:
    main = world.project("main")
    content = project.joinpath(".claude", "secrets.yml").read_bytes()
    world.linked(main, project.name)
    project.joinpath(".claude", "secrets.yml").write_bytes(content)
    secrets.set_value(world.person(main), "NEW", "canary", Access.READABLE)


STORED = [
    stored_here,
    stored_by_the_person,
    stored_elsewhere,
    deleted_elsewhere,
    stored_in_the_main_work_tree,
]


@pytest.mark.parametrize("mode", ["off", "ask"])
@pytest.mark.parametrize("store", STORED)
def test_the_question_is_the_same_whatever_is_stored(
    project: Project, store: Callable[[World, Path], None], mode: str
) -> None:
    (project.world.config / "config.yml").write_text(f"trust: {mode}\n")
    before = project.call()
    assert isinstance(before, Ask)
    store(project.world, project.path)
    assert project.call() == before


def test_a_name_that_the_project_itself_stored_gets_a_new_version(project: Project) -> None:
    stored_here(project.world, project.path)
    done = project.call(project.ticked())
    assert isinstance(done, Done)
    assert done.data["version"] == 2


# Another project's secret.


def consent_asked(project: Project, entered: Entered) -> ConsentQuestion:
    outcome = project.call(entered)
    assert isinstance(outcome, Ask), outcome
    assert isinstance(outcome.question, ConsentQuestion)
    return outcome.question


@pytest.mark.parametrize("store", [stored_by_the_person, stored_elsewhere, deleted_elsewhere])
def test_the_tick_gives_no_right_to_a_secret_from_elsewhere(
    project: Project, store: Callable[[World, Path], None]
) -> None:
    store(project.world, project.path)
    entered = project.ticked()
    before = project.world.rows()
    asked = consent_asked(project, entered)
    assert [item.kind for item in asked.items] == [ConsentKind.SECRET]
    assert asked.dialog_only
    assert "stored by you" in asked.items[0].words or "stored from" in asked.items[0].words
    assert (project.world.rows(), project.file.read_bytes()) == (before, CONTENT)
    assert trust.list_grants(project.world.person()) == []


@pytest.mark.parametrize("said_no", [True, False], ids=["no", "no answer"])
def test_without_consent_a_secret_from_elsewhere_stays_as_it_was(project: Project, *, said_no: bool) -> None:
    stored_elsewhere(project.world, project.path)
    entered = project.ticked()
    digest = consent_asked(project, entered).digest
    declined = Declined(digest=digest, channel=Channel.DIALOG, said_no=said_no)
    assert project.refused(entered._replace(consent=declined)).code is Code.NOT_TRUSTED
    assert project.file.read_bytes() == CONTENT
    assert Agent(project.world, project.world.root / "work" / "other").get("NEW") == "canary"
    again = project.call()
    assert isinstance(again, Refused) is said_no


def test_with_consent_a_secret_from_elsewhere_gets_a_new_version(project: Project) -> None:
    stored_elsewhere(project.world, project.path)
    entered = project.ticked()
    consented = Consented(digest=consent_asked(project, entered).digest, channel=Channel.DIALOG)
    done = project.call(entered._replace(consent=consented))
    assert isinstance(done, Done), done
    assert done.data["version"] == 2
    assert project.file.read_bytes() == ADDED
    assert find(project.world.store(), "NEW").origin == str(project.world.root / "work" / "other")
    assert Agent(project.world, project.path).get("NEW") == "typed"


def test_a_consent_to_another_question_gives_nothing(project: Project) -> None:
    stored_elsewhere(project.world, project.path)
    entered = project.ticked()
    forged = Consented(digest="0" * 64, channel=Channel.DIALOG)
    assert isinstance(project.call(entered._replace(consent=forged)), Ask)
    assert project.file.read_bytes() == CONTENT


def test_a_scope_needs_consent_first_and_only_in_a_dialog(project: Project) -> None:
    project.file.write_bytes(b"scope: acme\nallow: []\n")
    outcome = project.call()
    assert isinstance(outcome, Ask)
    assert isinstance(outcome.question, ConsentQuestion)
    assert [item.kind for item in outcome.question.items] == [ConsentKind.SCOPE]
    assert outcome.question.dialog_only


# Refusals, as without a page.


def deny(project: Project) -> None:
    policy = {"version": "1", "default": "deny", "tools": {"get_secret": {"rules": []}}}
    project.file.write_text(yaml.safe_dump({"allow": ["OLD"], "policy": policy}))


def deny_by_person(project: Project) -> None:
    policy = {"version": "1", "default": "deny", "tools": {"get_secret": {"rules": []}}}
    (project.world.config / "policy.yml").write_text(yaml.safe_dump(policy))


def hide(project: Project) -> None:
    policy = {"version": "1", "default": "allow", "hide": ["input_secret"]}
    project.file.write_text(yaml.safe_dump({"allow": ["OLD"], "policy": policy}))


def require_trust(project: Project) -> None:
    (project.world.config / "config.yml").write_text("trust: required\n")


def write_protect(project: Project) -> None:
    project.file.chmod(0o444)


def fill(project: Project) -> None:
    project.file.write_bytes(CONTENT + b"#" * (SIZE_LIMIT - len(CONTENT) - 3) + b"\n")


def overfill(project: Project) -> None:
    project.file.write_bytes(CONTENT + b"#" * SIZE_LIMIT)


def break_it(project: Project) -> None:
    project.file.write_bytes(b"allow: [OLD\n")


def leave_to_hand(project: Project) -> None:
    project.file.write_bytes(b"x-names: &names [OLD]\nallow: *names\n")


def link_file(project: Project) -> None:
    other = project.world.project("other", [])
    project.file.unlink()
    project.file.symlink_to(other / ".claude" / "secrets.yml")


def link_directory(project: Project) -> None:
    other = project.world.project("other", [])
    project.file.rename(project.path / "kept")
    project.file.parent.rmdir()
    project.file.parent.symlink_to(other / ".claude")


def remove(project: Project) -> None:
    project.file.unlink()


REFUSING: list[Callable[[Project], None]] = [
    deny,
    deny_by_person,
    hide,
    require_trust,
    write_protect,
    fill,
    overfill,
    break_it,
    leave_to_hand,
    link_file,
    link_directory,
    remove,
]


def files_below(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize("refuse", REFUSING)
def test_who_cannot_be_asked_gets_the_usual_refusal(project: Project, refuse: Callable[[Project], None]) -> None:
    refuse(project)
    usual = Project.__new__(Project)
    usual.__dict__.update(project.__dict__, gate=project.world.gate())
    error, before = project.refused(), usual.refused()
    assert (error.code, error.message, error.hint) == (before.code, before.message, before.hint)


@pytest.mark.parametrize("refuse", REFUSING)
def test_a_change_while_the_page_waits_stores_and_adds_nothing(
    project: Project, refuse: Callable[[Project], None]
) -> None:
    entered = project.ticked()
    refuse(project)
    rows, files = project.world.rows(), files_below(project.world.root / "work")
    assert project.refused(entered).code in (Code.NOT_ALLOWLISTED, Code.ALLOWLIST_INVALID, Code.NO_ALLOWLIST)
    assert (project.world.rows(), files_below(project.world.root / "work")) == (rows, files)


def test_a_note_that_the_person_writes_while_the_page_waits_stays(project: Project) -> None:
    entered = project.ticked()
    project.file.write_bytes(b"# a note\r\n" + CONTENT)
    assert isinstance(project.call(entered), Done)
    assert project.file.read_bytes() == b"# a note\r\n" + ADDED


@pytest.mark.parametrize("content", [b"allow: [NEW]\n", b'allow: "*"\n', b"allow: ['N*']\n"])
def test_a_name_that_is_allowed_meanwhile_is_asked_for_again(project: Project, content: bytes) -> None:
    entered = project.ticked()
    project.file.write_bytes(content)
    assert project.refused(entered).code is Code.CANCELLED
    assert project.file.read_bytes() == content
    assert not project.question().adds


def test_a_scope_that_appears_meanwhile_is_not_added_to(project: Project) -> None:
    (project.world.config / "config.yml").write_text("trust: off\n")
    entered = project.ticked()
    project.file.write_bytes(b"scope: acme\n" + CONTENT)
    assert project.refused(entered).code is Code.CANCELLED


def test_a_file_that_changes_in_the_last_moment_is_left_alone_and_nothing_is_stored(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered = project.ticked()
    rows = project.world.rows()
    calls: list[Path] = []

    def change(path: Path) -> None:  # the second call is just before the file is replaced
        calls.append(path)
        if len(calls) == 2:
            project.file.write_bytes(b"allow: [OTHER]\n")

    monkeypatch.setattr(allowlist_file, "require_persons", change)
    assert project.refused(entered).code is Code.ALLOWLIST_INVALID
    assert (project.world.rows(), project.file.read_bytes()) == (rows, b"allow: [OTHER]\n")


def test_if_the_store_cannot_be_written_the_file_gets_its_old_content_back(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for a disk that becomes full just before the commit."""
    entered = project.ticked()
    rows, seen = project.world.rows(), []

    def full(_tx: Transaction) -> bytes:
        seen.append(project.file.read_bytes())
        raise StoreError(Code.STORE_FULL, "The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(Transaction, "renew_head", full)
        assert project.refused(entered).code is Code.STORE_FULL
    assert seen[0] == ADDED
    assert (project.world.rows(), project.file.read_bytes()) == (rows, CONTENT)
    assert isinstance(project.call(entered), Done)


@pytest.mark.skipif(not is_root(), reason="only root gives files away")
def test_a_file_of_another_user_is_not_edited_but_root_keeps_its_owner(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered = project.ticked()
    give_away(project.file, 12_345, 12_346)
    project.file.chmod(0o664)
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: 54_321)
        with pytest.raises(DeniedError):
            allowlist_file.require_persons(project.path)
    assert isinstance(project.call(entered), Done)
    status = project.file.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (12_345, 12_346, 0o664)


@pytest.mark.parametrize("name", ["", "-x", "a b", "N*", "é", "x" * 129])
def test_no_invalid_name_and_no_pattern_is_added(project: Project, name: str) -> None:
    assert project.refused(call=Call(tool=Tool.INPUT_SECRET, name=name)).code is Code.INVALID_NAME


@pytest.mark.parametrize("name", ["null", "yes", "1e5", "0x1F"])
def test_names_that_yaml_reads_as_something_else_are_added_in_quotes(project: Project, name: str) -> None:
    call = Call(tool=Tool.INPUT_SECRET, name=name)
    outcome = project.call(call=call)
    assert isinstance(outcome, Ask)
    assert isinstance(outcome.question, InputQuestion)
    entered = Entered(value="typed", access=Access.READABLE, question=outcome.question, adds=True)
    assert isinstance(project.call(entered, call), Done)
    assert yaml.safe_load(project.file.read_bytes())["allow"] == ["OLD", name]


# Limits.


def test_added_values_count_against_the_limit(project: Project) -> None:
    project.world.write_limit(1, ["input_secret"])
    assert isinstance(project.call(project.ticked()), Done)
    other = Call(tool=Tool.INPUT_SECRET, name="OTHER")
    assert project.refused(call=other).code is Code.RATE_LIMITED


def test_a_refusal_holds_for_ten_minutes_in_every_process(project: Project) -> None:
    project.question()
    no = project.refused(Declined(digest="", channel=Channel.PAGE, said_no=True))
    assert (no.code, "said no" in no.message) == (Code.CANCELLED, True)
    project.gate = project.world.gate(asks=True)
    assert project.refused().code is Code.CANCELLED
    assert isinstance(project.call(call=Call(tool=Tool.INPUT_SECRET, name="OTHER")), Ask)
    project.world.time += 599
    assert project.refused().code is Code.CANCELLED
    project.world.time += 2
    assert isinstance(project.call(), Ask)


@pytest.mark.parametrize("store", STORED)
def test_a_remembered_refusal_looks_the_same_whatever_is_stored(
    project: Project, store: Callable[[World, Path], None]
) -> None:
    project.refused(Declined(digest="", channel=Channel.PAGE, said_no=True))
    before = project.refused()
    store(project.world, project.path)
    after = project.refused()
    assert (before.code, before.message, before.hint) == (after.code, after.message, after.hint)


@pytest.mark.parametrize("store", STORED)
def test_a_refusal_is_remembered_for_the_name_whatever_is_stored(
    project: Project, store: Callable[[World, Path], None]
) -> None:
    store(project.world, project.path)
    project.refused(Declined(digest="", channel=Channel.PAGE, said_no=True))
    assert project.refused().code is Code.CANCELLED


# What agents learn.


@pytest.mark.parametrize(
    ("tool", "told"), [(Tool.GET_SECRET, True), (Tool.SET_SECRET, True), (Tool.DELETE_SECRET, False)]
)
def test_agents_learn_that_input_secret_asks_the_person(project: Project, tool: Tool, *, told: bool) -> None:
    call = Call(tool=tool, name="NEW", value="v")
    assert ("input_secret asks the person" in (project.refused(call=call).hint or "")) is told
    require_trust(project)
    assert "input_secret asks" not in (project.refused(call=call).hint or "")


def test_nothing_is_undone_if_nothing_was_added(project: Project) -> None:
    with pytest.raises(KeyboardInterrupt), adding.AllowlistChange():
        raise KeyboardInterrupt
    assert project.file.read_bytes() == CONTENT
