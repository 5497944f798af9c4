"""Find the project, and read its allowlist, its rules and the person's settings. This package never uses the store."""
