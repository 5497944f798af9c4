"""Test searches: what they find, and that no pattern takes more than linear work."""

import random
import re
import string
import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claude_secrets.errors import CallerError, Code
from claude_secrets.policy.rules import is_regex
from claude_secrets.regex import SEARCH_LIMIT, ByteSearch, MissingEngineError, NameSearch, Search


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("token", "GITHUB_TOKEN", True),
        ("^token", "GITHUB_TOKEN", False),
        ("HUB.*n$", "github_token", True),
        ("", "A", True),
        ("a|b", "xBx", True),
        (r"\d{2}", "KEY_12", True),
        ("x", "KEY", False),
        ("a\0b", "ab", False),
    ],
)
def test_a_search_finds_its_pattern_anywhere_in_either_case(pattern: str, name: str, *, matches: bool) -> None:
    assert Search(pattern).matches(name) is matches


@settings(deadline=None)
@given(st.from_regex(re.compile(r"\A[A-Za-z0-9_.-]{1,20}\Z")), st.text(alphabet=string.ascii_letters, max_size=30))
def test_searching_for_plain_text_is_looking_for_it(text: str, name: str) -> None:
    assert Search(re.escape(text)).matches(name) is (text.lower() in name.lower())


MARKER = "s3cret-value-in-the-wrong-place"


@pytest.mark.parametrize(
    "pattern",
    ["(", "[", "*", "a{1001}", "(?=A)", "(?<=A)", r"(A)\1", "(a{1000}){1000}", "\ud800", "a" * (SEARCH_LIMIT + 1)],
)
@pytest.mark.parametrize("kind", [Search, NameSearch])
def test_what_is_no_pattern_is_refused_without_being_repeated(
    pattern: str, kind: type[Search | NameSearch], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CallerError) as caught:
        kind(f"{pattern}{MARKER}" if len(pattern) < 100 else pattern + MARKER)
    assert caught.value.code is Code.INVALID_PATTERN
    assert MARKER not in f"{caught.value} {caught.value.hint} {caught.value.message}"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert capfd.readouterr() == ("", "")


def test_a_pattern_of_the_greatest_length_is_taken() -> None:
    assert not Search("a" * SEARCH_LIMIT).matches("a" * 128)


@pytest.mark.parametrize("pattern", ["(a+)+$", "^(a|a)*$", "(a*)*b", "(.*)*x", "(a?){120}a{120}$"])
def test_a_pattern_that_others_take_for_ever_over_is_answered(pattern: str) -> None:
    # A backtracking engine would never finish.
    assert Search(pattern).matches("a" * 127 + "!") is False


@pytest.mark.parametrize("pattern", ["(?:a?){1000}" * 9 + "z", "(?:(?:a?){1000}){1000}z", "(?:[ab]?){999}" * 60 + "z"])
def test_a_pattern_that_is_slow_on_every_name_ends_the_search(pattern: str) -> None:
    """Without a limit, this search would take 100 seconds, during which the server's store is locked."""

    def find() -> None:
        search = Search(pattern)
        for number in range(20_000):
            search.matches("a" * 120 + f"{number:06}")

    with pytest.raises(CallerError) as caught:
        find()
    assert caught.value.code is Code.INVALID_PATTERN
    assert "a?" not in str(caught.value)

    with pytest.raises(CallerError) as caught:
        NameSearch(pattern).among(["a" * 120 + f"{number:06}" for number in range(20_000)])
    assert caught.value.code is Code.INVALID_PATTERN


PARTS = st.sampled_from(
    [
        *("^", "$", "A", "b", "_", "1", ".", "[^a]", "[^_]", "(?s)", "(?-m)", "(?m:^)", "(?:a|1)", "(", ")"),
        *("|", "*", "+", "?", "{2}", r"\A", r"\z", r"\b", r"\B", r"\s", r"\S", r"\W", r"\n", r"[\n]"),
        *(r"\C", r"\pL", r"\Q^\E"),
    ]
)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(PARTS, max_size=6).map("".join),
    st.lists(st.text(alphabet="aAb_1.-", min_size=1, max_size=6), max_size=250, unique=True),
)
def test_searching_many_names_at_once_finds_what_searching_each_does(pattern: str, names: list[str]) -> None:
    try:
        search = Search(pattern)
    except CallerError:
        with pytest.raises(CallerError):
            NameSearch(pattern)
        return
    assert NameSearch(pattern).among(names) == [name for name in names if search.matches(name)]


@pytest.fixture
def without_re2(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for a system without a wheel of google-re2: the import fails."""
    monkeypatch.setitem(sys.modules, "re2", None)


@pytest.mark.usefixtures("without_re2")
@pytest.mark.parametrize("make", [Search, NameSearch, is_regex, lambda pattern: ByteSearch([pattern.encode()])])
def test_without_re2_the_error_says_what_is_missing(make: Callable[[str], object]) -> None:
    with pytest.raises(MissingEngineError, match="google-re2") as caught:
        make(MARKER)
    assert "pip install google-re2" in str(caught.value.hint)
    assert MARKER not in f"{caught.value} {caught.value.hint}"


def test_an_agents_earlier_patterns_are_not_kept() -> None:
    import re2

    for number in range(20):
        Search(f"pattern-{number}").matches("A")
    assert re2._Regexp._make.cache_info().currsize <= 1


def test_a_search_gives_the_same_answers_however_hard_its_pattern_is_on_memory() -> None:
    chosen = random.Random(1)
    search = Search("[ab]*a[ab]{60}$")
    for _ in range(200):
        name = "".join(chosen.choice("ab") for _ in range(128))
        assert search.matches(name) is (name[-61] == "a")
