"""Test the project's file: valid content, refusal of invalid content with line and column, and reading the bytes."""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yaml.events import Event

from claude_secrets.errors import Code, DeniedError
from claude_secrets.model import Access
from claude_secrets.paths import command
from claude_secrets.policy import strict_yaml
from claude_secrets.policy.allowlist import (
    ABOUT_LIMIT,
    URL_LIMIT,
    WILD_LIMIT,
    Allowlist,
    AllowlistEntry,
    parse_allowlist,
    read_allowlist,
    read_allowlist_file,
)
from claude_secrets.policy.strict_yaml import SIZE_LIMIT, Node
from tests.support.posix import make_pipe

MARKER = "content-of-the-file"


def refusal(data: bytes) -> DeniedError:
    """Return the error for an invalid file. Check that the error repeats nothing of the file."""
    with pytest.raises(DeniedError) as caught:
        parse_allowlist(data)
    assert caught.value.code is Code.ALLOWLIST_INVALID
    shown = "".join(traceback.format_exception(caught.value))
    # The traceback also shows source lines of this test, but not the content of a parametrized file.
    assert MARKER not in shown
    return caught.value


def patterns(allowlist: Allowlist) -> list[str]:
    return [entry.pattern for entry in allowlist.entries]


def test_the_file_of_the_documentation_means_what_it_says() -> None:
    allowlist = parse_allowlist(
        b"""
scope: acme-dev                          # optional
allow:
  - GITEA_TOKEN
  - GITHUB_*                             # wildcards
  - {name: STRIPE_*, access: use-only, about: Stripe test mode, url: https://dashboard.stripe.com}
x-team-note: [ignored, {whatever: 1}]
"""
    )
    assert allowlist == Allowlist(
        "acme-dev",
        (
            AllowlistEntry("GITEA_TOKEN"),
            AllowlistEntry("GITHUB_*"),
            AllowlistEntry("STRIPE_*", Access.USE_ONLY, "Stripe test mode", "https://dashboard.stripe.com"),
        ),
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"# only a comment\n",
        b"---\n",
        b"--- ~",
        b"null",
        b"{}",
        b"allow:",
        b"allow: []",
        b"allow: ~",
        b"x-a: 1",
    ],
)
def test_a_file_that_allows_nothing_allows_nothing(data: bytes) -> None:
    assert parse_allowlist(data) == Allowlist()


def test_a_star_in_quotes_allows_every_name() -> None:
    for data in (b'allow: "*"', b"allow: '*'"):
        assert parse_allowlist(data).entry_for("ANY.name-1") == AllowlistEntry("*")


@pytest.mark.parametrize(
    "data",
    [b"\xef\xbb\xbfallow: [A]\n", b"allow:\r\n  - A\r\n", b"allow: [\n  A\n  ]", b"%YAML 1.2\n---\nallow: [A]\n..."],
)
def test_the_ways_editors_write_files_are_read(data: bytes) -> None:
    assert patterns(parse_allowlist(data)) == ["A"]


def test_the_first_entry_that_covers_a_name_speaks_for_it() -> None:
    allowlist = parse_allowlist(b"allow: [{name: A_*, about: first}, {name: A_B, about: second}]")
    assert allowlist.entry_for("A_B") == AllowlistEntry("A_*", None, "first")
    assert allowlist.entry_for("a_b") is None
    assert allowlist.entry_for("B") is None


@pytest.mark.parametrize(
    "data",
    [
        b"allow: [A_*, {name: A_B, access: use-only}]",
        b"allow: [{name: A_B, access: readable}, {name: '*', access: use-only}]",
    ],
)
def test_use_only_in_any_covering_entry_makes_a_name_use_only(data: bytes) -> None:
    entry = parse_allowlist(data).entry_for("A_B")
    assert entry is not None
    assert entry.access is Access.USE_ONLY


def test_inject_values_of_older_files_is_ignored_with_a_warning() -> None:
    allowlist = parse_allowlist(b"allow: [A]\ninject_values: true\n")
    assert patterns(allowlist) == ["A"]
    assert any("inject_values" in warning for warning in allowlist.warnings)


