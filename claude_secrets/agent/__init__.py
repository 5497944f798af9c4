"""Decide whether agents' calls are allowed, carry them out, and detect whether a caller is an agent."""
