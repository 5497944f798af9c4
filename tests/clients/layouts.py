"""Configurations of MCP clients as people have them, and random JSON files with random layout."""

import json
from random import Random
from typing import Final

from hypothesis import strategies as st

CLAUDE_DESKTOP: Final = """\
{
  "mcpServers": {
    "filesystem": {
      "command": "npx",
      "args": [
        "-y",
        "@modelcontextprotocol/server-filesystem",
        "C:\\\\Users\\\\Zoë\\\\Desktop"
      ]
    },
    "github": {
      "command": "docker",
      "args": ["run", "-i", "--rm", "-e", "GITHUB_PERSONAL_ACCESS_TOKEN", "ghcr.io/github/github-mcp-server"],
      "env": { "GITHUB_PERSONAL_ACCESS_TOKEN": "ghp_planted" }
    }
  },
  "globalShortcut": "Ctrl+Space",
  "preferences": {"menuBarEnabled": false, "zoom": 1.10e0}
}
"""

CLAUDE_DESKTOP_NEW: Final = '{\n  "scale": 0,\n  "locale": "en-US",\n  "userThemeMode": "system"\n}'

CLAUDE_CODE: Final = json.dumps(
    {
        "numStartups": 12,
        "tipsHistory": {"new-user-warmup": 3},
        "projects": {"/home/ada/work": {"allowedTools": [], "mcpServers": {}, "hasTrustDialogAccepted": True}},
        "mcpServers": {},
        "userID": "0" * 64,
    },
    indent=2,
)

CURSOR: Final = """\
{
\t"mcpServers": {
\t\t"linear": { "url": "https://mcp.linear.app/sse" }, // "//" in a URL begins no comment
\t\t"postgres": {
\t\t\t"command": "uvx", "args": ["mcp-server-postgres"], "env": {"DATABASE_URL": "postgres://a:b@db/x"}
\t\t}
\t}
}
"""

VS_CODE: Final = """\
{
    // Place your MCP servers here. See https://code.visualstudio.com/docs
    "inputs": [
        {
            "type": "promptString",
            "id": "token",
            "description": "A token",
            "password": true,
        },
    ],
    "servers": {
        "github": {
            "type": "http",
            "url": "https://api.githubcopilot.com/mcp/", /* remote */
        },
        // "old": { "command": "node" },
        "playwright": {
            "command": "npx",
            "args": ["@playwright/mcp@latest"], // newest
        }, // the last one
        /* "off": {
            "command": "x"
        } */
    },
}
"""

WINDSURF: Final = '{"mcpServers": {"memory": {"command": "npx", "args": ["-y", "mcp-memory"], "disabled": true}}}'

ZED: Final = """\
// Zed settings
//
// For information on how to configure Zed, see the Zed
// documentation: https://zed.dev/docs/configuring-zed
//
// To see all of Zed's default settings without changing your
// custom settings, run `zed: open default settings` from the
// command palette (cmd-shift-p / ctrl-shift-p)
{
  "context_servers": {
    // The server of the team.
    "team": {
      "source": "custom",
      "command": "team-mcp",
      "args": [],
      "env": {}
    }
    // "unused": {}
  },
  "ui_font_size": 16, "buffer_font_size": 15.0,
  "theme": {
    "mode": "system",
    "light": "One Light", // "
    "dark": "One Dark",
  },
}
"""

GEMINI: Final = """\
{
  "security": {
    "auth": {
      "selectedType": "oauth-personal" // chosen at the first start
    }
  },
  "ui": {
    "theme": "Default"
  }
}"""

FILES: Final = {
    "Claude Desktop": (CLAUDE_DESKTOP, "mcpServers"),
    "Claude Desktop without servers": (CLAUDE_DESKTOP_NEW, "mcpServers"),
    "Claude Code": (CLAUDE_CODE, "mcpServers"),
    "Cursor": (CURSOR, "mcpServers"),
    "VS Code": (VS_CODE, "servers"),
    "Windsurf": (WINDSURF, "mcpServers"),
    "Zed": (ZED, "context_servers"),
    "Gemini": (GEMINI, "mcpServers"),
}

CODEX: Final = """\
# Codex, of Ada
model = "gpt-5.2-codex"
model_reasoning_effort = "high"
notify = [
    "notify-send", # a bubble
    "Codex",
]
sandbox_workspace_write = { network_access = false, writable_roots = ["/tmp/x"] }

[projects."/home/ada/work"]
trust_level = "trusted"

# Servers
[mcp_servers.context7]
command = "npx"
args = ["-y", "@upstash/context7-mcp"] # newest

[mcp_servers.'quoted name']
command = 'C:\\Tools\\mcp.exe'
startup_timeout_sec = 20.0

[mcp_servers."quoted name".env]
TOKEN = "planted"
TEXT = \"\"\"
[mcp_servers.in_a_string]
\"\"\"

# The profile for reviews
[profiles.review]
model = "o3"

[[history.rules]]
name = "first"
[[history.rules]]
name = "second"
"""

SCALARS: Final = (None, True, False, 0, -1, 12, 1.5, "", "a", "é", "//", "/*", '"', "\\", "},]", "\u2028", "x" * 30)
NAMES: Final = ("a", "b", "mcpServers", "", "é", "//", "*/", 'q"', "{", "a:", "long name")


def random_json(random: Random) -> tuple[str, dict[str, object]]:
    """Return a JSON file with comments, trailing commas and odd layout, and what is in it."""
    writer = _Writer(random)
    tree = writer.mapping(0)
    return writer.gap() + writer.written(tree, 0) + writer.gap(), tree


