"""Faults around the program: killed processes, full disks, damaged files, keyrings that disappear.

`python -m pytest tests/faults --rounds 200` kills the program two hundred times. Without `--rounds` a few rounds check
that the tests work.
"""
