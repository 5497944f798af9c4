"""What the person does with their own secrets, one file per subject."""
