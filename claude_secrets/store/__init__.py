"""The store: one SQLite file of sealed rows, and the functions that create, change, migrate and recover it."""
