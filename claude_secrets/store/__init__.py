"""The one SQLite file: sealed rows, the heads that vouch for them, and its making, migration and repair."""