seeds: Final = st.integers(0, 2**64 - 1).map(Random)
json_files: Final = seeds.map(random_json)


class _Writer:
    def __init__(self, random: Random) -> None:
        self.random = random
        self.newline = random.choice(("\n", "\r\n", "\n", "\r"))
        self.unit = random.choice(("\t", "  ", "   ", "    ", "        "))
        self.comments = random.random() < 0.5
        self.odd = random.random() < 0.4
        self.lines = random.random() < 0.7
        self.trailing = random.random() < 0.4
        self.colon = random.choice((": ", ":", " : ", ":\t"))

    def value(self, depth: int) -> object:
        draw = self.random.random()
        if depth < 4 and draw < 0.35:
            return self.mapping(depth)
        if depth < 4 and draw < 0.5:
            return [self.value(depth + 1) for _ in range(self.random.randrange(4))]
        return self.random.choice(SCALARS)

    def mapping(self, depth: int) -> dict[str, object]:
        names = self.random.sample(NAMES, self.random.randrange(4))
        return {name: self.value(depth + 1) for name in names}

    def written(self, value: object, depth: int) -> str:
        if isinstance(value, dict):
            return self._container("{}", [self._member(key, one, depth) for key, one in value.items()], depth)
        if isinstance(value, list):
            return self._container("[]", [self.written(one, depth + 1) for one in value], depth)
        return json.dumps(value, ensure_ascii=self.random.random() < 0.3)

    def gap(self) -> str:
        """Return whitespace and comments that may be anywhere between two tokens."""
        text = ""
        newlines = (self.newline, "\n", "\r\n") if self.odd and self.newline != "\r" else (self.newline,)
        while self.random.random() < (0.5 if self.odd or self.comments else 0):
            kinds = [" ", "\t", self.random.choice(newlines), "  "] if self.odd else [" "]
            if self.comments:
                kinds += ["/* , } */", "/**/", "/* a\n b */"]
                kinds += ['// "c", {' + self.random.choice(newlines)] if self.newline != "\r" else []
            text += self.random.choice(kinds)
        return text

    def _member(self, key: str, value: object, depth: int) -> str:
        colon = self.gap() + ":" + self.gap() if self.odd else self.colon
        return json.dumps(key, ensure_ascii=self.random.random() < 0.3) + colon + self.written(value, depth + 1)

    def _container(self, brackets: str, inner: list[str], depth: int) -> str:
        lines = self.lines and self.random.random() < 0.8
        start = self.newline + self.unit * (depth + 1) if lines else self.random.choice(("", " "))
        end = self.newline + self.unit * depth if lines else self.random.choice(("", " "))
        if not inner:
            return brackets[0] + self.random.choice(("", " ", self.gap(), end, end + end)) + brackets[1]
        text = brackets[0]
        for number, one in enumerate(inner):
            comma = number < len(inner) - 1 or (self.trailing and self.random.random() < 0.8)
            text += start + self.gap() + one + self.gap() + ("," + self.gap() if comma else "")
        return text + end + brackets[1]


TOML_SCALARS: Final = (
    "1", "-0x1f"[1:], "1_000", "true", "1.50", "1e+9", "inf", "nan", '""', "'C:\\x'", '"a # b"', '"\\" [x]"', "'#'",
    "1979-05-27 07:32:00", "07:32:00", "'''\n[x]\n'''", '"""\n[mcp_servers.x]\\\n  "" """', '"""x""""', "[ ]",
    "[1, [2, '}']]",
    "[\n  'a', # ]\n  \"b\",\n]", "{}", "{ }", "{ x = 1 }", "{x.y = [{}], 'z' = {a = 1 }}",
)  # fmt: skip
TOML_NAMES: Final = ("a", "b", "mcp_servers", "'quoted name'", '"é"', '"a.b"', "1", "secret")


def random_toml(random: Random) -> str:
    """Return a TOML file with tables, inline tables, dotted keys, arrays of tables, comments and odd layout."""
    newline = random.choice(("\n", "\n", "\r\n"))
    mixed = random.random() < 0.2

    def end() -> str:
        return random.choice(("", "", " ", " # c [x]", "\t#")) + (random.choice(("\n", "\r\n")) if mixed else newline)

    def pairs(prefix: str) -> str:
        text = ""
        for name in random.sample(TOML_NAMES, random.randrange(4)):
            dotted = random.choice((name, name, name, f"{name}.x", f"{name} . 'y z'", f"{name}.secret.z"))
            value = random.choice(TOML_SCALARS).replace("\n", newline)
            text += (
                random.choice(("", "", "  ", "\t")) + f"{dotted}{random.choice((' = ', '=', ' =  '))}{value}" + end()
            )
            text += random.choice(("", "", newline, f"# {prefix}" + newline))
        return text

    text = random.choice(("", "", newline, "# head" + newline, "  # head" + newline + newline)) + pairs("")
    heads = random.sample(
        ("mcp_servers", *(f"mcp_servers.{name}" for name in TOML_NAMES), "z", "z.q", "mcp_servers.b.env"), 5
    )
    for head in heads[: random.randrange(6)]:
        text += f"[{random.choice(('', ' '))}{head}]" + end() + pairs(head)
        if random.random() < 0.2:
            text += f"[[rules.{head.partition('.')[0]}]]" + end() + pairs(head)
    return text if random.random() < 0.8 else text.removesuffix("\n").removesuffix("\r")
