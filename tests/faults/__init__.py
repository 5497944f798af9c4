"""What goes wrong around the program: killed processes, full disks, damaged files, keyrings that go away.

`python -m pytest tests/faults --rounds 200` kills two hundred times; without it a few rounds are enough to see that all
of it still works.
"""
