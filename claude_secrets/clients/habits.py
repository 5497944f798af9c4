"""How each client starts a server: in which environment and directory, how long it waits, and how it ends the server.

Always: this module starts nothing. `known` says where the facts come from. A client's own additions are left out if
they are only numbers and paths of the client's session, or the directory of its own programs in PATH.
"""

import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from claude_secrets.clients.known import Account


class Ending(StrEnum):
    """What a client does first to end a server. A server that does not end is killed."""

    CLOSE = "close"
    INTERRUPT = "interrupt"
    TERMINATE = "terminate"
    KILL = "kill"


class Habits(NamedTuple):
    """How one client starts servers.

    `inherited` returns the environment that a server has before the entry's variables are added. `directory` returns
    the working directory for a project. `patience` is in seconds. `own_patience` is the entry's key that changes the
    patience, and the seconds in its unit. `reference` matches a variable that the client replaces in an entry.
    `ignored` are variables that the client does not take from an entry. `appends_path` says that an entry's PATH only
    adds directories. `forwarded` is the entry's key with the names of more variables to inherit. `runs_batch_files`
    says whether the client finds `.cmd` files by their name without the ending on Windows.
    """

    inherited: Callable[[Account, Path], dict[str, str]]
    directory: Callable[[Account, Path], Path]
    patience: float
    ending: Ending
    own_patience: tuple[str, float] | None = None
    reference: re.Pattern[str] | None = None
    ignored: frozenset[str] = frozenset()
    appends_path: bool = False
    forwarded: str | None = None
    runs_batch_files: bool = True


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _everything(account: Account, _project: Path) -> dict[str, str]:
    """Return the person's environment. Editors that start from a menu read it from the login shell."""
    return dict(account.environment)


def _of_claude_code(account: Account, project: Path) -> dict[str, str]:
    added = {"CLAUDECODE": "1", "CLAUDE_PROJECT_DIR": str(project), "NoDefaultCurrentDirectoryInExePath": "1"}
    return {**account.environment, **added}


_CODEX: Final = _names("HOME LOGNAME PATH SHELL USER __CF_USER_TEXT_ENCODING LANG LC_ALL TERM TMPDIR TZ")
_CODEX_WINDOWS: Final = _names(
    "PATH PATHEXT SHELL COMSPEC SYSTEMROOT WINDIR SYSTEMDRIVE USERNAME USERDOMAIN USERPROFILE HOMEDRIVE HOMEPATH "
    "PROGRAMFILES PROGRAMFILES(X86) PROGRAMW6432 PROGRAMDATA LOCALAPPDATA APPDATA TEMP TMP TMPDIR POWERSHELL PWSH"
)


def _of_codex(account: Account, _project: Path) -> dict[str, str]:
    return _only(account, _CODEX_WINDOWS if account.platform == "win32" else _CODEX)


_GEMINI_KEEPS: Final = _names(
    "PATH SYSTEMROOT COMSPEC PATHEXT WINDIR TEMP TMP USERPROFILE SYSTEMDRIVE HOME LANG SHELL TMPDIR USER LOGNAME "
    "TERM COLORTERM ADDITIONAL_CONTEXT AVAILABLE_LABELS BRANCH_NAME DESCRIPTION EVENT_NAME GITHUB_ENV "
    "IS_PULL_REQUEST ISSUES_TO_TRIAGE ISSUE_BODY ISSUE_NUMBER ISSUE_TITLE PULL_REQUEST_NUMBER REPOSITORY TITLE "
    "TRIGGERING_ACTOR"
)
_GEMINI_DROPS: Final = _names(
    "CLIENT_ID DB_URI CONNECTION_STRING AWS_DEFAULT_REGION AZURE_CLIENT_ID AZURE_TENANT_ID SLACK_WEBHOOK_URL "
    "TWILIO_ACCOUNT_SID DATABASE_URL GOOGLE_CLOUD_PROJECT GOOGLE_CLOUD_ACCOUNT FIREBASE_PROJECT_ID"
)
_GEMINI_NAMES: Final = re.compile("TOKEN|SECRET|PASSWORD|PASSWD|KEY|AUTH|CREDENTIAL|CREDS|PRIVATE|CERT")
_GEMINI_VALUES: Final = re.compile(
    r"-----BEGIN (?:(?:RSA|OPENSSH|EC|PGP) PRIVATE KEY|CERTIFICATE)-----"
    r"|(?:https?|ftp|smtp)://[^:\s]{1,1024}:[^@\s]{1,1024}@"
    r"|(?:ghp|gho|ghu|ghs|ghr|github_pat)_[a-z0-9_]{36}|AIzaSy[\w\\-]{33}|AKIA[A-Z0-9]{16}"
    r"|eyJ[\w-]{0,10240}\.[\w-]{0,10240}\.[\w-]{0,10240}|[sr]k_(?:live|test)_[0-9a-z]{24}|xox[abpr]-[a-z0-9-]",
    re.IGNORECASE | re.ASCII,
)


def _of_gemini(account: Account, _project: Path) -> dict[str, str]:
    given = account.environment
    strict = bool(given.get("GITHUB_SHA")) or given.get("SURFACE") == "Github"
    kept = {name: value for name, value in given.items() if _gemini_keeps(name.upper(), value, strict=strict)}
    return {"GEMINI_CLI": "1", **kept}


