"""Test the person's own files, `policy.yml` or `policy.json` and `config.yml`: an invalid one denies everything."""

import sys
from pathlib import Path

import pytest

from claude_secrets import paths
from claude_secrets.errors import Code, DeniedError
from claude_secrets.model import Access, Tool
from claude_secrets.paths import OwnDirectories
from claude_secrets.policy import config, personal_files
from claude_secrets.policy.config import Channels, Config, Presence, Trust
from claude_secrets.policy.ownership import no_link_check
from claude_secrets.policy.personal_files import OwnFiles, read_config, read_own_files
from claude_secrets.policy.rules import built_in
from claude_secrets.policy.rules_parser import RATE_LIMIT
from claude_secrets.policy.strict_yaml import SIZE_LIMIT, Node, parse
from tests.support.posix import make_pipe

MARKER = "content-of-the-file"


def write(directory: Path, rule: str) -> Path:
    """Write a policy with the given rule. Everything else in the policy is valid."""
    (directory / "policy.yml").write_text(
        f'version: "1"\ndefault: allow\ntools:\n  set_secret:\n    rules:\n      - {rule}\n'
    )
    return directory


def own(directory: Path) -> OwnFiles:
    return read_own_files(OwnDirectories(directory), no_link_check)


def refusal(directory: Path) -> DeniedError:
    with pytest.raises(DeniedError) as caught:
        own(directory)
    assert caught.value.code is Code.ALLOWLIST_INVALID
    assert MARKER not in f"{caught.value.message} {caught.value.hint}"
    return caught.value


def limits(directory: Path) -> dict[str, tuple[int, int]]:
    """Return the limit of each tool that a rule of the person's or a built-in rule limits: calls and seconds."""
    person = own(directory).rules
    found = {tool: rules for policy in (person, built_in(person)) for tool, rules in policy.tools.items()}
    return {tool.value: (rules[0].limit, rules[0].seconds) for tool, rules in found.items()}


def test_without_a_file_each_limit_is_thirty_a_minute(tmp_path: Path) -> None:
    assert limits(tmp_path) == {"set_secret": (30, 60), "input_secret": (30, 60)}
    assert limits(tmp_path / "nowhere") == limits(tmp_path)
    assert own(tmp_path).config == Config()


def test_a_limit_by_the_minute_takes_the_place_of_the_built_in_one_and_no_other_does(tmp_path: Path) -> None:
    assert limits(write(tmp_path, "{name: cap, rate_limit: 100/minute}"))["set_secret"] == (100, 60)
    assert limits(write(tmp_path, "rate_limit: 100/minute"))["input_secret"] == (30, 60)
    person = own(write(tmp_path, "rate_limit: 100/hour")).rules
    assert built_in(person).tools[Tool.SET_SECRET][0].limit == 30


def test_a_changed_file_counts_at_the_next_call(tmp_path: Path) -> None:
    for number in (1, 2, 1):
        assert limits(write(tmp_path, f"rate_limit: {number}/minute"))["set_secret"] == (number, 60)
    (tmp_path / "policy.yml").write_text("nonsense")
    refusal(tmp_path)


def test_the_greatest_limit_is_taken_and_one_more_is_not(tmp_path: Path) -> None:
    assert limits(write(tmp_path, f"rate_limit: {RATE_LIMIT}/minute"))["set_secret"] == (RATE_LIMIT, 60)
    refusal(write(tmp_path, f"rate_limit: {RATE_LIMIT + 1}/minute"))


def test_a_json_file_with_tabs_is_read_and_beside_a_yaml_file_denies(tmp_path: Path) -> None:
    (tmp_path / "policy.json").write_text(
        '{\n\t"version": "1",\n\t"default": "deny",\n\t"tools": {"get_secret": {}}\n}\n'
    )
    rules = own(tmp_path).rules
    assert (rules.default_allow, dict(rules.tools)) == (False, {Tool.GET_SECRET: ()})
    (tmp_path / "policy.yml").write_text(GOOD)
    assert str(tmp_path) in str(refusal(tmp_path).hint)


