"""The exit codes of the command line.

Always: nothing is imported, since `interrupts` needs this before anything else is loaded.
"""

FAILED = 1
"""Something failed or was not found; a finding of `doctor` fails."""

WRONG_USAGE = 2

DENIED = 3

VALUE_FOUND = 3
"""`scan` found a stored value."""

NO_KEY = 4
"""No key opens the store."""

PARTLY_SCANNED = 5
"""`scan` found no value, but could not look through everything."""

NOT_STARTED = 126
"""The program of `exec` is there and cannot be started, as shells and env(1) have it."""

NO_PROGRAM = 127
"""There is no such program, as shells and env(1) have it."""

INTERRUPTED = 130
"""Ctrl-C, or cancelled at a question."""
