"""A stand-in for macOS' `/usr/bin/security`: it keeps items in a file, and records how it was run.

It splits commands, ends and prints as Apple's published source does (`security.c`, `keychain_add.c`,
`keychain_find.c`). `tests.support.keychain` writes it into a directory as an executable program. Its files are in the
same directory.
"""

import fcntl
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

assert sys.platform != "win32"

HERE = Path(__file__).parent
LINE = 4095
ARGUMENTS = 32
NOT_FOUND, DUPLICATE, INTERACTION_NOT_ALLOWED = -25300, -25299, -25308
TOOL = "security"


def main() -> int:
    """Run the commands on standard input, and return the last command's result."""
    stdin = sys.stdin.buffer.read() if sys.argv[1:] == ["-i"] else b""
    with (HERE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the real keychain is changed by one process at a time
        state = json.loads((HERE / "state.json").read_text())
        state["runs"] += 1
        save(state)
        record(stdin)
        fault = state["fault"]
        if fault == ["kill the caller before", state["runs"]]:
            return kill_the_caller()
        if fault[0] == "say":
            return say(*fault[1:])
        if fault[0] == "hang":
            lock.close()
            sys.stdout.write(fault[1])
            sys.stdout.flush()
            signal.pause()
        if fault[0] == "endless":
            while True:
                sys.stdout.write(fault[1] * 100)
        result = 2
        for line in lines(stdin):
            result = execute(split(line), state)
        save(state)
        if fault == ["kill the caller after", state["runs"]]:
            return kill_the_caller()
    return result & 0xFF


def record(stdin: bytes) -> None:
    run = {
        "arguments": sys.argv[1:],
        "environment": dict(os.environ),
        "stdin": stdin.decode("latin-1"),
        "directory": str(Path.cwd()),
        "leads a session": os.getsid(0) == os.getpid(),
    }
    with (HERE / "runs.jsonl").open("a") as runs:
        runs.write(json.dumps(run) + "\n")


def save(state: dict[str, Any]) -> None:
    (HERE / "state.new").write_text(json.dumps(state))
    (HERE / "state.new").replace(HERE / "state.json")


def kill_the_caller() -> int:
    os.kill(os.getppid(), signal.SIGKILL)
    return 1


def say(code: int, words: str) -> int:
    sys.stdout.write(f"{words}\n")
    sys.stderr.write(f"{words}\n")
    return code


def lines(stdin: bytes) -> list[bytes]:
    """Return the commands. The rest of a line that is too long is another command; a line without an end is none."""
    found = []
    for line in stdin.split(b"\n")[:-1]:
        found += [line[start : start + LINE] for start in range(0, len(line), LINE)] or [b""]
    return found


def split(line: bytes) -> list[str]:
    """Split a command into words, as `split_line` does."""
    words: list[bytes] = []
    word, quote, state = b"", b"", "skip"
    for character in (line[i : i + 1] for i in range(len(line))):
        if state == "skip":
            if character.isspace():
                continue
            word = b""
            if character in (b'"', b"'"):
                quote, state = character, "quoted"
                continue
            state = "word"
        if state == "escaped":
            word, state = word + character, "word"
        elif state == "quoted escaped":
            word, state = word + character, "quoted"
        elif character == b"\\":
            state = "escaped" if state == "word" else "quoted escaped"
        elif character.isspace() if state == "word" else character == quote:
            words.append(word)
            state = "skip"
            if len(words) >= ARGUMENTS:
                break
        else:
            word += character
    if state != "skip":
        words.append(word)
    return [word.decode() for word in words]


def execute(words: list[str], state: dict[str, Any]) -> int:
    if not words:
        return 0
    command, options = words[0], getopt(words[1:], without_value="w" if words[0].startswith("find") else "")
    if command == "show-keychain-info":
        return opened(state)
    if options is None or not {"-s", "-a"} <= set(options):
        return 2
    key = f"{options['-s']}\n{options['-a']}"
    if command == "add-generic-password":
        if key in state["items"]:
            return fail(DUPLICATE)
        if result := opened(state):
            return result
        if not state["drops writes"]:
            state["items"][key] = {"password": options.get("-w", ""), "maker": TOOL}
        return 0
    if key not in state["items"]:
        return fail(NOT_FOUND)
    if command == "find-generic-password":
        return show(state["items"][key], state) if "-w" in options else 0
    if command == "delete-generic-password":
        del state["items"][key]
        return 0
    return 1


def getopt(words: list[str], *, without_value: str) -> dict[str, str] | None:
    options = {}
    rest = iter(words)
    for word in rest:
        if not (word.startswith("-") and len(word) == 2):
            return None
        value = "" if word[1] in without_value else next(rest, None)
        if value is None:
            return None
        options[word] = value
    return options


def show(item: dict[str, str], state: dict[str, Any]) -> int:
    if result := opened(state):
        return result
    if item["maker"] != TOOL:  # macOS asks the person whether `security` may read another program's item
        if not state["a person answers"]:
            return fail(INTERACTION_NOT_ALLOWED)
        state["dialogs"] += 1
    raw = item["password"].encode()
    printable = all(0x20 <= byte < 0x7F for byte in raw)
    sys.stdout.write(f"{item['password'] if printable else raw.hex()}\n")
    return 0


def opened(state: dict[str, Any]) -> int:
    return fail(state["locked"]) if state["locked"] else 0


def fail(error: int) -> int:
    sys.stderr.write(f"security: SecKeychainItem: error {error}\n")
    return error


if __name__ == "__main__":
    sys.exit(main())