@pytest.mark.parametrize("name", ["policy.yaml", "config.yaml", "config.json"])
def test_a_file_under_a_name_that_is_not_read_denies(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(GOOD)
    assert f"a {name}, which is not a valid file name" in refusal(tmp_path).message


@pytest.mark.parametrize("name", ["policy.yml", "policy.json", "config.yml"])
def test_a_link_that_leads_nowhere_denies(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to(tmp_path / "gone")
    assert f"Your {name} cannot be read" in refusal(tmp_path).message


def test_the_settings_are_read(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text(
        "trust: required\nconsent: dialog\nstore: ~/other.db\ndefault_access: use-only\nkeep_versions: 3\n"
    )
    assert own(tmp_path).config == Config(
        trust=Trust.REQUIRED,
        consent=Channels.DIALOG,
        store=Path("~/other.db").expanduser(),
        usual_store=Path("~/other.db").expanduser(),
        default_access=Access.USE_ONLY,
        keep_versions=3,
    )
    for nothing in ("", "# nothing\n", "~"):
        (tmp_path / "config.yml").write_text(nothing)
        assert own(tmp_path).config == Config()


@pytest.mark.parametrize(("word", "mode"), [("off", Trust.OFF), ('"off"', Trust.OFF), ("ask", Trust.ASK)])
def test_a_mode_of_trust_that_yaml_takes_for_a_truth_value_is_read(tmp_path: Path, word: str, mode: Trust) -> None:
    (tmp_path / "config.yml").write_text(f"trust: {word}\n")
    assert own(tmp_path).config.trust is mode


# Usual spellings, which must be accepted.
SPELLINGS = [
    ("trust: 'ask'", "trust", Trust.ASK),
    ('consent: "dialog"', "consent", Channels.DIALOG),
    ("store: '~/other.db'", "store", Path("other.db")),
    ('store: "/srv/a b.db"', "store", Path("/srv/a b.db")),
    ("store: ~/123", "store", Path("123")),
    ('default_access: "readable"', "default_access", Access.READABLE),
    ("keep_versions: 10", "keep_versions", 10),
    ("keep_versions: 1000  # all", "keep_versions", 1000),
    ('presence: "any"', "presence", Presence.ANY),
    ('namespace: "mine"', "namespace", True),
]


@pytest.mark.parametrize(("line", "field", "value"), SPELLINGS, ids=str)
def test_the_usual_spellings_of_settings_are_understood(tmp_path: Path, line: str, field: str, value: object) -> None:
    (tmp_path / "config.yml").write_text(line)
    found = own(tmp_path).config._asdict()[field]
    assert found == (Path.home() / value if isinstance(value, Path) else value)


@pytest.mark.parametrize(
    "line",
    [
        "trust: content-of-the-file",
        "trust: [off]",
        "consent: none",
        "store: relative/content-of-the-file",
        "store: ~nobody-of-this-name/secrets.db",
        'store: "/srv/a\\0b"',
        "default_access: content-of-the-file",
        "keep_versions: 0",
        "keep_versions: 1001",
        "keep_versions: 99999999999999",
        "keep_versions: 0000010",
        "keep_versions: ten",
        'keep_versions: "10"',
        "keep_versions: 10.0",
        "keep_versions: true",
        "keep_versions: 010",
        "keep_versions: 1_0",
        "keep_versions: 0xA",
        "keep_versions: [10]",
        "trust: 1",
        "trust: true",
        "trust: no",
        "trust:",
        "consent: true",
        "consent: [any]",
        "store: ~",
        "store: 5",
        "store: true",
        "store: [/srv/secrets.db]",
        "default_access: true",
        "default_access: {readable: true}",
        "presence: yes",
        "presence: 1",
        "namespace: true",
        "namespace: yes",
        "content-of-the-file: 1",
        "- trust",
    ],
)
def test_a_setting_that_is_not_understood_denies_and_says_its_place(tmp_path: Path, line: str) -> None:
    (tmp_path / "config.yml").write_text(f"# mine\n{line}\n")
    assert "(line 2, " in refusal(tmp_path).message


@pytest.mark.parametrize(
    ("rule", "column"),
    [
        ("rate_limit: 0/minute", 21),
        ("rate_limit: -1/minute", 21),
        ("rate_limit: 60/fortnight", 21),
        ("{rate_limit: 60/minute, action: deny}", 22),
        ("{action: deny, conditions: [{path: args.name, op: eq, value: A}]}", 36),
        ("{state: {counter: n}}", 10),
        ("{action: require_approval, approval_timeout: 30m}", 36),
        ("rate_limit: 60", 21),
        ("rate_limit: 60/minute content-of-the-file", 21),
        ("rate_limit: '٣/minute'", 21),
        ("rate_limit: 12345678901234567890/minute", 21),
        ("rate_limit: [60/minute]", 21),
        ("{name: content-of-the-file}", 9),
        ("{rate_limit: 60/minute, name: [content-of-the-file]}", 39),
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
        ("default: allow\n", "", "line 1, column 1"),
        ("default: allow", "default: allow\ncontent-of-the-file: 1", "line 3, column 1"),
        ("[{rate_limit: 60/minute}]", "{rate_limit: 60/minute}", "line 3, column 29"),
        ("{rules: [{rate_limit: 60/minute}]}", "content-of-the-file", "line 3, column 21"),
        ("set_secret", "content-of-the-file", "line 3, column 9"),
        ("rules", "limits", "line 3, column 32"),
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
    assert limits(tmp_path)["set_secret"] == (60, 60)
    (tmp_path / "policy.yml").write_text(GOOD.replace(old, new))
    assert f"({place})" in refusal(tmp_path).message


@pytest.mark.parametrize("data", [b"", b"null", b"{}", b"[]", b"\xff", b"[" * 10_000, b"#" * (SIZE_LIMIT + 1)])
def test_a_file_without_rules_or_sense_denies(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "policy.yml").write_bytes(data)
    refusal(tmp_path)


@pytest.mark.parametrize("name", ["policy.yml", "policy.json", "config.yml"])
@pytest.mark.parametrize("text", ["[" * 16_000, "trust: [ONCE", "ONCE: 1"])
def test_a_file_that_is_refused_is_parsed_once_for_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    parsed: list[bytes] = []

    def count(data: bytes) -> Node | None:
        parsed.append(data)
        return parse(data)

    monkeypatch.setattr(personal_files, "parse", count)
    monkeypatch.setattr(config, "parse", count)
    for number in range(2):
        (tmp_path / name).write_text(f"# {name} {number}\n{text}")
        said = {refusal(tmp_path).message for _ in range(5)}
        assert (len(parsed), len(said)) == (number + 1, 1)


def test_what_is_no_plain_file_denies(tmp_path: Path) -> None:
    (tmp_path / "policy.yml").mkdir()
    assert str(tmp_path / "policy.yml") in str(refusal(tmp_path).hint)
    (tmp_path / "file").touch()
    refusal(tmp_path / "file")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes in directories on Windows")
def test_a_named_pipe_in_the_files_place_denies_and_is_not_waited_for(tmp_path: Path) -> None:
    make_pipe(tmp_path / "policy.yml")
    refusal(tmp_path)


# The account's directory, and another directory that the environment names


@pytest.fixture
def two(tmp_path: Path) -> OwnDirectories:
    directories = OwnDirectories(tmp_path / "account", tmp_path / "environment")
    for directory in directories.all():
        directory.mkdir()
    return directories


def both(two: OwnDirectories) -> OwnFiles:
    return read_own_files(two, no_link_check)


STRICTER = [
    ("", "trust: off", "trust: ask", False),
    ("", "trust: required", "trust: required", True),
    ("trust: off", "trust: ask", "trust: ask", True),
    ("trust: off", "trust: off", "trust: off", True),
    ("trust: off", "", "trust: off", True),
    ("trust: required", "trust: ask", "trust: required", False),
    ("", "consent: dialog", "consent: dialog", True),
    ("consent: any", "consent: dialog", "consent: dialog", True),
    ("consent: dialog", "consent: any", "consent: dialog", False),
    ("", "default_access: readable", "", False),
    ("", "default_access: use-only", "default_access: use-only", True),
    ("default_access: readable", "default_access: use-only", "default_access: use-only", True),
    ("default_access: readable", "", "default_access: readable", True),
    ("default_access: use-only", "default_access: readable", "default_access: use-only", False),
    ("", "keep_versions: 3", "keep_versions: 10", False),
    ("", "keep_versions: 30", "keep_versions: 30", True),
    ("keep_versions: 3", "keep_versions: 5", "keep_versions: 5", True),
    ("keep_versions: 3", "keep_versions: 2", "keep_versions: 3", False),
    ("", "presence: any", "presence: terminal", False),
    ("presence: any", "", "presence: any", True),
    ("presence: any", "presence: terminal", "presence: terminal", True),
    ("", "namespace: mine", "", False),
    ("namespace: mine", "", "namespace: mine", True),
    ("", "agent_mib_per_minute: 9", "", False),
    ("", "agent_mib_per_minute: 2", "agent_mib_per_minute: 2", True),
    ("agent_mib_per_minute: 9", "agent_mib_per_minute: 8", "agent_mib_per_minute: 8", True),
    ("agent_mib_total: 900", "", "agent_mib_total: 900", True),
    ("agent_mib_total: 900", "agent_mib_total: 1000", "agent_mib_total: 900", False),
    ("", "agent_mib_total: 99", "agent_mib_total: 99", True),
    ("store: /a.db", "store: /b.db", "store: /b.db", True),
    ("store: /a.db", "", "store: /a.db", True),
]


@pytest.mark.parametrize(("account", "environment", "holds", "counts"), STRICTER)
def test_the_stricter_of_both_files_holds(
    two: OwnDirectories, tmp_path: Path, account: str, environment: str, holds: str, *, counts: bool
) -> None:
    for directory, text in zip((*two.all(), tmp_path), (account, environment, holds), strict=True):
        (directory / "config.yml").write_text(text)
    found = both(two)
    assert found.config._replace(usual_store=None) == own(tmp_path).config._replace(usual_store=None)
    assert found.ignored == (() if counts else (f"{environment.partition(':')[0]} of config.yml",))
    assert read_config(two, no_link_check) == found.config


def test_every_setting_has_its_rows_in_that_table() -> None:
    assert {row[1].partition(":")[0] for row in STRICTER} - {""} == set(Config._fields) - {"usual_store"}


def test_the_usual_store_is_the_one_that_the_accounts_file_names(two: OwnDirectories) -> None:
    (two.environment or Path()).joinpath("config.yml").write_text("store: /b.db")
    assert both(two).config.usual_store is None
    (two.account / "config.yml").write_text("store: /a.db")
    assert both(two).config.usual_store == Path("/a.db")


def test_a_tilde_means_the_home_of_whose_file_it_is(two: OwnDirectories, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "account_home", lambda: Path("/home/account"))
    monkeypatch.setenv("HOME", "/redirected")
    (two.account / "config.yml").write_text("store: ~/s.db")
    assert own(two.account).config.store == Path("/home/account/s.db")
    (two.environment or Path()).joinpath("config.yml").write_text("store: ~/s.db")
    assert both(two).config[2:3] == (Path("/redirected/s.db"),)
    assert both(two).config.usual_store == Path("/home/account/s.db")


def test_the_environments_policy_tightens_and_raises_no_limit(two: OwnDirectories) -> None:
    account, environment = two.account, two.environment or Path()
    write(environment, "rate_limit: 100/minute")
    found = both(two)
    assert found.tightening is not None
    assert (found.rules.tools, [*found.tightening.tools]) == ({}, [Tool.SET_SECRET])
    assert found.ignored == ("the higher limit of set_secret of the policy",)
    write(environment, "rate_limit: 5/minute")
    assert both(two).ignored == ()
    write(account, "rate_limit: 200/minute")
    write(environment, "rate_limit: 100/minute")
    assert both(two).ignored == ()


@pytest.mark.parametrize("name", ["policy.yml", "policy.json", "config.yml", "config.yaml"])
def test_what_is_not_understood_in_either_directory_denies(two: OwnDirectories, name: str) -> None:
    for directory in two.all():
        (directory / name).write_text("[")
        with pytest.raises(DeniedError):
            both(two)
        (directory / name).unlink()
        both(two)


def test_every_byte_of_both_directories_is_in_the_data(two: OwnDirectories) -> None:
    for number, directory in enumerate(two.all()):
        (directory / "config.yml").write_text(f"# {number}")
        write(directory, f"rate_limit: {number + 7}/minute")
    data = b"".join(both(two).data)
    assert all(piece in data for piece in (b"# 0", b"# 1", b" 7/minute", b" 8/minute"))


# The directories of the files


def test_one_directory_is_read_once_however_it_is_spelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "account_home", lambda: tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    account = paths._of_account(".config")
    for spelled in ("", str(tmp_path / ".config"), f"{tmp_path}/./.config/"):
        monkeypatch.setenv("XDG_CONFIG_HOME", spelled)
        assert paths.own_directories() == (account, None)
    other = tmp_path / "dotfiles" / "claude-secrets"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(other.parent))
    assert paths.own_directories() == (account, other)
    other.mkdir(parents=True)
    account.parent.mkdir(parents=True)
    account.symlink_to(other)
    assert paths.own_directories() == (account, None)


@pytest.mark.skipif(sys.platform == "win32", reason="the environment cannot move the directories on Windows")
def test_a_home_of_the_environments_moves_neither_the_accounts_files_nor_the_usual_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = paths.own_directories().account
    usual = paths.usual_store(None)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    assert paths.own_directories() == (before, paths.config_directory())
    assert paths.config_directory().is_relative_to(tmp_path)
    assert paths.default_store().is_relative_to(tmp_path)
    assert (paths.usual_store(None), paths.usual_store(Path("/mine.db"))) == (usual, Path("/mine.db"))
