"""The person's operations on their own secrets, one file per subject."""
