"""Measures Claude Secrets against an empty server on the same SDK, and its commands against an empty Python.

All figures are medians and ratios within one run. Nothing here passes or fails.
"""
