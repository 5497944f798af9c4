"""Finds secrets' values in streams, files and archives, and replaces them with references."""
