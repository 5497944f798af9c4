"""Give programs their values and run them: references, `.env` files, child processes, terminals, reading git."""
