"""The store, one SQLite file of sealed rows: create it, verify and change its rows, migrate it, read it if damaged."""
