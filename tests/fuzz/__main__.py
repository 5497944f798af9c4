"""`python -m tests.fuzz TARGET [--seconds N]`: a long run. With `--guided`, atheris guides the run by coverage."""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.fuzz import corpus
from tests.fuzz.mutate import mutations


def main() -> None:
    """Run one target, or all in turn. Write an input that breaks a promise to the file `fuzz-TARGET-fault`."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=[*corpus.TARGET_NAMES, "all"])
    parser.add_argument("--seconds", type=int, default=60, help="how long each target runs (60)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="for a run that is to be repeated")
    parser.add_argument("--guided", action="store_true", help="by coverage, with atheris; for one target")
    options = parser.parse_args()
    if options.guided:
        _guided(options.target, options.seconds, options.seed)
        return
    from tests.fuzz.targets import TARGETS

    for name in corpus.TARGET_NAMES if options.target == "all" else [options.target]:
        count, slowest = _unguided(TARGETS[name], name, options.seconds, options.seed)
        told = f"{name}: {count} inputs in {options.seconds} s, seed {options.seed}, the slowest {slowest:.2f} s"
        print(told, flush=True)  # noqa: T201  the output of a command


def _unguided(target: Callable[[bytes], None], name: str, seconds: int, seed: int) -> tuple[int, float]:
    seeds, count, slowest, began = corpus.seeds(name), 0, 0.0, time.monotonic()
    while time.monotonic() - began < seconds:
        seed += 1
        for data in mutations(seeds, 100, seed):
            begun = time.monotonic()
            try:
                target(data)
            except BaseException:
                Path(f"fuzz-{name}-fault").write_bytes(data)
                raise
            slowest = max(slowest, time.monotonic() - begun)
            count += 1
    return count, slowest


def _guided(name: str, seconds: int, seed: int) -> None:
    import atheris

    with atheris.instrument_imports(include=["claude_secrets", "yaml", "dotenv"]):
        from tests.fuzz.targets import TARGETS
    words = [f"-max_total_time={seconds}", f"-seed={seed}", "-timeout=20", f"-artifact_prefix=fuzz-{name}-"]
    with tempfile.TemporaryDirectory() as found:  # atheris saves inputs with new coverage in the first directory
        atheris.Setup([sys.argv[0], *words, found, *map(str, corpus.directories(name))], TARGETS[name])
        atheris.Fuzz()


if __name__ == "__main__":
    main()
