"""Fuzzing: no input may break a promise of the code that reads it. `python -m tests.fuzz` runs one target.

`targets.py` has a function for each reader, which raises if the reader breaks a promise. `corpus/` has a directory of
initial inputs for each target. `tests/test_fuzz.py` runs every target for a short time.
"""
