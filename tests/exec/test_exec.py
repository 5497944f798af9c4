"""`exec` and `export`: values where a program needs them, everything else as without; and no value in what is shown."""

import base64
import hashlib
import io
import json
import os
import random
import select
import shlex
import signal
import string
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from claude_secrets.cli.commands import export
from claude_secrets.cli.commands.export import _shell
from claude_secrets.cli.output import say_json
from claude_secrets.exec import dotenv_file
from claude_secrets.exec.streams import QUIET_SECONDS, Stream, carry
from claude_secrets.variable_names import is_loading, is_redirecting, is_shells_own
from tests.support.machine import DEADLINE, PROGRAM, Machine
from tests.support.requirements import require
from tests.support.rounds import rounds
from tests.support.terminals import Bash

if sys.platform == "win32":
    pytest.skip("these are POSIX shells and terminals", allow_module_level=True)

TOKEN = "canary-" + "x1Yz" * 22
VALUES = {
    "PLAIN": "p",
    "SHELL_CODE": "$(touch x)`touch x`;touch x\n'\"\\ $HOME ${HOME}!x é\U0001f511\t\x01",
    "MULTI": "one\ntwo\r\nthree\n",
    "QUOTES": "'''\"\"\"''\\'\\",
}


@pytest.fixture(scope="module", name="machine")
def machine_with_values(shared_machine: Machine) -> Machine:
    shared_machine.project("api")
    for name, value in {**VALUES, "TOKEN": TOKEN}.items():
        assert shared_machine.run("set", name, "--exact", stdin=value).returncode == 0
    return shared_machine


@pytest.fixture
def here(machine: Machine, tmp_path: Path) -> Path:
    """An empty directory in the person's home, and no project."""
    place = machine.home / tmp_path.name
    place.mkdir()
    return place


def exec_words(*options: str) -> list[str]:
    return [*PROGRAM, "exec", "--redact", *options, "--"]


# References


def test_references_stand_anywhere_in_the_values_of_a_file(machine: Machine, here: Path) -> None:
    (here / ".env").write_text(
        "# ours\nexport URL='postgres://u:secret://PLAIN@h/db'  # a comment\nBOTH=secret://PLAIN/secret://TOKEN\n"
        'OWN="${URL}?x"\nNOTHING=\nALONE\nKEPT=plain\n'
    )
    done = machine.run("export", "--yes", "--format", "json", at=here)
    assert json.loads(done.stdout) == {
        "URL": "postgres://u:p@h/db",
        "BOTH": f"p/{TOKEN}",
        "OWN": "postgres://u:p@h/db?x",
        "NOTHING": "",
        "KEPT": "plain",
    }
    (here / "more.env").write_text("KEPT=secret://MULTI\n")
    done = machine.run(
        "export", "--yes", "--format", "json", "--file", ".env", "--file", "more.env", "--only", "QUOTES", at=here
    )
    assert {name: json.loads(done.stdout)[name] for name in ("KEPT", "QUOTES")} == {
        "KEPT": VALUES["MULTI"],
        "QUOTES": VALUES["QUOTES"],
    }


def test_what_a_value_holds_is_no_reference(machine: Machine, here: Path) -> None:
    machine.run("set", "POINTS", stdin="secret://TOKEN")
    (here / ".env").write_text("A=secret://POINTS\n")
    assert json.loads(machine.run("export", "--yes", "--format", "json", at=here).stdout) == {"A": "secret://TOKEN"}


