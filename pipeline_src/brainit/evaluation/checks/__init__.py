"""Checks on results: value, null, threshold, verdict."""