# Each file has one fault, listed with its line and column.
FAULTS = {
    "an unknown key": (b"allow: [A]\ncontent-of-the-file: 1\n", 2, 1),
    "an unknown key in an entry": (b"allow:\n  - {name: A, content-of-the-file: 1}\n", 2, 15),
    "a key that appears twice": (b"allow: [A]\nallow: [content-of-the-file]\n", 2, 1),
    "a key that appears twice in an entry": (b"allow: [{name: A, name: content-of-the-file}]", 1, 19),
    "an anchor": (b"allow: &a [content-of-the-file]\n", 1, 8),
    "an anchored key": (b"&a allow: [content-of-the-file]\n", 1, 1),
    "an alias": (b"allow:\n  - *content-of-the-file\n", 2, 5),
    "an alias that is none": (b"allow: *\n", 1, 9),
    "a glob that needs quotes": (b"allow:\n  - *A*\n", 2, 7),
    "a question mark that needs quotes": (b"allow: [AB?]", 1, 11),
    "a merge key": (b"allow:\n  - name: A\n    <<: {about: content-of-the-file}\n", 3, 5),
    "a tag": (b"allow: !!python/name:os.system [A]\n", 1, 8),
    "a short tag": (b"allow: [!t content-of-the-file]\n", 1, 9),
    "a tag without a name": (b"allow: [! A]\n", 1, 9),
    "a str tag": (b"scope: !!str 1\n", 1, 8),
    "two documents": (b"allow: [A]\n---\nallow: [content-of-the-file]\n", 2, 1),
    "too deep": (b"x-a: [[[[[[[[[1]]]]]]]]]\n", 1, 14),
    "NO": (b"allow:\n  - A\n  - NO\n", 3, 5),
    "on": (b"allow: [on]\n", 1, 9),
    "123": (b"allow:\n  - 123\n", 2, 5),
    "a float": (b"allow: [1.5]\n", 1, 9),
    "a date": (b"allow: [2026-11-23]\n", 1, 9),
    "null in the list": (b"allow: [A, null]\n", 1, 12),
    "nothing in the list": (b"allow:\n  - A\n  -\n", 3, 4),
    "a scope that is a number": (b"scope: 123\n", 1, 8),
    "a scope that is none": (b"scope: a/content-of-the-file\n", 1, 8),
    "an empty scope": (b"scope:\n", 1, 7),
    "a number as a key": (b"1: [content-of-the-file]\n", 1, 1),
    "a list as a key": (b"? [content-of-the-file]\n: 1\n", 1, 3),
    "an allow that is a word": (b"allow: content-of-the-file\n", 1, 8),
    "an allow that is a mapping": (b"allow: {name: content-of-the-file}\n", 1, 8),
    "an allow that is a truth value": (b"allow: yes\n", 1, 8),
    "a list in the list": (b"allow: [[content-of-the-file]]\n", 1, 9),
    "an entry without a name": (b"allow: [{about: content-of-the-file}]\n", 1, 9),
    "a name that is none": (b"allow: [content-of-the-file/1]\n", 1, 9),
    "a name beyond ASCII": ("allow: [content-of-the-file-\u00e4]\n".encode(), 1, 9),
    "a name that is too long": (b"allow: [" + b"content-of-the-file" * 7 + b"]\n", 1, 9),
    "an access that is none": (b"allow: [{name: A, access: content-of-the-file}]\n", 1, 27),
    "rules": (b"allow: [A]\npolicy: {version: content-of-the-file}\n", 2, 19),
    "a list as the file": (b"- content-of-the-file\n", 1, 1),
    "a word as the file": (b"content-of-the-file\n", 1, 1),
    "a NUL": (b"allow:\n  - A\0content-of-the-file\n", 2, 6),
    "an escape character": (b"allow:\n  - \x1b[31mcontent-of-the-file\n", 2, 5),
    "no UTF-8": (b"allow:\n  - \xc3\xa4\xff content-of-the-file\n", 2, 6),
    "UTF-16": ("\ufeffallow: [content-of-the-file]".encode("utf-16-le"), 1, 1),
    "a surrogate": (b"allow: [\xed\xa0\x80]\n", 1, 9),
    "a bracket that stays open": (b"allow: [content-of-the-file\n", 2, 1),
    "a tab for indentation": (b"allow:\n\t- content-of-the-file\n", 2, 1),
    "a colon too many": (b"allow: [A]\nscope: a: content-of-the-file\n", 2, 9),
    "a version of YAML to come": (b"%YAML 2.0\n---\nallow: [A]\n", 1, 1),
    "a version number without end": (b"%YAML 1." + b"9" * 5000 + b"\n---\nallow: [A]\n", 1, 1),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_denies_and_says_its_place_and_none_of_the_content(fault: str) -> None:
    data, line, column = FAULTS[fault]
    assert f"(line {line}, column {column})" in refusal(data).message


@pytest.mark.parametrize(
    "word", ["NO", "on", "Yes", "off", "true", "123", "0x1F", "1_000", "1.5", ".5", "null", "2026-01-01"]
)
def test_a_name_that_yaml_takes_for_something_else_is_to_be_put_in_quotes(word: str) -> None:
    assert "put it in quotes" in refusal(f"allow: [{word}]".encode()).message
    assert patterns(parse_allowlist(f'allow: ["{word}"]'.encode())) == [word]


@pytest.mark.parametrize(
    ("data", "remedy"), [(b"allow: *", "in quotes"), (b"- *A*", "in quotes"), (b"a: [A?]", "? in quotes")]
)
def test_a_wildcard_that_yaml_takes_for_something_else_is_to_be_put_in_quotes(data: bytes, remedy: str) -> None:
    assert remedy in refusal(data).message


BOMBS = {
    "brackets": b"[" * 100_000,
    "as many brackets as fit": b"[" * SIZE_LIMIT,
    "braces": b"{" * SIZE_LIMIT,
    "braces of mappings": b"{a: " * (SIZE_LIMIT // 4),
    "dashes": b"- " * (SIZE_LIMIT // 2),
    "question marks": b"? " * (SIZE_LIMIT // 2),
    "indentation": "\n".join(" " * depth + "a:" for depth in range(150)).encode(),
    "laughs": b"a: &a [l, l]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (n, n, n - 1, n - 1) for n in range(98, 123)),
    "a mapping in itself": b"&a {x-a: *a}",
    "quotes": b'"' * SIZE_LIMIT,
    "tags": b"!" * SIZE_LIMIT,
    "percent signs": b"%" * SIZE_LIMIT,
    "bars": b"x-a: " + b"|\n" * 5000,
    "a character beyond all": b'allow: ["\\UFFFFFFFF"]',
    "wildcards for every name": b"allow: [" + b"'*z', " * (WILD_LIMIT + 1) + b"]",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_file_made_to_break_the_parser_is_refused(bomb: str) -> None:
    refusal(BOMBS[bomb])


def test_a_file_is_as_long_as_the_limit_and_no_longer() -> None:
    data = b"allow: [A] #"
    data += b"x" * (SIZE_LIMIT - len(data))
    assert patterns(parse_allowlist(data)) == ["A"]
    assert f"more than {SIZE_LIMIT} bytes" in refusal(data + b"x").message


def test_six_levels_are_deep_enough_and_the_last_allowed() -> None:
    assert parse_allowlist(b"x-a: [[[[[1]]]]]\n") == Allowlist()


def test_many_entries_side_by_side_are_not_deep() -> None:
    assert len(parse_allowlist(b"allow: [" + b"{name: A}, " * 50 + b"]").entries) == 50


@pytest.mark.parametrize("key", ["on", "1", "~", "<<", "2026-01-01"])
def test_a_key_that_yaml_takes_for_something_else_is_refused_even_where_nobody_reads_it(key: str) -> None:
    assert "a key must be text" in refusal(f"x-a: {{{key}: 1}}".encode()).message
    assert parse_allowlist(f'x-a: {{"{key}": 1}}'.encode()) == Allowlist()


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_understood_or_refused(data: bytes) -> None:
    with suppress(DeniedError):
        assert isinstance(parse_allowlist(data), Allowlist)


@settings(deadline=None)
@given(st.text(alphabet="allow:-[]{}&*!|>'\"%@`?#,~ \n\tAx0\u2028\u0085\ufeff", max_size=60))
def test_any_text_of_yamls_own_characters_is_understood_or_refused(text: str) -> None:
    with suppress(DeniedError):
        assert isinstance(parse_allowlist(text.encode()), Allowlist)


# The note and the address that the person sees


def entry(key: str, value: str) -> bytes:
    return f"allow: [{{name: A, {key}: {value}}}]".encode()


@pytest.mark.parametrize(
    "about", ["", "a" * (ABOUT_LIMIT + 1), "one\\ntwo", "\\x1b[31m", "\\u202Eevil", "\\u200B", "\\u2028", "\\0"]
)
def test_an_about_is_one_printable_line(about: str) -> None:
    assert "about must be one line" in refusal(entry("about", f'"{about}"')).message


def test_an_about_of_the_greatest_length_is_shown_as_it_is() -> None:
    about = "\u00e4" * ABOUT_LIMIT
    assert parse_allowlist(entry("about", about)).entries[0].about == about


@pytest.mark.parametrize(
    "url",
    [
        "https://dashboard.stripe.com",
        "https://example.com:8443/a?b=c&d=%20#e",
        "http://localhost:3000/settings",
        "http://127.0.0.1/",
        "http://[::1]:8080/",
        "https://e.com/" + "a" * (URL_LIMIT - 14),
    ],
)
def test_a_url_is_an_address_a_person_can_go_to(url: str) -> None:
    assert parse_allowlist(entry("url", f'"{url}"')).entries[0].url == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "javascript:alert(1)",
        "http://example.com/",
        "http://localhost.example.com/",
        "http://127.0.0.1.example.com/",
        "https://",
        "https:///path",
        "https:example.com",
        "//example.com",
        "file:///etc/passwd",
        "data:text/html,x",
        "https://stripe.com@example.com/",
        "https://@example.com/",
        "https://stripe.com\\\\.example.com/",
        "https://example.com:99999/",
        "https://example.com:x/",
        "https://[::1/",
        "https://example.com/ a",
        "https://example.com/\\n",
        "https://example.com/\\0",
        "https://ex\u00e4mple.com/",
        'https://example.com/\\"><script>',
        "https://e.com/" + "a" * (URL_LIMIT - 13),
    ],
)
def test_any_other_url_is_refused(url: str) -> None:
    assert "url must be an https:// or http://localhost address" in refusal(entry("url", f'"{url}"')).message


# Reading the bytes


@pytest.fixture
def project(tmp_path: Path) -> Path:
    directory = tmp_path / "project"
    (directory / ".claude").mkdir(parents=True)
    return directory


def unread(project: Path) -> DeniedError:
    with pytest.raises(DeniedError) as caught:
        read_allowlist_file(project)
    return caught.value


def test_the_bytes_are_those_of_the_file(project: Path) -> None:
    (project / ".claude" / "secrets.yml").write_bytes(b"\0\xff anything\r\n")
    assert read_allowlist_file(project).data == b"\0\xff anything\r\n"


def test_a_project_without_a_file_has_no_allowlist(project: Path) -> None:
    assert unread(project).code is Code.NO_ALLOWLIST
    (project / ".claude").rmdir()
    assert unread(project).code is Code.NO_ALLOWLIST
    error = unread(project / "nowhere")
    assert error.code is Code.NO_ALLOWLIST
    assert f"{command()} init" in str(error.hint)


def test_a_file_that_is_a_link_is_refused_wherever_it_leads(project: Path, tmp_path: Path) -> None:
    link = project / ".claude" / "secrets.yml"
    (tmp_path / "outside.yml").write_text('allow: "*"')
    (project / "inside.yml").write_text('allow: "*"')
    for target in (tmp_path / "outside.yml", project / "inside.yml", tmp_path / "nowhere", link):
        link.symlink_to(target)
        assert unread(project).code is Code.ALLOWLIST_INVALID
        link.unlink()


def test_a_directory_that_is_a_link_is_refused(project: Path, tmp_path: Path) -> None:
    (project / ".claude").rename(tmp_path / "outside")
    (tmp_path / "outside" / "secrets.yml").write_text('allow: "*"')
    (project / ".claude").symlink_to(tmp_path / "outside")
    assert unread(project).code is Code.ALLOWLIST_INVALID


@pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes in directories on Windows")
def test_a_named_pipe_in_the_files_place_is_refused_and_not_waited_for(project: Path) -> None:
    make_pipe(project / ".claude" / "secrets.yml")
    assert unread(project).code is Code.ALLOWLIST_INVALID


def test_a_directory_in_the_files_place_is_refused(project: Path) -> None:
    (project / ".claude" / "secrets.yml").mkdir()
    assert unread(project).code is Code.ALLOWLIST_INVALID


def test_a_file_in_the_directorys_place_is_refused(project: Path) -> None:
    (project / ".claude").rmdir()
    (project / ".claude").write_text('allow: "*"')
    assert unread(project).code is Code.ALLOWLIST_INVALID


def test_a_file_longer_than_the_limit_is_refused(project: Path) -> None:
    (project / ".claude" / "secrets.yml").write_bytes(b"#" * SIZE_LIMIT)
    assert len(read_allowlist_file(project).data) == SIZE_LIMIT
    (project / ".claude" / "secrets.yml").write_bytes(b"#" * (SIZE_LIMIT + 1))
    assert unread(project).code is Code.ALLOWLIST_INVALID


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux lists a process's open files in /proc")
def test_no_way_of_refusing_a_file_leaves_it_open(project: Path) -> None:
    file = project / ".claude" / "secrets.yml"
    before = open_files()
    unread(project)
    make_pipe(file)
    unread(project)
    file.unlink()
    file.mkdir()
    unread(project)
    file.rmdir()
    file.write_text("allow: [A]")
    read_allowlist_file(project)
    assert open_files() == before


def test_every_change_is_seen_even_within_one_tick_of_the_clock(project: Path) -> None:
    file = project / ".claude" / "secrets.yml"
    for name in ("A", "B", "A"):
        file.write_text(f"allow: [{name}]")
        os.utime(file, (1, 1))
        assert patterns(read_allowlist(project)[1]) == [name]


def test_nothing_falls_back_to_an_earlier_allowlist(project: Path) -> None:
    file = project / ".claude" / "secrets.yml"
    file.write_text("allow: [A]")
    read_allowlist(project)
    file.write_text("allow: [")
    for _ in range(2):
        with pytest.raises(DeniedError):
            read_allowlist(project)
    file.unlink()
    with pytest.raises(DeniedError) as caught:
        read_allowlist(project)
    assert caught.value.code is Code.NO_ALLOWLIST


# Parsing once


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return a list that gets an entry each time the parser runs."""
    given: list[bytes] = []
    true = strict_yaml._document

    def count(events: Iterator[Event]) -> Node | None:
        given.append(b"")
        return true(events)

    monkeypatch.setattr(strict_yaml, "_document", count)
    return given


@pytest.mark.parametrize("text", ["allow: [{}]", "allow: [{}, A", "allow: [{}] # \t", "{}: [[[[[[[[[[[[[["])
def test_a_file_is_parsed_once_for_its_bytes_and_no_more_if_it_is_refused(
    project: Path, parsed: list[bytes], text: str
) -> None:
    file, said = project / ".claude" / "secrets.yml", set()
    file.write_text(text.format(f"P{abs(hash(text))}"))  # a text that no earlier test used
    for _ in range(5):
        try:
            said.add(str(read_allowlist(project)[1]))
        except DeniedError as error:
            said.add(f"{error.message} {error.hint}")
    assert (len(parsed), len(said)) == (1, 1)
    file.write_text(f"allow: [Q{abs(hash(text))}]")
    assert len(read_allowlist(project)[1].entries) == 1
    assert len(parsed) == 2


def test_only_a_few_files_are_remembered(project: Path, parsed: list[bytes]) -> None:
    file = project / ".claude" / "secrets.yml"
    for _ in range(2):
        for number in range(strict_yaml._REMEMBERED + 1):
            file.write_text(f"allow: [MANY_{number}")
            with pytest.raises(DeniedError):
                read_allowlist(project)
    assert len(parsed) == 2 * (strict_yaml._REMEMBERED + 1)
