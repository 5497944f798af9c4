"""Claude Secrets: secrets for AI agents, encrypted at rest and allowlisted per project."""

__version__ = "0.1.0"
