"""Checks of the results: each number beside its null and its threshold."""
