"""The checks of `doctor`, with one file for each subject."""
