"""The cryptography of the store, and where its keys can be: slots, OS keyring, key file, passphrase, recovery code."""
