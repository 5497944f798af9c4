"""The store's cryptography and its keys: key slots, OS keyring, key file, passphrase, recovery code."""
