"""A value in text: its forms, finding it in a stream, putting its reference in its place, scanning for it."""
