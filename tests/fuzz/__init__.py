"""Fuzzing: what any bytes must not do to what reads them. `python -m tests.fuzz` runs one target for as long as asked.

`targets.py` has one function for each reader, which raises where a promise is broken; `corpus/` has inputs to begin
with, a directory for each; `tests/test_fuzz.py` makes a short run of all.
"""
