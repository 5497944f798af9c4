"""Decide and carry out agents' calls (gate, consent, rate limits), and recognise that the caller is an agent."""
