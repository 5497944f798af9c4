"""Which variables of .env files look like secrets."""

import pytest

from claude_secrets.cli.env_files import looks_like_secret

LIKELY = [
    ("API_KEY", "abc"),
    ("STRIPE_SECRET_KEY", "sk"),
    ("SECRET_KEY_BASE", "abcdef"),
    ("DB_PASSWORD", "changeme"),
    ("DB_PASSWORD", "a value with blanks"),
    ("POSTGRES_PASSWORD_PROD", "x"),
    ("PGPASSWORD", "x"),
    ("GITHUBTOKEN", "x"),
    ("github.token", "x"),
    ("API-KEY-2", "x"),
    ("MYSQL_ROOT_PASS", "x"),
    ("SMTP_PWD", "x"),
    ("KEY", "x"),
    ("DATABASE_URL", "postgres://app:hunter2hunter2@db/app"),
    ("AWS_ACCESS_KEY_ID", "AKIA" + "ABCD" * 4),
    ("PLAIN", "ghp_" + "a1B2" * 9),
    ("PIN_TOKEN", "123456"),
]
UNLIKELY = [
    ("PORT", "3000"),
    ("DEBUG", "true"),
    ("NODE_ENV", "production"),
    ("DATABASE_URL", "postgres://localhost/app"),
    ("API_URL", "https://api.example.com"),
    ("NEXT_PUBLIC_API_KEY", "abc"),
    ("STRIPE_PUBLISHABLE_KEY", "pk"),
    ("RECAPTCHA_SITE_KEY", "x"),
    ("SSH_KEY_PATH", "/home/a/.ssh/id"),
    ("TOKEN_URL", "https://example.com/token"),
    ("AWS_ACCESS_KEY_ID", "mine"),
    ("MAX_TOKENS", "4096"),
    ("MAX_TOKEN", "4096"),
    ("TOKENIZERS_PARALLELISM", "x"),
    ("REQUIRE_PASSWORD", "true"),
    ("USE_TOKEN", "0"),
    ("AUTHOR", "somebody"),
    ("MONKEY", "x"),
    ("KEYBOARD", "de"),
    ("COMPASS", "north"),
    ("PATH", "/bin"),
    ("PASSENGERS", "x"),
    ("_", "x"),
]


@pytest.mark.parametrize(("name", "value"), LIKELY, ids=[name for name, _ in LIKELY])
def test_credentials_look_like_secrets(name: str, value: str) -> None:
    assert looks_like_secret(name, value)


@pytest.mark.parametrize(("name", "value"), UNLIKELY, ids=[name for name, _ in UNLIKELY])
def test_settings_do_not(name: str, value: str) -> None:
    assert not looks_like_secret(name, value)
