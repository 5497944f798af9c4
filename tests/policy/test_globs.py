"""Test globs: which names they match, and that matching does a limited amount of work."""

from typing import Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claude_secrets.policy.globs import glob_match, is_glob

FEW = st.text(alphabet="ab*?", max_size=10)
NAMES = st.text(alphabet="ab", max_size=12)


def simply(pattern: str, name: str) -> bool:
    """Return whether a glob matches, by the simplest definition, which takes exponential time."""
    if not pattern:
        return not name
    if pattern[0] == "*":
        return simply(pattern[1:], name) or (bool(name) and simply(pattern, name[1:]))
    return bool(name) and pattern[0] in ("?", name[0]) and simply(pattern[1:], name[1:])


class Counted(str):
    """A text that counts how often its characters are read."""

    __slots__ = ("asked",)
    asked: int

    def __new__(cls, text: str) -> Self:
        counted = super().__new__(cls, text)
        counted.asked = 0
        return counted

    def __getitem__(self, key: object) -> str:
        self.asked += 1
        return super().__getitem__(key)  # type: ignore[index]  # any index that str accepts


@settings(deadline=None)
@given(FEW, NAMES)
def test_a_glob_matches_what_its_simple_meaning_says(pattern: str, name: str) -> None:
    assert glob_match(pattern, name) is simply(pattern, name)


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("GITHUB_*", "GITHUB_TOKEN", True),
        ("GITHUB_*", "GITHUB_", True),
        ("GITHUB_*", "MY_GITHUB_TOKEN", False),
        ("GITHUB_*", "github_token", False),
        ("KEY_?", "KEY_1", True),
        ("KEY_?", "KEY_", False),
        ("KEY_?", "KEY_12", False),
        ("*", "ANYTHING", True),
        ("A.B", "AxB", False),
        ("A", "A\n", False),
        ("", "A", False),
    ],
)
def test_a_star_is_any_run_a_question_mark_one_character_and_all_else_itself(
    pattern: str, name: str, *, matches: bool
) -> None:
    assert glob_match(pattern, name) is matches


@pytest.mark.parametrize("pattern", ["*a" * 63 + "*b", "*a*a*a*a*a*b", "*?" * 64, "a*" * 64])
def test_no_glob_takes_more_steps_than_pattern_times_name(pattern: str) -> None:
    counted, name = Counted(pattern), Counted("a" * 128)
    glob_match(counted, name)
    assert counted.asked + name.asked <= 3 * (len(pattern) + 1) * (len(name) + 1)


@pytest.mark.parametrize("pattern", ["A", "*", "?", "GITHUB_*", "a.b-c_9", "*" * 128])
def test_a_glob_is_made_of_a_names_characters_and_two_wildcards(pattern: str) -> None:
    assert is_glob(pattern)


@pytest.mark.parametrize("pattern", ["", "A B", "A\n", "[AB]", "Ä", "A/B", "a" * 129, "\0", "{A,B}", "٣"])
def test_anything_else_is_no_glob(pattern: str) -> None:
    assert not is_glob(pattern)
