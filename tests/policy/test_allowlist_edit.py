"""Test editing a project's file as text: one entry changes, and everything else stays as the person wrote it."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claude_secrets.errors import CallerError, Code, DeniedError
from claude_secrets.model import Access
from claude_secrets.policy.allowlist import Allowlist, AllowlistEntry, parse_allowlist
from claude_secrets.policy.allowlist_edit import TEMPLATE, add_entry, covering, remove_entry
from claude_secrets.policy.globs import glob_covers, glob_match
from tests.support.rounds import rounds


def edited(text: bytes, name: str) -> bytes:
    result = add_entry(text, name)
    assert result is not None
    return result


def test_the_template_allows_nothing_until_a_name_is_added() -> None:
    assert parse_allowlist(TEMPLATE.encode()) == Allowlist()
    data = edited(TEMPLATE.encode(), "GITEA_TOKEN")
    assert data.decode() == TEMPLATE.replace("allow: []\n", "allow:\n  - GITEA_TOKEN\n")


def test_the_example_in_the_template_is_a_list() -> None:
    lines = [line.removeprefix("# ") for line in TEMPLATE.splitlines()]
    example = "\n".join(lines[lines.index("allow:") : lines.index("allow: []")])
    assert parse_allowlist(example.encode()).entries == (
        AllowlistEntry("GITEA_TOKEN"),
        AllowlistEntry("GITHUB_*"),
        AllowlistEntry("STRIPE_*", Access.USE_ONLY, "Stripe test mode", "https://dashboard.stripe.com"),
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "allow:\n  - NEW\n"),
        ("# nothing yet", "# nothing yet\nallow:\n  - NEW\n"),
        ("scope: s\n", "scope: s\nallow:\n  - NEW\n"),
        ("allow:\n", "allow:\n  - NEW\n"),
        ("allow:", "allow:\n  - NEW\n"),
        ("allow: # none\nscope: s\n", "allow: # none\n  - NEW\nscope: s\n"),
        ("allow: []  # none\nscope: s\n", "allow:  # none\n  - NEW\nscope: s\n"),
        ("allow: [\n]\n", "allow:\n  - NEW\n"),
        ("allow: ~\n", "allow:\n  - NEW\n"),
        ("allow: null # none", "allow: # none\n  - NEW\n"),
        ("allow:\n  - A\n", "allow:\n  - A\n  - NEW\n"),
        ("allow:\n  - A", "allow:\n  - A\n  - NEW\n"),
        ("allow:\n- A # a\n\n# end\nscope: s\n", "allow:\n- A # a\n- NEW\n\n# end\nscope: s\n"),
        ("allow:\n  -   A\n", "allow:\n  -   A\n  -   NEW\n"),
        ("allow:\r\n  - A\r\nscope: s\r\n", "allow:\r\n  - A\r\n  - NEW\r\nscope: s\r\n"),
        (
            "allow:\n  - name: A\n    about: x # y\n    # z\nx-a: 1\n",
            "allow:\n  - name: A\n    about: x # y\n  - NEW\n    # z\nx-a: 1\n",
        ),
        ("allow:\n  - {name: A,\n     about: x}\n", "allow:\n  - {name: A,\n     about: x}\n  - NEW\n"),
        (
            "allow:\n  - name: A\n    about: |-\n      text\nscope: s\n",
            "allow:\n  - name: A\n    about: |-\n      text\n  - NEW\nscope: s\n",
        ),
        ("allow: [A]\n", "allow: [A, NEW]\n"),
        ("allow: [A, ] # a\n", "allow: [A, NEW, ] # a\n"),
        ("allow: [\n  A,  # a\n  'B',\n]\n", "allow: [\n  A,  # a\n  'B', NEW,\n]\n"),
        ("{allow: [A], scope: s}", "{allow: [A, NEW], scope: s}"),
        ("{allow: [], scope: s}", "{allow: [NEW], scope: s}"),
        ("{allow: , scope: s}", "{allow: [NEW] , scope: s}"),
        ("'allow':\n  - A\n", "'allow':\n  - A\n  - NEW\n"),
        ("\ufeffallow:\n  - A\n", "\ufeffallow:\n  - A\n  - NEW\n"),
        ("x-a: |\n  allow:\n    - A\nallow:\n  - B\n", "x-a: |\n  allow:\n    - A\nallow:\n  - B\n  - NEW\n"),
        ("x-a:\n  allow:\n    - A\n", "x-a:\n  allow:\n    - A\nallow:\n  - NEW\n"),
    ],
)
def test_a_name_is_added_at_the_end_of_the_list_as_the_list_is_written(before: str, after: str) -> None:
    assert edited(before.encode(), "NEW").decode() == after


@pytest.mark.parametrize(
    "text", ["allow: [NEW]", "allow:\n  - 'NEW'\n", "allow: [N*]", 'allow: "*"', "allow: [{name: NEW}]"]
)
def test_a_name_that_is_covered_already_is_not_added(text: str) -> None:
    assert add_entry(text.encode(), "NEW") is None


@pytest.mark.parametrize(
    ("before", "pattern", "after"),
    [
        ("allow: [A]\n", "GITHUB_*", "allow: [A, GITHUB_*]\n"),
        ("allow:\n  - A\n", "*", 'allow:\n  - A\n  - "*"\n'),
        ("allow: []\n", "*_KEY", 'allow:\n  - "*_KEY"\n'),
        ("allow: [G_TOKEN]\n", "G_*", "allow: [G_TOKEN, G_*]\n"),
        ("allow: [G_A*]\n", "G_*", "allow: [G_A*, G_*]\n"),
        ("allow: ['G_??']\n", "G_*", "allow: ['G_??', G_*]\n"),
        ("allow: [A]\n", "?X", 'allow: [A, "?X"]\n'),
    ],
)
def test_a_pattern_is_added_as_a_name_is(before: str, pattern: str, after: str) -> None:
    data = edited(before.encode(), pattern)
    assert data.decode() == after
    assert add_entry(data, pattern) is None
    assert parse_allowlist(remove_entry(data, pattern) or b"").entries == parse_allowlist(before.encode()).entries


@pytest.mark.parametrize(
    ("entry", "pattern"), [("G_*", "G_*"), ("*", "G_*"), ("G*", "G_*"), ("G_*", "G_?"), ("G_?", "G_?"), ("*_*", "G_*K")]
)
def test_a_pattern_that_is_covered_already_is_not_added(entry: str, pattern: str) -> None:
    data = f"allow: [X, '{entry}']".encode()
    assert add_entry(data, pattern) is None
    assert covering(parse_allowlist(data), pattern) == AllowlistEntry(entry)


globs = st.text("AB*?", min_size=1, max_size=6)


@given(pattern=globs, other=globs, name=st.text("AB", max_size=7))
@settings(max_examples=rounds(300, 20_000))
def test_a_glob_that_covers_another_matches_all_that_it_matches(pattern: str, other: str, name: str) -> None:
    if glob_covers(pattern, other) and glob_match(other, name):
        assert glob_match(pattern, name)


@pytest.mark.parametrize("name", ["NO", "on", "123", "1.5", "null", "0x1F", "2026-01-01", "1_0"])
def test_a_name_that_yaml_takes_for_something_else_is_added_in_quotes(name: str) -> None:
    data = edited(b"allow: [A]", name)
    assert data == f'allow: [A, "{name}"]'.encode()
    assert remove_entry(data, name) == b"allow: [A]"


@pytest.mark.parametrize(
    "name", ["", "A B", "A *", "[A]*", "é*", "A" * 128 + "*", "-A", "A\n  - B", "A, B", "A]", '"', "A" * 129]
)
def test_what_is_no_name_is_not_added(name: str) -> None:
    with pytest.raises(CallerError) as caught:
        add_entry(b"allow: [X]", name)
    assert caught.value.code is Code.INVALID_NAME


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("allow:\n  - OLD\n", "allow:\n"),
        ("allow:\n  - A\n  - OLD # its own remark\n  # of B\n  - B\n", "allow:\n  - A\n  # of B\n  - B\n"),
        ("allow:\n  - A\n  - OLD", "allow:\n  - A\n"),
        ("allow:\r\n- OLD\r\n- B\r\n", "allow:\r\n- B\r\n"),
        ("allow:\n  - 'OLD'\n  - \"OLD\"\n  - B\n  - OLD\n", "allow:\n  - B\n"),
        ("allow:\n  - name: OLD\n    about: x\n  - B\n", "allow:\n  - B\n"),
        ("allow:\n  - {name: OLD, access: use-only}\n  - B\n", "allow:\n  - B\n"),
        ("allow:\n  - B\n  - name: OLD\n    about: |-\n      text\nscope: s\n", "allow:\n  - B\nscope: s\n"),
        ("allow:\n  - A\n  - ? name\n    : OLD\n", "allow:\n  - A\n"),
        ("allow: [OLD]\n", "allow: []\n"),
        ("allow: [A, OLD] # a\n", "allow: [A] # a\n"),
        ("allow: [OLD, B]\n", "allow: [B]\n"),
        ("allow: [A, OLD, B]\n", "allow: [A, B]\n"),
        ("allow: [A, OLD, ]\n", "allow: [A, ]\n"),
        ("allow: [{name: OLD}, B]\n", "allow: [B]\n"),
        ("allow: [\n  A, # of A\n  OLD\n]\n", "allow: [\n  A, # of A\n  \n]\n"),
        ("{allow: [A, OLD], scope: s}", "{allow: [A], scope: s}"),
        ("\ufeffallow: [OLD, B]", "\ufeffallow: [B]"),
    ],
)
def test_an_entry_is_removed_and_all_else_stays(before: str, after: str) -> None:
    result = remove_entry(before.encode(), "OLD")
    assert result is not None
    assert result.decode() == after


@pytest.mark.parametrize("text", ["", "allow: []", "allow: [OLDER, O*]", 'allow: "*"', "x-a: [OLD]", "# - OLD\n"])
def test_a_name_that_is_no_entry_is_not_removed(text: str) -> None:
    assert remove_entry(text.encode(), "OLD") is None


def test_an_entry_for_several_names_can_be_removed_by_its_own_spelling() -> None:
    assert remove_entry(b"allow: [OLD_*, OLD_A]", "OLD_*") == b"allow: [OLD_A]"
    assert remove_entry(b"allow: [A, '?']", "?") == b"allow: [A]"


@pytest.mark.parametrize("text", ["allow: [OLD, A, OLD, OLD]", "allow:\n  -\n    OLD\n  - B\n"])
def test_what_cannot_be_removed_as_text_alone_is_left_to_the_person(text: str) -> None:
    with pytest.raises(DeniedError) as caught:
        remove_entry(text.encode(), "OLD")
    assert caught.value.code is Code.ALLOWLIST_INVALID
    assert "by hand" in str(caught.value.hint)


@pytest.mark.parametrize("text", ["scope: s\n...\n", "{scope: s}", "{}"])
def test_what_cannot_be_added_as_text_alone_is_left_to_the_person(text: str) -> None:
    with pytest.raises(DeniedError) as caught:
        add_entry(text.encode(), "NEW")
    assert caught.value.code is Code.ALLOWLIST_INVALID
    assert "by hand" in str(caught.value.hint)


@pytest.mark.parametrize("data", [b"allow: [", b"\xff", b"allow: [A]\npolicy: {}\n"])
def test_a_file_that_cannot_be_understood_is_not_edited(data: bytes) -> None:
    for edit in (add_entry, remove_entry):
        with pytest.raises(DeniedError) as caught:
            edit(data, "A")
        assert caught.value.code is Code.ALLOWLIST_INVALID


# Lists in any style

NAMES = st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9_.-]{0,8}\Z")
PATTERNS = st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9_.*?-]{0,8}\Z")


@st.composite
def files(draw: st.DrawFn) -> str:
    """Draw a file: a list with or without brackets, comments, quotes, a scope before or after, any line ends."""
    items = []
    for pattern in draw(st.lists(PATTERNS, max_size=5)):
        form = draw(st.sampled_from(['"{}"', "'{}'", '{{name: "{}", about: some words}}']))
        items.append(form.format(pattern))
    scope = draw(st.sampled_from(["", "scope: s # ours\n", "x-note: |\n  text\n"]))
    comment = draw(st.sampled_from(["", "  # remark", " # - [x]"]))
    if draw(st.booleans()):
        dash = draw(st.sampled_from(["- ", "  - ", "    -   "]))
        allow = "allow:\n" + "".join(f"{dash}{item}{comment}\n" for item in items)
    else:
        joint = draw(st.sampled_from([", ", ",", " ,\n  "]))
        allow = f"allow: [{joint.join(items)}]{comment}\n"
    text = draw(st.sampled_from([scope + allow, allow + scope]))
    text = text if draw(st.booleans()) else text.removesuffix("\n")
    return text if draw(st.booleans()) else text.replace("\n", "\r\n")


@settings(deadline=None)
@given(files(), NAMES)
def test_adding_makes_exactly_one_more_entry_and_removing_it_restores_the_list(text: str, name: str) -> None:
    data = text.encode()
    before = parse_allowlist(data)
    added = add_entry(data, name)
    if added is None:
        assert before.entry_for(name) is not None
        return
    assert parse_allowlist(added).entries == (*before.entries, AllowlistEntry(name))
    assert re.findall(r"#[^\r\n]*", added.decode()) == re.findall(r"#[^\r\n]*", text)
    removed = remove_entry(added, name)
    assert removed is not None
    assert parse_allowlist(removed) == before
    if text.endswith("\n") and before.entries:
        assert removed == data


@settings(deadline=None)
@given(files())
def test_removing_every_entry_leaves_an_empty_list_and_the_rest(text: str) -> None:
    data = text.encode()
    before = parse_allowlist(data)
    for pattern in {entry.pattern for entry in before.entries}:
        try:
            removed = remove_entry(data, pattern)
        except DeniedError:  # the same name twice in brackets
            assert sum(entry.pattern == pattern for entry in before.entries) > 1
            return
        assert removed is not None
        data = removed
    assert parse_allowlist(data) == Allowlist(before.scope)
