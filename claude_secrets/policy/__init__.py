"""What files allow: the project, its allowlist, the rules, the person's configuration. Pure of the store."""
