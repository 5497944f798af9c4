"""Measures commands against an empty Python, and how quickly texts are searched."""

import base64
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from benchmarks.homes import PROGRAM, Home, value
from claude_secrets.redaction.finder import Finder
from claude_secrets.redaction.leaks import leaks_in
from claude_secrets.redaction.redactor import Redactor

NOTHING = [sys.executable, "-I", "-c", "pass"]

COMMANDS = {
    "get": ["get", "VISIBLE_1"],
    "exec --only X -- true": ["exec", "--only", "VISIBLE_1", "--", "true"],
}
HOOKS = ("session-start", "user-prompt-submit", "pre-tool-use", "post-tool-use", "post-tool-use-failure")
_PIECE = 1 << 16


def commands(home: Home, rounds: int) -> dict[str, float]:
    """Measure each command as a multiple of an empty Python's time."""
    return {name: _ratio(home, words, b"", rounds) for name, words in COMMANDS.items()}


def hooks(home: Home, rounds: int) -> dict[str, float]:
    """Measure each hook as a multiple of an empty Python's time, with an event of usual size."""
    text = "a line of a program, or of what a person wrote\n" * 200
    event = {
        "cwd": str(home.project),
        "prompt": text,
        "tool_name": "Read",
        "tool_input": {"file_path": "a.py"},
        "tool_response": {"stdout": text},
        "error": text,
    }
    given = json.dumps(event).encode()
    return {name: _ratio(home, ["hook", name], given, rounds) for name in HOOKS}


def _ratio(home: Home, words: Sequence[str], given: bytes, rounds: int) -> float:
    ratios = []
    for number in range(rounds + 1):
        ours = _seconds([*PROGRAM, *words], given, home)
        theirs = _seconds(NOTHING, b"", home)
        if number:
            ratios.append(ours / theirs)
    return median(ratios)


def _seconds(command: Sequence[str], given: bytes, home: Home) -> float:
    begun = time.perf_counter()  # no timeout: with a timeout, Python polls for the end at intervals
    subprocess.run(command, input=given, stdout=subprocess.DEVNULL, cwd=home.project, env=home.environment, check=True)
    return time.perf_counter() - begun


def throughput(megabytes: int) -> dict[str, dict[str, float]]:
    """Measure the megabytes a second that redaction and scan search on one core for 100 secrets, by kind of text."""
    chosen = random.Random(1)
    finder = Finder({f"SECRET_{number}": value(chosen) for number in range(100)})
    size = megabytes << 20
    texts = {
        "source": (Path(json.__file__).read_bytes() * (size // 10_000))[:size],
        "base64 in lines": base64.encodebytes(chosen.randbytes(size * 3 // 4)),
        "hexadecimal": chosen.randbytes(size // 2).hex().encode(),
        "random bytes": chosen.randbytes(size),
    }

    def redact(data: bytes) -> None:
        redactor = Redactor(finder)
        for at in range(0, len(data), _PIECE):
            redactor.feed(data[at : at + _PIECE])
        redactor.finish()

    def scan(data: bytes) -> None:
        pieces = (data[at : at + (1 << 20)] for at in range(0, len(data), 1 << 20))
        assert list(leaks_in(finder, pieces)) == []

    return {
        what: {kind: _rate(work, data) for kind, data in texts.items()}
        for what, work in (("redaction", redact), ("scan", scan))
    }


def _rate(work: Callable[[bytes], None], data: bytes) -> float:
    begun = time.process_time()
    work(data)
    return len(data) / (time.process_time() - begun) / 1e6


def machine() -> str:
    """Describe the machine of the measurement."""
    return f"{os.cpu_count()} processors, {sys.platform}, Python {sys.version.split()[0]}"
