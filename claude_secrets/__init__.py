"""Claude Secrets: secrets for AI agents, encrypted at rest and allowlisted per project."""
