"""A short run of every fuzz target; `python -m tests.fuzz` makes long runs."""

import pytest

from tests.fuzz import corpus
from tests.fuzz.mutate import mutations
from tests.fuzz.targets import TARGETS
from tests.support.rounds import rounds

COUNTS = {"wire": 500, "redactor": 150, "store": 300}


def test_every_target_has_its_corpus() -> None:
    assert tuple(TARGETS) == corpus.TARGET_NAMES
    assert all(corpus.seeds(name) for name in TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_no_bytes_break_what_reads_them(name: str) -> None:
    seeds = corpus.seeds(name)
    for data in [b"", *seeds, *mutations(seeds, COUNTS.get(name, 1500) // rounds(3, 1), seed=1)]:
        TARGETS[name](data)
