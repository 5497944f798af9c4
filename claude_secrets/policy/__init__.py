"""The policy: find the project, read its allowlist, the rules and the person's settings. It never uses the store."""
