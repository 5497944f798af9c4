"""A value for a program: references, `.env` files, environments, running it, terminals, reading git."""
