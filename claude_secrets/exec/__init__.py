"""Runs programs with secrets' values: references, `.env` files, child processes, terminals. It also reads git."""
