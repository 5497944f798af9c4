"""Decide and carry out agents' calls (gate, consent, rate limits), and detect whether the caller is an agent."""
