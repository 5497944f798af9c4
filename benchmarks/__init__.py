"""Measures Claude Secrets against an empty server on the same SDK, and its commands against an empty Python.

Figures are ratios within one run, and medians; nothing here passes or fails.
"""
