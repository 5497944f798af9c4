"""The exit codes of the command line.

Always: this module has no imports, because `interrupts` needs it before any other module is loaded.
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
"""`exec` found the program but cannot start it. Shells and env(1) use the same code."""

NO_PROGRAM = 127
"""`exec` did not find the program. Shells and env(1) use the same code."""

INTERRUPTED = 130
"""The person pressed Ctrl-C, or cancelled a question."""
