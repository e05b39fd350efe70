"""Metrics by the field's definitions, tables beside the paper's, checks against the truth."""
