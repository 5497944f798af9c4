"""A value in text: its forms, finding it in a stream, replacing it with its reference, scanning for it."""
