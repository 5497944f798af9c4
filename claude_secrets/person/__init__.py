"""The person's operations on their own secrets, one module per subject."""