def test_all_that_is_missing_is_listed_at_once(machine: Machine, here: Path) -> None:
    (here / ".env").write_text("A=secret://ONE\nB=secret://TWO-secret://PLAIN\nC=secret://PLAIN\n")
    done = machine.run("export", "--yes", at=here)
    assert (done.returncode, done.stdout) == (1, "")
    assert "[NOT_FOUND]" in done.stderr
    assert "'ONE', 'TWO-secret'" in done.stderr or "'ONE', 'TWO-secret" in done.stderr
    (here / ".env").write_text("A=secret://ONE\nB=secret://TWO/secret://PLAIN\n")
    assert "'ONE', 'TWO'" in machine.run("export", "--yes", at=here).stderr
    empty = machine.run("export", "--yes", "--on-missing", "empty", "--format", "json", at=here)
    assert json.loads(empty.stdout) == {"A": "", "B": "/p"}
    kept = machine.run("export", "--yes", "--on-missing", "keep", "--format", "json", at=here)
    assert json.loads(kept.stdout) == {"A": "secret://ONE", "B": "secret://TWO/p"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("A=1\nB='open\nC=2\n", "INVALID_ARGUMENTS] Line 2"),
        ("LD_PRELOAD=/tmp/x.so\nPATH=/x\n", "INVALID_NAME] Refusing to set 'LD_PRELOAD', 'PATH'"),
        ("a.b=1\nc-d=2\n", "INVALID_NAME] 'a.b', 'c-d'"),
        ("A=secret://\n", "INVALID_NAME] A secret's name"),
        ("A=secret://" + "N" * 129 + "\n", "INVALID_NAME] A secret's name"),
        (b"A=\xff\n", "INVALID_ARGUMENTS] The .env file is not UTF-8"),
        (None, "INVALID_ARGUMENTS] There is no .env in this directory"),
    ],
)
@pytest.mark.parametrize("command", [["export"], ["exec", "--", "true"]], ids=["export", "exec"])
def test_a_file_that_cannot_be_used_is_told_before_any_value_is_fetched(
    machine: Machine, here: Path, command: list[str], text: str | bytes | None, says: str
) -> None:
    if text is not None:
        (here / ".env").write_bytes(text if isinstance(text, bytes) else text.encode())
    done = machine.run(*command, at=here)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: [{says}")
    if "LD_PRELOAD" in str(text):
        assert machine.run(*command[:1], "--allow-dangerous-names", *command[1:], at=here).returncode != 2


HARMLESS = {
    "an application's own settings and secrets": """
        TOKEN PORT HOST DEBUG LOG_LEVEL SECRET_KEY APP_ENV APP_URL DATABASE_URL REDIS_URL SENTRY_DSN SMTP_HOST
        SMTP_PASSWORD HOME_PW TEMPERATURE SESSION_TIMEOUT TRUST_PROXY REVERSE_PROXY USE_PROXY PROXY_URL PROXY_PASSWORD
        MY_EDITOR_TOKEN ESCROW_PAGER_KEY PAGERDUTY_TOKEN DEFAULT_OPTS DB_CA_CERT MYSQL_ATTR_SSL_CA KAFKA_CA_LOCATION
        STRIPE_CA_KEY
    """,
    "credentials of services and package servers": """
        ANTHROPIC_API_KEY OPENAI_API_KEY GITHUB_TOKEN GH_TOKEN GIT_TOKEN NPM_TOKEN NODE_AUTH_TOKEN YARN_NPM_AUTH_TOKEN
        PYTHON_TOKEN TWINE_PASSWORD UV_PUBLISH_TOKEN UV_INDEX_PRIVATE_PASSWORD POETRY_HTTP_BASIC_PRIVATE_PASSWORD
        COMPOSER_AUTH BUNDLE_RUBYGEMS__PKG__GITHUB__COM CARGO_REGISTRY_TOKEN CARGO_REGISTRIES_OURS_TOKEN
        AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY GOOGLE_APPLICATION_CREDENTIALS VAULT_TOKEN DOCKER_AUTH_CONFIG
        SOPS_AGE_KEY RESTIC_PASSWORD BORG_PASSPHRASE RCLONE_CONFIG_S3_SECRET_ACCESS_KEY HELM_KUBETOKEN
        ORG_GRADLE_PROJECT_signingKey TF_VAR_db_password TF_TOKEN_app_terraform_io ANSIBLE_VAULT_PASSWORD
    """,
    "the project says which services it uses": """
        ANTHROPIC_BASE_URL OPENAI_BASE_URL AWS_ENDPOINT_URL AWS_REGION AWS_PROFILE VAULT_ADDR PGHOST PGPORT PGUSER
        PGPASSWORD PGPASSFILE PGDATABASE PGSSLMODE PGSSLROOTCERT MYSQL_HOST MYSQL_PWD MYSQL_TCP_PORT REDISCLI_AUTH
        GOPRIVATE
    """,
    "named code is the project's own, which runs anyway": """
        DJANGO_SETTINGS_MODULE FLASK_APP GUNICORN_CMD_ARGS TS_NODE_PROJECT PUPPETEER_EXECUTABLE_PATH BUNDLE_PATH
        COMPOSE_FILE AIRFLOW_HOME CARGO_TARGET_DIR TF_DATA_DIR
    """,
    "modes of runtimes that load nothing": """
        NODE_ENV RAILS_ENV MIX_ENV FLASK_ENV FLASK_DEBUG ASPNETCORE_ENVIRONMENT PYTHONUNBUFFERED PYTHONDONTWRITEBYTECODE
        PYTHONIOENCODING PYTHONUTF8 PYTHONHASHSEED CGO_ENABLED GOOS GOMAXPROCS CARGO_BUILD_JOBS CARGO_TERM_COLOR
        RUST_LOG RUST_BACKTRACE NPM_CONFIG_LOGLEVEL PIP_NO_CACHE_DIR UV_LINK_MODE COMPOSE_PROJECT_NAME DOCKER_BUILDKIT
        XDEBUG_MODE TF_LOG TF_WORKSPACE DOTNET_CLI_TELEMETRY_OPTOUT MPLBACKEND HF_HOME CUDA_VISIBLE_DEVICES GZIP XZ_OPT
        GIT_AUTHOR_NAME GIT_COMMITTER_EMAIL GIT_TERMINAL_PROMPT
    """,
    "what programs show": """
        TZ LANG LC_ALL TERM COLORTERM NO_COLOR FORCE_COLOR LS_COLORS GTK_IM_MODULE GPG_TTY
    """,
}
"""By the reason why: names that `.env` files hold and that must be taken. Written before the others."""

LOADING = {
    "shells": """
        PATH Path MAILPATH MODULE_PATH NULLCMD READNULLCMD BASH_LOADABLES_PATH PS0 PS1 PS2 ZSH ZSH_CUSTOM COMSPEC
        PATHEXT PSMODULEPATH PSModulePath
    """,
    "configuration that names programs": """
        HOME XDG_CONFIG_HOME CLAUDE_CONFIG_DIR CODEX_HOME CLAUDE_SECRETS_STORE GIT_DIR GIT_CONFIG GIT_CONFIG_KEY_0
        HGRCPATH GNUPGHOME KUBECONFIG KUBERC AWS_CONFIG_FILE HELM_PLUGINS DOCKER_CONFIG NPM_CONFIG_USERCONFIG
        YARN_RC_FILENAME GH_CONFIG_DIR COMPOSER_HOME CLOUDSDK_CONFIG ANSIBLE_CONFIG TF_CLI_CONFIG_FILE PGSERVICEFILE
        PGSYSCONFDIR MYSQL_HOME KRB5_CONFIG ODBCSYSINI STARSHIP_CONFIG UV_ENV_FILE
    """,
    "programs to run": """
        MANPAGER PSQL_PAGER AWS_PAGER SYSTEMD_PAGER BAT_PAGER DELTA_PAGER GH_PAGER KUBE_EDITOR SYSTEMD_EDITOR GH_EDITOR
        GIT_EDITOR GIT_SEQUENCE_EDITOR GIT_PAGER SUDO_EDITOR HGEDITOR KUBECTL_EXTERNAL_DIFF SVN_SSH RSYNC_CONNECT_PROG
        MAKE PKG_CONFIG npm_execpath npm_node_execpath npm_config_python npm_config_script_shell NPM_CONFIG_EDITOR
        PERL5SHELL GOCACHEPROG GOAUTH GCCGO CCACHE_PREFIX CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER
        CARGO_TARGET_WASM32_WASI_LINKER CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER CARGO_BUILD_RUSTDOC
        CARGO_REGISTRIES_OURS_CREDENTIAL_PROVIDER CARGO CMAKE_C_COMPILER_LAUNCHER CLOUDSDK_PYTHON PYSPARK_PYTHON
        RESTIC_PASSWORD_COMMAND BORG_PASSCOMMAND SOPS_AGE_KEY_CMD AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD
        ANSIBLE_VAULT_PASSWORD_FILE ANSIBLE_SSH_EXECUTABLE ANSIBLE_SSH_COMMON_ARGS
        GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES FZF_DEFAULT_COMMAND CHROME_DEVEL_SANDBOX SSH_SK_HELPER
    """,
    "options that run programs": """
        LESS LESSKEY LESSKEYIN LESSKEY_SYSTEM VIMINIT TAR_OPTIONS ZIPOPT MANOPT FZF_DEFAULT_OPTS RUSTFLAGS RUSTDOCFLAGS
        CFLAGS GOFLAGS CGO_LDFLAGS TF_CLI_ARGS TF_CLI_ARGS_init MAVEN_OPTS GRADLE_OPTS JAVA_OPTS ES_JAVA_OPTS
        CATALINA_OPTS ERL_FLAGS BUN_OPTIONS node_options PYTEST_ADDOPTS OMPI_MCA_plm_rsh_agent XDEBUG_CONFIG
        ELECTRON_RUN_AS_NODE
    """,
    "code to load": """
        DYLD_INSERT_LIBRARIES GLIBC_TUNABLES LUA_PATH LUA_CPATH LUA_INIT_5_4 PYTHONPYCACHEPREFIX PYTHONPLATLIBDIR
        JAVA_HOME EMACSLOADPATH VIM VIMRUNTIME GCC_EXEC_PREFIX COMPILER_PATH GTK_MODULES GTK_PATH GIO_EXTRA_MODULES
        GIO_MODULE_DIR QT_PLUGIN_PATH PYTEST_PLUGINS PYENV_HOOK_PATH RBENV_HOOK_PATH ANSIBLE_LIBRARY
        ANSIBLE_CALLBACK_PLUGINS LIBMYSQL_PLUGINS PGSSLKEY SASL_PATH GROFF_TMAC_PATH DOTNET_ROOT DOTNET_ROOT_X64
        MSBuildSDKsPath COR_PROFILER TF_REATTACH_PROVIDERS GST_PLUGIN_PATH BUNDLER_ORIG_RUBYOPT NODE_COMPILE_CACHE
        RUSTUP_TOOLCHAIN VIRTUAL_ENV
    """,
}
REDIRECTING = {
    "proxies": """
        HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY http_proxy https_proxy no_proxy npm_config_proxy
        npm_config_https_proxy YARN_HTTPS_PROXY CARGO_HTTP_PROXY PIP_PROXY grpc_proxy HOSTALIASES
    """,
    "whom TLS trusts, and who can read along": """
        SSLKEYLOGFILE NODE_EXTRA_CA_CERTS SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE AWS_CA_BUNDLE
        GIT_SSL_CAINFO GIT_SSL_NO_VERIFY PIP_CERT NODE_TLS_REJECT_UNAUTHORIZED PYTHONHTTPSVERIFY CARGO_HTTP_CAINFO
        DENO_CERT npm_config_cafile NPM_CONFIG_STRICT_SSL GIT_TRACE_CURL DOCKER_CERT_PATH
    """,
    "where installers get other people's code": """
        PIP_INDEX_URL PIP_EXTRA_INDEX_URL UV_INDEX_URL UV_DEFAULT_INDEX NPM_CONFIG_REGISTRY npm_config_registry GOPROXY
        YARN_NPM_REGISTRY_SERVER BUNDLE_MIRROR__ALL CARGO_REGISTRIES_OURS_INDEX RUSTUP_DIST_SERVER COREPACK_NPM_REGISTRY
    """,
    "the session: displays, buses, agents": """
        DISPLAY WAYLAND_DISPLAY XAUTHORITY XDG_RUNTIME_DIR DBUS_SESSION_BUS_ADDRESS DBUS_SYSTEM_BUS_ADDRESS
        SSH_AUTH_SOCK TMUX TMUX_TMPDIR DOCKER_CONTEXT KRB5CCNAME
    """,
    "files that programs write, and run or read again": """
        TMPDIR TMP XDG_CACHE_HOME XDG_STATE_HOME HISTFILE PSQL_HISTORY LESSHISTFILE NODE_V8_COVERAGE APPDATA
    """,
}


def test_names_that_every_env_file_may_set_are_told_from_those_with_power() -> None:
    harmless, loading, redirecting = (" ".join(names.values()).split() for names in (HARMLESS, LOADING, REDIRECTING))
    assert [name for name in harmless if is_loading(name) or is_redirecting(name) or is_shells_own(name)] == []
    assert [name for name in loading if not is_loading(name)] == []
    assert [name for name in redirecting if not is_redirecting(name) or is_loading(name)] == []


@pytest.mark.parametrize("name", ["GOCACHEPROG", "HTTPS_PROXY", "http_proxy", "DISPLAY", "CARGO_TARGET_X_RUNNER"])
def test_a_name_with_power_is_set_only_for_who_asks_for_it(machine: Machine, here: Path, name: str) -> None:
    (here / ".env").write_text(f"{name}=given\n")
    refused = machine.run("exec", "--", "printenv", name, at=here)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"[INVALID_NAME] Refusing to set '{name}'" in refused.stderr
    assert "--allow-dangerous-names" in refused.stderr
    set_all_the_same = machine.run("exec", "--allow-dangerous-names", "--", "printenv", name, at=here)
    assert (set_all_the_same.returncode, set_all_the_same.stdout) == (0, "given\n")


def test_what_env_files_commonly_hold_is_set(machine: Machine, here: Path) -> None:
    names = " ".join(HARMLESS.values()).split()
    (here / ".env").write_text("".join(f"{name}=given\n" for name in names))
    shown = json.loads(machine.run("export", "--format", "json", at=here).stdout)
    assert shown == dict.fromkeys(names, "given")


# Exporting

VARIABLES = {"bash": "compgen -v", "dash": "set", "zsh": "typeset +m '*'"}


@pytest.mark.parametrize("shell", VARIABLES)
def test_no_variable_of_a_shell_takes_code_for_a_value(shell: str, tmp_path: Path) -> None:
    require(shell)
    bare = [shell, *({"bash": ["--norc"], "zsh": ["-f"]}.get(shell, []))]
    listed = subprocess.run([*bare, "-c", VARIABLES[shell]], capture_output=True, text=True, env={}, check=True)
    known = {line.partition("=")[0].split()[-1] for line in listed.stdout.splitlines() if line.strip()}
    names = [name for name in sorted({*known, "TOKEN"}) if name.isidentifier() and not is_loading(name)]
    wrong = []
    for name in names:
        value = "a[$(touch ran)]"
        script = _shell({name: value}) + f'printf "<%s>" "${name}"'
        done = subprocess.run([*bare, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
        if (done.stdout != f"<{value}>" or (tmp_path / "ran").exists()) and not is_shells_own(name):
            wrong.append(name)
        (tmp_path / "ran").unlink(missing_ok=True)
    assert wrong == []


def test_what_a_shell_keeps_for_itself_is_never_exported_to_one(machine: Machine, here: Path) -> None:
    (here / ".env").write_text("RANDOM='a[$(touch ran)]'\nPLAIN=secret://PLAIN\nstatus=1\nBASH_CMDS=x\n")
    for option in ([], ["--allow-dangerous-names"]):
        done = machine.run("export", "--yes", *option, at=here)
        assert (done.returncode, done.stdout) == (2, "")
        assert "[INVALID_NAME] 'RANDOM', 'status', 'BASH_CMDS': shells keep" in done.stderr
    assert json.loads(machine.run("export", "--yes", "--format", "json", at=here).stdout)["status"] == "1"
    assert machine.run("exec", "--yes", "--", "printenv", "RANDOM", at=here).stdout == "a[$(touch ran)]\n"


@pytest.mark.parametrize("shell", ["bash", "dash", "zsh"])
def test_a_shell_takes_what_is_exported_exactly_and_runs_none_of_it(machine: Machine, here: Path, shell: str) -> None:
    require(shell)
    names = " ".join(f"--only {name}" for name in VALUES)
    program = shlex.join(PROGRAM)
    show = f"{shlex.quote(sys.executable)} -c 'import os, json; print(json.dumps(dict(os.environ)))'"
    done = subprocess.run(
        [shell, "-c", f'eval "$({program} export {names})"; {show}'],
        cwd=here,
        env=machine.environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    seen = json.loads(done.stdout)
    assert {name: seen[name] for name in VALUES} == VALUES
    assert (done.stderr, list(here.iterdir())) == ("", [])


ODD = st.text("'\"\\ \n\r\t#$={}`!ab\ufeff\x85\u2028\x1f\x0b", max_size=12)
values = ODD | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)


@given(found=st.dictionaries(st.sampled_from("ABC"), values, min_size=1))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_comes_through_a_shell_exactly(found: dict[str, str]) -> None:
    show = "import os, json; print(json.dumps(dict(os.environ)))"
    script = f"{export._shell(found)}{shlex.join([sys.executable, '-c', show])}"
    done = subprocess.run(["sh"], input=script.encode(), capture_output=True, timeout=DEADLINE, check=True)
    seen = json.loads(done.stdout)
    assert {name: seen[name] for name in found} == found


@given(found=st.dictionaries(st.sampled_from("ABC"), values.filter(lambda value: "${" not in value), min_size=1))
@settings(max_examples=rounds(200, 30_000), deadline=None)
def test_any_value_comes_through_a_dotenv_file_exactly(
    tmp_path_factory: pytest.TempPathFactory, found: dict[str, str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "exported.env"
    path.write_bytes(export._dotenv(found).encode())
    assert dotenv_values(path) == dotenv_file.values(dotenv_file.decoded(path.read_bytes())) == found


@given(found=st.dictionaries(st.sampled_from("ABC"), values | st.just("\0"), min_size=1))
def test_any_value_comes_through_json_exactly(found: dict[str, str]) -> None:
    with redirect_stdout(io.StringIO()) as printed:
        say_json(found)
    assert json.loads(printed.getvalue()) == found
    assert printed.getvalue().isascii()


def test_a_dotenv_file_that_is_exported_gives_the_same_again(machine: Machine, here: Path) -> None:
    names = ["PLAIN", "MULTI", "QUOTES", "TOKEN"]
    only = [word for name in names for word in ("--only", name)]
    (here / "exported.env").write_text(machine.run("export", "--format", "dotenv", *only).stdout, newline="")
    again = machine.run("export", "--format", "json", "--file", "exported.env", at=here)
    assert json.loads(again.stdout) == {name: {**VALUES, "TOKEN": TOKEN}[name] for name in names}


def test_a_dotenv_file_cannot_hold_what_its_readers_replace(machine: Machine, here: Path) -> None:
    (here / ".env").write_text("A=secret://PLAIN\nB=secret://SHELL_CODE\nC=-secret://SHELL_CODE\n")
    done = machine.run("export", "--format", "dotenv", "--yes", at=here)
    assert (done.returncode, done.stdout) == (2, "")
    assert "[INVALID_VALUE] 'B', 'C': the value holds '${'" in done.stderr


@pytest.mark.parametrize("command", [["export"], ["exec", "--", "true"]], ids=["export", "exec"])
def test_a_value_that_is_cut_at_a_hash_is_told_by_its_line(machine: Machine, here: Path, command: list[str]) -> None:
    (here / ".env").write_text('A=x # it\'s "fine"\n\nB={"canary": "canary #1"}\n')
    done = machine.run(*command, at=here)
    assert (done.returncode, done.stderr.count("warning: ")) == (0, 1)
    assert done.stderr.startswith("warning: .env, line 3: the value ends at the '#'")
    assert "canary" not in done.stderr
    (here / ".env").write_text('A=x # it\'s "fine"\n\nB=\'{"canary": "canary #1"}\'\n')
    assert machine.run(*command, at=here).stderr == ""


# Running programs, on pipes


PROGRAMS = {
    "an exit code": "exit 7",
    "its input": "cat; echo end",
    "both streams": "echo out; echo err >&2; exit 3",
    "killed": "kill -TERM $$",
    "killed for good": "kill -9 $$",
    "closes its output": "exec >&-; echo err >&2; exit 4",
    "closes everything": "exec >&- 2>&- <&-; exit 5",
    "no newline at its end": "printf 'no newline'",
    "bytes": r"printf '\000\377\r\n\033[1m'",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_is_as_without_exec(machine: Machine, program: str) -> None:
    words = ["sh", "-c", PROGRAMS[program]]
    done = [
        subprocess.run(
            start, input=b"given\n", capture_output=True, timeout=DEADLINE, env=machine.environment, check=False
        )
        for start in (
            words,
            [*exec_words("--only", "TOKEN"), *words],
            [*PROGRAM, "exec", "--only", "TOKEN", "--", *words],
        )
    ]
    plain, *others = [(one.returncode, one.stdout, one.stderr) for one in done]
    assert others == [plain, plain]


def test_what_goes_to_one_place_stays_in_order(machine: Machine) -> None:
    script = "for i in 1 2 3 4 5 6 7 8 9; do echo o$i; echo e$i >&2; done"
    words = [*exec_words("--only", "TOKEN"), "sh", "-c", script]
    done = subprocess.run(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DEADLINE, env=machine.environment, check=True
    )
    assert done.stdout.decode().split() == [f"{stream}{i}" for i in range(1, 10) for stream in "oe"]


LAST_LINES = [
    "Local: http://localhost:3005",
    "Local:   http://localhost:5173/",
    "Listening on 0.0.0.0:8080",
    "Server running at http://127.0.0.1:8000",
    "* Running on http://127.0.0.1:5000",
    "ready in 312 ms",
    "Compiled successfully in 1.2s",
    "Watching for file changes...",
    "webpack 5.91.0 compiled in 845 ms",
    "Press Ctrl+C to quit",
    "Press any key to continue",
    "Are you sure? [y/N]",
    "Continue (yes/no)?",
    "Password:",
    "Username: admin",
    "Enter a number >",
    "> ",
    "$ ",
    ">>> ",
    "(gdb) ",
    "mysql> ",
    "postgres=# ",
    "Downloading 42%",
    "100%|##########| 1024/1024 [00:12<00:00, 83.2it/s]",
]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("to", ["a pipe", "a file"])
def test_the_last_line_of_a_program_that_waits_is_shown_whole(
    tmp_path_factory: pytest.TempPathFactory, seed: int, to: str
) -> None:
    """With values of which some begin as the lines end."""
    assert len(LAST_LINES) == 24
    machine = Machine(tmp_path_factory.mktemp("waits")).use_key_file()
    names, chosen = [f"S{number}" for number in range(5)], random.Random(seed)
    for name in names:
        value = chosen.choice(LAST_LINES)[-1] + "".join(chosen.choices(string.ascii_letters + string.digits, k=40))
        machine.run("set", name, at=machine.home, stdin=value)
    told, seen = machine.home / "told", machine.home / "seen"
    os.mkfifo(told)
    seen.write_bytes(b"")
    script = f"while IFS= read -r line; do printf '%s' \"$line\"; done <{shlex.quote(str(told))}"
    words = exec_words(*(word for name in names for word in ("--only", name)))
    with (
        seen.open("ab") as file,
        subprocess.Popen(
            [*words, "sh", "-c", script], stdout=subprocess.PIPE if to == "a pipe" else file, env=machine.environment
        ) as process,
    ):
        shown, expected = b"", b""
        with told.open("w") as tell:
            for line in LAST_LINES:
                tell.write(f"{line}\n")
                tell.flush()
                expected += line.encode()
                deadline = time.monotonic() + DEADLINE
                while shown != expected and time.monotonic() < deadline:
                    if process.stdout is None:
                        shown = seen.read_bytes()
                    elif select.select([process.stdout], [], [], 0.1)[0]:
                        shown += os.read(process.stdout.fileno(), 1 << 16)
                assert shown == expected
        assert process.wait(DEADLINE) == 0


def test_a_long_value_of_one_letter_is_found_in_time(machine: Machine) -> None:
    machine.run("set", "LETTER", at=machine.home, stdin="a" * 100_000)  # an environment takes little more
    letters = "import os\nfor _ in range(16): os.write(1, b'a' * %d)"
    for size, shown in ((1 << 16, b"[secret://LETTER]"), (3000, b"a" * 48_000)):
        words = [*exec_words("--only", "LETTER"), sys.executable, "-c", letters % size]
        done = subprocess.run(words, capture_output=True, timeout=DEADLINE, env=machine.environment, check=False)
        assert (done.returncode, done.stdout) == (0, shown)


def test_a_value_in_two_halves_is_never_shown(machine: Machine) -> None:
    for cut in (6, 20, len(TOKEN) // 2, len(TOKEN) - 1):
        script = f'printf %.{cut}s "$TOKEN"; sleep 0.3; printf %s "$TOKEN" | tail -c +{cut + 1}; sleep 0.3'
        done = subprocess.run(
            [*exec_words("--only", "TOKEN"), "sh", "-c", script],
            capture_output=True,
            timeout=DEADLINE,
            env=machine.environment,
            check=True,
        )
        assert done.stdout == b"[secret://TOKEN]"


class Keeping:
    """A filter that keeps what it is given, and gives it back when nothing more comes."""

    def __init__(self) -> None:
        self.kept = b""

    def feed(self, data: bytes) -> bytes:
        self.kept += data
        return b""

    def idle(self) -> bytes:
        kept, self.kept = self.kept, b""
        return kept

    finish = idle


def test_each_stream_is_quiet_by_itself() -> None:
    now = 100.0
    (source, feed), (reader, target) = os.pipe(), os.pipe()
    (busy, busily), (_, away) = os.pipe(), os.pipe()
    quiet = Stream(source, target, Keeping(), lambda: now)
    other = Stream(busy, away, Keeping(), lambda: now)
    assert (quiet.quiet_in(), other.quiet_in()) == (None, None)
    os.write(feed, b"$ ")
    os.write(busily, b".")
    carry([quiet, other])
    assert quiet.quiet_in() == pytest.approx(QUIET_SECONDS)
    now += QUIET_SECONDS * 0.9
    os.write(busily, b".")
    carry([quiet, other])
    assert not quiet.waiting
    now += QUIET_SECONDS * 0.2
    os.write(busily, b".")
    carry([quiet, other])
    assert (quiet.waiting, other.waiting) == (b"$ ", b"")
    carry([quiet, other])
    assert os.read(reader, 99) == b"$ "
    assert quiet.quiet_in() is None


def test_a_hundred_megabytes_come_through_as_they_are(machine: Machine) -> None:
    script = "import os\nblock = bytes(range(256)) * 4096\nfor _ in range(100): os.write(1, block)"
    words = [*exec_words("--only", "TOKEN"), sys.executable, "-c", script]
    digest, size = hashlib.sha256(), 0
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=machine.environment) as process:
        assert process.stdout is not None
        while block := process.stdout.read(1 << 20):
            digest.update(block)
            size += len(block)
    wanted = hashlib.sha256(bytes(range(256)) * 4096 * 100).hexdigest()
    assert (process.returncode, size, digest.hexdigest()) == (0, 100 << 20, wanted)


def test_a_program_whose_reader_goes_is_told_as_always(machine: Machine) -> None:
    script = f"{shlex.join(exec_words('--only', 'TOKEN'))} yes | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=DEADLINE, env=machine.environment, check=True
    )
    assert (done.stdout, done.stderr) == (f"y\n{128 + signal.SIGPIPE}\n", "")


def test_signals_are_handed_on(machine: Machine) -> None:
    script = "trap 'echo usr1' USR1; trap 'echo term; exit 9' TERM; echo ready; while :; do sleep 0.05; done"
    words = [*exec_words("--only", "TOKEN"), "sh", "-c", script]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=machine.environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGUSR1)
        assert process.stdout.readline() == "usr1\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "term\n"
        assert process.wait(DEADLINE) == 9


def test_every_other_signal_that_ends_a_program_is_handed_on(machine: Machine) -> None:
    names = [
        "INT",
        "QUIT",
        "HUP",
        "ALRM",
        "USR2",
        "PROF",
        "XCPU",
        *(["RTMIN", "34", "PWR"] * (sys.platform == "linux")),
    ]
    script = "import os, signal, sys, time\ndef tell(text): os.write(1, f'{text}\\n'.encode())\n"
    script += "for n in sys.argv[1:]: signal.signal(int(n), lambda n, _: tell(n))\n"
    script += "tell('ready')\nwhile True: time.sleep(1)"
    numbers = [int(name) if name.isdigit() else int(getattr(signal, f"SIG{name}")) for name in names]
    words = [*exec_words("--only", "TOKEN"), sys.executable, "-c", script, *map(str, numbers)]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, text=True, env=machine.environment, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for number in numbers:
            process.send_signal(number)
            assert process.stdout.readline() == f"{number}\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == -signal.SIGTERM


def test_where_ends_of_children_are_ignored_the_program_ends_as_it_does(machine: Machine) -> None:
    for words in (exec_words("--only", "TOKEN"), [*PROGRAM, "exec", "--only", "TOKEN", "--"]):
        ignoring = "import os, signal as s, sys; s.signal(s.SIGCHLD, s.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
        start = [sys.executable, "-c", ignoring, *words, "sh", "-c", "echo said; exit 7"]
        done = subprocess.run(
            start, capture_output=True, text=True, env=machine.environment, timeout=DEADLINE, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (7, "said\n", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_output_that_cannot_be_written_is_told(machine: Machine) -> None:
    for program, code in (("echo some", 1), ("echo some; exit 5", 5)):
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                [*exec_words("--only", "TOKEN"), "sh", "-c", program],
                stdout=full, stderr=subprocess.PIPE, text=True, env=machine.environment, timeout=DEADLINE, check=False,
            )  # fmt: skip
        said = "error: The output could not be written: No space left on device.\n"
        assert (done.returncode, done.stderr) == (code, said)


def test_a_stream_that_nobody_reads_holds_up_no_other(machine: Machine) -> None:
    script = "yes | head -c 1000000 & sleep 0.5; echo err >&2; wait"
    words = [*exec_words("--only", "TOKEN"), "sh", "-c", script]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=machine.environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stderr.readline() == "err\n"
        assert len(process.stdout.read()) == 1_000_000
        assert process.wait(DEADLINE) == 0


def test_what_carries_on_for_a_program_that_was_left_behind_can_be_ended(machine: Machine, here: Path) -> None:
    words = [*exec_words("--only", "TOKEN"), "sh", "-c", "trap '' TERM; sleep 100 & echo $! >number; exit 6"]
    with subprocess.Popen(words, cwd=here, stdout=subprocess.PIPE, env=machine.environment, process_group=0) as process:
        assert process.stdout is not None
        assert process.wait(DEADLINE) == 6
        os.killpg(process.pid, signal.SIGTERM)
        assert process.stdout.read() == b""
        os.kill(int((here / "number").read_text()), signal.SIGKILL)


def test_a_descriptor_with_a_passphrase_is_not_handed_on(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    (tmp_path / "phrase").write_text("five words that nobody guesses\n")
    cs, phrase = shlex.join(PROGRAM), f"7<{tmp_path}/phrase"
    script = (
        f"{cs} init --passphrase --new-passphrase-fd 7 {phrase}; echo v | {cs} set TOKEN --passphrase-fd 7 {phrase}; "
    )
    script += f"{cs} exec --passphrase-fd 7 --only TOKEN -- sh -c 'echo $TOKEN; cat <&7' {phrase}"
    done = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, cwd=machine.project("a"), env=machine.environment,
        timeout=DEADLINE, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "v"
    assert "7: Bad file descriptor" in done.stderr


def test_what_a_program_leaves_behind_is_redacted_to_its_end(machine: Machine) -> None:
    script = 'echo now; (exec >&1 2>&-; sleep 1; echo "late $TOKEN") & exit 6'
    words = [*exec_words("--only", "TOKEN"), "sh", "-c", script]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=machine.environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "now\n"
        assert process.wait(DEADLINE) == 6
        assert process.stdout.read() == "late [secret://TOKEN]\n"


def test_what_a_program_leaves_behind_writing_without_end_is_not_waited_for(machine: Machine) -> None:
    words = [*exec_words("--only", "TOKEN"), "sh", "-c", "yes & exit 6"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=machine.environment) as process:
        assert process.stdout is not None
        ends = time.monotonic() + DEADLINE
        while process.poll() is None and time.monotonic() < ends:
            os.read(process.stdout.fileno(), 65536)
        assert process.returncode == 6
        assert process.stdout.read(4) in (b"y\ny\n", b"\ny\ny")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
@pytest.mark.parametrize("redact", ["--redact", ""])
def test_standard_streams_may_be_closed(machine: Machine, here: Path, closed: str, redact: str) -> None:
    words = [*PROGRAM, "exec", *redact.split(), "--only", "TOKEN", "--", "sh", "-c", "printenv TOKEN >there"]
    script = ["sh", "-c", f"{shlex.join(words)} {closed}"]
    done = subprocess.run(script, cwd=here, capture_output=True, timeout=DEADLINE, env=machine.environment, check=False)
    assert (done.returncode, (here / "there").read_text()) == (0, f"{TOKEN}\n")


@pytest.fixture(scope="module")
def unstartable(machine: Machine) -> Path:
    """A directory with all that can be in a program's place."""
    place = machine.home / "unstartable"
    (place / "there" / "directory").mkdir(parents=True)
    for name, text in {
        "bad": b"\x7fELF nonsense",
        "no-first-line": b"echo hi\n",
        "lost": b"#!/no/such/interpreter\n",
        "plain": b"text",
        "there/kept": b"text",
    }.items():
        (place / name).write_bytes(text)
        (place / name).chmod(0o644 if text == b"text" else 0o755)
    (place / "nowhere").symlink_to("gone")
    (place / "round").symlink_to("round")
    return place


IN_A_PROGRAMS_PLACE = {
    "no-such-program": (127, "There is no such program: 'no-such-program'."),
    "./no/such": (127, "There is no such program: './no/such'."),
    "./nowhere": (127, "There is no such program: './nowhere'."),
    "": (127, "There is no such program."),
    "directory": (127, "There is no such program: 'directory'."),
    "x" * 200: (127, f"There is no such program: '{'x' * 100}…'."),
    "./there": (126, "The program './there' cannot be run: Is a directory."),
    "./plain": (126, "The program './plain' cannot be run: Permission denied."),
    "kept": (126, "The program 'kept' cannot be run: Permission denied."),
    "./plain/more": (126, "The program './plain/more' cannot be run: Not a directory."),
    "./round": (126, "The program './round' cannot be run: Too many levels of symbolic links."),
    "./bad": (126, "The program cannot be run: it is no program for this machine, and no script whose first line"),
    "./no-first-line": (126, "The program cannot be run: it is no program for this machine, and no script whose first"),
    "./lost": (127, "The program cannot be run: what runs it is not there (of a script: what its first line names)."),
}


@pytest.mark.parametrize("redact", ["--redact", ""])
@pytest.mark.parametrize("word", IN_A_PROGRAMS_PLACE)
def test_what_cannot_be_started_is_told_with_the_code_of_shells(
    machine: Machine, unstartable: Path, word: str, redact: str
) -> None:
    code, says = IN_A_PROGRAMS_PLACE[word]
    path = {"PATH": f"{unstartable / 'there'}:{machine.environment['PATH']}"}
    words = ["exec", *redact.split(), "--only", "TOKEN", "--", word]
    done = machine.run(*words, at=unstartable, environment=path)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(f"error: [INVALID_ARGUMENTS] {says}")
    assert len(done.stderr.splitlines()) == 1
    if word not in ("directory", "./no-first-line", "./bad"):  # of which env(1) makes something else
        env = subprocess.run(
            ["env", word], cwd=unstartable, env={**machine.environment, **path}, capture_output=True, check=False
        )
        assert env.returncode == code


@pytest.mark.parametrize("redact", ["--redact", ""])
def test_an_environment_that_is_too_long_is_told(machine: Machine, redact: str) -> None:
    machine.run("set", "LONG", at=machine.home, stdin="x" * 200_000)
    done = machine.run("exec", *redact.split(), "--only", "LONG", "--", "true")
    assert (done.returncode, done.stdout) == (126, "")
    assert done.stderr.endswith("cannot be run: its arguments and its environment are too long.\n")


@pytest.mark.parametrize(
    "words",
    [
        *(["echo $TOKEN"], ["cd", "/tmp", "&&", "ls"], ["A=1", "npm", "start"], ["a|b"], ["a;b"], ["a>b"], ["a&&b"]),
        *(["source", "x"], ["export", "A=1"], ["alias"], ["time", "-p", "x"], ["if", "true"], ["no such"], ["~/x"]),
    ],
)
def test_whoever_writes_for_a_shell_is_told_that_there_is_none(machine: Machine, here: Path, words: list[str]) -> None:
    done = machine.run("exec", "--only", "TOKEN", "--", *words, environment={"PATH": str(here)})
    assert (done.returncode, done.stdout) == (127, "")
    (hint,) = done.stderr.splitlines()[1:]
    assert hint.startswith("hint: exec starts a program without a shell; to use shell syntax: ")
    assert hint.endswith(" exec … -- sh -c '…'")


def test_a_value_in_a_programs_place_is_not_repeated(machine: Machine) -> None:
    for word, shown in {
        TOKEN: "[secret://TOKEN]",
        f"/opt/{TOKEN}/x": "/opt/[secret://TOKEN]/x",
        base64.b64encode(TOKEN.encode()).decode(): "[secret://TOKEN]",
    }.items():
        done = machine.run("exec", "--only", "PLAIN", "--", word)
        assert done.returncode == 127
        assert f" There is no such program: '{shown}'.\n" in done.stderr
        assert TOKEN[:12] not in done.stderr
    stray = "ghp_" + "a1B2" * 9
    assert stray not in machine.run("exec", "--only", "PLAIN", "--", stray).stderr
    locked = machine.run("exec", "--only", "PLAIN", "--", TOKEN, environment={"CLAUDE_SECRETS_KEY_FILE": "/nowhere"})
    assert (locked.returncode, TOKEN[:12] in locked.stderr) == (127, False)


# Limits and ends


CORE = "ulimit -Sc; ulimit -Hc"


@pytest.mark.parametrize("limits", ["0 0", "0 4000", "512 4000", "4000 4000"])
@pytest.mark.parametrize("redact", ["--redact", ""])
def test_a_program_may_dump_its_core_as_far_as_before(machine: Machine, here: Path, redact: str, limits: str) -> None:
    soft, hard = limits.split()
    run = shlex.join([*PROGRAM, "exec", *redact.split(), "--only", "TOKEN", "--"])
    for on in ("", "script -qec '{}' /dev/null"):
        inside = here / "inside"
        inside.write_text(f"{run} bash -c '{{ {CORE}; ulimit -Sc {hard} && ulimit -Sc; }} >limits'\n")
        start = on.format(f"sh {inside}") or f"sh {inside}"
        line = ["bash", "-c", f"ulimit -Sc {soft}; ulimit -Hc {hard}; {start}"]
        subprocess.run(line, cwd=here, stdout=subprocess.PIPE, timeout=DEADLINE, env=machine.environment, check=True)
        assert (here / "limits").read_text().split() == [soft, hard, hard]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells it")
@pytest.mark.parametrize("signal_name", ["QUIT", "SEGV"])
def test_what_redacts_dumps_no_core(machine: Machine, here: Path, signal_name: str) -> None:
    number = getattr(signal, f"SIG{signal_name}")
    words = [*exec_words("--only", "TOKEN"), "sh", "-c", "trap '' QUIT; echo $PPID; exec sleep 100"]
    start = ["bash", "-c", f"ulimit -Sc $(ulimit -Hc); trap - QUIT; exec {shlex.join(words)}"]
    with subprocess.Popen(start, cwd=here, stdout=subprocess.PIPE, text=True, env=machine.environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{process.pid}\n"
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        soft = next(line.split()[4] for line in limits.splitlines() if line.startswith("Max core file size"))
        assert soft in ("0", "1")
        os.kill(process.pid, signal.SIGSEGV)
        status = os.waitpid(process.pid, 0)[1]
        process.returncode = -number
    assert (os.WTERMSIG(status), os.WCOREDUMP(status)) == (signal.SIGSEGV, False)
    assert [file.name for file in here.iterdir()] == []


KILLED = {
    "on pipes": "{} | cat >/dev/null",
    "on a terminal": "script -qec '{}' /dev/null >/dev/null",
    "standard error on a terminal": "script -qec 'sh -c \"{} >/dev/null\"' /dev/null >/dev/null",
    "in a session of its own": "setsid {} >/dev/null",
    "where it ignores hangups": "nohup {} >/dev/null",
}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a program of its parent's end")
@pytest.mark.parametrize("how", KILLED)
def test_a_program_ends_when_what_redacts_it_is_killed(machine: Machine, here: Path, how: str) -> None:
    (here / "program").write_text("echo $$ $PPID >number.new; mv number.new number; while :; do sleep 0.05; done\n")
    (here / "run").write_text(f"echo $$ >ours; exec {shlex.join(exec_words('--only', 'TOKEN'))} sh program\n")
    with subprocess.Popen(["bash", "-c", KILLED[how].format("sh run")], cwd=here, env=machine.environment) as process:
        number = wait_for(here / "number").split()[0]
        os.kill(int((here / "ours").read_text()), signal.SIGKILL)
        wait_for_end(number)
        process.wait(DEADLINE)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a program of its parent's end")
def test_a_program_that_is_started_by_what_was_just_killed_ends_too(machine: Machine, here: Path) -> None:
    (here / "late.py").write_text(
        "import os, signal, sys, time\n"
        "from claude_secrets.exec import child\n"
        "begin = child.forget_handlers\n"
        "def late():\n"
        "    with open('number', 'w') as file: file.write(str(os.getpid()))\n"
        "    os.kill(os.getppid(), signal.SIGKILL)\n"
        "    while os.getppid() == parent: time.sleep(0.01)\n"
        "    begin()\n"
        "parent, child.forget_handlers = os.getpid(), late\n"
        "from claude_secrets.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    words = [sys.executable, "late.py", "exec", "--redact", "--only", "TOKEN", "--", "touch", "began"]
    done = subprocess.run(words, cwd=here, env=machine.environment, timeout=DEADLINE, check=False)
    assert done.returncode == -signal.SIGKILL
    wait_for_end((here / "number").read_text())
    assert not (here / "began").exists()


def wait_for_end(number: str) -> None:
    """Return when a process has ended, whether or not somebody took note of that."""
    ends = time.monotonic() + DEADLINE
    while (status := Path(f"/proc/{number}/stat")).exists() and status.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < ends
        time.sleep(0.02)


def wait_for(path: Path) -> str:
    """What a file holds, once it is there."""
    ends = time.monotonic() + DEADLINE
    while not path.exists():
        assert time.monotonic() < ends
        time.sleep(0.02)
    return path.read_text()


def test_no_value_is_shown_in_any_form_on_either_stream(machine: Machine) -> None:
    script = (
        'printenv TOKEN; printenv TOKEN | base64; printf %s "$TOKEN" | base64 -w 0; printenv TOKEN | od -v -An -tx1 | '
        'tr -d " \\n"; printf "%q\\n" "$SHELL_CODE"; printf %s "$SHELL_CODE" >&2'
    )
    words = [*exec_words("--only", "TOKEN", "--only", "SHELL_CODE"), "bash", "-c", script]
    done = subprocess.run(words, capture_output=True, timeout=DEADLINE, env=machine.environment, check=True)
    assert done.stdout.count(b"[secret://TOKEN]") == 4
    assert b"canary" not in done.stdout
    assert b"touch" not in done.stdout + done.stderr


def test_without_redaction_exec_is_the_program_itself(machine: Machine) -> None:
    script = "import os; print(os.getpid(), os.getppid(), sep='\\n')"
    words = [*PROGRAM, "exec", "--only", "TOKEN", "--", sys.executable, "-c", script]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=machine.environment) as process:
        out, _ = process.communicate(timeout=DEADLINE)
    assert out.split() == [str(process.pid), str(os.getpid())]


# On a terminal


@pytest.fixture
def bash(machine: Machine, here: Path) -> Iterator[Bash]:
    start = shlex.join(exec_words("--only", "TOKEN"))
    require("bash")
    with Bash(here, {**machine.environment, "RUN": start, "PYTHONDONTWRITEBYTECODE": "1"}) as bash:
        yield bash


def test_a_program_has_a_terminal_of_the_same_size(bash: Bash) -> None:
    assert bash.run("$RUN stty size") == "31 97\n"
    assert bash.run("$RUN sh -c 'test -t 0 && test -t 1 && test -t 2 && tty </dev/tty >/dev/null; echo $?'") == "0\n"
    bash.type("$RUN sh -c 'trap \"stty size\" WINCH; echo go; while :; do sleep 0.05; done'\n")
    bash.see("\ngo\n")
    bash.resize((12, 34))
    bash.see("12 34\n")
    bash.type("\x03")
    bash.see("ready> ")


def test_a_program_reads_the_terminal_with_and_without_echo(bash: Bash) -> None:
    before = bash.settings()
    bash.type("$RUN sh -c 'read a; stty -echo; printf pass:; read b; stty echo; echo; echo \"[$a$b]\"'\n")
    bash.see("echo.*\n")
    bash.type("visible\n")
    bash.see("visible\npass:")
    bash.type("hidden\n")
    assert "hidden" not in bash.see(r"\n\[visible")
    bash.see("ready> ")
    assert bash.settings() == before


def test_what_it_prints_to_a_terminal_is_redacted_and_nothing_is_held_back_for_long(bash: Bash) -> None:
    assert bash.run("$RUN sh -c 'echo \"<$TOKEN>\"; echo $TOKEN >&2'") == "<[secret://TOKEN]>\n[secret://TOKEN]\n"
    bash.type("$RUN sh -c 'printf can; read x; echo \"[$x]\"'\n")
    bash.see("x.*\ncan")  # as a value begins
    bash.type("ca")
    bash.see("ca")
    bash.type("\n")
    bash.see(r"\n\[ca\]\n")


def test_stopping_and_going_on(bash: Bash) -> None:
    before = bash.settings()
    bash.type("$RUN sh -c 'echo go; read x; echo \"got $x\"'\n")
    bash.see("\ngo\n")
    bash.type("\x1a")
    bash.see("Stopped")
    bash.see("ready> ")
    assert bash.settings() == before
    assert "Stopped" in bash.run("jobs")
    bash.type("fg\n")
    bash.see("fg\n.*\n")
    bash.type("this\n")
    bash.see("got this\n")
    bash.see("ready> ")
    assert bash.settings() == before


def test_interrupting_and_being_killed(bash: Bash) -> None:
    before = bash.settings()
    bash.type("$RUN sleep 100\n")
    bash.see("100\n")
    time.sleep(1)  # until it has begun; too early is the same for the shell
    bash.type("\x03")
    bash.see("ready> ")
    assert bash.run("echo $?") == "130\n"
    bash.run("$RUN sh -c 'stty raw -echo; kill -9 $$'")
    assert bash.settings() == before
    assert bash.run("echo $?") == "137\n"


def test_typing_more_than_a_program_reads_holds_nothing_up(bash: Bash) -> None:
    bash.type("$RUN sh -c 'stty -echo; echo go; while test ! -e end; do sleep 0.1; done; echo over; cat >got'\n")
    bash.see("\ngo\n")
    for number in range(200):
        bash.type(f"{number:0100}\n")
    bash.run_elsewhere("touch end")
    bash.see("over\n")
    time.sleep(0.5)
    bash.type("\x04")
    bash.see("ready> ")
    assert bash.run("wc -l <got; stty echo").split()[0] == "200"


def test_what_a_program_leaves_behind_at_a_terminal_goes_on(bash: Bash) -> None:
    assert bash.run("$RUN sh -c '(sleep 2; touch quiet) >/dev/null 2>&1 </dev/null & sleep 0.2'") == ""
    bash.run("$RUN sh -c '(sleep 2; echo late $TOKEN) & sleep 0.2'")
    bash.see(r"late \[secret://TOKEN\]\n")
    assert bash.run("ls quiet") == "quiet\n"


def test_what_was_printed_before_stopping_is_shown_before(bash: Bash) -> None:
    bash.type("$RUN sh -c 'echo go; seq 1 20000; kill -STOP $$; echo on'\n")
    bash.see("\n20000\n")
    bash.see("Stopped")
    bash.see("ready> ")
    bash.type("fg\n")
    bash.see("\non\nready> ")


def test_a_signal_that_comes_early_leaves_the_terminal_as_it_was(bash: Bash, here: Path) -> None:
    # For what happens only in the first milliseconds, the program is kept from beginning.
    (here / "early.py").write_text(
        "import os, signal, sys\n"
        "from claude_secrets.exec import terminal_relay\n"
        "take = terminal_relay._PersonsTerminal.take\n"
        "def early(self):\n"
        "    answer = take(self)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    return answer\n"
        "terminal_relay._PersonsTerminal.take = early\n"
        "from claude_secrets.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    python = shlex.quote(sys.executable)
    (here / "script").write_text(
        "stty -g >before\n"
        f"{python} early.py exec --redact --only TOKEN -- sh -c 'sleep 9; echo no'\n"
        "echo $?\n"
        "stty -g >after\n"
    )
    assert bash.run("sh script").endswith("143\n")
    assert (here / "before").read_text() == (here / "after").read_text()


def test_in_the_background(bash: Bash) -> None:
    before = bash.settings()
    bash.run("$RUN sh -c 'sleep 1; echo \"late $TOKEN\"; exit 3' & true")
    assert bash.settings() == before
    assert bash.run("echo typed here") == "typed here\n"
    shown = bash.run('wait %1; echo "code $?"')
    assert "late [secret://TOKEN]\n" in shown
    assert "code 3\n" in shown
    assert bash.settings() == before


def test_where_only_the_output_is_a_terminal(bash: Bash) -> None:
    assert bash.run("echo piped | $RUN sh -c 'cat; test -t 0 || echo no; test -t 1 && echo yes'") == "piped\nno\nyes\n"
    assert bash.run("$RUN sh -c 'echo out; echo \"$TOKEN\" >&2' 2>err; cat err") == "out\n[secret://TOKEN]\n"
    assert bash.run("$RUN sh -c 'test -t 1 || echo no; test -t 0 && echo yes' | cat") == "no\nyes\n"
    assert "cannot be run" in bash.run("touch bad; chmod +x bad; printf '\\177ELF' > bad; $RUN ./bad")


STREAMS = [(i, o, e) for i in ("", "echo piped |") for o in ("", "| cat") for e in ("", "2>err")]


@pytest.mark.parametrize("streams", STREAMS, ids=" ".join)
def test_a_program_sees_the_same_terminals_as_without_exec(
    bash: Bash, here: Path, streams: tuple[str, str, str]
) -> None:
    into, out, errors = streams
    (here / "ask").write_text("test -t 0; a=$?; test -t 1; b=$?; test -t 2; echo $a $b $? >seen\n")
    (here / "write").write_text(
        "echo out $TOKEN; sleep 0.3; echo err $TOKEN >&2; sleep 0.3; seq 1 20000; echo end >&2\n"
    )
    seen = []
    for run in ("", "$RUN "):
        bash.run(f"{into} {run} sh ask {errors} {out}")
        seen.append((here / "seen").read_text().split())
    assert seen == [[str(int(bool(each))) for each in streams]] * 2
    shown = bash.run(f"{into} $RUN sh write {errors} {out}")
    numbers = "".join(f"{number}\n" for number in range(1, 20001))
    if errors or out:
        told = (here / "err").read_text() if errors else shown
        assert told.index("err [secret://TOKEN]\n") < told.index("end\n")
        shown = shown.replace("err [secret://TOKEN]\n", "").replace("end\n", "")
        assert shown == f"out [secret://TOKEN]\n{numbers}"
    else:
        assert shown == f"out [secret://TOKEN]\nerr [secret://TOKEN]\n{numbers}end\n"


SHOWS_ITS_SIZE = """
import os, signal, sys, time
def tell(*_):
    size = os.get_terminal_size(int(sys.argv[1]))
    os.write(int(sys.argv[1]), f"{size.lines} {size.columns}\\n".encode())
signal.signal(signal.SIGWINCH, tell)
signal.signal(signal.SIGCONT, lambda *_: os.write(int(sys.argv[1]), b"going\\n"))
signal.signal(signal.SIGINT, signal.SIG_DFL)
tell()
while True: time.sleep(1)
"""


@pytest.mark.parametrize("streams", [each for each in STREAMS if "" in each[1:]], ids=" ".join)
def test_keys_and_the_size_reach_a_program_on_either_terminal(
    bash: Bash, here: Path, streams: tuple[str, str, str]
) -> None:
    into, out, errors = streams
    (here / "wait.py").write_text(SHOWS_ITS_SIZE)  # no shell: one that is stopped while it forks may not notice
    bash.run("set -o pipefail")
    before = bash.settings()
    bash.type(f"{into} $RUN {shlex.quote(sys.executable)} wait.py {2 if out else 1} {errors} {out}\n")
    bash.see("\n31 97\n")
    bash.resize((12, 34))
    bash.see("12 34\n")
    bash.type("\x1a")
    bash.see("Stopped")
    bash.see("ready> ")
    assert bash.settings() == before
    bash.resize((13, 35))
    bash.type("fg\n")
    bash.see("going\n")
    bash.see("13 35\n")
    bash.type("\x03")
    bash.see("ready> ")
    assert bash.run("echo $?") == "130\n"
    assert bash.settings() == before


def test_standard_error_may_be_another_terminal(bash: Bash, here: Path) -> None:
    ours, its = os.openpty()
    other = os.ttyname(its)
    assert bash.run(f"$RUN sh -c 'echo out; echo err $TOKEN >&2; test -t 2; echo $?' 2>{other}") == "out\n0\n"
    assert os.read(ours, 1000) == b"err [secret://TOKEN]\r\n"
    assert bash.run("$RUN sh -c 'echo out; echo err >&2; echo end' 2>/dev/tty") == "out\nerr\nend\n"
    os.close(its)
    os.close(ours)
