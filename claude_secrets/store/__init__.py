"""The one SQLite file: sealed rows, what vouches for them, its making, migration and repair."""
