"""Cryptography of the store, and every place a key can be: slots, OS keyring, key file, passphrase, recovery code."""
