"""Names of variables: which of them every `.env` file may set, and which need an explicit option."""

import json
import sys
from pathlib import Path

import pytest

from claude_secrets.variable_names import is_loading, is_redirecting, is_shells_own
from tests.support.machine import Machine
from tests.support.posix import skip_without

skip_without("POSIX shells and terminals")
assert sys.platform != "win32"

pytestmark = pytest.mark.usefixtures("quick_starts")

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
"""Names in common `.env` files that must be accepted, by reason. This table was written before the others."""

LOADING = {
    "shells": """
        PATH Path MAILPATH MODULE_PATH NULLCMD READNULLCMD BASH_LOADABLES_PATH PS0 PS1 PS2 ZSH ZSH_CUSTOM COMSPEC
        PATHEXT PSMODULEPATH PSModulePath
    """,
    "how Windows finds, starts and checks programs": """
        PathExt ComSpec COMPLUS_Version COR_ENABLE_PROFILING COR_PROFILER_PATH_64 CORECLR_PROFILER __COMPAT_LAYER
        SEE_MASK_NOZONECHECKS DEVPATH WSLENV PSExecutionPolicyPreference PY_PYTHON PYLAUNCHER_ALLOW_INSTALL
        ChocolateyInstall VCPKG_ROOT VCINSTALLDIR _CL_ _LINK_ CLAUDE_CODE_GIT_BASH_PATH
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
        RUSTUP_TOOLCHAIN VIRTUAL_ENV __PYVENV_LAUNCHER__ OPENSSL_CONF_INCLUDE TK_LIBRARY JRE_HOME
        ASPNETCORE_HOSTINGSTARTUPASSEMBLIES DOTNET_GCPath DOTNET_AltJitName VK_ADD_LAYER_PATH OCL_ICD_VENDORS
    """,
    "what Windows' programs, compilers and runtimes load": """
        APPDOMAIN_MANAGER_ASM APPDOMAIN_MANAGER_TYPE COMPlus_Version WEBVIEW2_BROWSER_EXECUTABLE_FOLDER VS140COMNTOOLS
        WEBVIEW2_ADDITIONAL_BROWSER_ARGUMENTS DOTNET_MSBUILD_SDK_RESOLVER_SDKS_DIR DOTNETSDK_WORKLOAD_PACK_ROOTS
        CustomBeforeMicrosoftCommonTargets DirectoryBuildPropsPath VCTargetsPath CscToolPath PYTHON_MANAGER_CONFIG
        NVM_HOME NVM_SYMLINK ErrorLevel CmdCmdLine GYP_MSVS_OVERRIDE_PATH _NT_EXECUTABLE_IMAGE_PATH
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
        TMPDIR TMP XDG_CACHE_HOME XDG_STATE_HOME HISTFILE PSQL_HISTORY LESSHISTFILE NODE_V8_COVERAGE
        GIT_REDIRECT_STDOUT DOTNET_DbgMiniDumpName DOTNET_EventPipeOutputPath
    """,
    "directories from which Windows' programs load DLLs and settings": """
        SystemRoot SYSTEMROOT windir SystemDrive USERPROFILE HomeDrive HOMEPATH APPDATA LocalAppData ProgramData
        ALLUSERSPROFILE ProgramFiles CommonProgramFiles ProgramW6432 OneDrive _NT_SYMBOL_PATH LogonServer HomeShare
    """,
}


def test_names_that_every_env_file_may_set_are_told_from_those_with_power() -> None:
    harmless, loading, redirecting = (" ".join(names.values()).split() for names in (HARMLESS, LOADING, REDIRECTING))
    assert [name for name in harmless if is_loading(name) or is_redirecting(name) or is_shells_own(name)] == []
    assert [name for name in loading if not is_loading(name)] == []
    assert [name for name in redirecting if not is_redirecting(name) or is_loading(name)] == []


def test_everyday_words_are_refused_only_where_they_have_a_meaning() -> None:
    for name in ("PUBLIC", "Lib", "INCLUDE", "link", "CL", "SCOOP", "cd"):
        assert is_loading(name, platform="win32")
        assert not is_loading(name, platform="linux")
        assert not is_loading(name, platform="darwin")
    for name in " ".join(HARMLESS.values()).split():
        assert not is_loading(name, platform="win32")


@pytest.mark.parametrize("name", ["GOCACHEPROG", "HTTPS_PROXY", "PathExt", "DISPLAY", "SystemRoot"])
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
