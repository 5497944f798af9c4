"""The person's `policy.yml`: what it may say, and that all else denies."""

import os
import sys
from pathlib import Path

import pytest

from claude_secrets.errors import Code, DeniedError
from claude_secrets.policy_file import WriteLimits
from claude_secrets.strict_yaml import SIZE_LIMIT
from claude_secrets.write_limits import RATE_LIMIT, read_write_limits

MARKER = "content-of-the-file"


def write(config: Path, rule: str) -> Path:
    """A file that is right but for the rule."""
    (config / "policy.yml").write_text(
        f'version: "1"\ndefault: allow\ntools:\n  set_secret:\n    rules:\n      - {rule}\n'
    )
    return config


def refusal(config: Path) -> DeniedError:
    with pytest.raises(DeniedError) as caught:
        read_write_limits(config)
    assert caught.value.code is Code.ALLOWLIST_INVALID
    assert MARKER not in f"{caught.value.message} {caught.value.hint}"
    return caught.value


def test_without_a_file_each_limit_is_thirty_a_minute(tmp_path: Path) -> None:
    assert read_write_limits(tmp_path) == WriteLimits(set_secret=30, input_secret=30)
    assert read_write_limits(tmp_path / "nowhere") == WriteLimits(set_secret=30, input_secret=30)


def test_the_file_sets_the_limits_it_names_and_no_other(tmp_path: Path) -> None:
    assert read_write_limits(write(tmp_path, "{name: cap, rate_limit: 100/minute}")).set_secret == 100
    assert read_write_limits(write(tmp_path, "rate_limit: 100/minute")) == WriteLimits(100, 30)
    (tmp_path / "policy.yml").write_text(
        'version: "1"\ndefault: allow\ntools: {input_secret: {rules: [{rate_limit: 1/minute}]}}\n'
    )
    assert read_write_limits(tmp_path) == WriteLimits(30, 1)


def test_a_changed_file_counts_at_the_next_call(tmp_path: Path) -> None:
    for number in (1, 2, 1):
        assert read_write_limits(write(tmp_path, f"rate_limit: {number}/minute")).set_secret == number
    (tmp_path / "policy.yml").write_text("nonsense")
    refusal(tmp_path)


def test_the_greatest_limit_is_taken_and_one_more_is_not(tmp_path: Path) -> None:
    assert read_write_limits(write(tmp_path, f"rate_limit: {RATE_LIMIT}/minute")).set_secret == RATE_LIMIT
    refusal(write(tmp_path, f"rate_limit: {RATE_LIMIT + 1}/minute"))


@pytest.mark.parametrize(
    ("rule", "column"),
    [
        ("rate_limit: 0/minute", 21),
        ("rate_limit: -1/minute", 21),
        ("rate_limit: 60/hour", 21),
        ("rate_limit: 60", 21),
        ("rate_limit: 60/minute content-of-the-file", 21),
        ("rate_limit: '٣/minute'", 21),
        ("rate_limit: 12345678901234567890/minute", 21),
        ("rate_limit: [60/minute]", 21),
        ("{name: content-of-the-file}", 9),
        ("{rate_limit: 60/minute, on_deny: content-of-the-file}", 33),
        ("{rate_limit: 60/minute, name: [content-of-the-file]}", 39),
        ("action: deny", 9),
        ("content-of-the-file", 9),
        ("{}", 9),
    ],
)
def test_a_rule_that_is_not_understood_denies_and_says_its_place(tmp_path: Path, rule: str, column: int) -> None:
    assert f"(line 6, column {column})" in refusal(write(tmp_path, rule)).message


GOOD = 'version: "1"\ndefault: allow\ntools: {set_secret: {rules: [{rate_limit: 60/minute}]}}\n'


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ('version: "1"', 'version: "2"', "line 1, column 10"),
        ('version: "1"', "version: [1]", "line 1, column 10"),
        ('version: "1"\n', "", "line 1, column 1"),
        ("default: allow", "default: deny", "line 2, column 10"),
        ("default: allow\n", "", "line 1, column 1"),
        ("default: allow", "default: allow\nhide: [get_secret]", "line 3, column 1"),
        ("default: allow", "default: allow\ncontent-of-the-file: 1", "line 3, column 1"),
        ("set_secret", "get_secret", "line 3, column 9"),
        ("set_secret", '"*"', "line 3, column 9"),
        ("rules", "limits", "line 3, column 22"),
        ("[{rate_limit: 60/minute}]", "[]", "line 3, column 29"),
        ("[{rate_limit: 60/minute}]", "[{rate_limit: 60/minute}, {rate_limit: 1/minute}]", "line 3, column 29"),
        ("[{rate_limit: 60/minute}]", "{rate_limit: 60/minute}", "line 3, column 29"),
        ("{rules: [{rate_limit: 60/minute}]}", "{}", "line 3, column 21"),
        ("{rules: [{rate_limit: 60/minute}]}", "content-of-the-file", "line 3, column 21"),
        ("{set_secret: {rules: [{rate_limit: 60/minute}]}}", "", "line 3, column 7"),
        ("tools:", "tools: &a", "line 3, column 8"),
        ("tools:", "tools: !t", "line 3, column 8"),
        ("allow", "allow\ndefault: allow", "line 3, column 1"),
        ("tools:", "tools: [", "line 4, column 1"),
    ],
)
def test_a_file_that_is_not_understood_denies_and_says_its_place(
    tmp_path: Path, old: str, new: str, place: str
) -> None:
    (tmp_path / "policy.yml").write_text(GOOD)
    assert read_write_limits(tmp_path).set_secret == 60
    (tmp_path / "policy.yml").write_text(GOOD.replace(old, new))
    assert f"({place})" in refusal(tmp_path).message


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"\xff", b"[" * 10_000, b"#" * (SIZE_LIMIT + 1)])
def test_a_file_without_rules_or_sense_denies(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "policy.yml").write_bytes(data)
    refusal(tmp_path)


def test_what_is_no_plain_file_denies(tmp_path: Path) -> None:
    (tmp_path / "policy.yml").mkdir()
    assert str(tmp_path / "policy.yml") in str(refusal(tmp_path).hint)
    (tmp_path / "file").touch()
    refusal(tmp_path / "file")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes in directories on Windows")
def test_a_named_pipe_in_the_files_place_denies_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "policy.yml")
    refusal(tmp_path)
