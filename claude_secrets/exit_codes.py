"""The exit codes of the command line.

Always: this module imports nothing, because `interrupts` needs it before anything else is loaded.
"""

FAILED = 1
"""Something failed or was not found, or `doctor` has a finding that counts as a failure."""

WRONG_USAGE = 2

DENIED = 3

VALUE_FOUND = 3
"""`scan` found a stored value."""

NO_KEY = 4
"""No key opens the store."""

PARTLY_SCANNED = 5
"""`scan` found no value, but could not scan everything."""

NOT_STARTED = 126
"""The program of `exec` exists but cannot be started; the same code as of shells and env(1)."""

NO_PROGRAM = 127
"""There is no such program; the same code as of shells and env(1)."""

INTERRUPTED = 130
"""The person pressed Ctrl-C, or cancelled at a question."""