def _gemini_keeps(name: str, value: str, *, strict: bool) -> bool:
    if name.startswith("GEMINI_CLI_"):
        return True
    if _GEMINI_VALUES.search(value):
        return False
    if name.startswith("GIT_CONFIG_") or name in _GEMINI_KEEPS:
        return True
    return not (strict or name in _GEMINI_DROPS or _GEMINI_NAMES.search(name))


_GEMINI_IGNORES: Final = _names(
    "NODE_OPTIONS NODE_CLI_FLAGS _FORCE_NODE_OPTIONS NODE_PATH ELECTRON_RUN_AS_NODE PYTHONPATH PYTHONSTARTUP "
    "RUBYOPT RUBYLIB PERL5OPT PERL5LIB LD_PRELOAD LD_AUDIT LD_DEBUG LD_PROFILE LD_LIBRARY_PATH "
    "DYLD_INSERT_LIBRARIES DYLD_FORCE_FLAT_NAMESPACE DYLD_LIBRARY_PATH DYLD_FRAMEWORK_PATH "
    "DYLD_FALLBACK_LIBRARY_PATH DYLD_FALLBACK_FRAMEWORK_PATH BASH_ENV ENV PERL5DB JAVA_TOOL_OPTIONS "
    "_JAVA_OPTIONS CLASSPATH DOTNET_STARTUP_HOOKS CORECLR_PROFILER_PATH CORECLR_ENABLE_PROFILING"
)

_SDK: Final = frozenset({"HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER"})
_SDK_WINDOWS: Final = _names(
    "APPDATA HOMEDRIVE HOMEPATH LOCALAPPDATA PATH PROCESSOR_ARCHITECTURE SYSTEMDRIVE SYSTEMROOT TEMP USERNAME "
    "USERPROFILE PROGRAMFILES"
)
"""The variables that the MCP SDK for TypeScript passes on (`getDefaultEnvironment`)."""

_DESKTOP_PATHS: Final = {
    "darwin": "/usr/local/bin:/opt/homebrew/bin:/usr/bin:/bin:/usr/sbin:/sbin",
    "linux": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
}
"""The PATH of programs that a desktop session starts. The login shell's files, which may add to it, are not read."""


def _of_desktop(account: Account, _project: Path) -> dict[str, str]:
    kept = _only(account, _SDK_WINDOWS if account.platform == "win32" else _SDK)
    kept.pop("TERM", None)
    path = _DESKTOP_PATHS.get(account.platform)
    return kept if path is None else {**kept, "PATH": path}


def _only(account: Account, names: frozenset[str]) -> dict[str, str]:
    """Return the variables with these names. Windows ignores the case of names."""
    upper = account.platform == "win32"
    return {name: value for name, value in account.environment.items() if (name.upper() if upper else name) in names}


def _in_project(_account: Account, project: Path) -> Path:
    return project


def _at_home(account: Account, _project: Path) -> Path:
    return account.home


def _at_root(account: Account, _project: Path) -> Path:
    """Return the root directory on macOS, where applications start in it, and the home directory elsewhere."""
    return Path(PurePosixPath("/")) if account.platform == "darwin" else account.home


_SHELL_REFERENCE: Final = re.compile(r"\$\{(?P<name>[A-Za-z_]\w*)(?::-(?P<default>[^}]*))?\}")
_GEMINI_REFERENCE: Final = re.compile(
    r"\$(?:(?P<bare>[A-Za-z_]\w*)|\{(?P<name>[A-Za-z_]\w*)(?::-(?P<default>[^}]*))?\})"
)
_EDITOR_REFERENCE: Final = re.compile(r"\$\{env:(?P<name>\w+)\}")

HABITS: Final = {
    "claude-code": Habits(_of_claude_code, _in_project, 30, Ending.INTERRUPT, reference=_SHELL_REFERENCE),
    "claude-desktop": Habits(_of_desktop, _at_root, 60, Ending.CLOSE),
    "codex": Habits(
        _of_codex,
        _in_project,
        30,
        Ending.CLOSE,
        own_patience=("startup_timeout_sec", 1),
        forwarded="env_vars",
    ),
    "gemini": Habits(
        _of_gemini,
        _in_project,
        60,  # a session waits for ten minutes, and `gemini mcp list` waits for 5 s
        Ending.TERMINATE,
        own_patience=("timeout", 0.001),
        reference=_GEMINI_REFERENCE,
        ignored=_GEMINI_IGNORES,
    ),
    "cursor": Habits(_everything, _at_home, 60, Ending.CLOSE, reference=_EDITOR_REFERENCE),
    "vscode": Habits(_everything, _at_home, 60, Ending.CLOSE, reference=_EDITOR_REFERENCE, appends_path=True),
    "windsurf": Habits(_everything, _at_home, 60, Ending.CLOSE, reference=_EDITOR_REFERENCE),
    "zed": Habits(_everything, _in_project, 60, Ending.KILL, own_patience=("timeout", 1), runs_batch_files=False),
}
"""The habits of each client, by its ID."""
