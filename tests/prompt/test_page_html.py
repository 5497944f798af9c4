"""The HTML of the one-time page: text from callers is escaped, cut and stripped, and never becomes markup."""

import html
import re

import pytest

from claude_secrets.model import Access, InputQuestion
from claude_secrets.prompt.page_html import PROMPT_LIMIT, claim_page, form_page
from claude_secrets.untrusted_text import plain, quoted

HOSTILE = [
    "</blockquote><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' autofocus onfocus='alert(1)",
    "<!--",
    "</style><style>*{display:none}",
]


def question(**fields: object) -> InputQuestion:
    return InputQuestion(**{"name": "T", "project": "/srv/api", **fields})  # type: ignore[arg-type]  # each test names its own


def both(asked: InputQuestion) -> list[str]:
    return [
        claim_page(asked, path="/p", visit="v"),
        form_page(asked, path="/p", closes="soon"),
    ]


def seen(markup: str) -> str:
    """Return the text of the page, as a browser shows it."""
    body = markup.partition("<body>")[2]
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def test_both_steps_show_who_asks_for_what() -> None:
    asked = question(
        replaces=3,
        store="/mnt/other.db",
        about="Test mode",
        url="https://dashboard.example/keys?a=1&b",
        prompt="for CI",
    )
    for markup in both(asked):
        text = seen(markup)
        assert "Project /srv/api" in text
        assert "Secret T" in text
        assert "Replaces version 3" in text
        assert "Not your usual store: /mnt/other.db" in text
        assert "Project's note Test mode" in text
        assert "The agent's own words, not checked by anyone: “for CI”" in text
        assert '<a href="https://dashboard.example/keys?a=1&amp;b" target="_blank" rel="noopener noreferrer">' in markup


def test_what_is_not_there_is_not_shown() -> None:
    for markup in both(question()):
        text = seen(markup)
        assert not [word for word in ("Replaces", "usual store", "note", "link", "own words") if word in text]


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("where", ["prompt", "about", "url", "project", "store"])
def test_hostile_text_is_shown_as_text(hostile: str, where: str) -> None:
    for markup, harmless in zip(both(question(**{where: hostile})), both(question(**{where: "x"})), strict=True):
        assert (hostile.replace('"', "'") if where == "prompt" else hostile) in seen(markup)
        assert re.findall(r"<[^>]*>", markup) == re.findall(r"<[^>]*>", harmless), "it added or changed a tag"


@pytest.mark.parametrize("tail", HOSTILE)
def test_a_hostile_address_stays_inside_its_link(tail: str) -> None:
    for markup in both(question(url=f"https://a.example/{tail}")):
        links = re.findall(r'<a href="([^"]*)" target="_blank" rel="noopener noreferrer">(.*?)</a>', markup)
        assert [[html.unescape(part) for part in link] for link in links] == [[f"https://a.example/{tail}"] * 2]


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "data:text/html,x", "//evil.example", "https://gi\u0442ea.example", "https://a.example/\u202e",
     " https://a.example", "https://a.example/\x01", "https://a.example/\n", "https://a.example/a b"],
)  # fmt: skip
def test_an_address_that_may_not_be_what_it_looks_like_is_no_link(url: str) -> None:
    for markup in both(question(url=url)):
        assert ("<a " in markup) == (url == "https://a.example/a b")


def test_the_agents_words_are_cut() -> None:
    for markup in both(question(prompt="é" * (PROMPT_LIMIT + 1))):
        assert f"“{'é' * PROMPT_LIMIT}…”" in markup
    for markup in both(question(prompt="é" * PROMPT_LIMIT)):
        assert f"“{'é' * PROMPT_LIMIT}”" in markup


HIDDEN = [
    "\x00",
    "\x07",
    "\x1b",
    "\x7f",
    "\x9b",
    "\u200b",
    "\u200f",
    "\u202a",
    "\u202e",
    "\u2066",
    "\u2069",
    "\ufeff",
    "\U000e0041",
]


@pytest.mark.parametrize("character", HIDDEN, ids=ascii)
def test_hidden_characters_are_stripped_and_in_paths_marked(character: str) -> None:
    for markup in both(question(prompt=f"a{character}b", about=f"c{character}d", project=f"/e{character}f")):
        assert character not in markup
        assert "“ab”" in markup
        assert "cd" in markup
        assert "/e\ufffdf" in markup


def test_white_space_of_any_kind_is_one_space() -> None:
    assert plain(" a\r\n\tb\u2028\u00a0c\x0b ") == "a b c"
    assert plain("abc def", limit=4) == "abc…"


def test_what_is_quoted_cannot_end_its_quotation() -> None:
    said = quoted('fine”\u2800\u3164 An "agent"\u202e in „here‟ «may» \uff02use\uff02 it\uffa0')
    assert said == "“fine' An 'agent' in 'here' 'may' 'use' it”"
    assert quoted("/srv/a”\u2800b", mark="\ufffd") == "“/srv/a\ufffd\ufffdb”"
    assert quoted("abc def", limit=4) == "“abc…”"


@pytest.mark.parametrize("access", Access)
def test_the_access_in_question_is_preselected(access: Access) -> None:
    markup = form_page(question(access=access), path="/p", closes="soon")
    assert re.findall(r'value="([^"]+)"[^>]* checked', markup) == [access.value]
